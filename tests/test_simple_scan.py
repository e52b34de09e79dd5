"""Items from patterns and names of files."""

from __future__ import annotations

import pytest

from mo_git.errors import Exit, MoError
from mo_git.simple.item import Item
from mo_git.simple.manifest import Common
from mo_git.simple.scan import items_for, matching, split_names
from mo_git.simple.view import bucket_lines

PATHS = ["README.md", "docs/a.md", "src/a.py", "src/b/c.py", "src/b/d.txt"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*.py"], ["src/a.py", "src/b/c.py"]),
        (["src/*.py"], ["src/a.py"]),
        (["src/**/*.py"], ["src/a.py", "src/b/c.py"]),
        (["src/b"], ["src/b/c.py", "src/b/d.txt"]),
        (["src/[bx]/?.py", "README.md"], ["README.md", "src/b/c.py"]),
        (["**"], PATHS),
    ],
)
def test_patterns_are_those_of_git(patterns: list[str], found: list[str]) -> None:
    assert matching(patterns, PATHS) == found


@pytest.mark.parametrize(
    ("pattern", "code", "said"),
    [
        ("*.rs", Exit.NOT_FOUND, '--glob "*.rs" matches no file of the base'),
        ("../x", Exit.USAGE, '--glob "../x" leaves the repository (..)'),
        ("!x", Exit.USAGE, '--glob "!x" excludes (!), only what is written can be listed'),
    ],
)
def test_a_pattern_that_is_no_use_is_refused(pattern: str, code: Exit, said: str) -> None:
    with pytest.raises(MoError) as caught:
        matching(["*.py", pattern], PATHS)
    assert (caught.value.code, caught.value.message) == (code, said)


@pytest.mark.parametrize(
    ("data", "names"),
    [(b"a\nb c\r\n\n", [b"a", b"b c"]), (b"a\nb\0c\0", [b"a\nb", b"c"]), (b"", []), (b"\n", [])],
)
def test_names_come_one_a_line_or_between_nul_bytes(data: bytes, names: list[bytes]) -> None:
    assert split_names(data) == names


def test_each_file_is_an_item() -> None:
    found = [one.item for one in items_for(["src/a.py", "b", "b"], Common(run=("x", "{target}")), "--files")]
    assert found == [
        Item("src-a.py", ("src/a.py",), run=("x", "{target}")),
        Item("b", ("b",), run=("x", "{target}")),
    ]


def test_wrong_names_none_and_nothing_to_do_are_refused() -> None:
    with pytest.raises(MoError, match=r'--files: line 2: target: "\.\./b" leaves the repository'):
        items_for(["a", "../b"], Common("x"), "--files")
    with pytest.raises(MoError, match="names no file"):
        items_for([], Common("x"), "--files")
    with pytest.raises(MoError, match="nothing says what to do"):
        items_for(["a"], Common(), "--files")


def test_the_largest_buckets_are_shown() -> None:
    assert bucket_lines(["a", "b", "b", ""], 2) == ["b: 2 items", "a: 1 item", "and 1 more bucket"]
