"""Claude Code: every recorded run ends in the right class, and the command line is what it has to be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.agents.claude import ClaudeAgent
from mo_daemon.agents.protocol import EventKind, Job
from mo_daemon.agents.settings import AgentSettings, Price
from mo_git.model import FailureClass as F
from tests.transcripts import NOW, cases, job, line, lines_of, play, replay, spent

AGENT = ClaudeAgent(AgentSettings(model="sonnet"))
ASKED_FOR_JSON = {"plan_json", "plan_json_bad", "bad_schema"}

# case -> (class, start of the reason, (input tokens, output tokens, US dollars))
RECORDED: dict[str, tuple[F | None, str, tuple[int, int, float]]] = {
    "auth_401": (F.AUTH, "Invalid API key · Fix external API key", (0, 0, 0.0)),
    "bad_flag": (F.BAD_CONFIG, "error: unknown option '--no-such-flag'", (0, 0, 0.0)),
    "bad_schema": (F.INVALID_OUTPUT, "Failed to provide valid structured", (5000, 250, 0.0125)),
    "bad_session": (F.CRASH, "No conversation found with session ID:", (0, 0, 0.0)),
    "commit_acceptEdits": (None, "", (3000, 150, 0.0075)),
    "commit_dontAsk_bash": (None, "", (3000, 150, 0.0075)),
    "context_too_long_400": (F.CONTEXT_OVERFLOW, "Prompt is too long · the request is", (0, 0, 0.0)),
    "credit_400": (F.NO_CREDIT, "Credit balance is too low", (0, 0, 0.0)),
    "drop_midstream": (F.NETWORK, "API Error: Connection dropped", (2000, 8, 0.00408)),
    "edit_existing": (None, "", (3000, 150, 0.0075)),
    "edit_then_429": (F.RATE_LIMIT, "API Error: Request rejected (429) ·", (3000, 150, 0.0075)),
    "edit_then_ctx": (F.CONTEXT_OVERFLOW, "Autocompact is thrashing: the context", (9000, 450, 0.0225)),
    "edit_then_ctx_compact_failed": (F.CONTEXT_OVERFLOW, "Prompt is too long · automatic", (4000, 200, 0.01)),
    "edit_then_ctx_once": (None, "", (6000, 300, 0.015)),
    "fallback_model": (F.OVERLOADED, "API Error: 529 Overloaded. This is a", (0, 0, 0.0)),
    "file_edit": (None, "", (3000, 150, 0.0075)),
    "forbidden_403": (F.AUTH, "Failed to authenticate. API Error: 403", (0, 0, 0.0)),
    "hang_api_timeout": (F.NETWORK, "Request timed out. If the API is slow", (0, 0, 0.0)),
    "hang_killed": (F.CRASH, "killed by SIGTERM", (0, 0, 0.0)),
    "hang_midstream_killed": (F.CRASH, "killed by SIGTERM", (0, 0, 0.0)),
    "json_429": (F.RATE_LIMIT, "API Error: Request rejected (429) ·", (0, 0, 0.0)),
    "json_text": (None, "", (1000, 50, 0.0025)),
    "lean_edit": (None, "", (3000, 150, 0.0075)),
    "max_budget": (F.BUDGET, "Reached maximum budget ($0.005)", (2000, 100, 0.005)),
    "max_tokens": (F.INVALID_OUTPUT, "API Error: Claude's response exceeded", (4000, 200, 0.01)),
    "max_turns": (F.TIMEOUT, "Reached maximum number of turns (3)", (3000, 150, 0.0075)),
    "model_404": (F.BAD_MODEL, "There's an issue with the selected", (0, 0, 0.0)),
    "no_api_key": (F.AUTH, "Not logged in · Please run /login", (0, 0, 0.0)),
    "overloaded_529": (F.OVERLOADED, "API Error: 529 Overloaded. This is a", (0, 0, 0.0)),
    "partial": (None, "", (1000, 50, 0.0025)),
    "perm_bypass_root": (F.BAD_CONFIG, "--dangerously-skip-permissions cannot", (0, 0, 0.0)),
    "perm_default": (None, "", (3000, 150, 0.0075)),
    "perm_dontAsk": (None, "", (3000, 150, 0.0075)),
    "perm_plan": (None, "", (3000, 150, 0.0075)),
    "perm_prompts_none": (None, "", (3000, 150, 0.0075)),
    "plain_429": (F.RATE_LIMIT, "API Error: Request rejected (429) ·", (0, 0, 0.0)),
    "plain_text": (F.CRASH, "ended without a result: Hello from the", (0, 0, 0.0)),
    "plan_json": (None, "", (1000, 50, 0.0025)),
    "plan_json_bad": (F.INVALID_OUTPUT, "the answer is not the JSON that was", (2000, 100, 0.005)),
    "rate_limit_429": (F.RATE_LIMIT, "API Error: Request rejected (429) ·", (0, 0, 0.0)),
    "rate_limit_429_recovers": (None, "", (1000, 50, 0.0025)),
    "ratelimit_headers_oauth": (None, "", (1000, 50, 0.0025)),
    "ratelimit_rejected_oauth": (F.USAGE_LIMIT, "You've hit your 5-hour limit · resets", (0, 0, 0.0)),
    "refusal": (F.INVALID_OUTPUT, "API Error: Sonnet 5.5's safeguards", (2000, 100, 0.005)),
    "repo_hook_default": (None, "", (1000, 50, 0.0025)),
    "repo_hook_sources_user": (None, "", (1000, 50, 0.0025)),
    "resume_other_cwd": (None, "", (1000, 50, 0.0025)),
    "resume_same_cwd": (None, "", (1000, 50, 0.0025)),
    "retry60": (F.RATE_LIMIT, "still trying again (rate_limit) when it", (0, 0, 0.0)),
    "sandbox_failclosed": (F.BAD_CONFIG, "Sandbox required but unavailable:", (0, 0, 0.0)),
    "server_500": (F.PROVIDER_DOWN, "API Error: 500 Internal server error.", (0, 0, 0.0)),
    "server_down": (F.NETWORK, "API Error: Connection refused — a", (0, 0, 0.0)),
    "session_id": (None, "", (1000, 50, 0.0025)),
    "sigint_during_tool": (F.CRASH, "ended without a result: interrupted", (1000, 50, 0.0025)),
    "sigkill_during_tool": (F.CRASH, "killed by SIGKILL", (1000, 21, 0.00221)),
    "sigterm_during_tool": (F.CRASH, "killed by SIGTERM", (1000, 21, 0.00221)),
    "sse_error_midstream": (F.OVERLOADED, "API Error: 529 Overloaded. This is a", (0, 0, 0.0)),
    "stdin_streamjson": (None, "", (2000, 100, 0.005)),
    "streamjson_noverbose": (F.BAD_CONFIG, "Error: When using --print,", (0, 0, 0.0)),
    "text_only": (None, "", (1000, 50, 0.0025)),
    "unavailable_503": (F.OVERLOADED, "API Error: 503 Service unavailable.", (0, 0, 0.0)),
    "write_outside_acceptEdits": (None, "", (2000, 100, 0.005)),
    "write_outside_dontAsk": (None, "", (2000, 100, 0.005)),
    "write_outside_dontAsk_scoped": (None, "", (2000, 100, 0.005)),
}


def schema_of(case: str) -> dict[str, Any] | None:
    return {"type": "object"} if case in ASKED_FOR_JSON else None


def test_every_recording_has_a_row() -> None:
    assert cases("claude") == set(RECORDED)


@pytest.mark.parametrize("case", RECORDED)
def test_recorded(case: str, tmp_path: Path) -> None:
    failure, reason, usage = RECORDED[case]
    outcome = replay(AGENT, "claude", case, job(tmp_path, schema=schema_of(case))).outcome
    assert (outcome.failure, spent(outcome.usage)) == (failure, usage)
    assert outcome.reason.startswith(reason)
    assert bool(outcome.reason) == (failure is not None)


# -- what else a recording says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "denied"),
    [
        ("perm_default", ("Write",)),
        ("perm_plan", ("Write",)),
        ("perm_dontAsk", ("Write",)),
        ("perm_prompts_none", ("Write",)),
        ("write_outside_acceptEdits", ("Write",)),
        ("commit_acceptEdits", ("Bash",)),
        ("file_edit", ()),
    ],
)
def test_denied_tools_are_named_though_the_run_says_success(
    case: str, denied: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = replay(AGENT, "claude", case, job(tmp_path)).outcome
    assert (outcome.failure, outcome.denials) == (None, denied)


@pytest.mark.parametrize(
    ("case", "at"),
    [
        ("ratelimit_rejected_oauth", 1_900_000_000.0),
        ("rate_limit_429", None),
        ("overloaded_529", None),
    ],
)
def test_the_time_that_the_provider_names(case: str, at: float | None, tmp_path: Path) -> None:
    assert replay(AGENT, "claude", case, job(tmp_path)).outcome.retry_at == at


def test_ended_while_it_waited_to_try_again(tmp_path: Path) -> None:
    outcome = replay(AGENT, "claude", "retry60", job(tmp_path), timed_out=True).outcome
    assert outcome.failure is F.RATE_LIMIT
    assert outcome.retry_at == pytest.approx(NOW + 60, abs=5)


@pytest.mark.parametrize("case", ["hang_killed", "hang_midstream_killed", "sigterm_during_tool"])
def test_a_hard_timeout(case: str, tmp_path: Path) -> None:
    outcome = replay(AGENT, "claude", case, job(tmp_path), timed_out=True).outcome
    assert (outcome.failure, outcome.reason) == (F.TIMEOUT, "timed out after 12 s")


def test_a_result_counts_although_the_program_had_to_be_ended(tmp_path: Path) -> None:
    outcome = replay(AGENT, "claude", "file_edit", job(tmp_path), timed_out=True).outcome
    assert (outcome.failure, outcome.summary) == (None, "Created hello.txt.")


def test_the_structured_answer(tmp_path: Path) -> None:
    outcome = replay(AGENT, "claude", "plan_json", job(tmp_path, schema={})).outcome
    assert outcome.structured == {
        "tasks": [
            {"id": "t1", "title": "Write middleware", "depends_on": []},
            {"id": "t2", "title": "Write tests", "depends_on": ["t1"]},
        ]
    }


def test_a_lost_session_cannot_be_resumed(tmp_path: Path) -> None:
    assert replay(AGENT, "claude", "bad_session", job(tmp_path)).outcome.session == ""
    kept = replay(AGENT, "claude", "edit_then_429", job(tmp_path)).outcome.session
    assert len(kept) == 36


def test_what_people_see_of_a_run(tmp_path: Path) -> None:
    played = replay(AGENT, "claude", "file_edit", job(tmp_path))
    assert [(event.kind, event.text) for event in played.events if event.kind is not EventKind.USAGE] == [
        (EventKind.STARTED, "claude-sonnet-5-5"),
        (EventKind.TEXT, "I will write the file."),
        (EventKind.TOOL, "write hello.txt"),
        (EventKind.TOOL, "run cat hello.txt && git status --short"),
        (EventKind.TEXT, "Created hello.txt."),
        (EventKind.RESULT, "Created hello.txt."),
    ]
    started = played.events[0].data
    assert started == {
        "session": "c3dca77a-750c-4de8-beb4-37ff6d9179b0",
        "model": "claude-sonnet-5-5",
        "version": "2.1.330",
    }


def test_retries_and_limits_are_told(tmp_path: Path) -> None:
    played = replay(AGENT, "claude", "unavailable_503", job(tmp_path))
    assert played.texts(EventKind.RETRY) == [
        "overloaded, tries again (1/2)",
        "overloaded, tries again (2/2)",
    ]
    (limit,) = [
        event
        for event in replay(AGENT, "claude", "ratelimit_headers_oauth", job(tmp_path)).events
        if event.kind is EventKind.LIMIT
    ]
    assert limit.text == "five hour limit: allowed_warning"
    assert limit.data == {
        "until": 1_900_000_000.0,
        "status": "allowed_warning",
        "utilization": 0.93,
        "window": "five hour",
    }


# -- usage --------------------------------------------------------------------------------------------


def test_the_blocks_of_one_message_are_counted_once(tmp_path: Path) -> None:
    """A killed run has no bill: its messages are counted by id, and priced by the table."""
    lines = [raw for raw in lines_of("claude", "file_edit") if b'"type":"result"' not in raw]
    usage = play(AGENT, job(tmp_path), lines, code=-9).outcome.usage
    assert (usage.input_tokens, usage.estimated) == (3000, True)
    assert 0 < usage.output_tokens < 150
    assert usage.cost_usd == pytest.approx((3000 * 2 + usage.output_tokens * 10) / 1e6)


def test_partial_messages_tell_the_true_output(tmp_path: Path) -> None:
    lines = [raw for raw in lines_of("claude", "partial") if b'"type":"result"' not in raw]
    assert spent(play(AGENT, job(tmp_path), lines, code=-9).outcome.usage)[:2] == (1000, 50)


@pytest.mark.parametrize(("case", "before"), [("resume_same_cwd", 0.0025), ("resume_other_cwd", 0.005)])
def test_totals_of_a_resumed_session(case: str, before: float, tmp_path: Path) -> None:
    """Also where the program does not say what the last run alone used."""
    resumed = job(tmp_path, session="x", session_cost_usd=before)
    assert spent(replay(AGENT, "claude", case, resumed).outcome.usage) == (1000, 50, 0.0025)
    old = [json.loads(raw) for raw in lines_of("claude", case)]
    for event in old:
        event.pop("model_usage_since_last_result", None)
    lines = [json.dumps(event).encode() for event in old]
    assert spent(play(AGENT, resumed, lines).outcome.usage) == (1000, 50, 0.0025)


def test_cached_input_is_part_of_the_input(tmp_path: Path) -> None:
    model = {"inputTokens": 10, "cacheReadInputTokens": 70, "cacheCreationInputTokens": 20, "costUSD": 0.5}
    result = line(type="result", subtype="success", result="", model_usage_since_last_result={"m": model})
    usage = play(AGENT, job(tmp_path), [result]).outcome.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cost_usd) == (100, 70, 0.5)


def test_a_configured_price(tmp_path: Path) -> None:
    agent = ClaudeAgent(AgentSettings(price=Price(100.0, 10.0, 0.0)))
    usage = replay(agent, "claude", "sigkill_during_tool", job(tmp_path)).outcome.usage
    assert (usage.cost_usd, usage.estimated) == (0.1, True)


# -- endings without a recording ----------------------------------------------------------------------

RESULTS: tuple[tuple[dict[str, Any], F], ...] = (
    ({"api_error_status": 402}, F.NO_CREDIT),
    ({"api_error_status": 404}, F.BAD_MODEL),
    ({"api_error_status": 413}, F.CONTEXT_OVERFLOW),
    ({"api_error_status": 502}, F.PROVIDER_DOWN),
    ({"api_error_status": 529}, F.OVERLOADED),
    ({"api_error_status": 400, "api_error_type": "invalid_request_error"}, F.CRASH),
    ({"api_error_type": "billing_error"}, F.NO_CREDIT),
    ({"api_error_type": "timeout_error"}, F.NETWORK),
    ({"subtype": "error_max_budget_usd", "is_error": False}, F.BUDGET),
    ({"terminal_reason": "max_turns"}, F.TIMEOUT),
    ({"result": "You\u2019ve hit your weekly limit \u00b7 resets 5pm (UTC)"}, F.USAGE_LIMIT),
    ({"result": "API Error: 529 {}"}, F.OVERLOADED),
    ({"result": "the tests say: API Error: 529"}, F.CRASH),
    ({"result": 7, "errors": [None, 3], "api_error_status": "429"}, F.CRASH),
    ({"errors": ["No conversation found with session ID: x"]}, F.CRASH),
    ({"subtype": "error_of_the_future"}, F.CRASH),
)


@pytest.mark.parametrize(("fields", "failure"), RESULTS)
def test_a_result_that_is_an_error(fields: dict[str, Any], failure: F, tmp_path: Path) -> None:
    result = line(**({"type": "result", "subtype": "success", "is_error": True} | fields))
    assert play(AGENT, job(tmp_path), [result], code=1).outcome.failure is failure


STARTS: tuple[tuple[int, str, F, str], ...] = (
    (1, "error: unknown option '--x'\n", F.BAD_CONFIG, "error: unknown option '--x'"),
    (0, "", F.CRASH, "ended without a result"),
    (127, "sh: claude: not found\n", F.CRASH, "exit code 127: sh: claude: not found"),
    (-11, "", F.CRASH, "killed by SIGSEGV"),
    (137, "", F.CRASH, "killed by SIGKILL"),
    (-99, "", F.CRASH, "killed by signal 99"),
)


@pytest.mark.parametrize(("code", "stderr", "failure", "reason"), STARTS)
def test_an_ending_without_a_word(code: int, stderr: str, failure: F, reason: str, tmp_path: Path) -> None:
    outcome = play(AGENT, job(tmp_path), [], code=code, stderr=stderr).outcome
    assert (outcome.failure, outcome.reason) == (failure, reason)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('Here it is: {"a": 1}', None),
        ("7", None),
        ("", None),
    ],
)
def test_an_answer_as_text(said: str, answer: Any, tmp_path: Path) -> None:
    """The model may give the JSON as its message instead of through the tool for it."""
    result = line(type="result", subtype="success", is_error=False, result=said)
    outcome = play(AGENT, job(tmp_path, schema={}), [result]).outcome
    failure = F.INVALID_OUTPUT if answer is None else None
    assert (outcome.structured, outcome.failure) == (answer, failure)


# -- launch -------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "claude"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


ALWAYS = (
    *("-p", "--output-format", "stream-json", "--verbose"),
    *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands", "--model", "sonnet"),
)
WRITING = "Bash,Edit,Glob,Grep,NotebookEdit,Read,WebFetch,WebSearch,Write"
SANDBOX = (
    '{"sandbox":{"enabled":true,"failIfUnavailable":true,'
    '"autoAllowBashIfSandboxed":true,"allowUnsandboxedCommands":false}}'
)
BYPASS = ("--permission-mode", "bypassPermissions")
RULES = ("Bash(git *)", "Write", "Read")

LAUNCHES: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("restricted", {"contained": True}, (*BYPASS, "--tools", WRITING)),
    ("restricted", {"contained": True, "writes": False}, (*BYPASS, "--tools", "Read,Glob,Grep")),
    (
        "restricted",
        {"contained": True, "allowed_tools": RULES},
        ("--permission-mode", "dontAsk", "--tools", "Bash,Write,Read", "--allowedTools", *RULES),
    ),
    ("trusted_local", {}, (*BYPASS, "--tools", WRITING)),
    ("trusted_local", {"writes": False}, ("--permission-mode", "dontAsk", "--tools", "Read,Glob,Grep")),
    (
        "restricted",
        {},
        ("--permission-mode", "acceptEdits", "--tools", WRITING, "--settings", SANDBOX),
    ),
    (
        "restricted",
        {"allowed_tools": ("Bash", "Write", "Read")},
        (
            *("--permission-mode", "dontAsk", "--tools", "Bash,Write,Read"),
            *("--allowedTools", "Write(./**)", "Read", "--settings", SANDBOX),
        ),
    ),
    (
        "restricted",
        {"writes": False, "allowed_tools": RULES},
        ("--permission-mode", "dontAsk", "--tools", "Read"),
    ),
    (
        "restricted",
        {"contained": True, "schema": {"type": "object"}, "session": "s-1", "model": "opus"},
        (*BYPASS, "--tools", WRITING, "--json-schema", '{"type":"object"}', "--resume", "s-1"),
    ),
    (
        "restricted",
        {"contained": True, "new_session": "u-1", "max_turns": 3, "effort": "low"}
        | {"budget_usd": 1.5, "extra_args": ("--x",)},
        (
            *(*BYPASS, "--tools", WRITING, "--session-id", "u-1", "--max-turns", "3"),
            *("--effort", "low", "--max-budget-usd", "1.5", "--from-settings", "--x"),
        ),
    ),
)


@pytest.mark.parametrize(("mode", "more", "rest"), LAUNCHES)
def test_command_line(
    mode: Any, more: dict[str, Any], rest: tuple[str, ...], program: Path, tmp_path: Path
) -> None:
    extra = ("--from-settings",) if "extra_args" in more else ()
    settings = AgentSettings(
        command=str(program), model="sonnet", extra_args=extra, execution_security_mode=mode
    )
    launch = ClaudeAgent(settings).launch(job(tmp_path, **more))
    always = (*ALWAYS[:-1], more.get("model", "sonnet"))
    assert launch.argv == (str(program), *always, *rest)
    assert launch.prompt_on_stdin


def launched_env(program: Path, job: Job, **settings: Any) -> dict[str, str]:
    return dict(ClaudeAgent(AgentSettings(command=str(program), **settings)).launch(job).env)


def test_environment(program: Path, tmp_path: Path) -> None:
    environ = {
        "ANTHROPIC_API_KEY": "k",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "OPENAI_API_KEY": "other",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "MY_PROXY_KEY": "p",
        "CLAUDECODE": "1",
        "CLAUDE_CONFIG_DIR": "/home/person/.claude",
    }
    given = job(tmp_path, environ=environ, contained=True, state_dir=tmp_path / "state")
    env = launched_env(program, given, env_pass=("MY_PROXY_KEY",), env={"API_TIMEOUT_MS": "9"})
    assert env == {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "ANTHROPIC_API_KEY": "k",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "MY_PROXY_KEY": "p",
        "API_TIMEOUT_MS": "9",
        "CLAUDE_CONFIG_DIR": str(tmp_path / "state"),
        "IS_SANDBOX": "1",
    }


@pytest.mark.parametrize(
    ("mode", "contained", "sandboxed"),
    [("restricted", False, False), ("restricted", True, True), ("trusted_local", False, os.geteuid() == 0)],
)
def test_root_may_bypass_permissions_only_where_it_was_allowed_to(
    mode: str, contained: bool, sandboxed: bool, program: Path, tmp_path: Path
) -> None:
    env = launched_env(program, job(tmp_path, contained=contained), execution_security_mode=mode)
    assert ("IS_SANDBOX" in env) is sandboxed
