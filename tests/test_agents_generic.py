"""Programs declared in the configuration: command line, streams, endings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.agents.generic import GenericAgent
from mo_daemon.agents.protocol import EventKind, Job, Usage
from mo_daemon.agents.settings import AgentSettings, Price
from mo_git.errors import Exit, MoError
from mo_git.model import FailureClass as F
from tests.transcripts import job, line, play

TRUSTED = AgentSettings(kind="generic", argv=("tool",), execution_security_mode="trusted_local")
FIELDS = {
    "text": "delta.0.text",
    "session": "run.id",
    "tokens_in": "usage.in",
    "tokens_cached": "usage.cached",
    "tokens_out": "usage.out",
    "cost": "usage.usd",
}
LINES = replace(TRUSTED, output="jsonl", fields=FIELDS)


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "tool"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def given(tool: Path, **more: Any) -> Job:
    environ = {"PATH": f"{tool.parent}:/usr/bin:/bin", "KEY": "k", "OTHER": "o"}
    return job(tool.parents[1] / "run", environ=environ, **more)


LAUNCHES: tuple[tuple[dict[str, Any], dict[str, Any], tuple[str, ...], bool], ...] = (
    ({}, {}, ("TOOL",), True),
    ({"extra_args": ("-a",)}, {"extra_args": ("-b",)}, ("TOOL", "-a", "-b"), True),
    ({"prompt": "argument"}, {}, ("TOOL", "Do it."), False),
    (
        {"prompt": "argument", "argv": ("tool", "--say={prompt}", "-q")},
        {},
        ("TOOL", "--say=Do it.", "-q"),
        False,
    ),
    (
        {"prompt": "file", "argv": ("tool", "{prompt_file}", "{worktree}", "{model}", "{other}", '{"a": 1}')},
        {"model": "m1"},
        ("TOOL", "RUN/prompt.md", "/repo/wt", "m1", "{other}", '{"a": 1}'),
        False,
    ),
    ({"resume_argv": ("tool", "again", "{session}")}, {"session": "s"}, ("TOOL", "again", "s"), True),
    ({"resume_argv": ("tool", "again", "{session}")}, {}, ("TOOL",), True),
    ({"argv": ("tool", "{prompt}")}, {}, ("TOOL", "Do it."), True),
)


@pytest.mark.parametrize(("settings", "more", "argv", "on_stdin"), LAUNCHES)
def test_command_line(
    settings: dict[str, Any], more: dict[str, Any], argv: tuple[str, ...], on_stdin: bool, tool: Path
) -> None:
    run = tool.parents[1] / "run"
    launch = GenericAgent(replace(TRUSTED, **settings), "mine").launch(given(tool, **more))
    assert launch.argv == tuple(part.replace("TOOL", str(tool)).replace("RUN", str(run)) for part in argv)
    assert launch.prompt_on_stdin is on_stdin
    if settings.get("prompt") == "file":
        assert (run / "prompt.md").read_text() == "Do it."


def test_a_prompt_is_one_argument_whatever_it_says(tool: Path) -> None:
    prompt = "{model} $(rm -rf /) 'quoted'\n--flag"
    settings = replace(TRUSTED, prompt="argument")
    launch = GenericAgent(settings).launch(replace(given(tool), prompt=prompt))
    assert launch.argv == (str(tool), prompt)


def test_environment(tool: Path) -> None:
    settings = replace(TRUSTED, env_pass=("KEY", "NONE"), env={"MODE": "quiet"})
    assert GenericAgent(settings).launch(given(tool)).env == {"KEY": "k", "MODE": "quiet"}


def test_the_prompt_file_lies_where_a_contained_program_sees_it(tool: Path, tmp_path: Path) -> None:
    settings = AgentSettings(kind="generic", prompt="file", argv=("tool", "{prompt_file}"))
    launch = GenericAgent(settings).launch(given(tool, contained=True, state_dir=tmp_path / "state"))
    assert launch.argv == (str(tool), str(tmp_path / "state" / "prompt.md"))


REFUSED: tuple[tuple[dict[str, Any], str, Exit], ...] = (
    (
        {"execution_security_mode": "restricted"},
        "agent mine has no sandbox of its own, and mo's is not available here",
        Exit.AGENT,
    ),
    ({"argv": ()}, "agent mine has no argv", Exit.CONFIG),
    ({"argv": ("tool", "{model}")}, "agent mine needs a model", Exit.CONFIG),
    ({"argv": ("no-such-tool",)}, "mine: no-such-tool is not a program", Exit.AGENT),
    ({"prompt": "argument"}, "the prompt is too long for an argument of agent mine", Exit.CONFIG),
)


@pytest.mark.parametrize(("settings", "message", "code"), REFUSED)
def test_declarations_that_cannot_be_started(
    settings: dict[str, Any], message: str, code: Exit, tool: Path
) -> None:
    prompt = "é" * 70_000 if "prompt" in settings else ""
    with pytest.raises(MoError) as raised:
        GenericAgent(replace(TRUSTED, **settings), "mine").launch(replace(given(tool), prompt=prompt))
    assert (raised.value.message, raised.value.code) == (message, code)
    assert raised.value.hint


def test_text(tmp_path: Path) -> None:
    played = play(GenericAgent(TRUSTED), job(tmp_path), [b"one", b"", b"\x1b[1mtwo\xff"])
    assert played.outcome.summary == "one\n\x1b[1mtwo\ufffd"
    assert played.texts(EventKind.TEXT) == ["one", "[1mtwo\ufffd"]
    assert (played.outcome.failure, played.outcome.usage) == (None, Usage())


def test_long_text_keeps_its_end(tmp_path: Path) -> None:
    lines = [b"x" * 1000] * 100 + [b"the end"]
    summary = play(GenericAgent(TRUSTED), job(tmp_path), lines).outcome.summary
    assert len(summary) <= 16 * 1024
    assert summary.endswith("x\nthe end")


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        line(run={"id": "r-1"}),
        line(delta=[{"text": "working"}], usage={"in": 100, "out": 10}),
        b"not json",
        line(delta=[{"text": "done"}], usage={"in": 300, "cached": 200, "out": 20, "usd": 0.25}),
        line(usage={"in": 50, "usd": "free"}),
    ]
    played = play(GenericAgent(LINES), job(tmp_path), lines)
    assert [(event.kind, event.text) for event in played.events] == [
        (EventKind.STARTED, ""),
        (EventKind.TEXT, "working"),
        (EventKind.USAGE, ""),
        (EventKind.TEXT, "done"),
        (EventKind.USAGE, ""),
    ]
    assert played.outcome.usage == Usage(300, 200, 20, 0.25)
    assert (played.outcome.summary, played.outcome.session) == ("done", "")


def test_a_session_that_can_be_resumed(tmp_path: Path) -> None:
    agent = GenericAgent(replace(LINES, resume_argv=("tool", "{session}")))
    assert play(agent, job(tmp_path), [line(run={"id": "r-1"})]).outcome.session == "r-1"


@pytest.mark.parametrize(("price", "money"), [(None, 0.008), (Price(1.0, 1.0, 0.0), 0.001)])
def test_tokens_without_money_are_priced(price: Price | None, money: float, tmp_path: Path) -> None:
    agent = GenericAgent(replace(LINES, price=price))
    usage = play(agent, job(tmp_path), [line(usage={"in": 1000, "out": 100})]).outcome.usage
    assert usage == Usage(1000, 0, 100, money, estimated=True)


@pytest.mark.parametrize(
    ("code", "timed_out", "stderr", "failure", "reason"),
    [
        (0, False, "a warning", None, ""),
        (3, False, "a warning\nfatal: no key\n\n", F.CRASH, "exit code 3: fatal: no key"),
        (3, False, "", F.CRASH, "exit code 3: last words"),
        (-9, False, "", F.CRASH, "killed by SIGKILL: last words"),
        (-15, True, "", F.TIMEOUT, "timed out after 12 s: last words"),
        (0, True, "", F.TIMEOUT, "timed out after 12 s: last words"),
    ],
)
def test_endings(
    code: int, timed_out: bool, stderr: str, failure: F | None, reason: str, tmp_path: Path
) -> None:
    lines = [b"hello", b"last words"]
    outcome = play(
        GenericAgent(TRUSTED), job(tmp_path), lines, code=code, stderr=stderr, timed_out=timed_out
    ).outcome
    assert (outcome.failure, outcome.reason) == (failure, reason)


@pytest.mark.parametrize(("said", "answer"), [(b'{"a": 1}', {"a": 1}), (b"no json", None)])
def test_structured_answers(said: bytes, answer: Any, tmp_path: Path) -> None:
    outcome = play(GenericAgent(TRUSTED), job(tmp_path, schema={}), [said]).outcome
    assert (outcome.structured, outcome.failure) == (answer, None if answer else F.INVALID_OUTPUT)
