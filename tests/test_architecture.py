"""The house rules, read from the imports of every module: lazy and type-only imports count too.

The tables come first; each rule is a function from the modules to a list of problems, run once over the
project and once over a few lines that break it.
"""

from __future__ import annotations

import ast
import os
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support import RepoBuilder

ROOT = Path(__file__).parents[1]
PACKAGES = {"mo_git": ROOT / "mo_git", "mo_daemon": ROOT / "daemon" / "mo_daemon"}

# -- tables: dotted names, * as in fnmatch ------------------------------------------------------------

CLI = ("mo_git.cli", "mo_git.cli.*")
GIT = ("mo_git.git", "mo_git.git.*")
LEDGER = ("mo_git.ledger", "mo_git.ledger.*")
CONFIG = ("mo_git.config", "mo_git.config.*", "mo_git.config_*")

# Who may import a package.  Third-party packages that are not here may be imported by nobody.
OWNERS: Mapping[str, tuple[str, ...]] = {
    "subprocess": ("mo_git.process",),
    "multiprocessing": (),
    "pygit2": GIT,
    "sqlite3": LEDGER,
    "sqlite_utils": LEDGER,
    "pydantic": CONFIG,
    "tomlkit": CONFIG,
    "click": CLI,
    "rich": CLI,
    "watchdog": ("mo_daemon.watch",),
    "apscheduler": ("mo_daemon.main",),
    "junitparser": ("mo_daemon.testids",),
    "pathspec": ("mo_daemon.scope", "mo_daemon.include", "mo_git.plan", "mo_git.simple.scan"),
    "psutil": ("mo_git.process", "mo_git.processes", "mo_git.locks", "mo_daemon.resources"),
    "unidiff": (*CLI, "mo_git.views", "mo_git.views.*"),
    "yaml": ("mo_daemon.simple.syntax",),
    "pyyaml": (),  # as it is called where it is installed from
}

# Functions that start programs, for the owner of subprocess only.
SPAWNING = (
    *("os.system", "os.popen", "os.fork", "os.forkpty", "os.spawn*", "os.posix_spawn*"),
    *("asyncio.create_subprocess_*", "pty.*"),
)

WORDS = ("mo_git.model", "mo_git.errors")
RULES = (
    *("mo_git.dag", "mo_git.globs", "mo_git.goal_*", "mo_git.lifecycle", "mo_git.plan", "mo_git.plan_*"),
    *("mo_git.simple.item_fields", "mo_git.simple.manifest", "mo_git.simple.scan"),
    *("mo_git.breakers", "mo_git.flakes", "mo_git.iteration_state", "mo_git.tomltext", "mo_git.values"),
    "mo_git.simple.item",
    *(
        "mo_daemon.actions",
        "mo_daemon.decide",
        "mo_daemon.allowance",
        "mo_daemon.limits",
        "mo_daemon.wake",
        "mo_daemon.escalation",
        "mo_daemon.budget",
        "mo_daemon.quota",
        "mo_daemon.learning",
        "mo_daemon.notices",
        "mo_daemon.queue",
        "mo_daemon.queue_*",
        "mo_daemon.riders",
        "mo_daemon.stepping_rules",
        "mo_daemon.ladder",
        "mo_daemon.silent_loss",
        "mo_daemon.classify",
        "mo_daemon.forecast",
        "mo_daemon.testids",
        "mo_daemon.testfiles",
        "mo_daemon.verdicts",
        "mo_daemon.verdict",
        "mo_daemon.judging",
        "mo_daemon.doubts",
        "mo_daemon.input_parts",
        "mo_daemon.metrics",
        "mo_daemon.deterioration",
        "mo_daemon.convergence",
        "mo_daemon.dead_ends",
        "mo_daemon.fixes",
        "mo_daemon.verify_answer",
        "mo_daemon.scope",
        "mo_daemon.simple.commands",
        "mo_daemon.simple.syntax",
    ),
)
IMPURE = (
    *("os", "time", "random", "subprocess", "socket", "asyncio", "sqlite3", "pygit2", "shutil", "tempfile"),
    *("secrets", "uuid", "threading", "signal", "glob", "urllib.request", "http", "psutil", "watchdog"),
)
# A pure module may hold a path, but not look at what is there.
LOOKING = (
    *("open", "*.open", "*.read_text", "*.read_bytes", "*.write_text", "*.write_bytes", "*.exists", "*.stat"),
    *("*.is_file", "*.is_dir", "*.iterdir", "*.rglob", "*.resolve", "*.mkdir", "*.unlink", "*.cwd", "*.home"),
)

# (importers, except these, what they may not import)
ARROWS_UP: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (("mo_git", "mo_git.*"), (), ("mo_daemon", "mo_daemon.*")),
    (WORDS, (), ("mo_git", "mo_git.*")),
    (RULES, (), ("mo_git", "mo_git.*", "mo_daemon", "mo_daemon.*")),
    (("mo_git.*", "mo_daemon.*"), (*CLI, "mo_git.__main__"), CLI),
    (("mo_git.process", "mo_git.home", *GIT, *LEDGER, *CONFIG), (), ("mo_git.views", "mo_git.views.*")),
    (("mo_git.*", "mo_daemon.*"), (), ("mo_git.__main__", "mo_daemon.main")),
    (("mo_daemon.*",), ("mo_daemon.main",), ("mo_daemon.engine",)),
)
CLOCKS = (
    *("time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow"),
    *("datetime.datetime.today", "datetime.date.today", "random.*", "secrets.*", "uuid.*", "os.urandom"),
)
CLOCK_OWNERS = (
    *("mo_git.process", "mo_git.home", "mo_git.__main__", *CLI),
    *("mo_daemon.main", "mo_daemon.engine"),
)

BROAD_EXCEPT_OWNERS = ("mo_git.__main__", "mo_git.cli", "mo_daemon.engine")
BROAD_EXCEPT_LIMIT = 2

MODULE_LINES = 450
MODULE_MEDIAN = 150
FUNCTION_LINES = 75

ENTRY_POINTS = ("mo_git.__main__", "mo_daemon.main")
VERB_TABLE = "mo_git.cli"  # VERBS in here: verb -> (module below mo_git.cli, help)

FAST = ("click", "pydantic", "pygit2", "sqlite_utils", "rich")
START_UP: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("--version",), FAST),
    (("status",), FAST),
    (("--help",), ("pydantic", "pygit2", "sqlite_utils", "rich")),
)

# -- reading ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """One parsed module; `uses` are (dotted name with import aliases undone, line)."""

    name: str
    is_package: bool
    lines: int
    tree: ast.Module
    imports: tuple[tuple[str, int], ...]
    uses: tuple[tuple[str, int], ...]


House = Mapping[str, Module]
Rule = Callable[[House], list[str]]


def parse(name: str, source: str, is_package: bool = False) -> Module:
    tree = ast.parse(source)
    imports = tuple(_imports(tree, name if is_package else name.rpartition(".")[0]))
    return Module(name, is_package, len(source.splitlines()), tree, imports, tuple(_uses(tree)))


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, int]]:
    """Every imported name in full: `from a import b` is a.b, whether b is a module or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called in ("importlib.import_module", "import_module", "__import__"):
                yield str(node.args[0].value), node.lineno


def _uses(tree: ast.Module) -> Iterator[tuple[str, int]]:
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, dot, rest = ast.unparse(node).partition(".")
            if first in aliases:
                yield aliases[first] + dot + rest, node.lineno


def read_house() -> House:
    found = {}
    for package, root in PACKAGES.items():
        for path in sorted(root.rglob("*.py")):
            parts = [package, *path.relative_to(root).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found[name] = parse(name, path.read_text(), is_package)
    return found


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def within(name: str, packages: Iterable[str]) -> bool:
    """Whether the name is one of the packages or below it."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def ours(house: House, imported: str) -> str | None:
    """The module of the house that an imported name leads to."""
    parts = imported.split(".")
    if parts[0] not in PACKAGES:
        return None
    candidates = (".".join(parts[:size]) for size in range(len(parts), 0, -1))
    return next((name for name in candidates if name in house), imported)


def graph(house: House) -> dict[str, set[str]]:
    """Module -> the modules it imports, itself left out."""
    return {
        module.name: {target for name, _ in module.imports if (target := ours(house, name))} - {module.name}
        for module in house.values()
    }


# -- rules --------------------------------------------------------------------------------------------


def no_cycles(house: House) -> list[str]:
    try:
        TopologicalSorter(graph(house)).prepare()
    except CycleError as error:
        return ["cycle: " + " imports ".join(reversed(error.args[1]))]
    return []


def owned(house: House) -> list[str]:
    problems = []
    for module in house.values():
        for imported, line in module.imports:
            top = imported.partition(".")[0]
            known = top in sys.stdlib_module_names or top in PACKAGES
            if top not in OWNERS and not known:
                problems.append(f"{module.name}:{line}: {top} has no owner, add it to OWNERS")
            elif top in OWNERS and not matches(module.name, OWNERS[top]):
                problems.append(f"{module.name}:{line}: {top} belongs to {' '.join(OWNERS[top]) or 'nobody'}")
        if not matches(module.name, OWNERS["subprocess"]):
            spawns = [(name, line) for name, line in module.uses if matches(name, SPAWNING)]
            problems += [f"{module.name}:{line}: {name} belongs to mo_git.process" for name, line in spawns]
    return problems


def layered(house: House) -> list[str]:
    problems = []
    for module in house.values():
        for importers, exceptions, targets in ARROWS_UP:
            if not matches(module.name, importers) or matches(module.name, exceptions):
                continue
            allowed = WORDS if importers is WORDS else (*WORDS, *RULES)
            for imported, line in module.imports:
                target = ours(house, imported)
                if target and matches(target, targets) and not matches(target, allowed):
                    problems.append(f"{module.name}:{line}: may not import {target}")
    return sorted(set(problems))


def pure(house: House) -> list[str]:
    problems = []
    for module in (module for module in house.values() if matches(module.name, (*WORDS, *RULES))):
        used = [(name, line) for name, line in module.imports if within(name, IMPURE)]
        calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
        used += [(name, call.lineno) for call in calls if matches(name := ast.unparse(call.func), LOOKING)]
        problems += [f"{module.name}:{line}: a pure module may not use {name}" for name, line in used]
    return problems


def no_hidden_clock(house: House) -> list[str]:
    return [
        f"{module.name}:{line}: {name}: pass the time or the random value in"
        for module in house.values()
        if not matches(module.name, CLOCK_OWNERS)
        for name, line in module.uses
        if matches(name, CLOCKS)
    ]


def few_broad_excepts(house: House) -> list[str]:
    found = [(module.name, line) for module in house.values() for line in _broad(module.tree)]
    strangers = [f"{name}:{line}: broad except" for name, line in found if name not in BROAD_EXCEPT_OWNERS]
    if len(found) > BROAD_EXCEPT_LIMIT:
        strangers.append(f"{len(found)} broad excepts, at most {BROAD_EXCEPT_LIMIT}")
    return strangers


def _broad(tree: ast.Module) -> Iterator[int]:
    broad = {"Exception", "BaseException"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or ast.unparse(kind) in broad for kind in kinds):
                yield node.lineno
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("suppress")
            and any(ast.unparse(argument) in broad for argument in node.args)
        ):
            yield node.lineno


def small(house: House) -> list[str]:
    sizes = {module.name: module.lines for module in house.values() if module.lines}
    problems = [f"{name}: {lines} lines" for name, lines in sizes.items() if lines > MODULE_LINES]
    for module in house.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    problems.append(f"{module.name}.{node.name}: {lines} lines")
    if sizes and (median := statistics.median(sizes.values())) > MODULE_MEDIAN:
        problems.append(f"the median module has {median:g} lines")
    return problems


def verb_modules(house: House) -> set[str]:
    """The modules that the lazy table of verbs names."""
    found = set()
    for node in house[VERB_TABLE].tree.body if VERB_TABLE in house else []:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if [ast.unparse(target) for target in targets] == ["VERBS"]:
            value = getattr(node, "value", None)
            assert isinstance(value, ast.Dict), "VERBS is a dict display"
            found |= {f"{VERB_TABLE}.{ast.literal_eval(entry)[0]}" for entry in value.values}
    return found


def reached(house: House) -> list[str]:
    verbs = verb_modules(house)
    problems = [f"{name} is in VERBS and does not exist" for name in sorted(verbs - set(house))]
    arrows, todo = graph(house), [*ENTRY_POINTS, *verbs]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in seen and name in house:
            seen.add(name)
            parents = {name.rsplit(".", size)[0] for size in range(1, name.count(".") + 1)}
            todo += arrows[name] | parents
    return problems + [f"nothing reaches {name}" for name in sorted(set(house) - seen)]


RULES_OF_THE_HOUSE: tuple[Rule, ...] = (
    *(no_cycles, owned, layered, pure, no_hidden_clock, few_broad_excepts, small),
)


@pytest.mark.parametrize("rule", RULES_OF_THE_HOUSE, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule) -> None:
    assert rule(read_house()) == []


def test_every_module_is_reached_from_an_entry_point() -> None:
    house = read_house()
    if missing := [name for name in ENTRY_POINTS if name not in house]:
        pytest.skip(f"not written yet: {' '.join(missing)}")
    assert reached(house) == []


def test_every_dependency_has_an_owner() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {dependency.partition(">")[0].replace("-", "_") for dependency in project["dependencies"]}
    assert names - set(OWNERS) == set()


# -- the rules bite -----------------------------------------------------------------------------------

BROKEN: tuple[tuple[Rule, dict[str, str], list[str]], ...] = (
    (
        no_cycles,
        {"mo_git.a": "def f():\n    from mo_git import b", "mo_git.b": "import mo_git.a"},
        ["cycle: mo_git.a imports mo_git.b imports mo_git.a"],
    ),
    (
        no_cycles,
        {
            "mo_git.a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mo_git.b import B",
            "mo_git.b": "from .c import C",
            "mo_git.c": "from importlib import import_module\nimport_module('mo_git.a')",
        },
        ["cycle: mo_git.a imports mo_git.b imports mo_git.c imports mo_git.a"],
    ),
    (owned, {"mo_git.git.refs": "import pygit2", "mo_git.process": "import subprocess"}, []),
    (
        owned,
        {
            "mo_daemon.gate": "from subprocess import run",
            "mo_git.github": "def f():\n    import pygit2.enums",
        },
        [
            "mo_daemon.gate:1: subprocess belongs to mo_git.process",
            "mo_git.github:2: pygit2 belongs to mo_git.git mo_git.git.*",
        ],
    ),
    (owned, {"mo_git.a": "import numpy"}, ["mo_git.a:1: numpy has no owner, add it to OWNERS"]),
    (
        owned,
        {"mo_git.a": "import os\nos.popen('git')", "mo_git.b": "from os import system\nsystem('ls')"},
        [
            "mo_git.a:2: os.popen belongs to mo_git.process",
            "mo_git.b:2: os.system belongs to mo_git.process",
        ],
    ),
    (layered, {"mo_git.model": "from mo_git.errors import MoError", "mo_git.errors": ""}, []),
    (layered, {"mo_git.errors": "import mo_git.plan"}, ["mo_git.errors:1: may not import mo_git.plan"]),
    (
        layered,
        {"mo_git.home": "from mo_daemon.gate import run"},
        ["mo_git.home:1: may not import mo_daemon.gate.run"],
    ),
    (
        layered,
        {
            "mo_daemon.decide": "from mo_git import home\nfrom mo_git.dag import order",
            "mo_git.home": "",
            "mo_git.dag": "from mo_git.model import Plan",
            "mo_git.model": "",
        },
        ["mo_daemon.decide:1: may not import mo_git.home"],
    ),
    (
        layered,
        {"mo_git.views": "import mo_git.cli.do", "mo_git.__main__": "import mo_git.cli", "mo_git.cli": ""},
        ["mo_git.views:1: may not import mo_git.cli"],
    ),
    (
        layered,
        {"mo_daemon.landing": "import mo_daemon.engine", "mo_daemon.main": "import mo_daemon.engine"},
        ["mo_daemon.landing:1: may not import mo_daemon.engine"],
    ),
    (
        pure,
        {
            "mo_git.plan": "import os.path\nfrom pathlib import Path\nPath('x').name\nPath('x').read_text()",
            "mo_git.dag": "def f():\n    return open('x')",
            "mo_git.home": "import os",
        },
        [
            "mo_git.plan:1: a pure module may not use os.path",
            "mo_git.plan:4: a pure module may not use Path('x').read_text",
            "mo_git.dag:2: a pure module may not use open",
        ],
    ),
    (
        no_hidden_clock,
        {
            "mo_git.a": "import time as t\nt.time()\nt.monotonic()",
            "mo_git.b": "from datetime import datetime, UTC\ndef f(now=datetime.now): ...",
            "mo_git.c": "from random import choice\nchoice([1])",
            "mo_git.home": "import time\ntime.time_ns()",
        },
        [
            "mo_git.a:2: time.time: pass the time or the random value in",
            "mo_git.b:2: datetime.datetime.now: pass the time or the random value in",
            "mo_git.c:2: random.choice: pass the time or the random value in",
        ],
    ),
    (few_broad_excepts, {"mo_git.__main__": "try: f()\nexcept Exception: g()"}, []),
    (
        few_broad_excepts,
        {
            "mo_git.a": "try: f()\nexcept: g()",
            "mo_git.b": "try: f()\nexcept (ValueError, BaseException): g()",
            "mo_git.c": "import contextlib\nwith contextlib.suppress(Exception): f()",
        },
        [
            "mo_git.a:2: broad except",
            "mo_git.b:2: broad except",
            "mo_git.c:2: broad except",
            "3 broad excepts, at most 2",
        ],
    ),
    (
        small,
        {"mo_git.a": "x = 1\n" * 451, "mo_git.b": "def f():\n" + "    g()\n" * 75},
        ["mo_git.a: 451 lines", "mo_git.b.f: 76 lines", "the median module has 263.5 lines"],
    ),
    (
        reached,
        {
            "mo_git": "",
            "mo_git.__main__": "def main():\n    from mo_git.cli import cli",
            "mo_git.cli": "VERBS: dict = {'do': ('do', 'Help.'), 'gone': ('gone', 'Help.')}",
            "mo_git.cli.do": "import mo_git.home",
            "mo_git.home": "",
            "mo_git.lost": "import mo_git.home",
        },
        ["mo_git.cli.gone is in VERBS and does not exist", "nothing reaches mo_git.lost"],
    ),
)


@pytest.mark.parametrize(("rule", "sources", "problems"), BROKEN)
def test_the_rules_bite(rule: Rule, sources: dict[str, str], problems: list[str]) -> None:
    packages = {name.rpartition(".")[0] for name in sources} | {"mo_git.cli"}
    assert rule({name: parse(name, text, name in packages) for name, text in sources.items()}) == problems


# -- start-up -----------------------------------------------------------------------------------------


def imported_by(repo: RepoBuilder, *args: str) -> tuple[set[str], str]:
    """The modules that `mo ARGS` imports, told by the interpreter, and the rest of its standard error."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mo_git", *args],
        cwd=repo.path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'daemon'}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.splitlines()
    names = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return names, "\n".join(line for line in lines if not line.startswith("import time:"))


@pytest.mark.parametrize(("args", "absent"), START_UP, ids=lambda value: value[0])
def test_starting_up_imports_little(
    repo: RepoBuilder, args: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    if "mo_git.__main__" not in read_house():
        pytest.skip("not written yet: mo_git.__main__")
    names, rest = imported_by(repo, *args)
    assert "mo_git" in names, rest
    assert "Traceback" not in rest
    assert names & set(absent) == set()
