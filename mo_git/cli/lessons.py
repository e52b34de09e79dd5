"""`mo lessons`: what earlier failures teach agents; a person decides."""

from __future__ import annotations

import click

from mo_git import trust
from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, open_home, open_reader, say
from mo_git.errors import Exit, MoError
from mo_git.home import Home
from mo_git.text import count, printable
from mo_git.views.lessons import Lesson, document, proposals

FILE = "lessons.md"
SETTLED = "lessons.settled"  # a line for each proposal that was accepted or dismissed: its id
_SHOWN = 3  # tasks of a proposal


@click.command(name="lessons")
@click.argument("lesson", default="", metavar="[ID]")
@click.option("--accept", is_flag=True, help="Add it to .mo/lessons.md.")
@click.option("--dismiss", is_flag=True, help="Never propose it again.")
@click.option("--text", metavar="TEXT", help="With --accept: in these words.")
@json_option
@click.pass_obj
def command(obj: Context, lesson: str, accept: bool, dismiss: bool, text: str | None) -> None:
    """Show what agents are taught, and what repeated failures suggest.

    The lines of .mo/lessons.md are part of the prompts of planners and executors.  What failed in the same
    way three times, in at least two tasks, is proposed as a lesson; nothing is taught before you accept it.
    """
    if (accept and dismiss) or (text is not None and not accept):
        raise click.UsageError("either --accept, with --text TEXT if you like, or --dismiss")
    if bool(lesson) != (accept or dismiss):
        raise click.UsageError("mo lessons ID --accept, or mo lessons ID --dismiss; mo lessons lists them")
    home = open_home(obj)
    reader = open_reader(home)
    try:
        found = proposals(reader.failures(), _read(home, SETTLED).split())
    finally:
        reader.close()
    if lesson:
        _settle(obj, home, _pick(found, lesson), text, accept=accept)
    elif obj.json:
        emit_json(document(found, _read(home, FILE)))
    else:
        say(obj, "\n".join(_lines(found, _read(home, FILE))))


def proposed(home: Home) -> int:
    """How many lessons wait for a person."""
    reader = open_reader(home)
    try:
        return len(proposals(reader.failures(), _read(home, SETTLED).split()))
    finally:
        reader.close()


def _lines(found: list[Lesson], text: str) -> list[str]:
    lines = [printable(line) for line in text.splitlines() if line.strip()]
    for one in found:
        tasks = ", ".join(one.tasks[-_SHOWN:])
        more = f" and {len(one.tasks) - _SHOWN} more" if len(one.tasks) > _SHOWN else ""
        lines += [
            f"proposed  {one.id}  {printable(one.text)}",
            f"          {one.failure}, {count(one.times, 'time')}, in {tasks}{more}",
            f"          mo lessons {one.id} --accept [--text TEXT], or --dismiss",
        ]
    return lines or ["no lessons yet, and nothing has failed often enough to propose one"]


def _pick(found: list[Lesson], prefix: str) -> Lesson:
    fit = [one for one in found if one.id.startswith(prefix)]
    if len(fit) != 1:
        what = "no proposed lesson" if not fit else "more than one proposed lesson"
        raise MoError(f"{what} begins with {prefix}", "mo lessons lists them", Exit.NOT_FOUND)
    return fit[0]


def _settle(obj: Context, home: Home, lesson: Lesson, text: str | None, *, accept: bool) -> None:
    if accept:
        words = " ".join((lesson.text if text is None else text).split())
        if not words:
            raise click.UsageError("--text TEXT is empty")
        _append(home, FILE, f"- {words}")
    _append(home, SETTLED, lesson.id)
    if obj.json:
        emit_json({"v": 1, "lesson": lesson.id, "accepted": accept})
        return
    say(
        obj,
        f"{lesson.id} is part of prompts from now on (.mo/{FILE})" if accept else f"{lesson.id} is dismissed",
    )
    if accept and trust.tracked(home.top)(FILE):
        say(obj, "the file is tracked by git: mo trust, since it counts only as you have trusted it")


def _read(home: Home, name: str) -> str:
    try:
        return (home.path / name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _append(home: Home, name: str, line: str) -> None:
    """One more line, on a line of its own whatever the file ended with."""
    before = _read(home, name)
    with (home.path / name).open("a", encoding="utf-8") as file:
        file.write(("\n" if before and not before.endswith("\n") else "") + line + "\n")
