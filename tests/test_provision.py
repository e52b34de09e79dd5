"""Set-up of worktrees: run once, remembered, cloned where that is safe; its failures are its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mo_daemon import sidecar
from mo_daemon.provision import Prepared, Provisioner
from mo_git import process
from mo_git.model import Command
from tests.need import require
from tests.support import RepoBuilder

COUNT = 'echo "$(pwd -P)" >> "$COUNTER"'
NODE = f"{COUNT}; mkdir -p node_modules/a && cp lock node_modules/a/made && ln -s made node_modules/a/link"


@dataclass(frozen=True)
class Place:
    """A repository with a lock file, and what set-up needs around it; `counter` gets a line per run."""

    main: RepoBuilder
    root: Path

    def provisioner(
        self, *setup: Command, teardown: Sequence[Command] = (), timeout: float = 60
    ) -> Provisioner:
        return Provisioner(
            main_top=self.main.path,
            common_dir=self.main.path / ".git",
            cache_dir=self.root / "cache",
            setup=setup,
            teardown=teardown,
            timeout=timeout,
        )

    def slot(self, name: str, start: str = "main") -> RepoBuilder:
        path = self.root / "slots" / name
        self.main.git("worktree", "add", "-q", "--detach", str(path), start)
        return RepoBuilder(path)

    def recycle(self, slot: RepoBuilder, commit: str = "main") -> None:
        """What the pool does between two tasks."""
        slot.git("reset", "-q", "--hard")
        slot.git("checkout", "-q", "--detach", commit)
        keep = [part for name in sidecar.kept(slot.path) for part in ("-e", f"/{name}")]
        slot.git("clean", "-ffdxq", *keep)

    def env(self, **more: str) -> dict[str, str]:
        return {**os.environ, "COUNTER": str(self.root / "counter"), **more}

    def runs(self) -> list[str]:
        """The slots in which counted set-ups ran, in order."""
        counter = self.root / "counter"
        return [Path(line).name for line in counter.read_text().splitlines()] if counter.exists() else []

    async def prepare(self, provisioner: Provisioner, slot: RepoBuilder, **env: str) -> Prepared:
        log = self.root / f"{slot.path.name}.log"
        return await provisioner.prepare(slot.path, env=self.env(**env), token=slot.path.name, log=log)

    def prepared(self, provisioner: Provisioner, slot: RepoBuilder, **env: str) -> Prepared:
        return asyncio.run(self.prepare(provisioner, slot, **env))

    def log(self, slot: RepoBuilder) -> str:
        return (self.root / f"{slot.path.name}.log").read_text()


@pytest.fixture
def place(repo: RepoBuilder, tmp_path: Path) -> Place:
    repo.commit({".gitignore": "node_modules\n.venv\n.env\n__pycache__\nout\n", "lock": "1\n"})
    return Place(repo, tmp_path)


def seen(prepared: Prepared) -> tuple[bool, str, tuple[str, ...], bool]:
    return prepared.ok, prepared.reason, prepared.kept, prepared.cached


FRESH = (True, "", ("node_modules",), False)
CACHED = (True, "", ("node_modules",), True)


def test_nothing_to_do(place: Place) -> None:
    slot = place.slot("1")
    assert seen(place.prepared(place.provisioner(), slot)) == (True, "", (), True)
    assert not sidecar.path_of(slot.path).exists()
    assert not (place.root / "cache").exists()


def test_commands_run_in_order_in_the_worktree(place: Place) -> None:
    slot = place.slot("1")
    commands: list[Command] = [
        "mkdir out && pwd -P > out/log",
        ("sh", "-c", 'echo "$1 $COUNTER" >> out/log', "sh", "a b"),
        "echo said; echo wrong >&2",
    ]
    assert seen(place.prepared(place.provisioner(*commands), slot)) == (True, "", ("out",), False)
    assert (slot.path / "out/log").read_text() == f"{slot.path}\na b {place.root}/counter\n"
    assert place.log(slot).splitlines()[:5] == [
        "$ mkdir out && pwd -P > out/log",
        """$ sh -c 'echo "$1 $COUNTER" >> out/log' sh 'a b'""",
        "$ echo said; echo wrong >&2",
        "said",
        "wrong",
    ]


def test_later_commands_find_the_tools_that_earlier_ones_made(place: Place) -> None:
    slot = place.slot("1")
    script = "#!/bin/sh\\necho $VIRTUAL_ENV > out"
    make = f"mkdir -p .venv/bin; printf '{script}' > .venv/bin/own; chmod +x .venv/bin/own"
    prepared = place.prepared(place.provisioner(make, "own"), slot, VIRTUAL_ENV="/before")
    assert seen(prepared) == (True, "", (".venv", "out"), False)
    assert (slot.path / "out").read_text() == f"{slot.path}/.venv\n"


# -- remembered in the slot ----------------------------------------------------------------------------


def test_a_recycled_slot_keeps_what_set_up_made(place: Place) -> None:
    slot, provisioner = place.slot("1"), place.provisioner(NODE)
    assert seen(place.prepared(provisioner, slot)) == FRESH
    assert provisioner.kept(slot.path) == ("node_modules",)
    slot.write({"out/junk": "x", "__pycache__/stale.pyc": "x", "new.txt": "x"})
    place.recycle(slot)
    before = place.log(slot)
    assert seen(place.prepared(place.provisioner(NODE), slot)) == CACHED
    assert place.runs() == ["1"]
    assert place.log(slot) == before
    assert slot.git("status", "--porcelain", "--ignored") == "!! node_modules/"


def test_what_set_up_made_is_gone(place: Place) -> None:
    slot = place.slot("1")
    provisioner = place.provisioner(f"{COUNT}; mkdir .venv; pwd -P > .venv/cfg")
    place.prepared(provisioner, slot)
    shutil.rmtree(slot.path / ".venv")
    assert seen(place.prepared(provisioner, slot)) == (True, "", (".venv",), False)
    assert place.runs() == ["1", "1"]


@pytest.mark.parametrize(
    "name", ["package-lock.json", "requirements-dev.txt", "pyproject.toml", "web/yarn.lock", "tools/setup.sh"]
)
def test_a_changed_manifest_runs_set_up_again(place: Place, name: str) -> None:
    slot = place.slot("1")
    provisioner = place.provisioner(
        f"{COUNT}; mkdir out; cp {name} out/made", "test ! -e tools/setup.sh || sh tools/setup.sh"
    )
    for version in ("1\n", "2\n"):
        commit = place.main.commit({name: f"echo {version}"})
        place.recycle(slot, commit)
        assert seen(place.prepared(provisioner, slot)) == (True, "", ("out",), False)
        assert (slot.path / "out/made").read_text() == f"echo {version}"
    assert place.runs() == ["1", "1"]
    place.recycle(slot, place.main.commit({"src/deep/package.json": "{}", "README.md": "other\n"}))
    assert place.prepared(provisioner, slot).cached


def test_outputs_of_another_fingerprint_are_cleared_first(place: Place) -> None:
    slot = place.slot("1")
    place.prepared(place.provisioner(f"{COUNT}; mkdir .venv; touch .venv/old"), slot)
    place.recycle(slot)
    assert seen(place.prepared(place.provisioner(f"{COUNT}; mkdir .venv; touch .venv/new"), slot))[0]
    assert [path.name for path in (slot.path / ".venv").iterdir()] == ["new"]
    place.recycle(slot)
    assert seen(place.prepared(place.provisioner(), slot)) == (True, "", (), True)
    assert slot.git("status", "--porcelain", "--ignored") == ""


def test_a_damaged_memory_is_no_memory(place: Place) -> None:
    slot, provisioner = place.slot("1"), place.provisioner(NODE)
    place.prepared(provisioner, slot)
    file = sidecar.path_of(slot.path)
    assert file == place.root / "slots/1.setup.json"
    for text in ("", "{", "[]", '{"key": 1}', "null"):
        file.write_text(text)
        assert provisioner.kept(slot.path) == ()


def test_after_a_reboot_outputs_count_only_when_whole(place: Place) -> None:
    slot = place.slot("1")
    provisioner = place.provisioner(f"{COUNT}; mkdir -p .venv; pwd -P > .venv/cfg")
    place.prepared(provisioner, slot)
    file = sidecar.path_of(slot.path)
    record = json.loads(file.read_text())
    assert (record["boot"], record["files"], record["size"]) == (process.boot_id(), 1, len(f"{slot.path}\n"))
    file.write_text(json.dumps({**record, "boot": "earlier"}))
    assert place.prepared(provisioner, slot).cached
    (slot.path / ".venv/cfg").write_text("")
    file.write_text(json.dumps({**record, "boot": "earlier"}))
    assert not place.prepared(provisioner, slot).cached
    assert (slot.path / ".venv/cfg").read_text() == f"{slot.path}\n"


def test_bytecode_of_the_project_is_not_kept(place: Place) -> None:
    place.main.commit({"src/a.py": "a\n"})
    slot = place.slot("1")
    provisioner = place.provisioner("mkdir -p out src/__pycache__; touch out/x src/__pycache__/a.pyc")
    assert seen(place.prepared(provisioner, slot)) == (True, "", ("out",), False)


# -- cloned into other slots ---------------------------------------------------------------------------


def tree(top: Path) -> dict[str, str]:
    return {
        str(path.relative_to(top)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in top.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_output_without_a_place_is_cloned(place: Place) -> None:
    slots = [place.slot(name) for name in ("1", "2", "3")]
    provisioner = place.provisioner(NODE)
    assert [seen(place.prepared(provisioner, slot)) for slot in slots] == [FRESH, CACHED, CACHED]
    assert place.runs() == ["1"]
    made = {"a/made": "1\n", "a/link": "-> made"}
    assert [tree(slot.path / "node_modules") for slot in slots] == [made] * 3
    with (slots[1].path / "node_modules/a/made").open("a") as file:
        file.write("in place\n")
    fourth = place.slot("4")
    assert seen(place.prepared(place.provisioner(NODE), fourth)) == CACHED
    assert tree(fourth.path / "node_modules") == made
    assert "cloned from an earlier worktree's\n" in place.log(fourth)


def test_two_slots_at_once_run_it_once(place: Place) -> None:
    slots = [place.slot(name) for name in ("1", "2", "3")]
    provisioner = place.provisioner(f"{NODE}; sleep 0.2")

    async def all_at_once() -> list[Prepared]:
        return await asyncio.gather(*(place.prepare(provisioner, slot) for slot in slots))

    results = asyncio.run(all_at_once())
    assert sorted(map(seen, results)) == sorted([FRESH, CACHED, CACHED])
    assert len(place.runs()) == 1


def test_two_slots_at_once_both_run_what_belongs_to_a_slot(place: Place) -> None:
    slots = [place.slot(name) for name in ("1", "2", "3")]
    provisioner = place.provisioner(f"{COUNT}; mkdir .venv; pwd -P > .venv/cfg")

    async def all_at_once() -> list[Prepared]:
        return await asyncio.gather(*(place.prepare(provisioner, slot) for slot in slots))

    assert list(map(seen, asyncio.run(all_at_once()))) == [(True, "", (".venv",), False)] * 3
    assert sorted(place.runs()) == ["1", "2", "3"]
    assert [(slot.path / ".venv/cfg").read_text() for slot in slots] == [f"{slot.path}\n" for slot in slots]


BOUND = {
    "text": "pwd -P > out/file",
    "binary": "printf '\\0\\377%s\\0' \"$(pwd -P)\" > out/file",
    "link": 'ln -s "$(pwd -P)/lock" out/link',
    "deep": "mkdir -p out/a/b; pwd -P > out/a/b/c",
    "escaped": "pwd -P | sed 's:/:\\\\/:g' > out/file.json",
    "database": 'echo "$DATABASE_NAME" > out/file',
    "pipe": "mkfifo out/pipe",
    "across chunks": "head -c 4194300 /dev/zero > out/file; pwd -P >> out/file",
}


@pytest.mark.parametrize("command", BOUND.values(), ids=BOUND.keys())
def test_output_that_names_its_place_is_not_cloned(place: Place, command: str) -> None:
    provisioner = place.provisioner(f"{COUNT}; mkdir out; {command}")
    for name in ("1", "2"):
        prepared = place.prepared(
            provisioner, place.slot(name), MO_DB_NAME=f"mo_{name}_0123", DATABASE_NAME=f"mo_{name}_0123"
        )
        assert seen(prepared) == (True, "", ("out",), False)
    assert place.runs() == ["1", "2"]
    assert [path.suffix for path in (place.root / "cache/setup").iterdir()] == [".slot"]


def test_a_real_virtual_environment_belongs_to_its_slot(place: Place) -> None:
    python = shutil.which("python3")
    provisioner = place.provisioner(f"{COUNT}; {python} -m venv --without-pip .venv")
    for name in ("1", "2"):
        slot = place.slot(name)
        assert seen(place.prepared(provisioner, slot)) == (True, "", (".venv",), False)
        assert str(slot.path) in (slot.path / ".venv/bin/activate").read_text()
    assert place.runs() == ["1", "2"]


def test_a_set_up_that_leaves_nothing_runs_in_every_new_slot(place: Place) -> None:
    provisioner = place.provisioner(COUNT)
    first, second = place.slot("1"), place.slot("2")
    for slot in (first, second, first, second):
        assert place.prepared(provisioner, slot).ok
    assert place.runs() == ["1", "2"]


def test_a_clone_overwrites_nothing_tracked(place: Place) -> None:
    provisioner = place.provisioner(f'{COUNT}; mkdir -p out; touch out/made; echo no > "out/$NAME"')
    place.prepared(provisioner, place.slot("1"), NAME="tracked")
    place.main.write({"out/tracked": "yes\n"})
    place.main.git("add", "-f", "out/tracked")
    place.main.git("commit", "-qm", "track one")
    slot = place.slot("2")
    assert place.prepared(provisioner, slot).cached
    assert tree(slot.path / "out") == {"made": "", "tracked": "yes\n"}
    assert slot.git("status", "--porcelain") == ""


def test_a_torn_stored_set_up_is_not_used(place: Place) -> None:
    provisioner = place.provisioner(NODE)
    slot = place.slot("1")
    place.prepared(provisioner, slot)
    stored = place.root / "cache/setup" / provisioner.fingerprint(slot.path, place.env())
    record = json.loads((stored / "record.json").read_text())
    (stored / "record.json").write_text(json.dumps({**record, "boot": "earlier"}))
    (stored / "tree/node_modules/a/made").write_text("")
    assert seen(place.prepared(provisioner, place.slot("2"))) == FRESH
    assert seen(place.prepared(provisioner, place.slot("3"))) == CACHED
    assert tree(place.root / "slots/3/node_modules") == {"a/made": "1\n", "a/link": "-> made"}


def test_few_stored_set_ups_stay_and_leftovers_of_dead_processes_go(place: Place) -> None:
    cache = place.root / "cache/setup"
    for index in range(5):
        place.prepared(place.provisioner(f"mkdir out; echo {index} > out/x"), place.slot(str(index)))
        (cache / ".unfinished.1.999999999").mkdir()
        (cache / f".unfinished.1.{os.getpid()}").mkdir(exist_ok=True)
    place.prepared(place.provisioner("mkdir out; echo last > out/x"), place.slot("last"))
    names = [path for path in cache.iterdir() if path.name[0] != "."]
    assert sorted((path / "tree/out/x").read_text() for path in names) == ["3\n", "4\n", "last\n"]
    assert [path.name for path in cache.glob(".*")] == [f".unfinished.1.{os.getpid()}"]


# -- what varies with the task -------------------------------------------------------------------------


def test_commands_with_a_variable_of_the_task_run_for_every_task(place: Place) -> None:
    slot = place.slot("1")
    provisioner = place.provisioner(
        f"{COUNT}; mkdir node_modules; touch node_modules/x", "echo $MO_DB_NAME > .env", "test -s .env"
    )
    for name, cached in (("mo_a", False), ("mo_b", True)):
        prepared = place.prepared(provisioner, slot, MO_DB_NAME=name)
        assert seen(prepared) == (True, "", ("node_modules",), cached)
        assert (slot.path / ".env").read_text() == f"{name}\n"
        place.recycle(slot)
    other = place.slot("2")
    assert place.prepared(provisioner, other, MO_DB_NAME="mo_c").cached
    assert (other.path / ".env").read_text() == "mo_c\n"
    assert place.runs() == ["1"]


# -- included files ------------------------------------------------------------------------------------


def test_included_files_come_before_set_up_and_never_into_a_commit(place: Place) -> None:
    place.main.commit({".worktreeinclude": ".env\nnode_modules\n"})
    place.main.write({".env": "SECRET=1\n", "node_modules/own/x": "x\n"})
    slot = place.slot("1")
    provisioner = place.provisioner(f"{COUNT}; mkdir out; cp .env out/copy")
    assert seen(place.prepared(provisioner, slot)) == (True, "", ("node_modules", "out"), False)
    slot.write({"work.txt": "w\n"})
    slot.git("add", "-A")
    slot.git("commit", "-qm", "snapshot")
    assert slot.git("diff", "--name-only", "main", "HEAD") == "work.txt"
    place.recycle(slot)
    assert not (slot.path / ".env").exists()
    assert place.prepared(provisioner, slot).cached
    assert (slot.path / ".env").read_text() == "SECRET=1\n"
    place.main.write({".env": "SECRET=22\n"})
    place.recycle(slot)
    assert not place.prepared(provisioner, slot).cached
    assert ((slot.path / ".env").read_text(), (slot.path / "out/copy").read_text()) == ("SECRET=22\n",) * 2
    other = place.slot("2")
    assert place.prepared(provisioner, other).cached
    assert (other.path / ".env").read_text() == "SECRET=22\n"
    assert not list((place.root / "cache").rglob(".env"))
    assert place.runs() == ["1", "1"]


def test_included_directories_without_set_up_are_copied_once(place: Place) -> None:
    place.main.commit({".worktreeinclude": "node_modules\n"})
    place.main.write({"node_modules/own/x": "x\n"})
    slot, provisioner = place.slot("1"), place.provisioner()
    assert seen(place.prepared(provisioner, slot)) == CACHED
    place.recycle(slot)
    (slot.path / "node_modules/mark").touch()
    assert seen(place.prepared(provisioner, slot)) == CACHED
    assert tree(slot.path / "node_modules") == {"own/x": "x\n", "mark": ""}
    place.main.write({"node_modules/later": "l\n"})
    place.recycle(slot)
    assert seen(place.prepared(provisioner, slot)) == CACHED
    assert tree(slot.path / "node_modules") == {"own/x": "x\n", "later": "l\n"}


# -- failures ------------------------------------------------------------------------------------------


def test_a_failing_command(place: Place) -> None:
    slot = place.slot("1")
    provisioner = place.provisioner(
        f"{COUNT}; mkdir out",
        "for i in $(seq 50); do echo line $i; done; echo no disk >&2; exit 7",
        "touch never",
    )
    prepared = place.prepared(provisioner, slot)
    first, *tail = prepared.reason.splitlines()
    assert first == (
        "set-up command `for i in $(seq 50); do echo line $i; done; echo no disk >&2; exit 7` "
        "ended with exit code 7"
    )
    assert tail == [*(f"line {i}" for i in range(32, 51)), "no disk"]
    assert (prepared.ok, prepared.kept, prepared.cached) == (False, (), False)
    assert prepared.log == place.root / "1.log"
    assert "line 1\n" in place.log(slot)
    assert not (slot.path / "never").exists()
    assert provisioner.kept(slot.path) == ()
    shutil.rmtree(slot.path / "out")
    assert not place.prepared(provisioner, slot).ok
    assert place.runs() == ["1", "1"]


FAILURES: dict[str, tuple[Command, str]] = {
    "missing program": (
        ("no-such-program", "x"),
        "set-up command `no-such-program x` cannot start: No such file or directory",
    ),
    "not executable": (("./lock",), "set-up command `./lock` cannot start: Permission denied"),
    "missing in shell": ("no-such-program", "set-up command `no-such-program` ended with exit code 127"),
    "signal": ("kill -9 $$", "set-up command `kill -9 $$` died of signal 9"),
    "timeout": ("sleep 60", "set-up command `sleep 60` did not end within 0.3 s"),
}


@pytest.mark.parametrize(("command", "reason"), FAILURES.values(), ids=FAILURES.keys())
def test_other_failures(place: Place, command: Command, reason: str) -> None:
    prepared = place.prepared(place.provisioner(command, timeout=0.3), place.slot("1"))
    assert prepared.ok is False
    assert prepared.reason.splitlines()[0] == reason
    assert process.survivors(["1"]) == []


def test_the_deadline_ends_the_whole_tree(place: Place) -> None:
    process.become_subreaper()
    slot = place.slot("1")
    command = "(setsid sleep 600 &) ; sleep 600 & wait"
    prepared = place.prepared(place.provisioner(command, timeout=0.3), slot)
    assert "did not end within 0.3 s" in prepared.reason
    assert process.survivors(["1"]) == []


def test_cancelling_ends_the_command(place: Place) -> None:
    slot = place.slot("1")

    async def cancelled() -> None:
        running = asyncio.create_task(place.prepare(place.provisioner("echo started; sleep 600"), slot))
        while not (place.root / "1.log").exists() or "started\n" not in place.log(slot).split("600\n")[-1]:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert process.survivors(["1"]) == []
    assert sidecar.kept(slot.path) == ()


def test_a_failure_of_one_slot_does_not_stop_another(place: Place) -> None:
    slots = [place.slot(name) for name in ("1", "2")]
    provisioner = place.provisioner(f'{COUNT}; mkdir out; touch out/x; test "$(wc -l < "$COUNTER")" -ge 2')

    async def all_at_once() -> list[Prepared]:
        return await asyncio.gather(*(place.prepare(provisioner, slot) for slot in slots))

    assert sorted(prepared.ok for prepared in asyncio.run(all_at_once())) == [False, True]


def test_new_files_that_git_would_commit_are_refused(place: Place) -> None:
    slot = place.slot("1")
    prepared = place.prepared(place.provisioner("mkdir mo.egg-info; touch mo.egg-info/x"), slot)
    assert seen(prepared) == (
        False,
        "set-up left files that git does not ignore: mo.egg-info/\n"
        "add them to .gitignore (or .git/info/exclude), else every task would commit them",
        (),
        False,
    )


def test_changed_tracked_files_are_put_back(place: Place) -> None:
    slot = place.slot("1")
    slot.write({"README.md": "the agent's\n"})
    command = (
        "echo 2 > lock; rm .gitignore; echo n > '*new'; git add lock '*new'; echo more >> README.md; "
        "mkdir out; touch out/x"
    )
    assert seen(place.prepared(place.provisioner(command), slot)) == (True, "", ("out",), False)
    assert slot.git("status", "--porcelain") == " M README.md"
    assert (slot.path / "README.md").read_text() == "the agent's\nmore\n"
    assert "set-up changed tracked files, put back: *new, .gitignore, lock\n" in place.log(slot)


# -- submodules, large files ---------------------------------------------------------------------------


def test_submodules_are_filled_before_set_up(place: Place, tmp_path: Path) -> None:
    lib = RepoBuilder.create(tmp_path / "lib", {"f": "1\n", ".gitignore": "built\n"})
    place.main.git("submodule", "--quiet", "add", str(lib.path), "lib")
    place.main.commit({}, "with lib")
    provisioner = place.provisioner(f"{COUNT}; mkdir out; cp lib/f out/copy; touch lib/built")
    slot = place.slot("1")
    assert seen(place.prepared(provisioner, slot)) == (True, "", ("out",), False)
    assert (slot.path / "out/copy").read_text() == "1\n"
    place.recycle(slot)
    assert place.prepared(provisioner, slot).cached
    assert (slot.path / "lib/built").exists()
    # Its output lies in the submodule too, where a clone of `out` alone would not bring it.
    assert not place.prepared(provisioner, place.slot("2")).cached
    RepoBuilder(place.main.path / "lib").commit({"f": "2\n"}, "two")
    place.recycle(slot, place.main.commit({}, "bump"))
    assert not place.prepared(provisioner, slot).cached
    assert (slot.path / "out/copy").read_text() == "2\n"
    assert place.runs() == ["1", "2", "1"]


def test_a_submodule_that_cannot_be_had_is_a_failure_of_set_up(place: Place, tmp_path: Path) -> None:
    place.main.write({".gitmodules": f'[submodule "lib"]\n\tpath = lib\n\turl = {tmp_path}/gone\n'})
    place.main.git("add", ".gitmodules")
    place.main.git("update-index", "--add", "--cacheinfo", f"160000,{'ab' * 20},lib")
    place.main.git("commit", "-qm", "lib")
    prepared = place.prepared(place.provisioner(), place.slot("1"))
    assert (prepared.ok, prepared.kept) == (False, ())
    assert prepared.reason.startswith("cannot fill the submodule lib: ")
    assert prepared.reason.endswith(
        "; run `git submodule update --init --recursive` in the main checkout, then try again"
    )


def test_large_files_are_real_when_set_up_runs(place: Place) -> None:
    require("git-lfs")
    place.main.git("lfs", "install", "--local")
    place.main.git("lfs", "track", "*.bin")
    place.main.commit({"data.bin": "the content\n"})
    assert "git-lfs" in place.main.git("show", "HEAD:data.bin")
    slot = place.slot("1")
    prepared = place.prepared(place.provisioner('test "$(cat data.bin)" = "the content"'), slot)
    assert seen(prepared) == (True, "", (), False)
    assert slot.git("status", "--porcelain") == ""


# -- teardown ------------------------------------------------------------------------------------------


def teardown(place: Place, provisioner: Provisioner, slot: RepoBuilder) -> str:
    log = place.root / "teardown.log"
    asyncio.run(provisioner.teardown(slot.path, env=place.env(), token="down", log=log))
    return log.read_text() if log.exists() else ""


def test_teardown_goes_on_after_a_failure(place: Place) -> None:
    slot = place.slot("1")
    commands: list[Command] = ["echo first; exit 3", ("no-such-program",), "sleep 60", COUNT]
    assert teardown(place, place.provisioner(teardown=commands, timeout=0.3), slot).splitlines() == [
        "$ echo first; exit 3",
        "first",
        "teardown command `echo first; exit 3` ended with exit code 3",
        "$ no-such-program",
        "teardown command `no-such-program` cannot start: No such file or directory",
        "$ sleep 60",
        "teardown command `sleep 60` did not end within 0.3 s",
        f"$ {COUNT}",
    ]
    assert place.runs() == ["1"]
    assert process.survivors(["down"]) == []


def test_no_teardown_leaves_no_trace(place: Place) -> None:
    assert teardown(place, place.provisioner(COUNT), place.slot("1")) == ""
    assert place.runs() == []


def test_nobody_else_can_write_what_is_stored(place: Place) -> None:
    """Modes of set-up's files survive a clone."""
    provisioner = place.provisioner("mkdir out; touch out/tool; chmod 750 out/tool; chmod 700 out")
    place.prepared(provisioner, place.slot("1"))
    slot = place.slot("2")
    assert place.prepared(provisioner, slot).cached
    modes = [stat.S_IMODE((slot.path / name).stat().st_mode) for name in ("out", "out/tool")]
    assert modes == [0o700, 0o750]
