"""What the adapters share: their contract, streams, prices, times in words, finding programs."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.agents import build, prices, stream
from mo_daemon.agents.describe import command_line, tool_call
from mo_daemon.agents.endings import killed_by
from mo_daemon.agents.files import place, tail
from mo_daemon.agents.prices import AS_OF, UNKNOWN, corrected, cost, price_of
from mo_daemon.agents.protocol import Agent, EventKind, Launch, Outcome, Usage
from mo_daemon.agents.saidtimes import said_time
from mo_daemon.agents.settings import AgentSettings, Price
from mo_git import locate
from mo_git.errors import Exit, MoError
from mo_git.model import OWN_PRICES, FailureClass
from mo_git.process import Ending
from tests.transcripts import NOW, WORKTREE, job, lines_of, play

# -- the contract -------------------------------------------------------------------------------------

GENERIC = AgentSettings(
    kind="generic",
    argv=("true", "{model}"),
    model="m",
    execution_security_mode="trusted_local",
    output="jsonl",
    fields={"text": "text", "tokens_in": "usage.in", "session": "id"},
)
GARBAGE = (
    b"",
    b"   ",
    b"plain text",
    b"\xff\xfe{\x00",
    b"{",
    b"[1, 2]",
    b"null",
    b'"text"',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"type": 7}',
    b'{"type": "a_type_of_the_future", "x": [1]}',
    b'{"type": null, "item": 3, "message": "m", "subtype": []}',
    b'{"type": "assistant", "message": {"content": "text", "usage": [], "id": {}}}',
    b'{"type": "assistant", "message": {"content": [null, 3, {"type": "tool_use", "input": 3}]}}',
    b'{"type": "system", "subtype": "api_retry", "retry_delay_ms": "x", "error": {}, "attempt": true}',
    b'{"type": "rate_limit_event", "rate_limit_info": []}',
    b'{"type": "stream_event", "event": {"type": "message_delta", "usage": 3}}',
    b'{"type": "item.started"}',
    b'{"type": "item.completed", "item": {"type": "file_change", "changes": [3, {}], "status": []}}',
    b'{"type": "thread.started", "thread_id": 3}',
    b'{"type": "error", "message": null}',
    b'{"usage": {"in": NaN}, "id": 7, "text": ["x"]}',
    b'{"usage": {"in": 1e999}}',
    b'{"usage": {"in": ' + b"9" * 5000 + b"}}",
)
STREAMS = {"claude": "file_edit", "codex": "file_edit"}


@pytest.fixture(params=["claude", "codex", "other", "command"])
def agent(request: pytest.FixtureRequest) -> Agent:
    return build({"claude": AgentSettings(), "codex": AgentSettings(), "other": GENERIC})[request.param]


def programs(directory: Path) -> dict[str, str]:
    """An environment with a claude and a codex on PATH."""
    for name in ("claude", "codex", "true"):
        path = directory / name
        path.write_text("#!/bin/sh\necho 1.2.3\n")
        path.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin"}


class TestContract:
    """Every adapter keeps this."""

    def test_launch(self, agent: Agent, tmp_path: Path) -> None:
        given = job(tmp_path, environ=programs(tmp_path), argv=("true",))
        launch = agent.launch(given)
        assert isinstance(launch, Launch)
        assert launch.argv
        assert all(isinstance(part, str) for part in (*launch.argv, *launch.env, *launch.env.values()))
        assert given.prompt not in launch.argv
        assert agent.launch(given) == launch

    def test_silence(self, agent: Agent, tmp_path: Path) -> None:
        for ending in (Ending(1, False, 2.0), Ending(-9, False, 2.0), Ending(-15, True, 2.0)):
            outcome = agent.reader(job(tmp_path)).outcome(ending, "", NOW)
            assert isinstance(outcome, Outcome)
            wanted = FailureClass.TIMEOUT if ending.timed_out else FailureClass.CRASH
            assert (outcome.failure, outcome.usage) == (wanted, Usage())
            assert outcome.reason

    def test_garbage(self, agent: Agent, tmp_path: Path) -> None:
        """Nothing that a program prints raises, and what it says in between still counts."""
        case = STREAMS.get(agent.name)
        good = lines_of(agent.name, case) if case else [b'{"text": "Created hello.txt."}']
        lines: list[bytes] = []
        for part in good:
            lines += [*GARBAGE, part]
        played = play(agent, job(tmp_path), [*lines, *GARBAGE])
        assert played.outcome.failure is None
        if agent.name != "command":
            assert played.outcome.summary == "Created hello.txt."
        for event in played.events:
            assert isinstance(event.kind, EventKind)
            assert event.text.isprintable()
            assert len(event.text) <= 200
            json.dumps(dict(event.data))

    def test_a_line_of_fifty_megabytes(self, agent: Agent, tmp_path: Path) -> None:
        reader = agent.reader(job(tmp_path))
        started = time.monotonic()
        assert all(len(event.text) <= 200 for event in reader.feed(b'{"type":"x"' + b" " * 50_000_000 + b"}"))
        assert time.monotonic() - started < 30  # not a matter of minutes
        assert len(reader.outcome(Ending(1, False, 1.0), "", NOW).reason) < 500


def test_an_entry_for_each_name() -> None:
    agents = build({"claude": AgentSettings(), "work": AgentSettings(kind="claude"), "other": GENERIC})
    assert {name: type(agent).__name__ for name, agent in agents.items()} == {
        "command": "CommandAgent",
        "claude": "ClaudeAgent",
        "work": "ClaudeAgent",
        "other": "GenericAgent",
    }
    assert all(agent.name == name for name, agent in agents.items())


@pytest.mark.parametrize(
    ("name", "message"),
    [("gemini", "agents.gemini has no kind 'gemini'"), ("command", "agents.command cannot be redefined")],
)
def test_entries_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(MoError) as raised:
        build({name: AgentSettings()})
    assert (raised.value.message, raised.value.code) == (message, Exit.CONFIG)


# -- streams ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "lines", "rest"),
    [
        ([b"a\nb\n"], [b"a", b"b"], []),
        ([b"a", b"b\r\nc", b"", b"d"], [b"ab"], [b"cd"]),
        ([b"\n\n"], [b"", b""], []),
        ([b"0123456789abc\nx\n"], [b"01234567", b"x"], []),
        ([b"01234", b"56789", b"abc\nxy"], [b"01234567"], [b"xy"]),
        ([b"caf\xc3", b"\xa9\n"], ["café".encode()], []),
    ],
)
def test_lines(chunks: list[bytes], lines: list[bytes], rest: list[bytes]) -> None:
    splitter = stream.LineSplitter(limit=8)
    assert [line for chunk in chunks for line in splitter.feed(chunk)] == lines
    assert splitter.rest() == rest


def test_a_line_without_end_takes_bounded_memory() -> None:
    splitter = stream.LineSplitter(limit=1000)
    for _ in range(100):
        assert splitter.feed(b"x" * 10_000) == []
    assert splitter.feed(b"\nnext\n") == [b"x" * 1000, b"next"]


def test_invalid_text_inside_json_is_replaced() -> None:
    assert stream.parse(b' {"a": "\xff"}') == {"a": "\ufffd"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", 1),
        ("a.c.1.d", 2),
        ("a.c.-1.d", 2),
        ("a.c.9.d", None),
        ("a.x", None),
        ("a.b.c", None),
        ("c", None),
    ],
)
def test_dotted_paths(path: str, value: Any) -> None:
    assert stream.at({"a": {"b": 1, "c": [{}, {"d": 2}]}}, path) == value


@pytest.mark.parametrize(
    ("value", "found"),
    [(3, 3.0), (2.5, 2.5), (-1, 0.0), (True, 0.0), ("3", 0.0), (float("nan"), 0.0), (10**400, 0.0)],
)
def test_numbers(value: Any, found: float) -> None:
    assert stream.number(value) == found


# -- words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("Edit", {"file_path": "/repo/wt/src/a.py"}, "edit src/a.py"),
        ("Read", {"file_path": "/etc/hosts"}, "read /etc/hosts"),
        ("Bash", {"command": "pytest -q"}, "run pytest -q"),
        ("Bash", {"command": "a\n\x1b[31mb"}, "run a [31mb"),
        ("Bash", {"command": 3}, "run"),
        ("Grep", {"pattern": "TODO"}, "search TODO"),
        ("Brew", {"query": "tea"}, "Brew tea"),
    ],
)
def test_tool_calls_in_words(name: str, arguments: dict[str, Any], text: str) -> None:
    assert tool_call(name, arguments, WORKTREE) == text


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("/bin/bash -lc 'pytest -q && echo ok'", "run pytest -q && echo ok"),
        ("bash -c ls", "run ls"),
        ("make test", "run make test"),
        ("bash -lc 'unclosed", "run bash -lc 'unclosed"),
        ("x" * 300, "run " + "x" * 95 + "…"),
    ],
)
def test_command_lines_in_words(command: str, text: str) -> None:
    assert command_line(command) == text


@pytest.mark.parametrize(
    ("code", "name"), [(-9, "SIGKILL"), (143, "SIGTERM"), (1, ""), (128, ""), (255, ""), (-99, "signal 99")]
)
def test_signals(code: int, name: str) -> None:
    assert killed_by(code) == name


# -- prices -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-5-codex", Price(1.25, 0.125, 10.0)),
        ("gpt-5.1-codex-mini-2026-01-01", Price(0.25, 0.025, 2.0)),
        ("openai/GPT-5.4", Price(2.5, 0.25, 15.0)),
        ("sonnet[1m]", Price(3.0, 0.3, 15.0)),
        ("claude-opus-4-1-20250805", Price(15.0, 1.5, 75.0)),
        ("gpt-50", None),
        ("gpt-6.1-sol", None),
        ("", None),
    ],
)
def test_prices(model: str, price: Price | None) -> None:
    assert price_of(model) == price


def test_cost() -> None:
    usage = Usage(1_000_000, 400_000, 100_000)
    assert cost("gpt-5", usage) == pytest.approx(0.6 * 1.25 + 0.4 * 0.125 + 0.1 * 10)
    assert cost("unheard-of", usage) == cost("", usage, UNKNOWN)
    assert cost("gpt-5", usage, Price(1.0, 1.0, 0.0)) == 1.0
    assert cost("gpt-5", Usage(10, 1000, 0)) == pytest.approx(10 * 0.125 / 1e6, abs=1e-6)


OWN = {
    "gpt-5.5": {"input": 2.0, "cached_input": 1.0, "output": 4.0},
    "opus": {"input": 1.0, "cached_input": 1.0, "output": 1.0},
}


@pytest.mark.parametrize(
    ("model", "usd", "source"),
    [
        ("gpt-5.5", 5.5, OWN_PRICES),
        ("GPT-5.5-mini", 5.5, OWN_PRICES),  # a name also stands for those that go on with a dash
        ("opus", 2.0, OWN_PRICES),
        ("gpt-5", 7.0, AS_OF),
        ("", 7.0, AS_OF),
    ],
)
def test_a_persons_own_prices(model: str, usd: float, source: str) -> None:
    usage = Usage(1_000_000, 500_000, 1_000_000, 7.0, estimated=True)
    assert corrected(model, usage, OWN) == (replace(usage, cost_usd=usd), source)
    reported = replace(usage, estimated=False)
    assert corrected(model, reported, OWN) == (reported, "")


def test_the_table_says_its_date_and_sources() -> None:
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", AS_OF)
    assert "OpenAI" in (prices.__doc__ or "")
    assert "Anthropic" in (prices.__doc__ or "")


# -- times in words -----------------------------------------------------------------------------------


@pytest.fixture
def local_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets this process's time zone until the end of the test."""

    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


DAY = 86400.0
MIDNIGHT = 1_790_035_200.0  # 2026-09-22 00:00 UTC


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Please try again in 1.5s.", 1.5),
        ("try again in 250ms", 0.25),
        ("try again in 3 days 2 hours 5 minutes", 3 * DAY + 2 * 3600 + 300),
        ("Resets in 1 hour and 30 minutes", 5400.0),
        ("retry after 20 seconds", 20.0),
        ("resets 5:46pm (UTC)", 17 * 3600 + 47 * 60),
        ("resets 3pm (Europe/Berlin)", 13 * 3600.0),
        ("resets 12am (UTC)", DAY),
        ("resets Sep 23, 5pm (UTC)", DAY + 17 * 3600),
        ("resets Mar 17, 2030, 5:46pm (UTC)", 1_900_000_020.0 - MIDNIGHT),
        ("try again at Mar 17th, 2030 5:46 PM.", 1_900_000_020.0 - MIDNIGHT),
        ("try again at 23:15", 23.25 * 3600 + 60),
        ("try again at 23:15:30", 23.25 * 3600 + 30),
        ("try again at 0:00", 60.0),
        ("resets Jan 2, 1:00am (UTC)", 102 * DAY + 3660),
        ("resets 5pm (Mars/Olympus)", 17 * 3600.0),
    ],
)
def test_times_in_words(said: str, seconds: float, local_zone: Callable[[str], None]) -> None:
    local_zone("UTC")
    assert said_time(said, MIDNIGHT) == pytest.approx(MIDNIGHT + seconds)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "try again later",
        "resets 7",
        "resets Feb 31, 5pm (UTC)",
        "resets 25:00",
        "try again in 900000 hours",
        "resets Mar 17, 2020, 5:46pm (UTC)",
        "resets Foo 3, 5pm (UTC)",
    ],
)
def test_no_time_in_words(said: str) -> None:
    assert said_time(said, MIDNIGHT) is None


# -- files in directories of agents -------------------------------------------------------------------


def test_a_placed_file_replaces_whatever_is_there(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dir" / "x").mkdir(parents=True)
    for name in ("link", "pipe", "dir", "new"):
        path = place(tmp_path, name, "caf\udce9")
        assert (path.read_bytes(), path.is_symlink()) == (b"caf\xe9", False)
    assert not target.exists()


def test_the_end_of_a_file_that_may_be_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dir").mkdir()
    found = {name: tail(tmp_path / name, 4) for name in ("file", "link", "pipe", "dir", "none")}
    assert found == {"file": b"cdef", "link": b"", "pipe": b"", "dir": b"", "none": b""}


# -- finding programs ---------------------------------------------------------------------------------


@pytest.fixture
def place_for(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    locate._version.cache_clear()


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_configured_before_path_before_package(place_for: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = script(place_for / "mine", "echo '9.8.7 (Claude Code)'")
    bundled = script(place_for / "site/claude_agent_sdk/_bundled/claude", "echo 2.1.0")
    (place_for / "site/claude_agent_sdk/__init__.py").write_text("raise RuntimeError('imported')\n")
    on_path = script(place_for / "bin/claude", "echo claude-cli 2.2.0-beta.1")
    monkeypatch.syspath_prepend(place_for / "site")
    environ = {"PATH": f"{place_for / 'bin'}:/usr/bin:/bin"}
    assert locate.find("claude", str(configured), environ) == locate.Found(configured, "9.8.7", "config")
    assert locate.find("claude", "", environ) == locate.Found(on_path, "2.2.0-beta.1", "PATH")
    on_path.unlink()
    assert locate.find("claude", "", environ) == locate.Found(bundled, "2.1.0", "claude_agent_sdk")


def test_a_configured_name_is_looked_up_on_path(place_for: Path) -> None:
    path = script(place_for / "claude-beta", "echo no number here")
    found = locate.find("claude", "claude-beta", {"PATH": f"{place_for}:/usr/bin:/bin"})
    assert found == locate.Found(path, "", "config")


def test_the_version_is_asked_again_when_the_program_changes(place_for: Path) -> None:
    environ = {"PATH": f"{place_for}:/usr/bin:/bin"}
    script(place_for / "codex", "echo codex-cli 0.1.0")
    assert locate.find("codex", "", environ).version == "0.1.0"
    script(place_for / "codex", "echo codex-cli 0.22.0")
    assert locate.find("codex", "", environ).version == "0.22.0"


@pytest.mark.parametrize(
    ("kind", "command", "body", "message"),
    [
        ("codex", "", None, "codex is not installed"),
        ("codex", "/no/such", None, "codex: /no/such is not a program"),
        ("codex", "codex", "echo broken >&2; exit 3", "codex --version ends with exit code 3: broken"),
        ("codex", "codex", None, "codex: codex is not a program"),
        ("aider", "", None, "aider is not installed"),
    ],
)
def test_programs_that_cannot_be_found(
    kind: str, command: str, body: str | None, message: str, place_for: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [])
    if body is not None:
        script(place_for / "codex", body)
    with pytest.raises(MoError) as raised:
        locate.find(kind, command, {"PATH": str(place_for)})
    assert raised.value.message.removeprefix(f"{place_for}/") == message
    assert (raised.value.code, bool(raised.value.hint)) == (Exit.AGENT, True)


def test_a_program_for_another_machine(place_for: Path) -> None:
    path = place_for / "codex"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    with pytest.raises(MoError, match="cannot run"):
        locate.find("codex", str(path), {"PATH": "/usr/bin:/bin"})
