"""Reading manifests: good ones give items, and of bad ones every mistake is said with its line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit, MoError
from mo_git.git.binary import Git
from mo_git.simple.item import Item
from mo_git.simple.manifest import Common, Numbered, Problems, id_like, parse_manifest
from mo_git.simple.placing import NEAREST, bucket_of, place
from mo_git.simple.targets import check_targets, list_tree
from tests.support import RepoBuilder

TRUE = Common(run=("true",))


def lines(*values: object) -> bytes:
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in values).encode()


def items(data: bytes, common: Common = TRUE, **options: Any) -> list[Item]:
    return [one.item for one in parse_manifest(data, "m", common, **options)]


def problems(data: bytes, common: Common = TRUE, **options: Any) -> list[str]:
    with pytest.raises(MoError) as caught:
        parse_manifest(data, "m", common, **options)
    assert caught.value.code is Exit.USAGE
    assert caught.value.hint
    return caught.value.message.splitlines()


FULL = {
    "id": "one",
    "target": ["src/a.py", "docs/"],
    "instruction": "Do it.\nWell.",
    "provider": "codex",
    "model": "m",
    "priority": -2,
    "timeout_seconds": 1.5,
    "max_attempts": 2,
    "verify_commands": ["true", ["test", "-s", "x"]],
    "require_patterns": "^[a-z]",
    "allowed_side_files": ["*.lock"],
    "bucket": "b",
    "metadata": {"n": [1]},
}
FULL_ITEM = Item(
    "one",
    ("src/a.py", "docs"),
    "Do it.\nWell.",
    provider="codex",
    model="m",
    priority=-2,
    timeout_seconds=1.5,
    max_attempts=2,
    verify_commands=("true", ("test", "-s", "x")),
    require_patterns=("^[a-z]",),
    allowed_side_files=("*.lock",),
    bucket="b",
    metadata={"n": [1]},
)


def test_every_key_of_a_line_counts() -> None:
    assert items(lines(FULL)) == [FULL_ITEM]


def test_what_is_said_for_all_is_beaten_by_a_line() -> None:
    words = Common("For all.", model="big")
    found = items(lines({"target": "a"}, {"target": "b", "run": ["x"]}, {"target": "c", "model": "s"}), words)
    assert found == [
        Item("a", ("a",), "For all.", model="big"),
        Item("b", ("b",), run=("x",)),
        Item("c", ("c",), "For all.", model="s"),
    ]


def test_marks_at_the_beginning_ends_of_lines_empty_lines_and_nulls_are_no_trouble() -> None:
    data = b'\xef\xbb\xbf{"target": "a", "bucket": null}\r\n\r\n{"target": "b"}'
    assert [item.id for item in items(data)] == ["a", "b"]


def test_ids_are_like_the_target_where_that_is_unique() -> None:
    data = lines(*({"target": one} for one in ("src/a b.py", "x", "x", "ä", "src/a-b.py", "integration")))
    assert [item.id for item in items(data)] == [
        *("item-000001", "item-000002", "item-000003", "item-000004", "item-000005", "item-000006"),
    ]
    named = lines({"id": "x", "target": "y"}, {"target": "x"}, {"target": "src/a b.py"})
    assert [item.id for item in items(named)] == ["x", "item-000002", "src-a-b.py"]
    taken = lines({"id": "item-000002", "target": "y"}, {"target": "y"}, {"target": "y"})
    assert [item.id for item in items(taken)] == ["item-000002", "item-000002-x", "item-000003"]


@pytest.mark.parametrize(
    ("target", "name"),
    [(".github/x.yml", "github-x.yml"), ("a.lock", ""), ("ä", ""), ("a..b", "a.b"), ("d/" * 60 + "f", None)],
)
def test_an_id_is_safe_as_a_name(target: str, name: str | None) -> None:
    found = id_like(target)
    assert len(found) <= 80
    assert name is None or found == name


BAD: list[tuple[object, list[str]]] = [
    ("nonsense", ["line 1: is not JSON: Expecting value (column 1)"]),
    (
        "{",
        [
            "line 1: is not JSON: Expecting property name enclosed in double quotes (column 2)"
            ", an item is an object on one line"
        ],
    ),
    ("[]", ["line 1: expected an object {...}, found a list: write one object a line"]),
    ("3", ["line 1: expected an object {...}, found a whole number"]),
    ('{"target": "a", "target": "b"}', ['line 1: "target" stands there twice']),
    ('{"target": "a", "priority": NaN}', ["line 1: NaN is no number of JSON"]),
    (
        '{"target": ' + "[" * 100_000,
        ["line 1: is not JSON that can be read: maximum recursion depth exceeded"],
    ),
    ({"target": "a", "piority": 3}, ['line 1: piority: unknown key, did you mean "priority"?']),
    ({"run": ["x"]}, ["line 1: target: is missing: name the file or directory that the item may change"]),
    ({"target": 3}, ["line 1: target: expected a list of texts, found a whole number"]),
    ({"target": []}, ["line 1: target: names nothing: write the path of a file or directory"]),
    ({"target": "/etc/passwd"}, ['"/etc/passwd" is absolute, write it relative to the repository root']),
    ({"target": "~/a"}, ['"~/a" starts with ~/, write it relative to the repository root']),
    ({"target": "a/../../b"}, ['"a/../../b" leaves the repository (..)']),
    ({"target": "a\\b"}, ['"a\\b" has a backslash, write / between directories']),
    ({"target": "./a"}, ['"./a" has an empty or . segment']),
    ({"target": "a//b"}, ['"a//b" has an empty or . segment']),
    ({"target": "a\nb"}, ['"a\\u000ab" has control characters']),
    ({"target": "x/.Git/config"}, ['"x/.Git/config" is inside .git']),
    ({"target": ".mo/config.toml"}, ['".mo/config.toml" is inside .mo']),
    ({"target": "a", "instruction": "x", "run": ["x"]}, ["run: stands beside an instruction"]),
    ({"target": "a", "instruction": " "}, ["instruction: is empty: say what to do"]),
    ({"target": "a", "instruction": "x" * 10_000_000}, ["instruction: has 10.0 MB, at most 1 MB is allowed"]),
    ({"target": "a", "instruction": "x\0"}, ["instruction: holds a NUL or half a surrogate pair"]),
    ({"target": "a", "instruction": "\ud800"}, ["instruction: holds a NUL or half a surrogate pair"]),
    ({"target": "a", "run": "echo x"}, ['run: expected an argv list, found text: write ["echo", "x"]']),
    ({"target": "a", "provider": "codx"}, ['provider: no provider "codx", did you mean "codex"?']),
    ({"target": "a", "provider": "command"}, ['provider: no provider "command"']),
    ({"target": "a", "priority": True}, ["priority: expected a whole number, found true or false"]),
    ({"target": "a", "timeout_seconds": 0}, ["timeout_seconds: expected a number of seconds greater than 0"]),
    ({"target": "a", "max_attempts": 0}, ["max_attempts: expected a whole number, 1 or more, found 0"]),
    ({"target": "a", "verify_commands": 3}, ["verify_commands: expected a list of commands"]),
    ({"target": "a", "require_patterns": ["("]}, ['require_patterns: "(" is no regular expression']),
    ({"target": "a", "allowed_side_files": ["../x"]}, ['allowed_side_files: pattern "../x" leaves']),
    ({"target": "a", "metadata": []}, ["metadata: expected an object"]),
    ({"target": "a", "id": "a/b"}, ['id: "a/b" is not a good id']),
    ({"target": "a", "id": "integration"}, ['id: "integration" is reserved']),
    ({"target": "a", "id": "x" * 101}, ["has 101 characters, at most 100 are allowed"]),
]


@pytest.mark.parametrize(("line", "expected"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_line_is_named(line: object, expected: list[str]) -> None:
    found = problems(lines(line))
    assert len(found) == len(expected)
    for one, part in zip(found, expected):
        assert one.startswith("m: line 1: ")
        assert part in one


def test_all_mistakes_are_said_at_once_and_the_rest_is_counted() -> None:
    found = problems(lines({"target": "a"}, "x", *({"target": "/"} for _ in range(24))))
    assert found[0] == "m: line 2: is not JSON: Expecting value (column 1)"
    assert len(found) == 21
    assert found[-1] == "and 5 more"


def test_without_anything_to_do_a_line_is_refused() -> None:
    assert "write one of them, or say it for all" in problems(lines({"target": "a"}), Common())[0]


def test_an_id_stands_there_once() -> None:
    data = lines({"id": "a", "target": "x"}, {"target": "y"}, {"id": "a", "target": "z"})
    assert problems(data) == ['m: line 3: id: "a" is that of line 1, too']


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "m: holds no item"),
        (b"\n \n", "m: holds no item"),
        (b'{"target": "a"}\n\0', "m: line 2: holds a NUL byte: is it a text?"),
        ('{"target": "a"}'.encode("utf-16"), "m: line 1: is UTF-16: save it as UTF-8"),
        (b'{"target": "a"}\n"\xff"', "m: line 2: is not UTF-8: save it as UTF-8"),
    ],
)
def test_what_is_no_text_or_empty_is_refused(data: bytes, expected: str) -> None:
    assert problems(data) == [expected]


# -- CSV ----------------------------------------------------------------------------------------------


def test_a_csv_says_the_same() -> None:
    data = (
        "id,target,instruction,run,priority,timeout_seconds,verify_commands,require_patterns,metadata\r\n"
        'one,a.py;b.py,"Do it,\nwell.",,2,1.5,"test -s x; true","[a-z]+","{""n"": 1}"\r\n'
        '\r\ntwo,"[""c;d""]",,"sh -c \'echo x\'",,,"[""true"", ""false""]",,\r\n'
    )
    assert items(data.encode(), Common(), as_csv=True) == [
        Item(
            "one",
            ("a.py", "b.py"),
            "Do it,\nwell.",
            priority=2,
            timeout_seconds=1.5,
            verify_commands=("test -s x; true",),
            require_patterns=("[a-z]+",),
            metadata={"n": 1},
        ),
        Item("two", ("c;d",), run=("sh", "-c", "echo x"), verify_commands=("true", "false")),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("id,run\n", ['line 1: has no column "target"']),
        ("targt\n", ['line 1: unknown column "targt", did you mean "target"?', "line 1: has no column"]),
        ("target,id,id\n", ['line 1: column "id" stands there 2 times']),
        ('target,id\n"a\nb",x\nc\n', ["line 2: target", "line 4: cells: 1, columns: 2"]),
        ('target\n"a', ["line 2: is no CSV: unexpected end of data"]),
        ("target,priority\na,high\n", ["line 2: priority: expected a whole number, found text"]),
        ("target,metadata\na,{\n", ["line 2: metadata: is not JSON"]),
        ("target,run\na,'x\n", ["line 2: run: cannot be read as words of a command: No closing quotation"]),
    ],
)
def test_a_bad_csv_is_named(data: str, expected: list[str]) -> None:
    found = problems(data.encode(), as_csv=True)
    assert len(found) == len(expected)
    for one, part in zip(found, expected):
        assert part in one


# -- places -------------------------------------------------------------------------------------------


def test_items_take_turns_within_their_bucket() -> None:
    found = place([Item("a", ("x/a",)), Item("b", ("x/b",)), Item("c", ("c",)), Item("d", bucket="x")], "dir")
    assert [(bucket, turn) for _, bucket, turn, _ in found] == [("x", 0), ("x", 1), (".", 0), ("x", 2)]


@pytest.mark.parametrize(
    ("target", "strategy", "bucket"),
    [
        *(
            ("a/b.tar.gz", "extension", ".gz"),
            ("a/.env", "extension", "(none)"),
            ("a.b/c", "extension", "(none)"),
        ),
        *(("a/b/c", "dir", "a/b"), ("c", "dir", "."), ("a/b", "none", "")),
    ],
)
def test_buckets(target: str, strategy: str, bucket: str) -> None:
    assert bucket_of(target, strategy) == bucket


def after(*targets: str | tuple[str, ...]) -> list[tuple[int, ...]]:
    made = (Item("x", (one,) if isinstance(one, str) else one) for one in targets)
    return [earlier for *_, earlier in place(made, "none")]


def test_items_that_share_a_target_come_one_after_another() -> None:
    assert after("a", "b", "a", ("b", "c"), "c") == [(), (), (1,), (2,), (4,)]
    assert after("d/x", "d/y", "d", "d/x", "e", "d") == [(), (), (1, 2), (1, 3), (), (3, 4)]
    assert after("ab", "a", "a/b/c", "a/b") == [(), (), (2,), (2, 3)]
    assert after(("a", "a/b"), "a/b") == [(), (1,)]


def test_a_long_row_on_one_target_stays_small() -> None:
    assert max(map(len, after(*["a"] * 1000))) == NEAREST


# -- targets against a tree ---------------------------------------------------------------------------


@pytest.fixture
def tree_repo(repo: RepoBuilder, tmp_path: Path) -> RepoBuilder:
    repo.write({"src/a.py": "", "ä b/c\td": "", ".gitignore": "*.log\n"})
    (repo.path / "out").symlink_to(tmp_path)
    (repo.path / "in").symlink_to("src")
    repo.commit({}, "files")
    repo.write({"new.py": "", "x.log": ""})
    return repo


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        *(("src/a.py", ""), ("src", ""), ("ä b", "")),
        ("out", "is a symbolic link: name the file that it leads to"),
        ("out/x", 'leads through the symbolic link "out"'),
        ("in/a.py", 'leads through the symbolic link "in"'),
        ("src/a.py/b", 'is below "src/a.py", which is a file'),
        ("new.py", "is not committed: commit it first, an item starts from the base commit"),
        ("x.log", "is not committed: commit it first, an item starts from the base commit"),
        ("gone.py", "is not in the base commit (--allow-missing: where the item is to make it)"),
    ],
)
def test_targets_are_held_to_the_base(tree_repo: RepoBuilder, target: str, wrong: str) -> None:
    tree = list_tree(Git(tree_repo.path), tree_repo.head())
    for allow_missing in (False, True):
        found = Problems("m")
        one = [Numbered(Item("x", (target,)), 7)]
        check_targets(one, tree, tree_repo.path, found, allow_missing=allow_missing)
        if not wrong or (allow_missing and ("commit" in wrong)):
            found.finish()
        else:
            with pytest.raises(MoError) as caught:
                found.finish()
            assert caught.value.message == f'm: line 7: target: "{target}" {wrong}'
