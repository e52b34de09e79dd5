"""Test identities: what each report format says, and what counts as a regression."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from mo_daemon import testids
from mo_daemon.testids import Reading, Regression, Tests, regression

TOP = Path("/place/tree")


def outcomes(reading: Reading) -> dict[str, str]:
    assert reading.tests is not None, reading.reason
    return dict(reading.tests.outcomes)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("passed", "passed", Regression()),
        ("passed", "failed", Regression(failed=("t",))),
        ("passed", "error", Regression(failed=("t",))),
        ("passed", None, Regression(missing=("t",))),
        ("passed", "skipped", Regression(newly_skipped=("t",))),
        ("passed", "xfail", Regression(newly_skipped=("t",))),
        ("failed", "failed", Regression()),
        ("failed", "error", Regression()),
        ("error", "failed", Regression()),
        ("failed", None, Regression()),
        ("failed", "passed", Regression()),
        ("failed", "skipped", Regression()),
        ("skipped", "failed", Regression(failed=("t",))),
        ("skipped", None, Regression()),
        ("skipped", "passed", Regression()),
        ("xfail", "failed", Regression(failed=("t",))),
        ("xfail", "passed", Regression()),
        (None, "failed", Regression(failed=("t",))),
        (None, "error", Regression(failed=("t",))),
        (None, "passed", Regression()),
        (None, "skipped", Regression()),
    ],
)
def test_one_test_before_and_now(before: str | None, now: str | None, expected: Regression) -> None:
    other = {"other": "passed"}
    baseline = Tests(other | ({"t": before} if before else {}))
    run = Tests(other | ({"t": now} if now else {}))
    assert regression(baseline, run) == expected
    assert bool(expected) == bool(expected.ids)


def test_regression_is_sorted_and_complete() -> None:
    baseline = Tests(dict.fromkeys(["d", "c", "b", "a"], "passed"))
    run = Tests({"a": "error", "b": "failed", "d": "skipped", "new": "failed"})
    found = regression(baseline, run)
    assert found == Regression(failed=("a", "b", "new"), missing=("c",), newly_skipped=("d",))
    assert found.ids == ("a", "b", "c", "d", "new")


def test_outcomes_survive_storage() -> None:
    tests = Tests({"b": "passed", "a": "passed", "c": "failed", "d": "xfail"})
    stored = json.loads(json.dumps(tests.document()))
    assert stored == {"passed": ["a", "b"], "failed": ["c"], "xfail": ["d"]}
    assert Tests.load(stored) == tests
    assert tests.failing() == ("c",)
    assert (tests.count("passed"), tests.count("failed", "xfail")) == (2, 2)


PYTEST = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="9" failures="0" tests="99" time="1">
<testcase classname="tests.test_a" name="test_ok" file="tests/test_a.py" line="1" time="0.0" />
<testcase classname="tests.test_a" name="test_fail" file="tests/test_a.py">
  <failure message="x">y</failure></testcase>
<testcase classname="tests.test_a" name="test_skip" file="tests/test_a.py">
  <skipped type="pytest.skip" message="no">z</skipped></testcase>
<testcase classname="tests.test_a" name="test_x" file="tests/test_a.py">
  <skipped type="pytest.xfail" /></testcase>
<testcase classname="tests.test_a" name="test_sub" file="tests/test_a.py">
  <failure message="1">a</failure><failure message="2">b</failure></testcase>
<testcase classname="tests.test_a" name="test_twice" file="tests/test_a.py">
  <failure message="f">a</failure></testcase>
<testcase classname="tests.test_a" name="test_twice" file="tests/test_a.py">
  <error message="teardown">b</error></testcase>
<testcase classname="tests.test_a.TestC" name="test_p[/place/tree/x-0x7faaf5aa0290]"
  file="/place/tree/tests/test_a.py" />
<testcase classname="" name="tests.test_b" file="tests/test_b.py">
  <error message="collection failure">c</error></testcase>
</testsuite></testsuites>"""


def test_junit_of_pytest_counts_cases_not_headers() -> None:
    assert outcomes(testids.junit({"junit.xml": PYTEST}, TOP)) == {
        "tests/test_a.py::tests.test_a::test_ok": "passed",
        "tests/test_a.py::tests.test_a::test_fail": "failed",
        "tests/test_a.py::tests.test_a::test_skip": "skipped",
        "tests/test_a.py::tests.test_a::test_x": "xfail",
        "tests/test_a.py::tests.test_a::test_sub": "failed",
        "tests/test_a.py::tests.test_a::test_twice": "error",
        "tests/test_a.py::tests.test_a.TestC::test_p[x-0x]": "passed",
        "tests/test_b.py::tests.test_b": "error",
    }


def test_ids_are_the_same_in_another_worktree() -> None:
    there = PYTEST.replace(b"/place/tree/", b"/somewhere/else/2/").replace(
        b"0x7faaf5aa0290", b"0x55d0c0ffee00"
    )
    elsewhere = testids.junit({"junit.xml": there}, Path("/somewhere/else/2"))
    assert elsewhere == testids.junit({"junit.xml": PYTEST}, TOP)


def test_junit_of_several_files_and_nested_suites() -> None:
    first = b'<testsuite name="A"><testsuite name="B"><testcase name="t"/></testsuite></testsuite>'
    second = (
        b'<testsuites><testcase name="bare"/><testsuite name="C">'
        b'<testcase classname="k" name="u"><skipped/></testcase></testsuite></testsuites>'
    )
    read = testids.junit({"one.xml": first, "two.xml": second}, TOP)
    assert outcomes(read) == {"B::t": "passed", "bare": "passed", "k::u": "skipped"}


@pytest.mark.parametrize(
    "broken", [b"", b"<testsuites><testsuite>", b"\x00\xff", b"<html></html>", PYTEST[:400]]
)
def test_broken_junit_spoils_the_whole_reading(broken: bytes) -> None:
    read = testids.junit({"a.xml": PYTEST, "b.xml": broken}, TOP)
    assert read.tests is None
    assert read.reason.startswith("the test report b.xml is not readable: ")


def test_no_report_is_no_reading() -> None:
    assert testids.junit({}, TOP) == Reading(None, "no test report was written")


def test_unittest_rows() -> None:
    rows: list[object] = [["m.C.a", "passed"], ["m.C.b", "failed"], ["m.C.b (i=1)", "failed"], "end"]
    text = "\n".join(json.dumps(row) for row in rows)
    assert outcomes(testids.unittest_lines(text, TOP)) == {
        "m.C.a": "passed",
        "m.C.b": "failed",
        "m.C.b (i=1)": "failed",
    }


@pytest.mark.parametrize("text", ["", '["m.C.a", "passed"]', '["m.C.a", "passed"]\n"en', "nonsense"])
def test_a_cut_off_report_is_no_reading(text: str) -> None:
    expected = Reading(None, "the test run ended before its report was complete")
    assert testids.unittest_lines(text, TOP) == expected
    assert testids.node_lines(text, TOP) == expected


def test_node_rows_rebuild_the_names_of_suites() -> None:
    a, b = "/place/tree/test/a.test.js", "/place/tree/test/b.test.js"
    rows: list[object] = [
        [True, a, 0, "adds", "", False, False],
        [False, a, 0, "broken", "", False, False],
        [True, a, 0, "left out", "", True, False],
        [False, a, 0, "some day", "", False, True],
        [True, a, 2, "deep", "", False, False],
        [True, a, 1, "inner", "suite", False, False],
        [False, a, 1, "bad", "", False, False],
        [False, a, 0, "outer", "suite", False, False],
        [True, a, 1, "child", "", False, False],
        [True, a, 0, "parent", "", False, False],
        [False, a, 0, "hook", "suite", False, False],
        [True, b, 0, "adds", "", False, False],
        [False, b, 0, b, "", False, False],
        "end",
    ]
    assert outcomes(testids.node_lines("\n".join(json.dumps(row) for row in rows), TOP)) == {
        "test/a.test.js::adds": "passed",
        "test/a.test.js::broken": "failed",
        "test/a.test.js::left out": "skipped",
        "test/a.test.js::some day": "xfail",
        "test/a.test.js::outer > inner > deep": "passed",
        "test/a.test.js::outer > bad": "failed",
        "test/a.test.js::parent": "passed",
        "test/a.test.js::parent > child": "passed",
        "test/a.test.js::hook": "failed",
        "test/b.test.js::adds": "passed",
        "test/b.test.js::test/b.test.js": "failed",
    }


def test_jest() -> None:
    cases = [("ok", "passed"), ("s in", "passed"), ("bad", "failed"), ("sk", "pending"), ("td", "todo")]
    document = {
        "testResults": [
            {
                "name": "/place/tree/a.test.js",
                "status": "failed",
                "assertionResults": [{"fullName": name, "status": status} for name, status in cases],
            },
            {"name": "/place/tree/b.test.js", "status": "failed", "assertionResults": []},
            {"name": "/place/tree/c.test.js", "status": "passed", "assertionResults": []},
        ]
    }
    assert outcomes(testids.jest(json.dumps(document), TOP)) == {
        "a.test.js::ok": "passed",
        "a.test.js::s in": "passed",
        "a.test.js::bad": "failed",
        "a.test.js::sk": "skipped",
        "a.test.js::td": "skipped",
        "b.test.js": "error",
    }


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"testResults": [{"name": 1}]}', '{"testResults": [3]}'])
def test_a_broken_report_of_jest_is_no_reading(text: str) -> None:
    read = testids.jest(text, TOP)
    assert read.tests is None
    assert read.reason.startswith("the report of jest is not readable: ")


GO = """\
{"Action":"start","Package":"x/a"}
{"Action":"run","Package":"x/a","Test":"TestOk"}
{"Action":"output","Package":"x/a","Test":"TestOk","Output":"=== RUN   TestOk\\n"}
{"Action":"pass","Package":"x/a","Test":"TestOk/sub"}
{"Action":"pass","Package":"x/a","Test":"TestOk","Elapsed":0}
{"Action":"skip","Package":"x/a","Test":"TestSkip"}
{"Action":"fail","Package":"x/a","Test":"TestBad"}
{"Action":"fail","Package":"x/a","Elapsed":0.1}
# x/b
b/b.go:3:1: syntax error
{"Action":"output","Package":"x/b","Output":"FAIL\\tx/b [build failed]\\n"}
{"Action":"fail","Package":"x/b","Elapsed":0}
{"Action":"skip","Package":"x/c","Elapsed":0}
{"Action":"pass","Package":"x/d","Elapsed":0}
"""


def test_go() -> None:
    assert outcomes(testids.go(GO, TOP)) == {
        "x/a::TestOk": "passed",
        "x/a::TestOk/sub": "passed",
        "x/a::TestSkip": "skipped",
        "x/a::TestBad": "failed",
        "x/b": "error",
    }
    readable = "=== RUN   TestOk\n# x/b\nb/b.go:3:1: syntax error\nFAIL\tx/b [build failed]\n"
    assert "".join(testids.go_readable(GO.splitlines(keepends=True))) == readable


CARGO = """
   Compiling mycrate v0.1.0 (/place/tree)
     Running unittests src/lib.rs (target/debug/deps/mycrate-12c7f21386a5ffb0)

running 4 tests
test tests::ign ... ignored, slow
test tests::ok ... ok
test tests::bad ... FAILED
test tests::pan - should panic ... ok
test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.09s

     Running unittests src/main.rs (target/debug/deps/mycrate-76b43a7e28d5ab7f)
test tests::ok ... ok
     Running tests/it.rs (target/debug/deps/it-176394624d248cc0)
test it ... ok
     Running tests/it.rs (target/debug/deps/it-276394624d248cc0)
test it ... FAILED
   Doc-tests mycrate
test src/lib.rs - add (line 2) ... ok
test src/lib.rs - add (line 9) ... FAILED
test src/lib.rs - sub (line 20) - compile fail ... ok
"""


def test_cargo() -> None:
    assert outcomes(testids.cargo(CARGO, TOP)) == {
        "src/lib.rs::mycrate::tests::ign": "skipped",
        "src/lib.rs::mycrate::tests::ok": "passed",
        "src/lib.rs::mycrate::tests::bad": "failed",
        "src/lib.rs::mycrate::tests::pan - should panic": "passed",
        "src/main.rs::mycrate::tests::ok": "passed",
        "tests/it.rs::it::it": "passed",
        "tests/it.rs::it#2::it": "failed",
        "doc::mycrate::src/lib.rs - add": "passed",
        "doc::mycrate::src/lib.rs - add#2": "failed",
        "doc::mycrate::src/lib.rs - sub - compile fail": "passed",
    }


def test_cargo_that_does_not_compile_is_an_error_not_silence() -> None:
    text = textwrap.dedent("""\
        error[E0425]: cannot find value `x` in this scope
        error: could not compile `mycrate` (lib test) due to 1 previous error
        error: could not compile `mycrate` (lib) due to 1 previous error
    """)
    assert outcomes(testids.cargo(text, TOP)) == {"build::mycrate": "error"}
