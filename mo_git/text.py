"""Words for people: one-line text, counts, times, and the mark and colour of each state.

Imports next to nothing, since `mo status` needs it before anything else.
"""

from __future__ import annotations

import time

# state of a task or a goal -> (mark, ANSI SGR code)
_GOOD, _WORK, _WAIT, _BAD, _DIM, _PLAIN = "32", "36", "33", "31", "2", ""
MARKS: dict[str, tuple[str, str]] = {
    "landed": ("✔", _GOOD),
    "unchanged": ("✔", _GOOD),
    "done": ("✔", _GOOD),
    "running": ("▶", _WORK),
    "checking": ("▶", _WORK),
    "reviewing": ("▶", _WORK),
    "resolving": ("▶", _WORK),
    "planning": ("▶", _WORK),
    "landing": ("◆", _WORK),
    "candidate": ("◆", _WORK),
    "gating": ("◆", _WORK),
    "waiting": ("◷", _WAIT),
    "paused": ("◷", _WAIT),
    "awaiting_person": ("?", _WAIT),
    "awaiting_approval": ("?", _WAIT),
    "taken": ("?", _WAIT),
    "failed": ("✘", _BAD),
    "ejected": ("✘", _BAD),
    "conflict": ("✘", _BAD),
    "halted": ("✘", _BAD),
    "over_budget": ("✘", _BAD),
    "skipped": ("–", _DIM),
    "cancelled": ("–", _DIM),
    "pending": ("○", _DIM),
    "queued": ("○", _DIM),
    "ready": ("○", _PLAIN),
}


def paint(text: str, code: str, color: bool) -> str:
    """`text` in an SGR colour, where colours are wanted."""
    return f"\033[{code}m{text}\033[0m" if color and code else text


def state_color(state: str) -> str:
    return MARKS[state][1] if state in MARKS else ""


def one_line(text: str, limit: int = 200) -> str:
    """Text of unknown origin on one line: no control characters (a terminal obeys them), cut at `limit`."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def printable(text: str) -> str:
    """Text of unknown origin for a terminal: lines and tabs stay, other control characters go."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def count(number: int, noun: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def counts(states: dict[str, int]) -> str:
    """`2 landed, 1 running`."""
    return ", ".join(f"{number} {state}" for state, number in states.items())


def money(usd: float, *, estimated: bool = False) -> str:
    """`$1.25`; small sums with four places, an estimate with ~ before it."""
    shown = f"${usd:.4f}" if 0 < usd < 0.01 else f"${usd:,.2f}"
    return f"~{shown}" if estimated else shown


def clock(at: float, now: float | None = None) -> str:
    """Local time of day, with seconds; given `now`, without them and with the date unless it is today."""
    if now is None:
        return time.strftime("%H:%M:%S", time.localtime(at))
    today = time.localtime(at)[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", time.localtime(at))


def duration(seconds: float) -> str:
    """`0.4 s`, `45 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def table(rows: list[list[str]], gap: str = "  ") -> list[str]:
    """Rows of cells as aligned lines; the last cell of a row is not padded."""
    columns = max((len(row) for row in rows), default=0)
    widths = [max((len(row[i]) for row in rows if i < len(row) - 1), default=0) for i in range(columns)]
    return [gap.join([*(c.ljust(w) for c, w in zip(row[:-1], widths)), *row[-1:]]).rstrip() for row in rows]
