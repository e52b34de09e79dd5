"""Codex: every recorded run ends in the right class, and the command line is what it has to be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.agents.codex import CodexAgent
from mo_daemon.agents.protocol import EventKind, Usage
from mo_daemon.agents.settings import AgentSettings
from mo_git.model import FailureClass as F
from tests.transcripts import NOW, cases, job, line, lines_of, play, replay, spent

AGENT = CodexAgent(AgentSettings())
ASKED_FOR_JSON = {"plan_json", "plan_json_bad"}

# case -> (class, start of the reason, (input tokens, output tokens, US dollars))
RECORDED: dict[str, tuple[F | None, str, tuple[int, int, float]]] = {
    "auth_401": (F.AUTH, "unexpected status 401 Unauthorized:", (0, 0, 0.0)),
    "bad_flag": (F.BAD_CONFIG, "error: unexpected argument", (0, 0, 0.0)),
    "bad_session": (F.CRASH, "Error: thread/resume: thread/resume", (0, 0, 0.0)),
    "context_too_long_400": (F.CONTEXT_OVERFLOW, "Codex ran out of room in the model's", (0, 0, 0.0)),
    "context_too_long_failed": (F.CONTEXT_OVERFLOW, "Codex ran out of room in the model's", (0, 0, 0.0)),
    "default_retries_503": (F.OVERLOADED, "unexpected status 503 Service", (0, 0, 0.0)),
    "drop_midstream": (F.NETWORK, "stream disconnected before completion:", (0, 0, 0.0)),
    "edit_excl_tmp": (None, "", (3000, 150, 0.0195)),
    "edit_existing": (None, "", (3000, 150, 0.0195)),
    "edit_then_429": (F.RATE_LIMIT, "exceeded retry limit, last status: 429", (0, 0, 0.0)),
    "edit_then_ctx": (F.CONTEXT_OVERFLOW, "Codex ran out of room in the model's", (0, 0, 0.0)),
    "file_edit": (None, "", (3000, 150, 0.0195)),
    "file_edit_gpt-5.5": (None, "", (3000, 150, 0.0195)),
    "file_edit_stub-model": (None, "", (3000, 150, 0.0195)),
    "forbidden_403": (F.AUTH, "unexpected status 403 Forbidden: You do", (0, 0, 0.0)),
    "full_auto": (F.BAD_CONFIG, "error: unexpected argument", (0, 0, 0.0)),
    "hang_killed": (F.CRASH, "killed by SIGTERM", (0, 0, 0.0)),
    "hang_no_answer": (F.CRASH, "killed by SIGTERM", (0, 0, 0.0)),
    "hang_stream_idle": (F.NETWORK, "stream disconnected before completion:", (0, 0, 0.0)),
    "model_404": (F.BAD_MODEL, "The model `no-such` does not exist or", (0, 0, 0.0)),
    "no_api_key": (F.AUTH, "Missing environment variable:", (0, 0, 0.0)),
    "no_git": (F.BAD_CONFIG, "Not inside a trusted directory and", (0, 0, 0.0)),
    "overloaded_503": (F.OVERLOADED, "unexpected status 503 Service", (0, 0, 0.0)),
    "overloaded_failed_event": (F.OVERLOADED, "Selected model is at capacity. Please", (0, 0, 0.0)),
    "plain_429": (F.RATE_LIMIT, "exceeded retry limit, last status: 429", (0, 0, 0.0)),
    "plain_text": (F.CRASH, "ended without a result", (0, 0, 0.0)),
    "plan_json": (None, "", (1000, 50, 0.0065)),
    "plan_json_bad": (F.INVALID_OUTPUT, "the answer is not the JSON that was", (1000, 50, 0.0065)),
    "quota_429": (F.NO_CREDIT, "Quota exceeded. Check your plan and", (0, 0, 0.0)),
    "rate_limit_429": (F.RATE_LIMIT, "exceeded retry limit, last status: 429", (0, 0, 0.0)),
    "rate_limit_429_recovers": (None, "", (1000, 50, 0.0065)),
    "rate_limit_failed_event": (F.RATE_LIMIT, "rate limit exceeded: Rate limit reached", (0, 0, 0.0)),
    "resume_other_cwd": (None, "", (3000, 150, 0.0195)),
    "resume_same_cwd": (None, "", (2000, 100, 0.013)),
    "resume_seed": (None, "", (1000, 50, 0.0065)),
    "retry_after_20": (F.RATE_LIMIT, "still trying again when it was ended:", (0, 0, 0.0)),
    "sbx_default_readonly": (None, "", (3000, 150, 0.0195)),
    "sbx_full_commit": (None, "", (3000, 150, 0.0195)),
    "sbx_home_in_tmp": (F.BAD_CONFIG, "CODEX_HOME lies below the temporary", (3000, 150, 0.0195)),
    "sbx_ws_commit": (None, "", (3000, 150, 0.0195)),
    "sbx_ws_commit_adddir": (None, "", (3000, 150, 0.0195)),
    "sbx_ws_net": (None, "", (2000, 100, 0.013)),
    "sbx_ws_net_on": (None, "", (2000, 100, 0.013)),
    "sbx_ws_outside_excl_tmp": (None, "", (2000, 100, 0.013)),
    "sbx_ws_outside_tmp": (None, "", (2000, 100, 0.013)),
    "server_500": (F.PROVIDER_DOWN, "We’re currently experiencing high", (0, 0, 0.0)),
    "server_down": (F.NETWORK, "still trying again when it was ended:", (0, 0, 0.0)),
    "server_down_bounded": (F.NETWORK, "Connection failed: error sending request", (0, 0, 0.0)),
    "sigint_during_tool": (F.CRASH, "exit code 1:", (0, 0, 0.0)),
    "sigkill_during_tool": (F.CRASH, "killed by SIGKILL", (0, 0, 0.0)),
    "sigterm_during_tool": (F.CRASH, "killed by SIGTERM", (0, 0, 0.0)),
    "stdin_prompt": (None, "", (1000, 50, 0.0065)),
    "text_only": (None, "", (1000, 50, 0.0065)),
    "usage_limit_429": (F.USAGE_LIMIT, "You’ve hit your usage limit. Upgrade to", (0, 0, 0.0)),
}


def schema_of(case: str) -> dict[str, Any] | None:
    return {"type": "object"} if case in ASKED_FOR_JSON else None


def test_every_recording_has_a_row() -> None:
    assert cases("codex") == set(RECORDED)


@pytest.mark.parametrize("case", RECORDED)
def test_recorded(case: str, tmp_path: Path) -> None:
    failure, reason, usage = RECORDED[case]
    outcome = replay(AGENT, "codex", case, job(tmp_path, schema=schema_of(case))).outcome
    assert (outcome.failure, spent(outcome.usage)) == (failure, usage)
    assert outcome.reason.startswith(reason)
    assert bool(outcome.reason) == (failure is not None)


# -- what else a recording says -----------------------------------------------------------------------


@pytest.fixture
def local_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets this process's time zone until the end of the test."""

    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


def test_a_refused_patch_in_a_sandbox_of_ours_is_not_its_own_sandbox_failing(tmp_path: Path) -> None:
    given = job(tmp_path, contained=True, state_dir=tmp_path)
    assert replay(AGENT, "codex", "sbx_home_in_tmp", given).outcome.failure is None


@pytest.mark.parametrize(
    ("case", "denied"),
    [
        ("sbx_default_readonly", ("apply_patch (writing is blocked by read-only sandbox)",)),
        ("file_edit", ()),
    ],
)
def test_refused_patches_are_told_though_the_run_says_success(
    case: str, denied: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = replay(AGENT, "codex", case, job(tmp_path)).outcome
    assert (outcome.failure, outcome.denials) == (None, denied)


@pytest.mark.parametrize(
    ("case", "at"),
    [
        ("rate_limit_failed_event", NOW + 1.5),
        ("rate_limit_429", None),
        ("overloaded_503", None),
    ],
)
def test_the_time_that_the_provider_names(case: str, at: float | None, tmp_path: Path) -> None:
    assert replay(AGENT, "codex", case, job(tmp_path)).outcome.retry_at == at


@pytest.mark.parametrize(("zone", "at"), [("UTC", 1_900_000_020.0), ("Etc/GMT-2", 1_899_992_820.0)])
def test_a_reset_time_is_local(
    zone: str, at: float, tmp_path: Path, local_zone: Callable[[str], None]
) -> None:
    local_zone(zone)
    assert replay(AGENT, "codex", "usage_limit_429", job(tmp_path)).outcome.retry_at == at


@pytest.mark.parametrize(
    ("case", "failure"),
    [
        ("hang_killed", F.TIMEOUT),
        ("hang_no_answer", F.TIMEOUT),
        ("sigterm_during_tool", F.TIMEOUT),
        ("retry_after_20", F.RATE_LIMIT),
        ("server_down", F.NETWORK),
    ],
)
def test_a_hard_timeout_while_it_hangs_or_tries_again(case: str, failure: F, tmp_path: Path) -> None:
    assert replay(AGENT, "codex", case, job(tmp_path), timed_out=True).outcome.failure is failure


def test_a_completed_turn_counts_although_the_program_had_to_be_ended(tmp_path: Path) -> None:
    outcome = replay(AGENT, "codex", "file_edit", job(tmp_path), timed_out=True).outcome
    assert (outcome.failure, outcome.summary) == (None, "Created hello.txt.")


def test_the_structured_answer(tmp_path: Path) -> None:
    outcome = replay(AGENT, "codex", "plan_json", job(tmp_path, schema={})).outcome
    assert [task["id"] for task in outcome.structured["tasks"]] == ["t1", "t2"]


def test_a_lost_session_cannot_be_resumed(tmp_path: Path) -> None:
    lost = job(tmp_path, session="00000000-0000-0000-0000-000000000000")
    assert replay(AGENT, "codex", "bad_session", lost).outcome.session == ""
    assert len(replay(AGENT, "codex", "edit_then_429", job(tmp_path)).outcome.session) == 36


def test_what_people_see_of_a_run(tmp_path: Path) -> None:
    played = replay(AGENT, "codex", "file_edit", job(tmp_path))
    assert [(event.kind, event.text) for event in played.events] == [
        (EventKind.STARTED, ""),
        (EventKind.TEXT, "I will write the file."),
        (EventKind.TOOL, "write hello.txt"),
        (EventKind.TOOL, "run cat hello.txt && git status --short"),
        (EventKind.TEXT, "Created hello.txt."),
        (EventKind.USAGE, ""),
        (EventKind.RESULT, "Created hello.txt."),
    ]


def test_retries_are_told(tmp_path: Path) -> None:
    played = replay(AGENT, "codex", "server_down", job(tmp_path))
    assert set(played.texts(EventKind.RETRY)) == {"network, tries again (for ever)"}
    data = replay(AGENT, "codex", "auth_401", job(tmp_path)).events[1].data
    assert data == {"seconds": 0.0, "class": F.AUTH, "status": 401}


# -- usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "before"),
    [
        ("resume_seed", Usage()),
        ("resume_same_cwd", Usage(1000, 0, 50)),
        ("resume_other_cwd", Usage(2000, 0, 100)),
    ],
)
def test_totals_of_a_resumed_thread(case: str, before: Usage, tmp_path: Path) -> None:
    resumed = job(tmp_path, session="x", session_usage=before)
    assert spent(replay(AGENT, "codex", case, resumed).outcome.usage) == (1000, 50, 0.0065)


@pytest.mark.parametrize(
    ("model", "money"), [("gpt-5.1-codex", 0.00175), ("no-such-model", 0.0065), ("", 0.0065)]
)
def test_money_is_estimated(model: str, money: float, tmp_path: Path) -> None:
    usage = replay(AGENT, "codex", "text_only", job(tmp_path, model=model)).outcome.usage
    assert usage == Usage(1000, 0, 50, money, estimated=True)


THREAD = "01a201e1-514d-7001-8fb3-3e711147bcd0"


def record(home: Path, *totals: int) -> Path:
    path = home / "sessions" / "2026" / "11" / "22" / f"rollout-2026-11-22T06-11-14-{THREAD}.jsonl"
    path.parent.mkdir(parents=True)
    lines: list[dict[str, Any]] = [{"type": "session_meta"}]
    lines += [
        {"payload": {"info": {"total_token_usage": {"input_tokens": n, "output_tokens": 5}}}} for n in totals
    ]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines) + '{"cut')
    return path


def test_a_failed_turn_is_counted_from_the_record_of_the_thread(tmp_path: Path) -> None:
    record(tmp_path / "home", 1000, 3000)
    given = job(tmp_path, state_dir=tmp_path / "home", session_usage=Usage(500, 0, 0))
    lines = [line(type="thread.started", thread_id=THREAD), line(type="turn.failed", error={"message": "x"})]
    played = play(AGENT, given, lines, code=1)
    assert spent(played.outcome.usage)[:2] == (2500, 5)
    assert [event.kind for event in played.events] == ["started", "usage", "result"]
    killed = play(AGENT, given, lines[:1], code=-9).outcome.usage
    assert spent(killed)[:2] == (2500, 5)


def test_a_record_that_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """Agents can write to CODEX_HOME: a pipe there must not stop the daemon, nor a link lead it away."""
    path = record(tmp_path / "home", 1000)
    elsewhere = path.rename(tmp_path / "elsewhere")
    lines = [line(type="thread.started", thread_id=THREAD), line(type="turn.failed", error={"message": "x"})]
    os.mkfifo(path)
    given = job(tmp_path, environ={"CODEX_HOME": str(tmp_path / "home")})
    assert play(AGENT, given, lines).outcome.usage == Usage()
    path.unlink()
    path.symlink_to(elsewhere)
    assert play(AGENT, given, lines).outcome.usage == Usage()


# -- endings without a recording ----------------------------------------------------------------------

MESSAGES: tuple[tuple[str, F], ...] = (
    ("unexpected status 402 Payment Required: x", F.NO_CREDIT),
    ("unexpected status 404 Not Found: no such path, url: http://x/v1/responses", F.BAD_CONFIG),
    ("unexpected status 404 Not Found: The model `x` does not exist, url: http://x", F.BAD_MODEL),
    ("unexpected status 400 Bad Request: The model is not supported", F.BAD_MODEL),
    ("unexpected status 400 Bad Request: x", F.CRASH),
    ("unexpected status 413 Payload Too Large: x", F.CONTEXT_OVERFLOW),
    ("unexpected status 502 Bad Gateway: x", F.PROVIDER_DOWN),
    ("exceeded retry limit, last status: 529 <unknown>", F.OVERLOADED),
    ("stream disconnected before completion: Rate limit reached for gpt-5 in organization x", F.RATE_LIMIT),
    ("You've hit your usage limit.", F.USAGE_LIMIT),
    ("Your access token could not be refreshed. Please log out and sign in again.", F.AUTH),
    ("The 'gpt-5-x' model is not supported when using Codex with a ChatGPT account.", F.BAD_MODEL),
    ("request timed out", F.NETWORK),
    ("the file says: exceeded retry limit, last status: 429", F.CRASH),
    ("something new", F.CRASH),
)


@pytest.mark.parametrize(("message", "failure"), MESSAGES)
def test_a_failed_turn(message: str, failure: F, tmp_path: Path) -> None:
    failed = line(type="turn.failed", error={"message": message})
    outcome = play(AGENT, job(tmp_path), [failed], code=1).outcome
    assert (outcome.failure, outcome.reason) == (failure, message)


STARTS: tuple[tuple[int, str, F, str], ...] = (
    (
        2,
        "error: invalid value 'x' for '--sandbox'\n\nFor more",
        F.BAD_CONFIG,
        "error: invalid value 'x' for '--sandbox'",
    ),
    (1, "Error loading config.toml: bad\n", F.BAD_CONFIG, "Error loading config.toml: bad"),
    (0, "", F.CRASH, "ended without a result"),
    (1, "Reading additional input from stdin...\n", F.CRASH, "exit code 1"),
    (-9, "Reading additional input from stdin...\n", F.CRASH, "killed by SIGKILL"),
    (101, "thread 'main' panicked\n", F.CRASH, "exit code 101: thread 'main' panicked"),
)


@pytest.mark.parametrize(("code", "stderr", "failure", "reason"), STARTS)
def test_an_ending_without_a_word(code: int, stderr: str, failure: F, reason: str, tmp_path: Path) -> None:
    outcome = play(AGENT, job(tmp_path), [], code=code, stderr=stderr).outcome
    assert (outcome.failure, outcome.reason) == (failure, reason)


def test_progress_ends_the_waiting(tmp_path: Path) -> None:
    """Killed while it worked again: that is not the provider's fault any more."""
    lines = lines_of("codex", "retry_after_20") + lines_of("codex", "file_edit")[2:4]
    assert play(AGENT, job(tmp_path), lines, code=-9).outcome.failure is F.CRASH


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            [{"path": "/repo/wt/a.py", "kind": "update"}, {"path": "/x/b", "kind": "delete"}],
            "edit a.py, delete /x/b",
        ),
        (
            [{"path": f"/repo/wt/{n}", "kind": "add"} for n in range(5)],
            "write 0, write 1, write 2 and 2 more",
        ),
        ("nonsense", "edit files"),
    ],
)
def test_file_changes_in_words(changes: Any, text: str, tmp_path: Path) -> None:
    item = line(type="item.completed", item={"id": "1", "type": "file_change", "changes": changes})
    assert play(AGENT, job(tmp_path), [item]).texts(EventKind.TOOL) == [text]


# -- launch -------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "codex"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


KEYS = '["OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN"]'
ALWAYS = (
    *("exec", "--skip-git-repo-check", "--disable", "plugins", "--disable", "unbounded_connection_retries"),
    *("-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false"),
    *("-c", 'approval_policy="never"', "-c", f"shell_environment_policy.exclude={KEYS}"),
    *("-c", 'projects={"/repo/wt" = {"trust_level" = "untrusted"}}'),
)
FULL = ("-c", 'sandbox_mode="danger-full-access"')
READ_ONLY = ("-c", 'sandbox_mode="read-only"')
HERE = ("-C", "/repo/wt")
END = ("--json", "-")

LAUNCHES: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("restricted", {"contained": True}, (*FULL, *HERE, *END)),
    ("restricted", {"contained": True, "writes": False}, (*FULL, *HERE, *END)),
    ("trusted_local", {}, (*FULL, *HERE, *END)),
    ("trusted_local", {"writes": False}, (*READ_ONLY, *HERE, *END)),
    ("restricted", {"writes": False}, (*READ_ONLY, *HERE, *END)),
    (
        "restricted",
        {},
        (
            *("-c", 'sandbox_mode="workspace-write"'),
            *("-c", "sandbox_workspace_write.exclude_slash_tmp=true"),
            *("-c", "sandbox_workspace_write.exclude_tmpdir_env_var=true"),
            *("-c", 'sandbox_workspace_write.writable_roots=["RUN/tmp"]'),
            *(*HERE, *END),
        ),
    ),
    ("restricted", {"contained": True, "model": "gpt-5.5"}, ("-m", "gpt-5.5", *FULL, *HERE, *END)),
    (
        "restricted",
        {"contained": True, "schema": {}},
        (*FULL, *HERE, "--output-schema", "RUN/schema.json", *END),
    ),
    (
        "restricted",
        {"contained": True, "session": "t-1", "extra_args": ("--x",)},
        (*FULL, "--x", "resume", "--json", "t-1", "-"),
    ),
)


@pytest.mark.parametrize(("mode", "more", "rest"), LAUNCHES)
def test_command_line(
    mode: Any, more: dict[str, Any], rest: tuple[str, ...], program: Path, tmp_path: Path
) -> None:
    settings = AgentSettings(command=str(program), execution_security_mode=mode)
    launch = CodexAgent(settings).launch(job(tmp_path / "run", **more))
    expected = tuple(part.replace("RUN", str(tmp_path / "run")) for part in rest)
    assert launch.argv == (str(program), *ALWAYS, *expected)
    assert launch.prompt_on_stdin
    own = "danger-full-access" not in " ".join(launch.argv)
    assert launch.env == ({"TMPDIR": str(tmp_path / "run" / "tmp")} if own else {})


def test_effort_is_a_setting(program: Path, tmp_path: Path) -> None:
    settings = AgentSettings(command=str(program), config=('model_reasoning_effort="low"',))
    launch = CodexAgent(settings).launch(job(tmp_path, effort="high"))
    given = [part for part in launch.argv if part.startswith("model_reasoning_effort")]
    assert given == ['model_reasoning_effort="low"', 'model_reasoning_effort="high"']  # the last one counts


def test_settings_of_the_user_come_before_the_sandbox(program: Path, tmp_path: Path) -> None:
    config = ('model_provider="x"', 'model_providers.x.env_key="X_KEY"', 'sandbox_mode="danger-full-access"')
    settings = AgentSettings(command=str(program), config=config, env_pass=("X_KEY",))
    environ = {"X_KEY": "k", "OPENAI_API_KEY": "o", "ANTHROPIC_API_KEY": "a", "CODEX_HOME": "/h/.codex"}
    launch = CodexAgent(settings).launch(job(tmp_path, environ=environ, writes=False))
    given = [launch.argv[i + 1] for i, part in enumerate(launch.argv) if part == "-c"]
    assert given[-4:] == [*config, 'sandbox_mode="read-only"']
    assert (
        'shell_environment_policy.exclude=["OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN", "X_KEY"]'
        in given
    )
    tmp = str(tmp_path / "tmp")
    assert launch.env == {"X_KEY": "k", "OPENAI_API_KEY": "o", "CODEX_HOME": "/h/.codex", "TMPDIR": tmp}


def test_the_schema_lies_where_a_contained_program_sees_it(program: Path, tmp_path: Path) -> None:
    """The directory is writable for agents: a link that one left there is not followed."""
    state, target = tmp_path / "state", tmp_path / "target"
    state.mkdir()
    (state / "schema.json").symlink_to(target)
    given = job(tmp_path / "run", contained=True, state_dir=state, schema={"type": "object"})
    launch = CodexAgent(AgentSettings(command=str(program))).launch(given)
    path = Path(launch.argv[launch.argv.index("--output-schema") + 1])
    assert (path, path.is_symlink(), json.loads(path.read_text())) == (
        state / "schema.json",
        False,
        {"type": "object"},
    )
    assert not target.exists()
    assert launch.env["CODEX_HOME"] == str(state)
