"""The pages are true: what they show being typed works, what they name exists."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from mo_daemon import environment
from mo_git.config_schema import leaves
from mo_git.lifecycle import ARROWS
from mo_git.model import Kind
from tests.driver import Mo
from tests.pages import (
    GENERATED,
    HOME,
    PAGES,
    ROOT,
    File,
    Typed,
    commands,
    headings,
    links,
    pattern,
    spans,
    steps,
    unknown,
)
from tests.support import RepoBuilder
from tests.test_architecture import OWNERS

WRITTEN = tuple(page for page in PAGES if page not in GENERATED)
LONG = ("docs/usage.md", "docs/config.md")  # tours of everything
TYPED = tuple(
    name for name in WRITTEN if any(isinstance(one, Typed) for one in steps((ROOT / name).read_text()))
)

AGE = 2.0  # seconds that a state on disk may be behind, on a busy machine


@cache
def page(name: str) -> str:
    return (ROOT / name).read_text()


# -- what is typed ------------------------------------------------------------------------------------


class Shell:
    """A reader's home directory and shell: one bash for each line, the current directory goes along."""

    def __init__(self, home: Path, programs: Path) -> None:
        self.home = home
        self.here = home
        self._environ = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

    def write(self, file: File) -> None:
        path = self.here / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)

    def type(self, step: Typed) -> None:
        """Run a line; its exit code and every line shown below it have to be what really comes.

        What tells of the daemon's state may be a tenth of a second old, so that is asked for again.
        """
        wanted = [pattern(line, str(self.home)) for line in step.shown]
        limit = time.monotonic() + (AGE if re.match(r"mo (daemon )?status\b", step.command) else 0)
        while True:
            code, text = self._run(step.command)
            printed = [" ".join(line.split()) for line in text.splitlines()]
            lost = [one.pattern for one in wanted if not any(map(one.fullmatch, printed))]
            if (code, lost) == (step.code, []):
                return
            assert time.monotonic() < limit, f"$ {step.command}\n{text}exit code {code}, not shown: {lost}"

    def _run(self, command: str) -> tuple[int, str]:
        place = self.home / ".here"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail\n{command}\ncode=$?\npwd > {place}\nexit $code"],
            cwd=self.here,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        self.here = Path(place.read_text().strip())
        return done.returncode, done.stdout


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell in a new home; the daemons of its repositories, and what they started, are gone afterwards."""
    home, programs = tmp_path / "me", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    (programs / "mo").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m mo_git "$@"\n')
    (programs / "mo").chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    for name, place in (("STATE", ".local/state"), ("CONFIG", ".config"), ("CACHE", ".cache")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / place))
    yield Shell(home, programs)
    for found in sorted(home.glob("*/.git")):
        Mo(RepoBuilder(found.parent)).stop()
    assert Mo(RepoBuilder(home)).programs() == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in TYPED]
)
def test_what_a_page_shows_being_typed_works(name: str, shell: Shell) -> None:
    for step in steps(page(name)):
        if isinstance(step, File):
            shell.write(step)
        else:
            shell.type(step)


def test_a_shown_line_has_to_be_printed(shell: Shell) -> None:
    shell.write(File("said", "10:23:34  landed as fa1489d (0.2 s) in tidy-up-k3f9\n"))
    shell.type(Typed("cat said", ("11:00:00 landed as abcdef1 (12 s) in tidy-up-9zzz", "... as ..."), 0))
    for wrong in ("11:00:00 landed as xyz (12 s) in tidy-up-9zzz", "landed as abcdef1", ""):
        with pytest.raises(AssertionError, match=r"\$ cat said"):
            shell.type(Typed("cat said", (wrong,), 0))
    with pytest.raises(AssertionError):
        shell.type(Typed("false", (), 0))
    shell.type(Typed("mkdir -p a/b && cd a/b", (), 0))
    shell.type(Typed("pwd  # exit code 0", (f"{HOME}/a/b",), 0))


# -- what is named ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_every_command_exists(name: str) -> None:
    assert [f"{line}: {problem}" for line in commands(page(name)) if (problem := unknown(line))] == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("mo do @plan.toml --detach -j 4  # --nonsense", ""),
        ("mo -C DIR --json config set gate.timeout 600 --local", ""),
        ("mo daemon start|stop", ""),
        ("mo db query 'select 1' --table", ""),
        ("mo status --watch | grep --line-buffered x", ""),
        ("mo fly", "mo has no fly"),
        ("mo do @plan.toml --fly", "do has no --fly"),
        ("mo daemon start|fly", "daemon has no fly"),
        ("mo --fly do", "mo has no --fly"),
    ],
)
def test_what_does_not_exist_is_found(line: str, problem: str) -> None:
    assert (commands(f"```sh\n{line}\n```\n"), unknown(line).replace("cli ", "mo ")) == ([line], problem)


_KEY = re.compile(r"([a-z]+(?:\.[a-z_]+)+)(?: = .*)?")
_FILES = ("json", "lock", "log", "py", "toml", "md", "sh", "jsonl", "db", "git")


@pytest.mark.parametrize("name", WRITTEN)
def test_every_setting_exists(name: str) -> None:
    sections = {key.partition(".")[0] for key in leaves()}
    found = [match[1] for span in spans(page(name)) if (match := _KEY.fullmatch(span))]
    named = {key for key in found if key.split(".")[0] in sections and key.split(".")[-1] not in _FILES}
    named |= {key.replace("__", ".").lower() for key in re.findall(r"\bMO_([A-Z]+__[A-Z_]+)\b", page(name))}
    assert named - set(leaves()) == set()


@pytest.mark.parametrize("name", PAGES)
def test_every_link_and_file_exists(name: str) -> None:
    lost = []
    for target, anchor in links(page(name)):
        path = (ROOT / name).parent / target if target else ROOT / name
        if not path.exists() or (anchor and anchor not in headings(path.read_text())):
            lost.append(f"{target}#{anchor}")
    places = re.compile(r"(?:mo_git|mo_daemon|daemon|docs|tests|hooks|bench|\.mo-example)/[\w./-]*")
    files = [span for span in spans(page(name)) if places.fullmatch(span)]
    lost += [file for file in files if not any((base / file).exists() for base in (ROOT, ROOT / "daemon"))]
    assert lost == []


def listed(name: str, heading: str) -> list[str]:
    """The code in the first column of the tables below a heading, each span by itself."""
    section = re.split(r"^#+ ", page(name).split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    return [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]


def test_the_design_names_every_fact() -> None:
    assert listed("docs/design.md", "Facts about a goal") == [kind for kind in Kind if kind not in ARROWS]


def test_the_design_names_every_owner() -> None:
    owned = {package for package, owners in OWNERS.items() if owners}
    assert set(listed("docs/design.md", "Owners")) == owned


def test_the_isolation_page_lists_what_gets_through() -> None:
    text = page("docs/isolation.md").split("## The environment\n")[1].split("\n## ")[0]
    first = text.split("\n\n")[1]  # the list itself
    assert set(re.findall(r"`([A-Za-z_]+)`", first)) == set(environment._NAMES)
    families = {f"{family}*" for family in (*environment._FAMILIES, *environment._PACKAGE_FAMILIES)}
    assert families <= set(re.findall(r"`([A-Za-z_]+\*)`", text))


# -- what mo says -------------------------------------------------------------------------------------


def messages() -> list[tuple[re.Pattern[str], int]]:
    """(pattern, number of letters that are fixed) of every text in the code, whatever is filled in."""
    found = []
    for top in ("mo_git", "daemon/mo_daemon", "hooks"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix == ".py":
                found += [_regex(node) for node in ast.walk(ast.parse(path.read_text()))]
            elif path.is_file() and path.suffix != ".pyc":
                shown = re.findall(r'^\s*echo "(.*)" >&2$', path.read_text(), re.MULTILINE)
                found += [re.sub(r"\\\$\w+", ".*", re.escape(text)) for text in shown]
    lines = {line.removesuffix(r":\ ") for text in found for line in text.split("\\\n")}
    return [(re.compile(line), len(re.sub(r"\.\*|\\", "", line))) for line in sorted(lines)]


def _regex(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else None for part in node.values)
        return "".join(".*" if part is None else re.escape(str(part)) for part in parts)
    return re.escape(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_said(text: str, known: list[tuple[re.Pattern[str], int]]) -> bool:
    """Whether a part of a message, between colons, is one of mo's own texts with something filled in."""
    at = [0, *(found.end() for found in re.finditer(": ", text)), len(text) + 2]
    parts = {text[start : end - 2] for start in at for end in at if end - start > 12}
    return any(
        fixed >= max(10, len(part) / 4) and (one.fullmatch(part) or (fixed >= 15 and one.search(part)))
        for one, fixed in known
        for part in parts
    )


def test_the_messages_of_the_troubleshooting_page_are_mos_own() -> None:
    known = messages()
    said = re.findall(r"^### `(.*)`$", page("docs/troubleshooting.md"), re.MULTILINE)
    assert len(said) > 20
    assert [text for text in said if not is_said(text, known)] == []
    assert not is_said("main cannot fly: it is too heavy, and has no wings", known)
