"""The real claude and codex, without a model or an account: they talk to a loopback stub (tests/stub_api.py).

Each run is started with the adapter's own command line, by the project's own way of starting programs.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.agents import build
from mo_daemon.agents.protocol import Agent, Event, EventKind, Job, Outcome
from mo_daemon.agents.settings import AgentSettings
from mo_daemon.agents.stream import LineSplitter
from mo_git import locate, process
from mo_git.model import FailureClass as F
from mo_git.model import Phase
from tests.agents import API, KINDS, do, program
from tests.stub_api import StubApi
from tests.support import RepoBuilder

pytestmark = pytest.mark.slow

SCHEMA = {
    "type": "object",
    "properties": {"steps": {"type": "array", "items": {"type": "string"}}},
    "required": ["steps"],
    "additionalProperties": False,
}


@dataclass
class Bench:
    """One agent with its state and a repository."""

    kind: str
    api: StubApi
    repo: RepoBuilder
    state: Path
    settings: AgentSettings = field(default_factory=AgentSettings)

    def __post_init__(self) -> None:
        self.state.mkdir()
        self.settings = AgentSettings(
            command=program(self.kind), config=self.api.codex_settings(), env_pass=("STUB_API_KEY",)
        )
        names = ("PATH", "HOME", "LANG")
        self.base = {name: os.environ[name] for name in names if name in os.environ}
        self.runs = 0

    @property
    def agent(self) -> Agent:
        return build({self.kind: self.settings})[self.kind]

    def job(self, prompt: str, **more: Any) -> Job:
        self.runs += 1
        environ = {**self.base, **self.api.claude_environ(), "STUB_API_KEY": "stub"}
        run_dir = self.state.parent / f"run-{self.runs}"
        run_dir.mkdir()
        given: dict[str, Any] = {"contained": True, "state_dir": self.state, **more}
        return Job(Phase.EXECUTE, prompt, self.repo.path, run_dir, environ, **given)

    def run(self, prompt: str, *, timeout: float = 60, **more: Any) -> tuple[Outcome, list[Event]]:
        return asyncio.run(self._run(self.job(prompt, **more), timeout))

    async def _run(self, job: Job, timeout: float) -> tuple[Outcome, list[Event]]:
        launch, reader, splitter = self.agent.launch(job), self.agent.reader(job), LineSplitter()
        events: list[Event] = []

        def read(chunk: bytes) -> None:
            for line in splitter.feed(chunk):
                events.extend(reader.feed(line))

        (job.run_dir / "prompt.md").write_text(job.prompt)
        # stdin of started programs is closed: the shell puts the prompt there
        argv = ["sh", "-c", 'exec "$@" <"$0"', str(job.run_dir / "prompt.md"), *launch.argv]
        process.become_subreaper()
        out = process.Sink(job.run_dir / "stream.jsonl", on_bytes=read)
        err = process.Sink(job.run_dir / "stderr.log")
        child = process.start(
            argv,
            cwd=job.worktree,
            env={**self.base, **launch.env},
            token=f"real-{os.getpid()}",
            stdout=out,
            stderr=err,
        )
        ending = await child.wait(timeout, grace=3)
        for line in splitter.rest():
            events.extend(reader.feed(line))
        stderr = (job.run_dir / "stderr.log").read_text(errors="replace")
        outcome = reader.outcome(ending, stderr, 1_790_000_000.0)
        assert process.survivors([f"real-{os.getpid()}"]) == []
        return outcome, events


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, api: StubApi, tmp_path: Path) -> Bench:
    repo = RepoBuilder.create(
        tmp_path / "repo", {"README.md": "hello\n", "AGENTS.md": "CANARY-A\n", "CLAUDE.md": "CANARY-C\n"}
    )
    return Bench(request.param, api, repo, tmp_path / "state")


def test_version(bench: Bench) -> None:
    found = locate.find(bench.kind, bench.settings.command, bench.base)
    assert found.version[0].isdigit()
    assert "." in found.version


def test_edits_files_and_runs_commands(bench: Bench) -> None:
    prompt = do(
        {"say": "First the file.", "write": ["src/a.txt", "one\n"]},
        {"edit": ["README.md", "hello", "goodbye"]},
        {"run": "cat src/a.txt README.md"},
        {"say": "All done."},
    )
    outcome, events = bench.run(prompt)
    assert (outcome.failure, outcome.summary, outcome.denials) == (None, "All done.", ())
    assert (bench.repo.path / "src" / "a.txt").read_text() == "one\n"
    assert (bench.repo.path / "README.md").read_text() == "goodbye\n"
    tools = [event.text for event in events if event.kind is EventKind.TOOL]
    assert tools == ["write src/a.txt", "edit README.md", "run cat src/a.txt README.md"]
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (4000, 200)
    assert outcome.usage.cost_usd > 0
    assert events[0].kind is EventKind.STARTED
    assert events[0].data["session"] == outcome.session != ""


def test_instructions_that_it_reads_by_itself(bench: Bench) -> None:
    """What is not read is the daemon's to put into the prompt."""
    bench.run("Say something.")
    sent = "".join(bench.api.prompts(API[bench.kind]))
    reads: frozenset[str] = getattr(bench.agent, "reads", frozenset())
    assert {
        name for name, word in {"AGENTS.md": "CANARY-A", "CLAUDE.md": "CANARY-C"}.items() if word in sent
    } == reads


def test_hooks_of_the_repository_do_not_run(bench: Bench) -> None:
    hook = {"hooks": [{"type": "command", "command": "touch hook-ran"}]}
    settings = {"hooks": {"SessionStart": [hook], "Stop": [hook]}}
    server = {"command": "touch", "args": ["hook-ran"]}
    bench.repo.write(
        {
            ".claude/settings.json": json.dumps(settings),
            ".mcp.json": json.dumps({"mcpServers": {"m": server}}),
            ".codex/config.toml": '[mcp_servers.m]\ncommand = "touch"\nargs = ["hook-ran"]\n',
        }
    )
    assert bench.run("Say something.")[0].failure is None
    assert not (bench.repo.path / "hook-ran").exists()


def test_a_structured_answer_from_a_session_that_goes_on(bench: Bench) -> None:
    """The first answer is not JSON; asked again in the same session, it is."""
    answer = {"steps": ["a", "b"]}
    nonsense = do({"say": "not json"}, {"say": "still not"}, {"say": "never"})
    first, _ = bench.run(nonsense, schema=SCHEMA, writes=False)
    assert (first.failure, first.structured) == (F.INVALID_OUTPUT, None)
    second, _ = bench.run(
        f"Again. [[answer: {json.dumps(answer)}]]",
        schema=SCHEMA,
        writes=False,
        session=first.session,
        session_cost_usd=first.usage.cost_usd,
        session_usage=first.usage,
    )
    assert (second.failure, second.structured, second.session) == (None, answer, first.session)
    assert (second.usage.input_tokens, second.usage.output_tokens) == (1000, 50)


def test_a_reading_phase_leaves_the_files_alone(bench: Bench) -> None:
    prompt = do({"write": ["a.txt", "x\n"]}, {"run": "touch b.txt"}, {"say": "Done."})
    outcome, _ = bench.run(prompt, contained=False, writes=False)
    assert outcome.failure is None
    assert bench.repo.git("status", "--porcelain") == ""


ERRORS: tuple[tuple[str, F, dict[str, Any], dict[str, Any]], ...] = (
    ("401", F.AUTH, {"type": "authentication_error", "message": "invalid x-api-key"}, {"message": "no"}),
    ("429", F.RATE_LIMIT, {"type": "rate_limit_error", "message": "too many"}, {"message": "too many"}),
    ("503", F.OVERLOADED, {"type": "api_error", "message": "busy"}, {"message": "busy"}),
    (
        "404",
        F.BAD_MODEL,
        {"type": "not_found_error", "message": "model: x"},
        {
            "message": "The model `x` does not exist or you do not have access to it.",
            "code": "model_not_found",
        },
    ),
)


@pytest.mark.parametrize(("status", "failure", "anthropic", "openai"), ERRORS)
def test_errors_of_the_provider(
    bench: Bench, status: str, failure: F, anthropic: dict[str, Any], openai: dict[str, Any]
) -> None:
    """The work before it stays, the session can go on, and the tokens are counted."""
    error = anthropic if bench.kind == "claude" else openai
    outcome, _ = bench.run(do({"write": ["a.txt", "x\n"]}, {"status": int(status), "error": error}))
    assert outcome.failure is failure
    assert (bench.repo.path / "a.txt").read_text() == "x\n"
    assert (outcome.session != "", outcome.usage.input_tokens) == (True, 1000)


def test_a_passing_error_is_tried_again(bench: Bench) -> None:
    """Codex does so for a 429 only where the provider says when."""
    error = {"type": "rate_limit_error", "message": "too many"}
    fault = {"status": 429, "error": error, "headers": {"retry-after": "1"}, "times": 1}
    outcome, events = bench.run(do(fault, {"say": "Recovered."}))
    assert (outcome.failure, outcome.summary) == (None, "Recovered.")
    retries = [event.data["class"] for event in events if event.kind is EventKind.RETRY]
    assert retries == [F.RATE_LIMIT]


@pytest.mark.parametrize("step", [{"drop": True}, {"fail": {"type": "overloaded_error", "message": "busy"}}])
def test_a_stream_that_breaks(bench: Bench, step: dict[str, Any]) -> None:
    outcome, _ = bench.run(do(step))
    if "drop" in step:
        assert outcome.failure is F.NETWORK
    else:
        assert outcome.failure in (F.OVERLOADED, F.CRASH, F.NETWORK)


@pytest.mark.parametrize("when", ["before", "within"])
def test_a_provider_that_goes_silent(bench: Bench, when: str) -> None:
    outcome, events = bench.run(do({"hang": when}), timeout=6)
    assert (outcome.failure, outcome.reason) == (F.TIMEOUT, f"timed out after {outcome.reason.split()[-2]} s")
    assert [event.kind for event in events] == [EventKind.STARTED]


def test_ended_while_its_tool_runs(bench: Bench) -> None:
    """Nothing of it lives afterwards: the child of the tool is in a session of its own."""
    command = "python3 -c 'import time; time.sleep(300)'"  # claude refuses a bare sleep
    outcome, events = bench.run(do({"run": command}), timeout=8)
    assert outcome.failure is F.TIMEOUT
    assert f"run {command}" in [event.text for event in events]


def test_a_lost_session(bench: Bench) -> None:
    outcome, _ = bench.run("Go on.", session="00000000-0000-4000-8000-000000000000")
    assert (outcome.failure, outcome.session) == (F.CRASH, "")


def test_no_key(bench: Bench) -> None:
    bench.settings = replace(bench.settings, env_pass=(), env={})
    job = replace(bench.job("Say something."), environ={**bench.base, "ANTHROPIC_BASE_URL": bench.api.url})
    outcome, _ = asyncio.run(bench._run(job, 60))
    assert outcome.failure is F.AUTH


def test_a_flag_that_it_does_not_know(bench: Bench) -> None:
    outcome, events = bench.run("x", extra_args=("--no-such-flag",))
    assert (outcome.failure, events) == (F.BAD_CONFIG, [])
    assert "--no-such-flag" in outcome.reason


def test_keys_are_kept_from_the_commands_of_codex(api: StubApi, repo: RepoBuilder, tmp_path: Path) -> None:
    bench = Bench("codex", api, repo, tmp_path / "state")
    bench.run(do({"run": 'echo "key: <$STUB_API_KEY>" >seen.txt'}, {"say": "Done."}))
    assert (repo.path / "seen.txt").read_text() == "key: <>\n"


def test_the_own_sandbox_of_codex(api: StubApi, repo: RepoBuilder, tmp_path: Path) -> None:
    """Also with its home below the temporary directory, where it would let nothing run by itself."""
    bench = Bench("codex", api, repo, tmp_path / "state")
    outside = tmp_path / "outside.txt"
    steps: list[dict[str, Any]] = [
        {"write": ["a.txt", "x\n"]},
        {"run": f"echo x >{outside}; echo y >b.txt; echo z >$TMPDIR/c.txt && cp $TMPDIR/c.txt ."},
        {"say": "Done."},
    ]
    outcome, _ = bench.run(do(*steps), contained=False)
    assert outcome.failure is None
    assert repo.git("status", "--porcelain") == "?? a.txt\n?? b.txt\n?? c.txt"
    assert not outside.exists()


def test_budget_and_turns_of_claude(api: StubApi, repo: RepoBuilder, tmp_path: Path) -> None:
    bench = Bench("claude", api, repo, tmp_path / "state")
    prompt = do(*({"run": f"echo {number}"} for number in range(9)))
    spent, _ = bench.run(prompt, budget_usd=0.001)
    assert (spent.failure, spent.usage.input_tokens) == (F.BUDGET, 1000)
    turns, _ = bench.run(prompt, max_turns=3)
    assert (turns.failure, turns.usage.input_tokens) == (F.TIMEOUT, 3000)


def test_a_session_id_that_mo_chose(api: StubApi, repo: RepoBuilder, tmp_path: Path) -> None:
    bench = Bench("claude", api, repo, tmp_path / "state")
    chosen = "11111111-2222-4333-8444-555555555555"
    assert bench.run("Say something.", new_session=chosen)[0].session == chosen
