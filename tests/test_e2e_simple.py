"""Jobs of simple mode, from the queue to the branch: real git, real programs, a real daemon."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import pytest

from mo_git.model import Bulk
from mo_git.simple.item import Item
from tests.agents import do, keys, settings
from tests.driver import Mo
from tests.jobs import JOB, counts, ended, landed_items, outcome, queue, rows, run
from tests.stub_api import StubApi

APPEND = ("sh", "-c", 'printf "%s\\n" done >> "$1"', "sh", "{target}")
PATIENT = {"retry": {"base_seconds": 0.0}}


def files(mo: Mo, number: int) -> list[str]:
    """Files d0/f0.txt and so on, committed."""
    names = [f"d{n % 7}/f{n}.txt" for n in range(number)]
    mo.repo.commit({name: f"{name}\n" for name in names})
    return names


def test_every_item_lands_as_one_commit(mo: Mo) -> None:
    names = files(mo, 60)
    edited = mo.repo.path / names[3]
    edited.write_text("my own work\n")
    (mo.repo.path / "notes.txt").write_text("mine, too\n")
    queue(mo, [Item(f"i{n}", (name,), run=APPEND) for n, name in enumerate(names)])
    run(mo)
    assert counts(mo) == {"landed": 60}
    assert mo.goal(JOB).state == "done"
    assert sorted(landed_items(mo)) == sorted(f"i{n}" for n in range(60))
    for name in names:
        assert mo.repo.git("show", f"mo/{JOB}/integration:{name}") == f"{name}\ndone"
    assert (edited.read_text(), mo.repo.git("status", "--porcelain").split("\n")[0].strip()) == (
        "my own work\n",
        f"M {names[3]}",
    )
    refused = mo("land", JOB, code=None)  # over uncommitted work in the way: never
    assert refused.code != 0
    assert "are in the way" in refused.err
    mo.repo.git("checkout", "--", names[3])
    mo("land", JOB)
    assert edited.read_text() == f"{names[3]}\ndone\n"
    assert (mo.repo.path / "notes.txt").read_text() == "mine, too\n"


def test_items_of_one_target_follow_each_other(mo: Mo) -> None:
    names = files(mo, 2)
    count = ("sh", "-c", 'echo "$(wc -l < "$1")" >> "$1"', "sh", "{target}")
    items = [Item(f"i{n}", (names[n % 2],), run=count) for n in range(10)]
    queue(mo, items, after={n: tuple(range(n - 2, 0, -2)) for n in range(3, 11)})
    run(mo)
    assert counts(mo) == {"landed": 10}
    for name in names:
        found = mo.repo.git("show", f"mo/{JOB}/integration:{name}").split()
        assert found == [name, "1", "2", "3", "4", "5"]


def test_side_files_that_conflict_are_done_again(mo: Mo) -> None:
    names = files(mo, 8)
    mo.repo.commit({"log.txt": "begin\n"})
    both = ("sh", "-c", 'echo x >> "$1"; echo "$1" >> log.txt', "sh", "{target}")
    mo.configure(**PATIENT)
    queue(
        mo,
        [
            Item(f"i{n}", (name,), run=both, allowed_side_files=("log.txt",))
            for n, name in enumerate(names[:3])
        ],
    )
    run(mo)
    assert counts(mo) == {"landed": 3}
    assert mo.repo.git("show", f"mo/{JOB}/integration:log.txt").split()[0] == "begin"
    assert sorted(mo.repo.git("show", f"mo/{JOB}/integration:log.txt").split()[1:]) == sorted(names[:3])


def test_what_fails_says_why_and_is_kept(mo: Mo) -> None:
    names = files(mo, 6)
    mo.configure(simple={"max_attempts": 1}, **PATIENT)
    say = ("sh", "-c", 'echo "$2" > "$1"', "sh", "{target}")
    items = [
        Item("fine", (names[0],), run=(*say, "good")),
        Item("same", (names[1],), run=("true",)),
        Item("beside", (names[2],), run=("sh", "-c", "echo x > elsewhere.txt")),
        Item("pattern", (names[3],), run=(*say, "bad"), require_patterns=("^good$",)),
        Item("verify", (names[4],), run=(*say, "bad"), verify_commands=("grep -q good {target}",)),
        Item("hangs", (names[5],), run=("sleep", "60"), timeout_seconds=0.5),
        Item("crash", (names[5],), run=("sh", "-c", "echo oh no; exit 3")),
    ]
    queue(mo, items, after={7: (6,)})
    run(mo)
    found = rows(mo)
    assert {name: (str(row.state), row.failure) for name, row in found.items()} == {
        "fine": ("landed", ""),
        "same": ("unchanged", ""),
        "beside": ("failed", "scope"),
        "pattern": ("failed", "check_failed"),
        "verify": ("failed", "check_failed"),
        "hangs": ("failed", "timeout"),
        "crash": ("failed", "crash"),
    }
    assert found["crash"].reason.startswith("exit code 3: oh no")
    assert mo.repo.git("show", f"{found['verify'].kept}:{names[4]}") == "bad"
    assert found["verify"].kept in mo.repo.git("rev-list", f"refs/mo/keep/{JOB}/items")
    assert mo.goal(JOB).ended == ("failed", "5 of 7 items did not land")


UNITTEST = f"{sys.executable} -m unittest -q"
PAIRS = """
import pathlib, unittest

class Pairs(unittest.TestCase):
    pass

def add(n):
    def test(self):
        both = [pathlib.Path(f"pairs/{{n}}-{{side}}.txt").read_text() for side in "ab"]
        self.assertFalse(all("done" in text for text in both))
    setattr(Pairs, f"test_pair_{{n}}", test)

for n in range({pairs}):
    add(n)
"""


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_five_hundred_items_of_which_some_fail(mo: Mo) -> None:
    """5 % fail validation, 2 % break the gate only in combination, 1 % hang; retry redoes only these."""
    pairs, bad, hanging = 5, 25, 5
    sides = [f"pairs/{n}-{side}.txt" for n in range(pairs) for side in "ab"]
    names = [f"d{n % 9}/f{n}.txt" for n in range(490)]
    mo.repo.commit({"test_pairs.py": PAIRS.format(pairs=pairs), **dict.fromkeys((*names, *sides), "x\n")})
    mo.configure(simple={"max_attempts": 1}, **PATIENT)
    items = [Item(f"i{n}", (name,), run=APPEND) for n, name in enumerate(names)]
    for n in range(bad):
        items[n * 7] = Item(f"bad{n}", (names[n * 7],), run=APPEND, require_patterns=("never there",))
    for n in range(hanging):
        items[n * 11 + 1] = Item(f"hangs{n}", (names[n * 11 + 1],), run=("sleep", "99"), timeout_seconds=1)
    items += [Item(name.replace("/", "-"), (name,), run=APPEND) for name in sides]
    random.Random(5).shuffle(items)
    queue(mo, items, gate=UNITTEST)
    run(mo, seconds=300)
    found = rows(mo)
    failed = {name: row.failure for name, row in found.items() if row.state == "failed"}
    classes = {name: failure for name, failure in failed.items() if not name.startswith("pairs")}
    assert classes == {f"bad{n}": "check_failed" for n in range(bad)} | {
        f"hangs{n}": "timeout" for n in range(hanging)
    }
    broken = sorted(name for name in failed if name.startswith("pairs"))
    assert [name.partition("-")[2].partition("-")[0] for name in broken] == [str(n) for n in range(pairs)]
    assert {failed[name] for name in broken} == {"gate_red"}
    assert all(f"test_pair_{name.split('-')[1]}" in found[name].reason for name in broken)
    assert counts(mo) == {"landed": 500 - bad - hanging - pairs, "failed": bad + hanging + pairs}
    attempts = {name: row.attempt for name, row in found.items()}
    mo("retry", JOB)
    mo.wait_for(lambda: ended(mo), 200)
    again = {name for name, row in rows(mo).items() if row.attempt > attempts[name]}
    assert again == set(failed)
    assert len(landed_items(mo)) == len(set(landed_items(mo))) == 500 - bad - hanging - pairs


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_kill_9_at_random_moments(mo: Mo) -> None:
    """However often the daemon is killed, every item lands exactly once."""
    chosen, kills, round_ = random.Random(3), 0, 0
    while kills < 20:
        names = files(mo, 150)
        job = queue(
            mo, [Item(f"i{n}", (name,), run=APPEND) for n, name in enumerate(names)], job=f"job-{round_}k"
        )
        round_ += 1
        mo("daemon", "start")
        while not ended(mo, job):
            time.sleep(chosen.uniform(0.05, 1.2))
            if not ended(mo, job) and mo.daemon() is not None:
                mo.kill()
                kills += 1
                mo("daemon", "start")
        assert counts(mo, job) == {"landed": 150}
        landed = landed_items(mo, job)
        assert (len(landed), len(set(landed))) == (150, 150)
        for name in names:
            assert mo.repo.git("show", f"mo/{job}/integration:{name}") == f"{name}\ndone"
    assert mo.home.read_status() is not None
    assert json.loads(mo.home.status_file.read_text())["v"] == 1


def test_commands_of_the_job_check_every_item(mo: Mo) -> None:
    names = files(mo, 2)
    mo.configure(simple={"max_attempts": 1}, **PATIENT)
    items = [
        Item("a", (names[0],), run=APPEND),
        Item("b", (names[1],), run=("sh", "-c", "echo no > " + names[1])),
    ]
    queue(mo, items, bulk=Bulk(0, validate=("grep -q done {target}",)))
    run(mo)
    assert {name: row.failure for name, row in rows(mo).items()} == {"a": "", "b": "check_failed"}


def test_one_item_is_taken_back(mo: Mo) -> None:
    names = files(mo, 3)
    queue(mo, [Item(f"i{n}", (name,), run=APPEND) for n, name in enumerate(names)])
    run(mo)
    request = mo.home.drop("rollback", {"goal": JOB, "item": "i1"})
    mo.wait_for(lambda: outcome(mo, request) is not None)
    assert outcome(mo, request)["message"] == "took back item i1; gate green"
    assert mo.repo.git("show", f"mo/{JOB}/integration:{names[1]}") == names[1]
    assert mo.repo.git("show", f"mo/{JOB}/integration:{names[2]}") == f"{names[2]}\ndone"
    assert counts(mo) == {"landed": 2, "cancelled": 1}


def test_cancelled_and_done_again(mo: Mo) -> None:
    names = files(mo, 30)
    slow = ("sh", "-c", 'sleep 0.3; echo done >> "$1"', "sh", "{target}")
    queue(mo, [Item(f"i{n}", (name,), run=slow) for n, name in enumerate(names)], parallel=4)
    mo("daemon", "start")
    mo.wait_for(lambda: counts(mo)["candidate"] > 3)
    mo("cancel", JOB)
    mo.wait_for(lambda: ended(mo))
    assert mo.programs() == []
    assert str(mo.goal(JOB).state) == "cancelled"
    assert set(counts(mo)) <= {"landed", "cancelled"}
    mo("retry", JOB)
    mo.wait_for(lambda: ended(mo))
    assert counts(mo) == {"landed": 30}
    assert len(landed_items(mo)) == 30


@pytest.mark.slow
def test_the_real_codex_does_twenty_items(mo: Mo, api: StubApi, mode: str) -> None:
    mo = Mo(mo.repo, keys(api))
    names = files(mo, 20)
    mo.configure(**settings(api, mode))
    items = [
        Item(f"i{n}", (name,), do({"write": [name, f"by codex {n}\n"]}, {"say": "done"}), provider="codex")
        for n, name in enumerate(names)
    ]
    queue(mo, items, bulk=Bulk(0, agents=("codex",)), parallel=4)
    run(mo, seconds=110)
    assert counts(mo) == {"landed": 20}
    for n, name in enumerate(names):
        assert mo.repo.git("show", f"mo/{JOB}/integration:{name}") == f"by codex {n}"
    assert mo.goal(JOB).spent["codex"].input_tokens == 1000 * len(api.prompts("/responses"))
    assert {row.provider for row in rows(mo).values()} == {"codex"}
    mo.stop()


AGENT = """\
import json, os, pathlib, sys, time
here, target = pathlib.Path(sys.argv[0]).parent, os.environ["MO_TARGET"]
prompt = pathlib.Path(sys.argv[1]).read_text()
(here / f"{len(list(here.glob('*.prompt')))}.prompt").write_text(prompt)
pathlib.Path(target).write_text("half\\n")
print(json.dumps({"usd": 0.25}), flush=True)
while (here / "hold").exists():
    time.sleep(0.02)
pathlib.Path(target).write_text("bad\\n" if "earlier attempt" not in prompt else "whole\\n")
print(json.dumps({"text": "done", "usd": 0.5}))
"""


def test_an_agents_item_is_kept_paid_for_and_told_why_it_failed(mo: Mo, tmp_path: Path) -> None:
    """kill -9 while it works, then a result that is not accepted, then one that is."""
    place = tmp_path / "programs"
    place.mkdir()
    (place / "agent.py").write_text(AGENT)
    (place / "hold").touch()
    names = files(mo, 1)
    shape = {
        "kind": "generic",
        "prompt": "file",
        "output": "jsonl",
        "execution_security_mode": "trusted_local",
    }
    argv = [sys.executable, str(place / "agent.py"), "{prompt_file}"]
    fields = {"text": "text", "cost": "usd"}
    mo.configure(**PATIENT, **{"agents.own": {**shape, "argv": argv}, "agents.own.fields": fields})
    item = Item("one", (names[0],), "Say whole.", provider="own", require_patterns=("whole",))
    queue(mo, [item], bulk=Bulk(0, agents=("own",)))
    mo("daemon", "start")
    mo.wait_for(lambda: (mo.home.run_dir(JOB, "one", 1) / "stream.jsonl").exists())
    stream = mo.home.run_dir(JOB, "one", 1) / "stream.jsonl"
    mo.wait_for(lambda: b"0.25" in stream.read_bytes())
    mo.kill()
    mo("daemon", "start")
    mo.wait_for((place / "1.prompt").exists)
    (place / "hold").unlink()
    run(mo)
    row = rows(mo)["one"]
    assert (str(row.state), row.attempt, row.tries, row.failures) == ("landed", 3, 2, "check_failed")
    assert mo.repo.git("show", f"mo/{JOB}/integration:{names[0]}") == "whole"
    kept = mo.repo.git("log", "--format=%H %s", f"refs/mo/keep/{JOB}/items", "--not", "main").splitlines()
    left = {mo.repo.git("show", f"{line.split()[0]}:{names[0]}") for line in kept if "#" in line}
    assert left == {"half", "bad"}
    assert mo.goal(JOB).spent["own"].cost_usd == 1.25
    told = (place / "2.prompt").read_text()
    assert "pattern: nothing that changed matches whole" in told
    assert "Say whole." in told


def test_an_agent_that_cannot_work_here_stops_the_job(mo: Mo, tmp_path: Path) -> None:
    """Not every item is tried with it; the person mends it, and the job goes on."""
    agent = tmp_path / "agent.sh"
    agent.write_text("#!/no/such/interpreter\n")
    agent.chmod(0o755)
    names = files(mo, 12)
    shape = {"kind": "generic", "prompt": "stdin", "output": "text", "argv": [str(agent)]}
    shape |= {"execution_security_mode": "trusted_local"}
    mo.configure(**PATIENT, simple={"workers": 2}, **{"agents.own": shape})
    queue(mo, [Item(f"i{n}", (name,), "Do it.", provider="own") for n, name in enumerate(names)])
    run(mo)
    assert str(mo.goal(JOB).state) == "halted"
    assert "own cannot be used" in mo.goal(JOB).reason
    assert counts(mo) == {"queued": 12}
    assert sum(row.attempt for row in rows(mo).values()) <= 2
    agent.write_text('#!/bin/sh\necho done > "$MO_TARGET"\n')
    mo("resume", JOB)
    mo.wait_for(lambda: ended(mo))
    assert counts(mo) == {"landed": 12}
