"""Syntax of files by their names: good ones, bad ones, and ones that are made to bring a parser down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_daemon.simple import checker, syntax
from mo_daemon.simple.examiner import Examiner, TooHard
from mo_daemon.simple.syntax import Wrong, is_known, wrong

GOOD = {
    "a.py": "from __future__ import annotations\n\ndef f(x: int) -> int:\n    return x\n",
    "old.py": "# coding: latin-1\ntext = 'x'\n",
    "odd_escape.py": "pattern = '\\d' is 1\n",  # Python warns, and goes on
    "a.pyi": "def f(x: int) -> int: ...\n",
    "empty.py": "",
    "a.json": '{"a": [1, 2.5e300, null, "\\u00e9"]}',
    "many_digits.json": "[" + "1" * 10_000 + "]",
    "bom.json": "\ufeff{}",
    "a.geojson": '{"type": "Point"}',
    "a.jsonl": '{"a": 1}\n\n[2]\n',
    "a.toml": "[a]\nb = 1\n",
    "a.xml": "<?xml version='1.0'?><a><b c='d'/>&amp;</a>",
    "drawing.svg": '<!DOCTYPE svg [<!ENTITY ns "http://www.w3.org/2000/svg">]><svg xmlns="&ns;"/>',
    "elsewhere.xml": '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    "a.yaml": "a: !Ref x\n---\n- &b [1, *b]\n",
    "a.yml": "a:\n  - b: 'c'\n",
    "empty.yaml": "",
    "tsconfig.json": "// with comments\n{}",
    "app/.vscode/settings.json": "// with comments\n{}",
    "a.txt": "((((",
    "Makefile": "((((",
}
BAD = {
    "a.py": ("x = 1\ny = (\n", 2),
    "indent.py": ("if x:\nprint()\n", 2),
    "outside.py": ("\nreturn 1\n", 2),
    "nul.py": ("x = 1\0", 0),
    "A.PY": ("x = (", 1),
    "a.json": ('{\n"a": 1,\n}', 3),
    "empty.json": ("", 1),
    "nan.json": ("[NaN]", 1),
    "rest.json": ("{} {}", 1),
    "a.jsonl": ('{"a": 1}\n\n{"a": }\n', 3),
    "a.toml": ("a = 1\nb = \n", 2),
    "end.toml": ("a = 1\nb = [", 2),
    "twice.toml": ("a = 1\na = 2\n", 2),
    "a.xml": ("<a>\n<b>\n</a>", 3),
    "open.xml": ("<a>", 1),
    "unknown.xml": ("<a>&nbsp;</a>", 1),
    "a.yaml": ("a: b\n\tc: d\n", 2),
    "open.yaml": ('a: "b', 1),
    "control.yml": ("a: \0", 0),
}
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE = {
    "billion.xml": f'<!DOCTYPE l [<!ENTITY l0 "lol">{LAUGHS}]><l>&l9;</l>',
    "quadratic.xml": f'<!DOCTYPE l [<!ENTITY a "{"a" * 100_000}">]><l>{"&a;" * 100_000}</l>',
    "parameters.xml": '<!DOCTYPE l [<!ENTITY % a "x"><!ENTITY % b "&#37;a;&#37;a;">]><l/>',
    "brackets.json": "[" * 500_000,
    "objects.json": '{"a":' * 200_000,
    "brackets.toml": "a = " + "[" * 200_000,
    "brackets.yaml": "[" * 200_000,
    "dashes.yaml": "- " * 200_000,
    "parentheses.py": "(" * 200_000,
    "minus.py": "-" * 500_000 + "1",
    "sum.py": "a" + "+1" * 200_000,
    "dots.py": "a" + ".b" * 100_000,
    "lambdas.py": "lambda: " * 100_000 + "1",
    "elif.py": "if x:\n pass\n" + "elif x:\n pass\n" * 50_000,
}


@pytest.fixture(scope="module")
def examiner() -> Iterator[Examiner]:
    running = Examiner()
    yield running
    running.close()


@pytest.mark.parametrize("path", GOOD)
def test_good(path: str, examiner: Examiner) -> None:
    assert examiner.syntax(path, GOOD[path].encode()) is None


@pytest.mark.parametrize("path", BAD)
def test_bad(path: str, examiner: Examiner) -> None:
    text, line = BAD[path]
    found = examiner.syntax(path, text.encode())
    assert found is not None
    assert found.line == line
    assert found.message
    assert "line" not in found.message.partition("on line")[0]  # it is said once


@pytest.mark.parametrize("path", ["a.json", "a.jsonl", "a.toml", "a.py", "a.yaml", "a.xml"])
def test_bytes_that_are_no_text(path: str, examiner: Examiner) -> None:
    assert examiner.syntax(path, b"\n\xff\xff") is not None


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_contents_are_a_syntax_error(path: str, examiner: Examiner) -> None:
    found = examiner.syntax(path, HOSTILE[path].encode())
    assert found is not None
    assert examiner.syntax("a.py", b"x = 1\n") is None


def test_much_that_is_good(examiner: Examiner) -> None:
    deep = "<a>" * 200_000 + "</a>" * 200_000
    assert examiner.syntax("a.xml", deep.encode()) is None
    assert examiner.syntax("a.json", json.dumps(list(range(300_000))).encode()) is None


def test_nothing_is_run_or_written(examiner: Examiner, tmp_path: Path) -> None:
    mark = str(tmp_path / "ran")
    assert examiner.syntax("a.py", f"open({mark!r}, 'w')\n".encode()) is None
    assert examiner.syntax("a.yaml", f"!!python/object/apply:os.mkdir [{mark!r}]".encode()) is None
    assert list(tmp_path.iterdir()) == []


@given(st.sampled_from(sorted(syntax._PARSERS)), st.binary(max_size=60))
def test_any_bytes_have_an_answer(extension: str, content: bytes) -> None:
    found = wrong(f"a{extension}", content)
    assert found is None or isinstance(found, Wrong)


TEXT = st.text(st.characters(exclude_categories=["C"], max_codepoint=0xFFFF))


@given(st.recursive(st.none() | st.booleans() | st.integers() | TEXT, st.lists, max_leaves=10))
def test_what_is_json_is_yaml_and_json_lines_too(value: object) -> None:
    text = json.dumps(value).encode()
    for name in ("a.json", "a.jsonl", "a.yaml"):
        assert wrong(name, text) is None


def test_known_names() -> None:
    assert is_known("a/b.YML")
    assert not is_known(".json")
    assert not is_known("jsconfig.app.json")


# -- the processes --------------------------------------------------------------------------------------


def test_patterns_match_lines(examiner: Examiner) -> None:
    assert examiner.matching(["^b$", "^c", "é", "x.y"], "a\nb\né".encode()) == [0, 2]
    assert examiner.matching(["\ufffd"], b"\xff") == [0]
    assert examiner.matching([], b"a") == []


def test_what_takes_endless_time_ends_its_process_only() -> None:
    impatient = Examiner(limit=1, patience=1)
    try:
        with pytest.raises(TooHard):
            impatient.matching(["(a+)+$"], b"a" * 60 + b"b")
        assert impatient.matching(["a"], b"a") == [0]
    finally:
        impatient.close()


def test_a_checker_that_was_killed_is_replaced() -> None:
    one = Examiner(limit=1)
    try:
        assert one.matching(["a"], b"a") == [0]
        os.kill(one._idle[0]._process.pid, 9)
        assert one.matching(["a"], b"a" * 1_000_000) == [0]
        assert len(one._idle) == 1
    finally:
        one.close()


def test_many_threads_share_a_few_checkers() -> None:
    shared = Examiner(limit=2)
    answers: list[Wrong | None] = []

    def ask() -> None:
        answers.extend(shared.syntax("a.py", f"x = {n}\n".encode() * 2000) for n in range(20))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [None] * 120
    assert len(shared._idle) <= 2
    shared.close()
    assert shared.matching(["a"], b"a") == [0]  # a later question starts a new one
    shared.close()


def test_a_checker_ends_with_its_input() -> None:
    asked = checker.question("syntax", "a.json", b"[", 5)
    done = subprocess.run(
        [sys.executable, "-P", "-m", checker.MODULE], input=asked, capture_output=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == [1, "Expecting value"]
    assert done.stderr == b""
