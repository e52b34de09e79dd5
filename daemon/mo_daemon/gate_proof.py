"""Proof that a gate tests what it is pointed at.

The gate runs twice on one commit: as it is, which gives the baseline, and with every source file made
unreadable.  A gate that passes the second time reads the code from somewhere else (an editable install, a
link, a copy), or doesn't read it at all; then the place that was really used is looked for.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from mo_daemon.containment import Confinement
from mo_daemon.gate import GREEN, NONE, RED, UNKNOWN, GateCommand, GateRun, GateSlot, Provision, Started
from mo_daemon.gate_remedy import leaks, led_to, remedy, unknown_remedy
from mo_daemon.judging import Question
from mo_daemon.packagescripts import package_scripts
from mo_daemon.services import last_line, tail
from mo_daemon.threads import in_thread
from mo_daemon.verdicts import NO_RESULTS
from mo_git.git.binary import Git
from mo_git.model import Command

# No language parses this, shells included.
UNREADABLE = b"<?php ) ] } made unreadable for a moment, to see whether the gate notices\n"
_LOG_END = 65536  # bytes that are searched for why a gate failed


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the gate can be trusted.  `leaked` are paths outside the worktree that it really used."""

    ok: bool
    baseline: GateRun
    reason: str = ""
    hint: str = ""
    leaked: tuple[str, ...] = ()


async def prove(
    slot: GateSlot,
    base: str,
    command: GateCommand,
    *,
    env: Mapping[str, str],
    token: str,
    log_dir: Path,
    main_top: Path,
    provision: Provision | None = None,
    started: Started | None = None,
    confinement: Confinement | None = None,
) -> Proof:
    """Prove the gate on the commit `base`; logs go to `log_dir`, `main_top` is the main checkout."""
    run = partial(
        slot.run,
        base,
        command,
        env=env,
        token=token,
        provision=provision,
        started=started,
        confinement=confinement,
    )

    async def hidden(reason: str) -> Proof | None:
        """The refusal of a gate that fails since what is installed leads to the main checkout."""
        if not confinement:
            return None
        used = await _trace(slot, run, log_dir, env)
        found = await in_thread(led_to, slot.path, main_top, set(_tracked(slot.path)), used)
        if not found:
            return None
        reason += f"; it needs {found[0]}, which the sandbox hides"
        return Proof(False, baseline, reason, remedy(slot.path, main_top, command.command, found), found)

    baseline = await run(log=log_dir / "base.log", question=Question())
    if baseline.result == UNKNOWN:
        baseline = await run(log=log_dir / "base-again.log", question=Question())
    if baseline.result == UNKNOWN:
        reason = f"the gate gives no result on the base: {baseline.reason}"
        if NO_RESULTS in baseline.reason and (line := last_line(baseline.log)) and not line.startswith("$ "):
            reason += f"; its output ends: {line}"
        refused = await hidden(reason) if _misses_module(baseline) else None
        hint = unknown_remedy(slot.path, command.command, baseline)
        return refused or Proof(False, baseline, reason, hint)
    if command.command == NONE:
        return Proof(True, baseline, baseline.reason)
    if baseline.result == RED and not (baseline.tests and baseline.tests.failing()):
        reason = f"the gate fails on the base already: {baseline.reason}"
        refused = await hidden(reason) if _misses_module(baseline) else None
        return refused or Proof(True, baseline, reason)
    note = ""
    if baseline.result == RED and baseline.tests:
        note = f"the gate fails on the base already: {_count(len(baseline.tests.failing()))}"
    spoil = partial(make_unreadable, slot.path, command.command)
    spoilt = await run(log=log_dir / "unreadable.log", question=Question(baseline.tests), alter=spoil)
    if not _same(baseline, spoilt):
        return Proof(True, baseline, note)
    reason = "the gate passes although the code is unreadable"
    if baseline.result == RED:
        reason = "the gate's tests do the same although the code is unreadable"
        if refused := await hidden(reason):
            return refused
    traced = await _trace(slot, run, log_dir, env, spoil)
    leaked = await in_thread(leaks, slot.path, main_top, set(_tracked(slot.path)), traced)
    if leaked:
        reason += f"; it really used {leaked[0]}"
    return Proof(False, baseline, reason, remedy(slot.path, main_top, command.command, leaked), leaked)


_MISSING = re.compile(r"No module named|ImportError|Cannot find (?:module|package)")


def _misses_module(run: GateRun) -> bool:
    return bool(_MISSING.search(tail(run.log, _LOG_END)))


def _same(baseline: GateRun, spoilt: GateRun) -> bool:
    if baseline.result == GREEN:
        return spoilt.result == GREEN
    return (
        spoilt.tests is not None
        and baseline.tests is not None
        and dict(spoilt.tests.outcomes) == dict(baseline.tests.outcomes)
    )


def _count(failing: int) -> str:
    return "1 test" if failing == 1 else f"{failing} tests"


# -- which files are source ---------------------------------------------------------------------------

_EXTENSION = re.compile(
    r"py|pyx|[cm]?[jt]s|[jt]sx|vue|svelte|go|rs|c|cc|cpp|cxx|h|hh|hpp|mm?|java|kt|scala|groovy|clj[cs]?|rb|php"
    r"|p[lm]|lua|r|jl|swift|[cf]s|vb|exs?|erl|hs|ml|dart|zig|nim|d|(?:ba|z|fi)?sh|ps1|sol|elm",
    re.IGNORECASE,
)
_TEST_DIRECTORY = re.compile(r"tests?|__tests__|__mocks__|specs?|testdata|fixtures|e2e", re.IGNORECASE)
_TEST_NAME = re.compile(
    r"(?:test[_-].*|tests?|conftest|.*_tests?|.*_spec|.*[.-](?:test|spec)|(?-i:.*[a-z0-9]Tests?))\.[^.]+",
    re.I,
)
_BUILD_NAME = re.compile(
    r"""
    setup\.py | noxfile\.py | conanfile\.py | sitecustomize\.py | fabfile\.py | hatch_build\.py
    | build\.rs | build\.zig | mix\.exs | Package\.swift | gradlew | mvnw | configure
    | (?:gulpfile|Gruntfile|setupTests)\..* | .*\.(?:config|conf|setup)\.[cm]?[jt]sx? | \..*
    """,
    re.X,
)


def targets(files: Mapping[str, str], command: Command, scripts: Mapping[str, str]) -> list[str]:
    """The tracked files to make unreadable; `files` is path -> mode, `scripts` those of package.json.

    Sources, without tests, build configuration and files that the gate command names.  Where a project
    has no such files: its tests; where it has none either: everything.
    """
    regular = sorted(path for path, mode in files.items() if mode in ("100644", "100755"))
    named = _named(command, scripts)
    code = [path for path in regular if path not in named and _is_code(path, files[path])]
    sources = [path for path in code if not is_test(path)]
    return sources or code or regular


def _named(command: Command, scripts: Mapping[str, str]) -> set[str]:
    text = command if isinstance(command, str) else shlex.join(command)
    words = set(re.split(r"[\s;&|()'\"=]+", text))
    for script in words & set(scripts) | ({"test"} if words & {"npm", "pnpm", "yarn"} else set()):
        words |= set(re.split(r"[\s;&|()'\"=]+", scripts.get(script, "")))
    return {word.removeprefix("./") for word in words if word}


def _is_code(path: str, mode: str) -> bool:
    name = PurePosixPath(path)
    script = not name.suffix and mode == "100755"
    return bool(script or _EXTENSION.fullmatch(name.suffix[1:])) and not _is_build(path)


def _is_build(path: str) -> bool:
    return bool(_BUILD_NAME.fullmatch(PurePosixPath(path).name))


def is_test(path: str) -> bool:
    *directories, name = PurePosixPath(path).parts
    return bool(any(map(_TEST_DIRECTORY.fullmatch, directories)) or _TEST_NAME.fullmatch(name))


def make_unreadable(top: Path, command: Command) -> None:
    """Replace the project's source files in a worktree; the next reset brings them back."""
    for path in targets(_tracked(top), command, package_scripts(top)):
        file = top / path
        if file.is_symlink() or not file.is_file():
            continue
        mode = file.stat().st_mode
        file.unlink()  # never write through a hard link
        file.write_bytes(UNREADABLE)
        file.chmod(mode)


def _tracked(top: Path) -> dict[str, str]:
    """Path -> mode of every file of the checked out commit."""
    listed = Git(top)("ls-tree", "-r", "-z", "HEAD").out
    found = {}
    for entry in listed.split(b"\0"):
        if entry:
            about, _, path = entry.partition(b"\t")
            found[os.fsdecode(path)] = about.split(b" ")[0].decode()
    return found


# -- what was really used -----------------------------------------------------------------------------

# Runs in every Python program of the gate; hands over to the sitecustomize that it hides.
_SITECUSTOMIZE = """\
import atexit, os, sys
def write(out=OUT):
    names = {getattr(module, "__file__", None) for module in list(sys.modules.values())} | set(sys.path)
    with open(os.path.join(out, "%d.txt" % os.getpid()), "a") as file:
        for name in names:
            if isinstance(name, str):
                file.write(os.path.realpath(name) + "\\n")
atexit.register(write)
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
mine = sys.modules.pop("sitecustomize")
try:
    import sitecustomize
except ImportError:
    pass
sys.modules.setdefault("sitecustomize", mine)
"""


async def _trace(
    slot: GateSlot,
    run: Callable[..., Awaitable[GateRun]],
    log_dir: Path,
    env: Mapping[str, str],
    spoil: Callable[[], None] | None = None,
) -> frozenset[str]:
    """Run the gate once more, spoilt if wanted: real paths of what Python loaded and searched there."""
    place = slot.trace
    site, out = place / "site", place / "out"
    shutil.rmtree(place, ignore_errors=True)
    try:
        site.mkdir(parents=True)
        out.mkdir()
        (site / "sitecustomize.py").write_text(_SITECUSTOMIZE.replace("OUT", repr(str(out)), 1))
        search = os.pathsep.join(filter(None, (str(site), env.get("PYTHONPATH", ""))))
        await run(
            env={**env, "PYTHONPATH": search}, log=log_dir / "traced.log", question=Question(), alter=spoil
        )
        files = [file for file in out.glob("*.txt") if file.is_file()]
        return frozenset(line for file in files for line in file.read_text("utf-8", "replace").splitlines())
    finally:
        shutil.rmtree(place, ignore_errors=True)
