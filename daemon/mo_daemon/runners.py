"""Test runners: how a gate command is made to say what each test did.

Nothing is run or written here.  A command is changed only where it is recognised as one simple command
of a known runner; any other keeps its words and gets PYTEST_ADDOPTS, which helps if it runs pytest inside.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from mo_daemon import testids
from mo_daemon.commandline import added, recognise, replaced, words_of
from mo_daemon.detection import Detected, detect
from mo_daemon.packagescripts import Script, script_of
from mo_daemon.selecting import select
from mo_daemon.testids import Reading
from mo_git.errors import Exit, MoError
from mo_git.model import Command

__all__ = [
    "Detected",
    "Instrumented",
    "Reader",
    "argv_of",
    "detect",
    "instrument",
    "instrument_for",
    "words_of",
]

_LARGEST = 256 * 2**20  # bytes of reports that a run may leave

# What a finished run is read with: the worktree and the lines of its output that `keep` matched.
Reader = Callable[[Path, str], Reading]


@dataclass(frozen=True, slots=True)
class Instrumented:
    """How a gate command is run so that the result of each test is had.

    `env` is added to the environment (`merge_environment` joins option variables).  With `optional`, a
    run without a report counts as a weak gate.  With `strict`, the command does more than run tests, so
    failures known from the baseline do not excuse its exit code.  `keep` picks the lines of the output
    that `report` needs.  `clear` is a glob of report files in the worktree that must not be old.  `files`
    are written into the directory of the reports first.  With `selects`, only what was asked for runs.
    """

    argv: tuple[str, ...]
    report: Reader
    runner: str
    env: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    optional: bool = False
    keep: re.Pattern[bytes] | None = None
    clear: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    selects: bool = False


def argv_of(command: Command) -> tuple[str, ...]:
    """The argv that runs a command as a person wrote it."""
    return ("sh", "-c", command) if isinstance(command, str) else command


def instrument_for(
    command: Command, ids: frozenset[str], reports: Path, top: Path, *, junit: str = "", template: str = ""
) -> Instrumented:
    """The same for a run of only these tests; where they can't be selected, all run (`selects` is false).

    `template` is gate.select: a command of the user's own in which {ids} stands for the quoted ids.
    """
    chosen = None if junit and not template else select(command, ids, reports, top, template)
    if chosen is None:
        return instrument(command, reports, junit=junit, top=top)
    how = instrument(chosen.command, reports, junit=junit, top=top)
    return replace(how, env=merge_environment(how.env, chosen.env), files=chosen.files, selects=True)


def instrument(command: Command, reports: Path, *, junit: str = "", top: Path | None = None) -> Instrumented:
    """Choose how to run `command` and how to read what its tests did.

    `reports` is an existing empty directory, `junit` a glob of JUnit XML files that the command writes
    by itself, relative to the worktree; `top` is the worktree, whose package.json is read for `npm test`.
    """
    if junit:
        return Instrumented(argv_of(command), _globbed(junit), "junit", clear=junit)
    words = words_of(command)
    found = recognise(words, 0) if words else None
    if words and found:
        runner, at = found
        made = _package(command, words, at, reports, top) if runner == "package" else None
        made = made or (_BUILDERS[runner](command, words, at, reports) if runner in _BUILDERS else None)
        if made:
            return made
    return _unknown(command, reports)


def merge_environment(base: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """`base` with `extra`; variables that hold options are appended to, not replaced."""
    merged = {**base, **extra}
    for key, between in (("PYTEST_ADDOPTS", " "), ("NODE_OPTIONS", " "), ("PYTHONPATH", os.pathsep)):
        if base.get(key) and key in extra:
            merged[key] = f"{base[key]}{between}{extra[key]}"
    return merged


# -- reading reports ----------------------------------------------------------------------------------


def _file(path: Path, parse: Callable[..., Reading]) -> Reader:
    def read(top: Path, _: str) -> Reading:
        try:  # a pipe would be waited for without end
            text = path.read_text("utf-8", "replace") if path.is_file() else None
        except OSError:
            text = None
        if text is None:
            return Reading(None, "no test report was written")
        return parse(text, top, top.resolve())

    return read


def _junit(found: Mapping[str, Path], top: Path) -> Reading:
    """Read JUnit XML files that are there, name -> path."""
    sizes = {name: path.stat().st_size for name, path in found.items()}
    if sum(sizes.values()) > _LARGEST:
        largest = max(sizes, key=lambda name: sizes[name])
        return Reading(None, f"the test report {largest} is too large: {sizes[largest] // 2**20} MiB")
    documents = {name: path.read_bytes() for name, path in found.items()}
    return testids.junit(documents, top, top.resolve())


def _junit_file(path: Path) -> Reader:
    def read(top: Path, _: str) -> Reading:
        return _junit({path.name: path} if path.is_file() else {}, top)

    return read


def _globbed(pattern: str) -> Reader:
    if pattern.startswith("/") or ".." in PurePosixPath(pattern).parts:
        message = f"gate.junit is not a pattern inside the worktree: {pattern}"
        raise MoError(message, 'write it relative to the project, such as "reports/*.xml"', Exit.CONFIG)

    def read(top: Path, _: str) -> Reading:
        found = {str(path.relative_to(top)): path for path in top.glob(pattern) if path.is_file()}
        return _junit(found, top)

    return read


def _output(parse: Callable[..., Reading]) -> Reader:
    return lambda top, output: parse(output, top, top.resolve())


def _append(command: Command, extra: Iterable[str]) -> tuple[str, ...]:
    return argv_of(added(command, extra))


def _replace(
    command: Command, words: list[str], at: int, count: int, new: list[str], pattern: str
) -> tuple[str, ...] | None:
    changed = replaced(command, words, at, count, new, pattern)
    return argv_of(changed) if changed is not None else None


# -- the runners --------------------------------------------------------------------------------------


def _pytest_options(reports: Path) -> list[str]:
    """A file that does not load hides the tests of no other file.

    --maxfail=0 undoes -x: after an early end all later tests would count as missing.
    """
    report = ["-o", "junit_family=xunit1", f"--junitxml={reports / 'junit.xml'}"]
    return [*report, "--maxfail=0", "--continue-on-collection-errors"]


def _pytest(command: Command, words: list[str], at: int, reports: Path) -> Instrumented:
    options = _pytest_options(reports)
    report = _junit_file(reports / "junit.xml")
    if "--" in words[at:]:
        return Instrumented(argv_of(command), report, "pytest", {"PYTEST_ADDOPTS": shlex.join(options)})
    return Instrumented(_append(command, options), report, "pytest")


def _unknown(command: Command, reports: Path) -> Instrumented:
    return Instrumented(
        argv_of(command),
        _junit_file(reports / "junit.xml"),
        "",
        {"PYTEST_ADDOPTS": shlex.join(_pytest_options(reports))},
        strict=True,
        optional=True,
    )


# Stands in for `-m unittest`: the same command line, with a result class that notes each id.  The text
# that unittest prints can't be read for sure, since tests print between a name and its result.  With a file
# of ids beside the report (`selecting`), other tests are left out; a fixture's id stands for its tests.
_UNITTEST = """\
import json, os, re, sys, unittest
sys.path[0] = os.getcwd()
sys.argv[0] = "python -m unittest"
class Result(unittest.TextTestResult):
    def note(self, row):
        if os.getpid() == pid:
            notes.write(json.dumps(row) + "\\n")
    def addSuccess(self, test):
        super().addSuccess(test); self.note([test.id(), "passed"])
    def addFailure(self, test, err):
        super().addFailure(test, err); self.note([test.id(), "failed"])
    def addError(self, test, err):
        super().addError(test, err); self.note([test.id(), "error"])
    def addSkip(self, test, reason):
        super().addSkip(test, reason); self.note([test.id(), "skipped"])
    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err); self.note([test.id(), "xfail"])
    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test); self.note([test.id(), "failed"])
    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            outcome = "failed" if issubclass(err[0], test.failureException) else "error"
            self.note([test.id(), outcome]); self.note([subtest.id(), outcome])
    def stopTestRun(self):
        super().stopTestRun(); self.note("end")
class Runner(unittest.TextTestRunner):
    resultclass = Result
    def __init__(self, *args, **kwargs):
        kwargs["failfast"] = False
        super().__init__(*args, **kwargs)
class Program(unittest.TestProgram):
    def runTests(self):
        if ids is not None:
            self.test = kept(self.test)
        super().runTests()
def kept(tests):
    if isinstance(tests, unittest.BaseTestSuite):
        tests._tests = [left for left in map(kept, list(tests)) if left is not None]
        return tests
    return tests if is_wanted(tests) else None
def is_wanted(test):
    name = test.id()
    if name in ids or name in parents or {type(test).__module__, strclass(type(test))} & fixtures:
        return True
    return type(test).__name__ == "_FailedTest" and any(
        key.startswith(test._testMethodName + ".") for key in ids)
strclass = unittest.util.strclass
pid = os.getpid()
notes = open(PATH, "w", buffering=1)
try:
    with open(os.path.join(os.path.dirname(PATH), "ids.json"), encoding="utf-8") as file:
        ids = frozenset(json.load(file)["ids"])
except FileNotFoundError:
    ids = None
parents = {key.split(" ", 1)[0] for key in ids or ()}
fixture = re.compile(r"(?:setUp|tearDown)\\w+ \\((.+)\\)$")
fixtures = {found[1] for found in map(fixture.match, ids or ()) if found}
__unittest = True
Program(module=None, testRunner=Runner)
"""


def _unittest(command: Command, words: list[str], at: int, reports: Path) -> Instrumented | None:
    path = reports / "unittest.jsonl"
    code = _UNITTEST.replace("PATH", repr(str(path)))
    argv = _replace(command, words, at - 1, 2, ["-c", code], r"(?<=\s)-m\s+unittest(?=\s|$)")
    return Instrumented(argv, _file(path, testids.unittest_lines), "unittest") if argv else None


def _go(command: Command, words: list[str], at: int, _: Path) -> Instrumented | None:
    argv: tuple[str, ...] | None = argv_of(command)
    if "-json" not in words:
        argv = _replace(
            command, words, at - 1, 2, [words[at - 1], "test", "-json"], r"\S*\bgo\s+test(?=\s|$)"
        )
    keep = re.compile(rb'^\{.*"Action":"(?:pass|fail|skip)"|^FAIL\t')
    return Instrumented(argv, _output(testids.go), "go", keep=keep) if argv else None


_CARGO_QUIET = {"-q", "--quiet", "--no-run", "--list"}  # these print no line for a test


def _cargo(command: Command, words: list[str], at: int, _: Path) -> Instrumented | None:
    if _CARGO_QUIET & set(words):
        return None
    argv: tuple[str, ...] | None = argv_of(command)
    if "--no-fail-fast" not in words:
        pattern = rf"(?<=\s){re.escape(words[at])}(?=\s|$)"
        argv = _replace(command, words, at, 1, [words[at], "--no-fail-fast"], pattern)
    keep = re.compile(rb"^(?:test |error|\s+Running |\s+Doc-tests )")
    env = {"CARGO_TERM_COLOR": "never"}
    return Instrumented(argv, _output(testids.cargo), "cargo", env, keep=keep) if argv else None


def _vitest_options(words: list[str], reports: Path) -> list[str]:
    own = any(word.startswith("--reporter") for word in words)
    readable = [] if own else ["--reporter=default"]
    return [*readable, "--reporter=junit", f"--outputFile.junit={reports / 'junit.xml'}"]


def _vitest(command: Command, words: list[str], _: int, reports: Path) -> Instrumented:
    argv = _append(command, _vitest_options(words, reports))
    return Instrumented(argv, _junit_file(reports / "junit.xml"), "vitest")


def _jest_options(reports: Path) -> list[str]:
    return ["--json", f"--outputFile={reports / 'jest.json'}"]


def _jest(command: Command, _words: list[str], _at: int, reports: Path) -> Instrumented:
    argv = _append(command, _jest_options(reports))
    return Instrumented(argv, _file(reports / "jest.json", testids.jest), "jest")


# A reporter of its own (node's JUnit reporter leaves out files): documented in node's "test" module.
_NODE = """\
export default async function*(events){for await(const {type,data:d} of events)\
if(type==='test:pass'||type==='test:fail')yield JSON.stringify([type==='test:pass',d.file||'',d.nesting,\
d.name,d.details&&d.details.type||'',d.skip!==undefined,d.todo!==undefined])+'\\n';yield '"end"\\n'}"""


def _node_options(reports: Path) -> list[str]:
    return [
        f"--test-reporter=data:text/javascript,{quote(_NODE, safe='')}",
        f"--test-reporter-destination={reports / 'node.jsonl'}",
        "--test-reporter=spec",
        "--test-reporter-destination=stdout",
    ]


def _node(command: Command, words: list[str], at: int, reports: Path) -> Instrumented | None:
    if any(word.startswith("--test-reporter") for word in words):
        return None
    argv = _replace(command, words, at, 1, ["--test", *_node_options(reports)], r"(?<=\s)--test(?=\s|$)")
    report = _file(reports / "node.jsonl", testids.node_lines)
    return Instrumented(argv, report, "node") if argv else None


_Builder = Callable[[Command, list[str], int, Path], Instrumented | None]
_BUILDERS: Mapping[str, _Builder] = {
    "pytest": _pytest,
    "unittest": _unittest,
    "go": _go,
    "cargo": _cargo,
    "vitest": _vitest,
    "jest": _jest,
    "node": _node,
}


# -- package scripts ----------------------------------------------------------------------------------


def _package(
    command: Command, words: list[str], at: int, reports: Path, top: Path | None
) -> Instrumented | None:
    """`npm test` and its relatives: what the script runs last gets its flags through the manager."""
    script = script_of(words, at, top)
    return _through_script(command, script, reports) if script else None


def _through_script(command: Command, script: Script, reports: Path) -> Instrumented | None:
    runner, words, strict = script.runner, script.words, script.strict
    if runner == "node" and not any(word.startswith("--test-reporter") for word in words):
        env = {"NODE_OPTIONS": " ".join(_node_option(word) for word in _node_options(reports))}
        report = _file(reports / "node.jsonl", testids.node_lines)
        return Instrumented(argv_of(command), report, runner, env, strict)
    prefix = ["--"] if script.dashes and "--" not in words else []
    if runner == "vitest":
        options, report = _vitest_options(words, reports), _junit_file(reports / "junit.xml")
    elif runner == "jest":
        options, report = _jest_options(reports), _file(reports / "jest.json", testids.jest)
    elif runner == "pytest":
        options, report = _pytest_options(reports), _junit_file(reports / "junit.xml")
    else:
        return None
    return Instrumented(_append(command, [*prefix, *options]), report, runner, strict=strict)


def _node_option(word: str) -> str:
    """A word as NODE_OPTIONS wants it: in double quotes where it holds a space."""
    return f'"{word}"' if " " in word else word
