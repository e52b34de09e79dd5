"""Test identities: what a test run said about each test, and which of that is a regression.

Pure: every parser takes the text of a report and the names of the worktree it was made in (as given, and
without links), and returns a `Reading`.
An id names the same test in every worktree, so paths below the worktree are made relative, and parts
that differ from run to run (object addresses, line numbers of doc tests) are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import junitparser

PASSED, FAILED, ERROR, SKIPPED, XFAIL = "passed", "failed", "error", "skipped", "xfail"
_WORSE = {outcome: rank for rank, outcome in enumerate((SKIPPED, PASSED, XFAIL, FAILED, ERROR))}
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{9,16}\b")


@dataclass(frozen=True, slots=True)
class Tests:
    """Outcomes of one run: id -> passed | failed | error | skipped | xfail."""

    __test__: ClassVar[bool] = False  # not a test class, whatever pytest thinks of the name
    outcomes: Mapping[str, str]

    def failing(self) -> tuple[str, ...]:
        """Ids that failed or errored, sorted."""
        return tuple(sorted(key for key, outcome in self.outcomes.items() if outcome in (FAILED, ERROR)))

    def count(self, *outcomes: str) -> int:
        """How many tests had one of these outcomes."""
        return sum(outcome in outcomes for outcome in self.outcomes.values())

    def document(self) -> dict[str, list[str]]:
        """The outcomes as JSON: outcome -> sorted ids.  `Tests.load` reads it back."""
        grouped: dict[str, list[str]] = {}
        for key in sorted(self.outcomes):
            grouped.setdefault(self.outcomes[key], []).append(key)
        return grouped

    @classmethod
    def load(cls, document: Mapping[str, Iterable[str]]) -> Tests:
        return cls({key: outcome for outcome, keys in document.items() for key in keys})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a report said; `tests` is None where it could not be read, and `reason` says why."""

    tests: Tests | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Regression:
    """What got worse between a baseline and a run; each tuple holds sorted ids."""

    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    newly_skipped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.failed or self.missing or self.newly_skipped)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted({*self.failed, *self.missing, *self.newly_skipped}))

    def among(self, ids: Collection[str]) -> Regression:
        """What of it these ids are about."""
        parts = (self.failed, self.missing, self.newly_skipped)
        return Regression(*(tuple(one for one in part if one in ids) for part in parts))


def regression(baseline: Tests, run: Tests) -> Regression:
    """Tests that passed in the baseline and no longer do, and failing tests that the baseline has not."""
    failed, missing, skipped = [], [], []
    for key, before in baseline.outcomes.items():
        now = run.outcomes.get(key)
        if before != PASSED or now == PASSED:
            continue
        if now is None:
            missing.append(key)
        elif now in (FAILED, ERROR):
            failed.append(key)
        else:
            skipped.append(key)
    failed += [key for key in run.failing() if baseline.outcomes.get(key, SKIPPED) in (SKIPPED, XFAIL)]
    return Regression(tuple(sorted(failed)), tuple(sorted(missing)), tuple(sorted(skipped)))


class _Collector:
    """Gathers outcomes; of several for one id the worst counts."""

    def __init__(self, tops: Iterable[Path]) -> None:
        places = {str(top) for top in tops}
        self._places = sorted((place.rstrip("/") for place in places if place != "/"), key=len, reverse=True)
        self.outcomes: dict[str, str] = {}

    def clean(self, text: str) -> str:
        for place in self._places:
            text = text.replace(f"{place}/", "").replace(place, ".")
        return _ADDRESS.sub("0x", text)

    def add(self, parts: Iterable[str], outcome: str) -> None:
        key = "::".join(self.clean(part) for part in parts if part)
        before = self.outcomes.get(key)
        if before is None or _WORSE[outcome] > _WORSE[before]:
            self.outcomes[key] = outcome

    def reading(self) -> Reading:
        return Reading(Tests(dict(self.outcomes)))


# -- JUnit XML ----------------------------------------------------------------------------------------


class _Case(junitparser.TestCase):
    """A test case with the `file` attribute that the xunit1 family writes."""

    file = junitparser.Attr()


def junit(documents: Mapping[str, bytes], *tops: Path) -> Reading:
    """Read JUnit XML files (name -> content); headers are ignored, test cases counted.

    Ids are file::classname::name, empty parts left out.  One unreadable document spoils the whole
    reading: what it would have said would else count as missing.
    """
    if not documents:
        return Reading(None, "no test report was written")
    found = _Collector(tops)
    for name, content in sorted(documents.items()):
        try:
            root: Any = junitparser.JUnitXml.fromstring(content)
        except (SyntaxError, ValueError, junitparser.JUnitXmlError) as error:
            return Reading(None, f"the test report {name} is not readable: {error}")
        _add_suite(found, root)
    return found.reading()


def _add_suite(found: _Collector, suite: Any) -> None:
    for case in suite.iterchildren(_Case):
        _add_case(found, case, suite.name or "")
    for inner in suite.iterchildren(junitparser.TestSuite):
        _add_suite(found, inner)


def _add_case(found: _Collector, case: _Case, suite: str) -> None:
    file, classname = case.file or "", case.classname or ""
    parts = (file, classname) if file or classname else (suite,)
    found.add((*parts, case.name or ""), _case_outcome(case))


def _case_outcome(case: junitparser.TestCase) -> str:
    results = case.result
    if any(isinstance(result, junitparser.Error) for result in results):
        return ERROR
    if any(isinstance(result, junitparser.Failure) for result in results):
        return FAILED
    for result in results:
        if isinstance(result, junitparser.Skipped):
            return XFAIL if result.type == "pytest.xfail" else SKIPPED
    return PASSED


# -- JSON reports -------------------------------------------------------------------------------------


def _json_lines(text: str) -> list[Any] | None:
    """One JSON value a line; None where a line is none, as after a runner that was cut off."""
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return None


def unittest_lines(text: str, *tops: Path) -> Reading:
    """Read the lines that the recorder of `runners` writes: [id, outcome], the last one "end"."""
    rows = _json_lines(text)
    if not rows or rows[-1] != "end":
        return Reading(None, "the test run ended before its report was complete")
    found = _Collector(tops)
    for key, outcome in rows[:-1]:
        found.add([key], outcome)
    return found.reading()


def node_lines(text: str, *tops: Path) -> Reading:
    """Read the lines of the reporter in `runners`.

    A line is [passed, file, nesting, name, type, skip, todo], the last one is "end".  Node reports a
    suite after its children, so the names above a test are known only later.
    """
    rows = _json_lines(text)
    if not rows or rows[-1] != "end":
        return Reading(None, "the test run ended before its report was complete")
    found = _Collector(tops)
    open_: dict[tuple[str, int], list[tuple[list[str], str]]] = {}
    for passed, file, nesting, name, kind, skip, todo in rows[:-1]:
        inner = open_.pop((file, nesting + 1), [])
        outcome = SKIPPED if skip else PASSED if passed else XFAIL if todo else FAILED
        here = open_.setdefault((file, nesting), [])
        here += [([name, *names], result) for names, result in inner]
        if kind != "suite" or (outcome == FAILED and not any(result == FAILED for _, result in inner)):
            here.append(([name], outcome))
    for (file, _), cases in open_.items():
        for names, outcome in cases:
            found.add([file, " > ".join(names)], outcome)
    return found.reading()


_JEST = {"passed": PASSED, "failed": FAILED, "pending": SKIPPED, "skipped": SKIPPED, "disabled": SKIPPED}


def jest(text: str, *tops: Path) -> Reading:
    """Read the file of `jest --json --outputFile`; a file that could not be loaded is an id of its own."""
    try:
        document = json.loads(text)
        found = _Collector(tops)
        for suite in document["testResults"]:
            for case in suite["assertionResults"]:
                found.add([suite["name"], case["fullName"]], _JEST.get(case["status"], SKIPPED))
            if suite["status"] == "failed" and not suite["assertionResults"]:
                found.add([suite["name"]], ERROR)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Reading(None, f"the report of jest is not readable: {error!r}")
    return found.reading()


_GO = {"pass": PASSED, "fail": FAILED, "skip": SKIPPED}
_GO_BUILD = re.compile(r"FAIL\t(\S+) \[(?:build|setup) failed\]")


def go(text: str, *tops: Path) -> Reading:
    """Read `go test -json` (cmd/test2json); ids are package::Test/subtest.

    A package that fails without a failing test (it does not build, or TestMain ends it) is an error under
    the package's own name.  Go before 1.20 says in plain text that one does not build.
    """
    found = _Collector(tops)
    failed_packages, blamed = set(), set()
    for line in text.splitlines():
        if match := _GO_BUILD.fullmatch(line):
            failed_packages.add(match[1])
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if not isinstance(event, dict):
            continue
        package, test, outcome = event.get("Package", ""), event.get("Test"), _GO.get(event.get("Action", ""))
        if outcome is None or not package:
            continue
        if test:
            found.add([package, test], outcome)
            if outcome == FAILED:
                blamed.add(package)
        elif outcome == FAILED:
            failed_packages.add(package)
    for package in failed_packages - blamed:
        found.add([package], ERROR)
    return found.reading()


def go_readable(lines: Iterable[str]) -> Iterator[str]:
    """The text that `go test` would have printed without -json, line by line."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        yield str(event.get("Output", "")) if isinstance(event, dict) else line


# -- cargo --------------------------------------------------------------------------------------------

_CARGO_HEADER = re.compile(r"^\s+Running (?:unittests )?(\S+)(?: \((.+)\))?$")
_CARGO_DOC = re.compile(r"^\s+Doc-tests (\S+)$")
_CARGO_TEST = re.compile(r"^test (.+?) \.\.\. (?:.*\b)?(ok|FAILED|ignored)(?:, .*)?$")
_CARGO_BUILD = re.compile(r"^error(?:\[E\d+\])?: could not compile `([^`]+)`")
_CARGO_LINE = re.compile(r" \(line \d+\)")
_CARGO = {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}


def cargo(text: str, *tops: Path) -> Reading:
    """Read what `cargo test` prints; ids are source::binary::path of the test.

    A crate that does not compile is an error under "build::crate".
    """
    found = _Collector(tops)
    seen: dict[str, int] = {}
    header: list[str] = []
    for line in text.splitlines():
        if match := _CARGO_HEADER.match(line) or _CARGO_DOC.match(line):
            header = _numbered(_cargo_header(match), seen)
        elif match := _CARGO_TEST.match(line):
            name = _CARGO_LINE.sub("", match[1])
            parts = [*header, name]
            found.add(_numbered(parts, seen) if name != match[1] else parts, _CARGO[match[2]])
        elif match := _CARGO_BUILD.match(line):
            found.add(["build", match[1]], ERROR)
    return found.reading()


def _cargo_header(match: re.Match[str]) -> list[str]:
    if match.re is _CARGO_DOC:
        return ["doc", match[1]]
    binary = PurePosixPath(match[2] or match[1]).name
    return [match[1], re.sub(r"-[0-9a-f]{16}$", "", binary)]


def _numbered(parts: list[str], seen: dict[str, int]) -> list[str]:
    """The parts, the last one numbered from its second appearance on (two doc tests of one item)."""
    key = "::".join(parts)
    seen[key] = seen.get(key, 0) + 1
    return parts if seen[key] == 1 else [*parts[:-1], f"{parts[-1]}#{seen[key]}"]
