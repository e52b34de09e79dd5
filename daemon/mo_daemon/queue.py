"""stand-in until the policy is merged"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    task: str
    dependents: int
    priority: int
    since: float
    risk: float = 0.1
    needs: frozenset[str] = frozenset()
    restarts: int = 0
    solo: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    members: tuple[str, ...]
    ids: frozenset[str] | None = None
    again: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    probe: Probe
    verdict: str
    bad: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Blame:
    task: str
    ids: frozenset[str]
    probe: Probe
    partner: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    land: tuple[str, ...] = ()
    eject: tuple[Blame, ...] = ()
    hold: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    cancel: tuple[Probe, ...] = ()
    flaky: frozenset[str] = frozenset()


def line_up(candidates: Sequence[Candidate], window: int) -> list[str]:
    todo = sorted(candidates, key=lambda c: (-c.dependents, c.risk, -c.priority, c.since, c.task))
    names = {c.task for c in todo}
    done: list[str] = []
    while len(done) < min(window, len(todo)):
        ready = [c for c in todo if c.task not in done and not (c.needs & names) - set(done)]
        if not ready:
            break
        done.append(ready[0].task)
    return done


def step(train: Sequence[Candidate], seen: Sequence[Seen], running: Sequence[Probe], slots: int) -> Step:
    order = tuple(c.task for c in train)
    by: dict[Probe, Seen] = {}
    for one in seen:
        by.setdefault(one.probe, one)
    if running:
        return Step()
    k = len(order)
    while k > 0:
        one = by.get(Probe(order[:k]))
        if one is None:
            return Step(probes=(Probe(order[:k]),))
        if one.verdict == "green":
            return Step(land=order[:k])
        if k == 1:
            if one.verdict == "red":
                return Step(eject=(Blame(order[0], one.bad, one.probe),))
            two = by.get(Probe(order[:1], None, 1))
            if two is None:
                return Step(probes=(Probe(order[:1], None, 1),))
            if two.verdict == "green":
                return Step(land=order[:1])
            if two.verdict == "red":
                return Step(eject=(Blame(order[0], two.bad, two.probe),))
            return Step(hold=order[:1])
        k //= 2
    return Step()


def after_landing(seen: Sequence[Seen], landed: Sequence[str]) -> list[Seen]:
    n = len(landed)
    out = []
    for one in seen:
        if one.probe.members[:n] == tuple(landed) and len(one.probe.members) > n:
            out.append(
                Seen(Probe(one.probe.members[n:], one.probe.ids, one.probe.again), one.verdict, one.bad)
            )
    return out


def without(seen: Sequence[Seen], gone: Sequence[str]) -> list[Seen]:
    return [one for one in seen if not set(one.probe.members) & set(gone)]


def prior(landed: int, ejected: int) -> float:
    return (1 + ejected) / (10 + landed + ejected)


def conflicting_with(
    paths: Sequence[str], landed: Sequence[tuple[str, Sequence[str]]], contained: Mapping[str, bool]
) -> list[str]:
    """Landed tasks that touched one of these paths and are not in the candidate's base.

    `landed` are (task, paths) in landing order, `contained` says which of them the base already has.
    """
    wanted = set(paths)
    return [task for task, touched in landed if not contained.get(task) and wanted.intersection(touched)]
