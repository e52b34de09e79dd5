"""`mo status` at the speed of a shell prompt: reads `.mo/status.json` and `.mo/daemon.json`, nothing else.

Imports next to nothing: json and pathlib cost as much as the rest of the run each, so documents are read
with the C scanner below json.  What it cannot answer (no plain repository, other options, an unknown id) it
leaves to the command line proper, which calls the functions below.
"""

from __future__ import annotations

import os
import sys

from mo_git.text import clock, count, counts, duration, one_line, paint, state_color, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENDED = ("done", "failed", "halted", "cancelled", "over_budget")
_SHOWN_ENDED = 10  # ended goals listed; the rest is counted
_SHOWN_NEEDS = 20
_SHOWN_FORECAST = 10


class Options:
    """What the fast path understands of a command line."""

    def __init__(self) -> None:
        self.directory = "."
        self.goal = ""
        self.json = False
        self.exit_code = False
        self.color = "auto"


def parse(arguments: list[str]) -> Options | None:
    """The options of a `mo ... status ...` that the fast path can do; None for anything else."""
    options, rest = Options(), list(arguments)
    words: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--json":
            options.json = True
        elif word == "--exit-code" and words:
            options.exit_code = True
        elif word == "-C" and rest:
            options.directory = os.path.join(options.directory, rest.pop(0))
        elif word == "--color" and rest:
            options.color = rest.pop(0)
        elif word.startswith("--color="):
            options.color = word[len("--color=") :]
        elif word.startswith("-C") and len(word) > 2:
            options.directory = os.path.join(options.directory, word[2:])
        elif word.startswith("-"):
            return None
        else:
            words.append(word)
    if words[:1] != ["status"] or len(words) > 2 or options.color not in ("auto", "always", "never"):
        return None
    options.goal = words[1] if len(words) == 2 else ""
    return options


# -- finding and reading ------------------------------------------------------------------------------


def find_top(directory: str) -> str | None:
    """The main worktree's root, from any directory of any of its worktrees.

    The same answer as `git.layout.discover` in the usual cases; None in all others, which are left to it.
    """
    here = os.path.realpath(directory)
    while not os.path.lexists(os.path.join(here, ".git")):
        parent = os.path.dirname(here)
        if parent == here:
            return None
        here = parent
    pointer = os.path.join(here, ".git")
    if os.path.isdir(pointer):
        return here if os.path.isdir(os.path.join(pointer, "objects")) else None
    named = _read_text(pointer)
    if not named.startswith("gitdir: "):
        return None
    git_dir = os.path.join(here, named[len("gitdir: ") :])
    common = _read_text(os.path.join(git_dir, "commondir"))
    if not common:
        return None
    common_dir = os.path.realpath(os.path.join(git_dir, common))
    top = os.path.dirname(common_dir)
    known = os.path.basename(common_dir) == ".git" and os.path.isdir(os.path.join(top, ".git", "objects"))
    return top if known else None


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def _read_json(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            document = _parse(file.read().decode())
    except (OSError, ValueError, StopIteration):
        return None
    return document if isinstance(document, dict) and document.get("v") == 1 else None


class _Settings:
    """What json.JSONDecoder tells the scanner by default."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float


def _parse(text: str) -> object:
    """A JSON document; ValueError or StopIteration for anything else."""
    try:
        from _json import make_scanner
    except ImportError:  # another Python than CPython
        import json

        return json.loads(text)
    settings: Any = _Settings()
    document, end = make_scanner(settings)(text.strip(), 0)
    return document if end == len(text.strip()) else None


def daemon_alive(daemon: dict[str, Any] | None) -> bool:
    """Whether exactly the process that `daemon.json` names lives: pid, start time and boot, not pid alone."""
    if not daemon or not isinstance(daemon.get("pid"), int):
        return False
    if sys.platform != "linux":
        try:
            os.kill(daemon["pid"], 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True
    stat = _read_text(f"/proc/{daemon['pid']}/stat")
    fields = stat[stat.rfind(")") + 2 :].split()  # from field 3 (state) of proc(5) on; 22 is the start time
    if len(fields) < 20 or fields[0] in "ZX" or fields[19] != str(daemon.get("start")):
        return False
    return daemon.get("boot") in (None, "", _read_text("/proc/sys/kernel/random/boot_id"))


def load(top: str) -> dict[str, Any] | None:
    """`status.json` with the daemon's line as it is now; None where the file is missing or unreadable.

    `daemon` is null where none lives.  Added: as_of (seconds since the epoch, null: never written) and
    waiting (requests in the inbox).
    """
    status_file = os.path.join(top, ".mo", "status.json")
    if not os.path.isdir(os.path.join(top, ".mo")):
        return with_daemon(empty(), top, None)
    document = _read_json(status_file)
    if document is None:
        return None
    return with_daemon(document, top, os.stat(status_file).st_mtime)


def empty() -> dict[str, Any]:
    return {"v": 1, "seq": 0, "daemon": None, "limits": {}, "goals": [], "forecast": []}


def with_daemon(document: dict[str, Any], top: str, as_of: float | None) -> dict[str, Any]:
    """The document with who is alive and what waits now."""
    written = _read_json(os.path.join(top, ".mo", "daemon.json"))
    daemon = None
    if written and daemon_alive(written):
        named = dict.fromkeys(("pid", "version", "started_at", "web", "isolation", "gates", "executor"))
        daemon = {**named, **(document["daemon"] or {}), **{k: written[k] for k in named if k in written}}
    return {**document, "daemon": daemon, "as_of": as_of, "waiting": _waiting(top)}


def _waiting(top: str) -> int:
    try:
        return sum(not name.startswith(".") for name in os.listdir(os.path.join(top, ".mo", "inbox")))
    except OSError:
        return 0


def select(document: dict[str, Any], wanted: str) -> dict[str, Any] | None:
    """The document with one goal only: full id, unique prefix or @last; None where that is not one goal."""
    goals = document["goals"]
    found = goals[:1] if wanted == "@last" else [goal for goal in goals if goal["id"] == wanted]
    found = found or [goal for goal in goals if goal["id"].startswith(wanted)]
    return {**document, "goals": found} if len(found) == 1 else None


# -- showing ------------------------------------------------------------------------------------------


def _is_to_review(goal: dict[str, Any]) -> bool:
    """Whether a person's word is all that a failed goal lacks."""
    return bool(goal["needs"]) and all(need["do"].startswith("mo review ") for need in goal["needs"])


def exit_code(document: dict[str, Any]) -> int:
    """For `--exit-code`: 1 any goal failed, 5 something needs a person, 0 otherwise."""
    if any(goal["state"] == "failed" and not _is_to_review(goal) for goal in document["goals"]):
        return 1
    return 5 if any(goal["needs"] for goal in document["goals"]) else 0


def use_color(wanted: str) -> bool:
    """`--color`; with auto: standard output is a terminal that knows colours, and NO_COLOR is not set."""
    if wanted != "auto":
        return wanted == "always"
    environ = os.environ
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and sys.stdout.isatty()


def text(document: dict[str, Any], now: float, *, color: bool = False, one: bool = False) -> str:
    """The whole text of `mo status`; `one`: a goal was asked for, so its tasks at work are listed too."""
    goals = document["goals"]
    lines = [_daemon_line(document, now, color)]
    if not goals:
        return "\n".join([*lines, "no goals yet: mo do starts one, mo demo shows how"])
    shown = _shown(goals)
    cells = [[goal["id"], goal["state"], one_line(goal["title"], 50), _counts(goal)] for goal in shown]
    lines.append("")
    for goal, line in zip(shown, table(cells)):
        lines.append(_paint_word(line, goal["state"], color))
        if one:
            lines += _active(goal, now, color)
        lines += [_wait(wait, now) for wait in goal.get("waits", ())]
    if len(shown) < len(goals):
        lines.append(f"and {count(len(goals) - len(shown), 'older goal')}: mo status --json")
    lines += _forecast(document.get("forecast") or [], shown, color)
    if needs := [(goal, need) for goal in goals for need in goal["needs"]]:
        lines += ["", paint("needs you", "1", color), *_needs(needs)]
    return "\n".join(lines)


def _counts(goal: dict[str, Any]) -> str:
    most = goal.get("iterations", 1)
    iteration = f", iteration {goal['iteration']} of {most}" if most > 1 else ""
    return counts(goal.get("items") or goal["tasks"]) + iteration + _gate(goal)


def _wait(wait: dict[str, Any], now: float) -> str:
    """What ready tasks wait for, or the planning of a goal, and until when where that is known."""
    who = count(wait["tasks"], "ready task") if wait["tasks"] else "planning"
    return f"  {who}: {one_line(wait['why'], 120)}{_until(wait.get('until'), now)}"


def _until(at: float | None, now: float) -> str:
    """With seconds where it is soon."""
    if not at or at <= now:
        return ""
    return f" until {clock(at) if at - now < 600 else clock(at, now)}"


def _gate(goal: dict[str, Any]) -> str:
    """Said only where the gate is less than tests by name."""
    return {"none": ", no gate", "weak": ", weak gate"}.get(goal.get("gate", ""), "")


def _shown(goals: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All goals that go on, and the newest ended ones."""
    ended = [goal["id"] for goal in goals if goal["state"] in ENDED]
    hidden = set(ended[_SHOWN_ENDED:])
    return [goal for goal in goals if goal["id"] not in hidden]


def _paint_word(line: str, state: str, color: bool) -> str:
    before, word, after = line.partition(f"  {state}")
    return before + "  " + paint(word[2:], state_color(state), color) + after


def _daemon_line(document: dict[str, Any], now: float, color: bool) -> str:
    daemon, waiting, as_of = document["daemon"], document["waiting"], document["as_of"]
    if daemon:
        state = paint("running", "32", color)
        hold = (document.get("limits") or {}).get("hold")
        held = f"; nothing new starts: {one_line(str(hold), 200)}" if hold else ""
        free = daemon["isolation"] == "sandbox" and daemon["gates"] == "guard"
        mine = "; gates and checks run as you" if free else ""
        return f"daemon {state} (pid {daemon['pid']}, mo {one_line(str(daemon['version']))}){mine}{held}"
    line = "daemon " + paint("stopped", "33", color)
    if as_of is not None:
        line += f", as of {clock(as_of, now)}"
    if waiting:
        line += f", {count(waiting, 'request')} waiting"
    if waiting or any(goal["state"] not in (*ENDED, "paused") for goal in document["goals"]):
        acts = f"acts on {'it' if waiting == 1 else 'them'}" if waiting else "goes on"
        line += f": the next `mo do` or `mo daemon start` {acts}"
    return line


def _active(goal: dict[str, Any], now: float, color: bool) -> list[str]:
    """A line for each task at work."""
    tasks = goal.get("active", [])
    rows = []
    for task in tasks:
        reason = f": {one_line(task['reason'], 80)}" if task["reason"] else ""
        until = _until(task.get("until"), now)
        said = f"attempt {task['attempt']}, {duration(now - task['since'])}{until}{reason}"
        rows.append([f"  {task['task']}", task["state"], said])
    return [_paint_word(line, task["state"], color) for task, line in zip(tasks, table(rows))]


def _forecast(coming: list[dict[str, Any]], goals: list[dict[str, Any]], color: bool) -> list[str]:
    """Conflicts to come between tasks that are not landed yet, of the goals that are shown."""
    ids = {goal["id"] for goal in goals}
    wanted = [one for one in coming if any(task.partition("/")[0] in ids for task in one["tasks"])]
    if not wanted:
        return []
    rows = [
        [f"  {' and '.join(one['tasks'])}", one_line(", ".join(one["paths"]), 90)]
        for one in wanted[:_SHOWN_FORECAST]
    ]
    more = [f"  and {len(wanted) - len(rows)} more: mo status --json"] if len(wanted) > len(rows) else []
    return ["", paint("will conflict, as it looks now", "1", color), *table(rows), *more]


def _needs(needs: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    rows = []
    for goal, need in needs[:_SHOWN_NEEDS]:
        name = f"{goal['id']}/{need['task']}" if need["task"] else goal["id"]
        rows.append([f"  {name}", one_line(need["why"], 90), need["do"]])
    more = [f"  and {len(needs) - _SHOWN_NEEDS} more: mo status --json"] if len(needs) > _SHOWN_NEEDS else []
    return table(rows) + more


# -- the fast path itself -----------------------------------------------------------------------------


def run(arguments: list[str], now: float) -> int | None:
    """Do `mo status` and return its exit code; None where the command line proper has to."""
    options = parse(arguments)
    top = find_top(options.directory) if options and os.path.isdir(options.directory) else None
    document = load(top) if top is not None else None
    if options and options.goal and document:
        document = select(document, options.goal)
    if options is None or document is None:
        return None
    show(document, now, as_json=options.json, color=options.color, one=bool(options.goal))
    return exit_code(document) if options.exit_code else 0


def show(document: dict[str, Any], now: float, *, as_json: bool, color: str, one: bool) -> None:
    """Print the document, or its text."""
    if as_json:
        import json

        said = json.dumps(document)
    else:
        said = text(document, now, color=use_color(color), one=one)
    sys.stdout.write(said + "\n")
