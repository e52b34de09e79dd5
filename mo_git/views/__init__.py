"""What people and programs see of a goal, made from its status: documents, needs, drawings, lines.  Pure."""

from mo_git.views.documents import goal_document, status_document, task_document
from mo_git.views.estimate import estimate, estimate_data, estimate_text
from mo_git.views.graph import graph_document, graph_dot, graph_mermaid, graph_text
from mo_git.views.lines import change_line, event_document, event_line, summary_lines
from mo_git.views.needs import needs

__all__ = [
    "change_line",
    "estimate",
    "estimate_data",
    "estimate_text",
    "event_document",
    "event_line",
    "goal_document",
    "graph_document",
    "graph_dot",
    "graph_mermaid",
    "graph_text",
    "needs",
    "status_document",
    "summary_lines",
    "task_document",
]
