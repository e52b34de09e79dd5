"""Every key of the settings: name, type, limits, default and one line of documentation.

The file `config.toml` at the repository's root is written from here (`config_file`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Field
from pydantic.fields import FieldInfo

from mo_git.config_agents import ENTRY, AgentEntry, Agents, Claude, Codex, roster
from mo_git.config_base import Commands, Section, Texts, key
from mo_git.config_gate import GATE_INPUTS, Metrics
from mo_git.config_iterations import IterationRules
from mo_git.config_money import Budget, Notify, Prices, Quota
from mo_git.config_simple import Simple
from mo_git.globs import bad_pattern
from mo_git.model import Command


def _usable(value: dict[str, Command]) -> dict[str, Command]:
    for pattern, command in value.items():
        if bad_pattern(pattern) or not (command.strip() if isinstance(command, str) else any(command)):
            raise ValueError("a pattern of paths names a command")
    return value


Rebuilders = Annotated[Commands, AfterValidator(_usable)]


class Orchestrator(Section):
    """How much runs at once."""

    max_parallel: int = key(150, "agents that may run at once on this machine", ge=1)
    tick_seconds: float = key(2.0, "seconds after which the daemon looks again without an event", gt=0)
    min_free_disk_gb: float = key(1.0, "start nothing with less free disk space than this", ge=0)
    max_load_per_cpu: float = key(0.0, "start nothing while the load per CPU is above this; 0: off", ge=0)


class Retry(Section):
    """Attempts that failed for a passing reason."""

    max_attempts: int = key(10, "attempts of one task, the first included", ge=1)
    base_seconds: float = key(30.0, "first wait before a retry; it doubles each time", ge=0)
    max_seconds: float = key(1800.0, "longest wait before a retry", ge=0)
    same_way: int = key(2, "retries after failing the same way (time-out, crash)", ge=0)


class SandboxSection(Section):
    """What is around agents, and around gates, checks and set-up."""

    mode: Literal["auto", "required", "off"] = key(
        "auto", "auto: where bubblewrap works; required: else refuse; off: never", guarded=True
    )
    profile: Literal["standard", "strict"] = key(
        "standard", "standard: reads all but secrets; strict: system directories only", guarded=True
    )
    network: Literal["open", "off"] = key("open", "whether agents reach the network", guarded=True)
    hide: Texts = key((), "further paths that agents cannot see")
    read: Texts = key((), "further paths that agents can read", guarded=True)
    tmp_mb: int = key(512, "MiB of memory for each temporary directory of an agent", ge=1)


class CommandTasks(Section):
    """Tasks that run a command instead of an agent."""

    default_timeout: float = key(1800.0, "seconds for one attempt where a task says nothing", gt=0)


class PhaseDefaults(Section):
    """Who does which phase where nothing else says so."""

    decompose: str = key("claude", "makes a plan from a goal")
    execute: str = key("codex", "does a task")
    review: str = key("claude", "reviews a task's diff")
    discover: str = key("claude", "looks for improvements")
    simple: str = key("codex", "does an item of simple mode")
    resolve: str = key("claude", "resolves a merge conflict")
    verify: str = key("claude", "says what a goal still lacks")


class Routing(Section):
    """Which provider gets which work."""

    default_provider: str = key("auto", "provider of all tasks; auto: by phase and by what is usable")
    auto_fallback: bool = key(True, "with auto: another provider takes over when one is down")
    fallbacks: Texts = key((), "with auto: who may take over, in this order; empty: any that is usable")
    learn: bool = key(True, "with auto: tasks go to who landed more per dollar in this repository")
    phase_defaults: PhaseDefaults = Field(default_factory=PhaseDefaults)


class Git(Section):
    """Branches and commits."""

    branch_prefix: str = key(
        "mo/",
        "what all branches of mo start with",
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9_-]*/)+$",
        allowed='letters, digits, - and _, ending with a slash, such as "mo/"',
    )
    base: str = key("", "revision goals start from; empty: the branch that is checked out")
    author: str = key(
        "",
        'author of the commits mo makes, "Name <email>"; empty: mo <mo@localhost>',
        pattern=r"^([^<>\n]*[^<>\s] <[^<>\s]+>)?$",
        allowed='"Name <email>"',
    )


class Workspace(Section):
    """The worktrees in which tasks run."""

    root_dir: str = key(
        "", "directory for worktrees; empty: mo's state directory, outside the repository", guarded=True
    )
    keep: Literal["never", "failed", "always"] = key("failed", "worktrees that stay when their attempt ended")
    setup: Texts = key((), "commands (sh -c) run once in each fresh worktree", guarded=True)
    teardown: Texts = key((), "commands (sh -c) run before a worktree is removed", guarded=True)
    setup_timeout: float = key(1800.0, "seconds for each of these commands", gt=0)
    setup_sandbox: bool = key(True, "these commands run in the sandbox, where there is one", guarded=True)
    env_pass: Texts = key((), "names of environment variables that agents and checks get too", guarded=True)


class Gate(Section):
    """The tests that every landing must pass."""

    command: str = key("", 'command (sh -c); empty: detected; "none": no gate', guarded=True)
    timeout: float = key(1800.0, "seconds for one run", gt=0)
    junit: str = key("", "JUnit XML file that the command writes, relative to the worktree")
    select: str = key(
        "",
        "command (sh -c) that runs only some tests, where mo knows no way; {ids}: their ids, quoted",
        guarded=True,
        pattern=r"^$|\{ids\}",
        allowed='a command with {ids} in it, such as "./run-tests {ids}"',
    )
    keep: Texts = key((), "ignored paths that stay in the gate's worktree between runs")
    proof: Literal["required", "off"] = key("required", "prove first that the gate notices a broken tree")
    sandbox: bool = key(
        True, "gates and checks run in the sandbox, where there is one; false: as you", guarded=True
    )
    writable: Texts = key((), "further paths that gates, checks and set-up can write", guarded=True)
    parallel: int = key(1, "gate runs at once", ge=1)
    quarantine_days: float = key(
        14.0, "days for which a test that was flaky on two trees may fail; 0: never", ge=0
    )
    inputs: Texts = key(
        GATE_INPUTS, "files that say how tests are run; a change is gated with the former version, too"
    )


class Converge(Section):
    """How the work of tasks comes together."""

    window: int = key(150, "candidates in one train, merged and gated together at most", ge=1)
    speculate: Literal["auto", "always", "off"] = key(
        "auto", "start tasks from what is not gated yet; auto: where a gate takes long"
    )
    forecast: bool = key(True, "look ahead for conflicts between tasks that are not landed yet")
    resolve: Literal["auto", "off"] = key(
        "auto", "auto: an agent resolves conflicts between prompts; off: none does"
    )
    regenerate: Rebuilders = key(
        {},
        "files that a command (sh -c, or a list) rebuilds when they conflict, by pattern",
        guarded=True,
        example='"package-lock.json" = "npm install --package-lock-only"',
    )
    deterioration: Literal["rollback", "report", "off"] = key(
        "rollback", "a goal whose metrics got worse in sum: rollback to its best commit, report it, or off"
    )


class Review(Section):
    """Whether somebody looks at a task's change before it may land."""

    require: Literal["none", "agent", "human"] = key(
        "none", "none; agent: another provider reviews, which is paid for; human: each change waits for you"
    )
    max_rounds: int = key(2, "corrections that a reviewing agent may ask for before a person decides", ge=0)


class Limits(Section):
    """Sizes."""

    max_file_mb: float = key(20.0, "largest file a task may add", gt=0)
    log_mb: float = key(32.0, "output kept of one attempt or gate run", gt=0)


class Planner(Section):
    """Plans."""

    max_tasks: int = key(200, "tasks a plan may have", ge=1)
    serialize_overlaps: bool = key(False, "run tasks that may write the same paths one after the other")


class Daemon(Section):
    """The background process."""

    idle_minutes: float = key(30.0, "minutes without anything to do after which it ends", ge=0)


class Log(Section):
    """The daemon's log."""

    level: Literal["debug", "info", "warning", "error"] = key("info", "least important lines to write")
    keep_days: float = key(30.0, "days after which old logs are removed", gt=0)


class Config(Section):
    """All settings."""

    orchestrator: Orchestrator = Field(default_factory=Orchestrator)
    retry: Retry = Field(default_factory=Retry)
    claude: Claude = Field(default_factory=Claude)
    codex: Codex = Field(default_factory=Codex)
    command: CommandTasks = Field(default_factory=CommandTasks)
    agents: Agents = Field(default_factory=lambda: Agents.model_validate({}))
    budget: Budget = Field(default_factory=Budget)
    quota: Quota = Field(default_factory=Quota)
    prices: Prices = key(
        {},
        "US dollars per million tokens, by model, where mo's own table is wrong or old",
        example='"gpt-5.5" = { input = 5, cached_input = 0.5, output = 30 }',
    )
    sandbox: SandboxSection = Field(default_factory=SandboxSection)
    routing: Routing = Field(default_factory=Routing)
    git: Git = Field(default_factory=Git)
    workspace: Workspace = Field(default_factory=Workspace)
    gate: Gate = Field(default_factory=Gate)
    metrics: Metrics = key(
        {},
        "numbers about a commit that may not get worse by more than their tolerance",
        guarded=True,
        example='coverage = { command = "coverage report | tail -1", direction = "up", tolerance = 0.5 }',
    )
    converge: Converge = Field(default_factory=Converge)
    iterations: IterationRules = Field(default_factory=IterationRules)
    review: Review = Field(default_factory=Review)
    limits: Limits = Field(default_factory=Limits)
    planner: Planner = Field(default_factory=Planner)
    simple: Simple = Field(default_factory=Simple)
    daemon: Daemon = Field(default_factory=Daemon)
    notify: Notify = Field(default_factory=Notify)
    log: Log = Field(default_factory=Log)

    @cached_property
    def roster(self) -> Mapping[str, AgentEntry]:
        """The settings of every agent by its name."""
        return roster({"claude": self.claude, "codex": self.codex}, self.agents.entries)


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a field holds; None: it holds a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Leaves of a table, its own keys before its sub-tables."""
    inner = {name for name, field in model.model_fields.items() if section_of(field) or field.default == {}}
    for name, field in model.model_fields.items():
        if name not in inner:
            yield prefix + name, field
    for name, field in model.model_fields.items():
        if section := section_of(field):
            yield from _walk(section, f"{prefix}{name}.")
        elif name in inner:
            yield prefix + name, field


@cache
def leaves() -> Mapping[str, FieldInfo]:
    """Dotted key -> its field, in the order of the file."""
    return dict(_walk(Config, ""))


@cache
def entry_leaves() -> Mapping[str, FieldInfo]:
    """The same for the keys of an `[agents.NAME]`, without that beginning."""
    found = dict(_walk(AgentEntry, ""))
    return {"kind": found["kind"], **found}


def field_of(dotted: str) -> FieldInfo | None:
    """The field of a key, also of one in an `[agents.NAME]`; None for a key that does not exist."""
    return leaves().get(dotted) or entry_leaves().get(in_entry(dotted)[1])


def in_entry(dotted: str) -> tuple[str, str]:
    """(name, key) of a key in an `[agents.NAME]`; both empty for any other."""
    section, _, rest = dotted.partition(".")
    name, _, last = rest.partition(".")
    return (name, last) if section == "agents" and last else ("", "")


def is_guarded(dotted: str) -> bool:
    """Whether a tracked file can set the key only when it is trusted."""
    field = field_of(dotted)
    return field is not None and bool(extra_of(field)["guarded"])


def key_listing() -> list[tuple[str, Any, str]]:
    """(dotted key, default, one line of documentation) of every key."""
    every = [*leaves().items(), *((ENTRY + name, field) for name, field in entry_leaves().items())]
    return [(name, field.default, field.description or "") for name, field in every]


def takes_text(name: str) -> bool:
    """Whether the key's value is text, so that an unquoted word is meant literally."""
    field = field_of(name)
    kind = field.annotation if field else None
    return kind is str or get_origin(kind) is Literal


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """What `key` noted besides: guarded, allowed, example."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def choices(field: FieldInfo) -> Sequence[str]:
    """The words that a key takes, or nothing where it takes more than words."""
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def allowed(field: FieldInfo) -> str:
    """What the key takes, in words."""
    if words := choices(field):
        return f"one of {', '.join(words)}"
    if said := extra_of(field).get("allowed"):
        return str(said)
    if example := extra_of(field).get("example"):
        return f"a table such as {{ {example} }}"
    kind = field.annotation
    if get_origin(kind) is tuple:
        return 'a list of texts such as ["a", "b"]'
    names = {bool: "true or false", str: "text", int: "a whole number"}
    name = names[kind] if isinstance(kind, type) and kind in names else "a number"
    for limit in field.metadata:
        if (least := getattr(limit, "ge", None)) is not None:
            name += f", {least} or more"
        if (above := getattr(limit, "gt", None)) is not None:
            name += f" greater than {above}"
    return name


def plain(value: Any) -> Any:
    """A setting's value as a person writes it: lists for tuples, 30 for 30.0."""
    if isinstance(value, tuple):
        return list(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
