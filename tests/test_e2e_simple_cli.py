"""`mo simple` from the manifest to the branch, with a daemon."""

from __future__ import annotations

import json

from tests import schemas
from tests.driver import Mo

MANIFEST = """\
{"target": "a", "run": ["sh", "-c", "echo 1 >> {target}"]}
{"target": "b", "run": ["sh", "-c", "test -e /dev/null.none"], "max_attempts": 1}
{"target": "a", "run": ["sh", "-c", "echo 2 >> {target}"], "id": "again", "metadata": {"n": 1}}
"""


def test_a_job_is_run_looked_at_retried_and_landed(mo: Mo) -> None:
    mo.repo.commit({"a": "0\n", "b": "0\n"})
    mo.repo.write({"m.jsonl": MANIFEST})
    done = mo("simple", "run", "--manifest", "m.jsonl", "--gate", "none", "-j", "2", code=1)
    assert "1 of 3 items did not land" in done.out
    assert "mo simple retry m-jsonl-" in done.out

    document = mo.json("simple", "status")
    assert schemas.problems("simple_status", document) == []
    assert document["job"]["items"] == {"landed": 2, "failed": 1}
    assert [one["id"] for one in document["job"]["failed"]] == ["b"]
    mo.wait_for(lambda: "2 landed, 1 failed" in mo("status").out)
    overview = mo.json("status")
    assert schemas.problems("status", overview) == []
    assert overview["goals"][0]["items"] == {"landed": 2, "failed": 1}

    mo("simple", "retry", code=1)
    results = {one["id"]: one for one in map(json.loads, mo("simple", "show", "--jsonl").out.splitlines())}
    assert {name: one["attempt"] for name, one in results.items()} == {"a": 1, "b": 2, "again": 1}
    assert results["again"]["metadata"] == {"n": 1}
    refused = mo("simple", "resume", code=2)
    assert "has ended: failed" in refused.err

    mo("land", "@last")
    assert mo.repo.tree()["a"] == "0\n1\n2"


def test_a_job_in_the_background_is_followed_again(mo: Mo) -> None:
    mo.repo.commit({"a": "0\n", "b": "0\n"})
    run = ("simple", "run", "--glob", "?", "--run", "sh -c 'echo 1 >> {target}'", "--gate", "none")
    job = mo.json(*run, "--detach")["goal"]
    lines = mo.start("--json", "simple", "resume", job).communicate(timeout=60)[0].splitlines()
    ended = [one for one in map(json.loads, lines) if one.get("event") == "goal_ended"]
    assert ended in ([], [{"event": "goal_ended", "goal": job, "state": "done", "reason": ""}])
    mo.wait_for(lambda: mo.json("simple", "status")["job"]["state"] == "done")
