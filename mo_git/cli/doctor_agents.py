"""What `mo doctor` says about agents: whether each is there and can log in, and what is around it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from mo_git import locate, logins, process
from mo_git.cli.agents import paid, remedy_of
from mo_git.cli.client import await_outcome, daemon_argv, ensure_daemon, send
from mo_git.config_agents import AgentEntry
from mo_git.errors import MoError
from mo_git.home import Home
from mo_git.logins import Source
from mo_git.model import BUILT_IN_AGENTS, agent_section
from mo_git.text import one_line

_PROOF_SECONDS = 30.0
_ANSWER_SECONDS = 45.0  # with making a worktree, and ending a program that does not answer
_PROBE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `level` is ok, warn or fail."""

    name: str
    level: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class _There:
    """An agent whose program was found."""

    name: str
    entry: AgentEntry
    about: str
    source: Source


def agents(home: Home, roster: dict[str, AgentEntry], *, prove: bool) -> Iterator[Finding]:
    """One finding for each agent that is there, configured or declared.  None of them fails for its login."""
    there, lost = [], []
    for name, entry in roster.items():
        try:
            there.append(_look(name, entry))
        except MoError as error:
            if name not in BUILT_IN_AGENTS or entry.command:
                lost.append(_lost(name, entry, error))
    if not there and not lost:
        remedy = "needed for tasks in words only; mo agents list says how to get one"
        yield Finding("agents", "warn", "neither claude nor codex on PATH", remedy)
    yield from lost
    if prove and home.exists():
        yield from _proofs(home, there)
    else:
        yield from (_unproved(one) for one in there)


def _look(name: str, entry: AgentEntry) -> _There:
    if entry.kind == "generic":
        if not entry.argv:
            raise MoError("no argv", f"set {agent_section(name)}.argv; if it is set, mo trust")
        path, _ = locate.program(name, entry.command or entry.argv[0], os.environ)
        return _There(name, entry, f"{name} {path}", Source.NONE)
    found = locate.find(entry.kind, entry.command, os.environ)
    source = logins.credentials(name, entry.kind, entry.config_dir, os.environ).source
    return _There(name, entry, " ".join([name, found.version, str(found.path)]), source)


def _lost(name: str, entry: AgentEntry, error: MoError) -> Finding:
    if name in BUILT_IN_AGENTS:
        said = f"{name}.command = {entry.command}: {error.message}"
        return Finding("agents", "fail", said, f"mo config unset {name}.command")
    return Finding("agents", "warn", f"{name}: {error.message}", error.hint)


def _unproved(one: _There) -> Finding:
    if one.source is Source.NONE and one.entry.kind in logins.LOGINS:
        key = logins.LOGINS[one.entry.kind].keys[0]
        remedy = f"mo agents login {one.name}, or set {key}"
        return Finding("agents", "warn", f"{one.about}; not logged in", remedy)
    with_ = f"; {one.source}" if one.source is not Source.NONE else ""
    return Finding("agents", "ok", f"{one.about}{with_} (mo agents test {one.name} proves it)")


def _proofs(home: Home, there: list[_There]) -> Iterator[Finding]:
    """All of them at once; each costs a few hundred tokens."""
    can = [one for one in there if one.source is not Source.NONE]
    requests = {}
    if can:
        try:
            ensure_daemon(home)
            requests = {
                one.name: send(home, "agents", {"test": one.name, "seconds": _PROOF_SECONDS}) for one in can
            }
        except MoError as error:
            yield Finding("agents", "warn", f"the logins are not proved: {error.message}", error.hint)
    for one in there:
        yield _proved(home, one, requests[one.name]) if one.name in requests else _unproved(one)


def _proved(home: Home, one: _There, request: str) -> Finding:
    about = f"{one.about}; {one.source}"
    try:
        outcome = await_outcome(home, request, _ANSWER_SECONDS)
    except MoError as error:
        return Finding("agents", "warn", f"{about}, not proved: {error.message}", error.hint)
    if outcome is None or not outcome["ok"]:
        why = "the daemon is busy" if outcome is None else str(outcome["message"])
        remedy = f"mo agents test {one.name}"
        return Finding("agents", "warn", f"{about}, not proved: {why}", remedy)
    proof = outcome["proof"]
    if proof["works"]:
        return Finding("agents", "ok", f"{about}; it works ({paid(proof)})")
    said = f"{about}: {one_line(proof['reason'])} ({proof['class']})"
    return Finding("agents", "warn", said, remedy_of(proof, one.entry.kind))


def isolation(home: Home) -> Finding:
    """What is around agents, found out in the way of the daemon: by trying."""
    argv = daemon_argv(home, "--isolation")
    done = process.run(argv, cwd=home.top, env=dict(os.environ), timeout=_PROBE_SECONDS)
    try:
        document = json.loads(done.text)
    except ValueError:
        said = one_line(done.error_text.rpartition("\n")[2]) or f"exit code {done.code}"
        return Finding("isolation", "fail", f"not known: {said}", f"try: {shlex.join(argv)}")
    if document["tier"] == "sandbox":
        return Finding("isolation", "ok", f"sandbox: bubblewrap {document['version']}")
    said = f"{document['tier']}: {document['reason']}"
    return Finding("isolation", "warn", said, document["remedy"] or "mo config set sandbox.mode auto")
