"""The pages of docs/ as data: what they show being typed, and what they say about the program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from mo_git.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", ".mo-example/README.md"),
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)
GENERATED = ("docs/cli.md",)
HOME = "/home/me"  # what the pages call the home directory

# ```console, ```toml a/file, or <!-- console, hidden from readers
_BLOCK = re.compile(
    r"^(?:```|<!-- )(?P<info>\w+(?:(?!-->)[^\n])*)\n(?P<text>.*?)^(?:```|-->)$", re.MULTILINE | re.DOTALL
)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)


@dataclass(frozen=True)
class File:
    """A block that is a file, named after its language; the path is relative to the current directory."""

    path: str
    text: str


@dataclass(frozen=True)
class Typed:
    """A command line, the lines shown below it, and the exit code that its comment names."""

    command: str
    shown: tuple[str, ...]
    code: int


def steps(page: str) -> list[File | Typed]:
    """What a reader types and writes, in order."""
    found: list[File | Typed] = []
    for block in _BLOCK.finditer(page):
        language, _, path = block["info"].partition(" ")
        if language == "console":
            found += _typed(block["text"])
        elif path:
            found.append(File(path, block["text"]))
    return found


def _typed(text: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        said = re.search(r"  # exit code (\d+)$", command)
        yield Typed(command, tuple(line for line in shown if line.strip()), int(said[1]) if said else 0)


def pattern(shown: str, home: str) -> re.Pattern[str]:
    """What a shown line stands for: ids of commits, times and the end of a goal's id are different each time.

    `...` stands for anything; runs of spaces are one.
    """
    text = re.escape(" ".join(shown.replace(HOME, home).split())).replace(r"\ ", " ")
    text = text.replace(r"\.\.\.", ".*")
    text = re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{7,40}\b", "[0-9a-f]{7,40}", text)
    text = re.sub(r"\b\d\d:\d\d(:\d\d)?\b", r"\\d\\d:\\d\\d(:\\d\\d)?", text)
    text = re.sub(r"\b\d+(?:\\\.\d)? s\b", r"[\\d.]+ s", text)
    return re.compile(re.sub(r"(?<=[a-z]\\-)(?=[a-z]*\d)[a-z0-9]{4}\b", "[a-z0-9]{4}", text))


# -- what is said about the program -------------------------------------------------------------------


def spans(page: str) -> list[str]:
    """Inline code, a span each; blocks are left out."""
    return [" ".join(span.split()) for _, span in _SPAN.findall(_FENCED.sub("", page))]


def commands(page: str) -> list[str]:
    """Every command line of mo on a page, in blocks or inline."""
    blocks = [block["text"] for block in _BLOCK.finditer(page) if block["info"] in ("console", "sh")]
    lines = [line.removeprefix("$ ") for text in blocks for line in text.splitlines()]
    lines += re.findall(r"^    (.*)$", _BLOCK.sub("", page), re.MULTILINE)
    return [line for line in [*lines, *spans(page)] if re.match(r"mo [a-z-]", line)]


def unknown(command: str) -> str:
    """What in a command line of mo does not exist; empty where all does."""
    words = _words(command)[1:]
    at: click.Command = cli
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            name = word.partition("=")[0]
            option = next((one for one in at.params if name in (*one.opts, *one.secondary_opts)), None)
            if option is None and name not in ("-h", "--help"):
                return f"{at.name} has no {name}"
            if isinstance(option, click.Option) and not (option.is_flag or option.count or "=" in word):
                words = words[1:]
        elif isinstance(at, click.Group):
            context = click.Context(at)
            for verb in word.split("|"):
                if at.get_command(context, verb) is None:
                    return f"{at.name} has no {verb}"
            at = at.get_command(context, word.split("|")[0]) or at
        elif at.name == "db":
            return ""
    return ""


def _words(command: str) -> list[str]:
    """The words up to where the shell does something else with the line."""
    words = shlex.split(command, comments=True)
    ends = [at for at, word in enumerate(words) if word in ("|", "&&", "||", ";", ">", "2>")]
    return words[: ends[0]] if ends else words


# -- links --------------------------------------------------------------------------------------------


def links(page: str) -> list[tuple[str, str]]:
    """(path, anchor) of every link that stays in the project; either may be empty."""
    found = re.findall(r"\]\(([^)\s]+)\)", _SPAN.sub("", page))
    return [
        (path, anchor) for path, _, anchor in (target.partition("#") for target in found) if "://" not in path
    ]


def headings(page: str) -> set[str]:
    """The anchors of a page's headings, as they are made for Markdown on the web."""
    titles = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
