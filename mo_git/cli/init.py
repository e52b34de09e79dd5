"""`mo init`: make `.mo/`, find the gate and prove it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mo_git import trust
from mo_git.cli import Context
from mo_git.cli.client import ensure_daemon, raise_if_refused, send, settle
from mo_git.cli.context import emit_json, json_option
from mo_git.cli.goals import find_repository
from mo_git.config_layers import CLONE_FILE, REPOSITORY_FILE
from mo_git.home import DIRECTORY, Home
from mo_git.text import count
from mo_git.tomltext import toml_string

_HIDDEN = f"/{DIRECTORY}/"  # the line that Home.create writes
_SHARED = (f"/{DIRECTORY}/*", f"!/{DIRECTORY}/config.toml", f"!/{DIRECTORY}/prompts/")


@click.command(name="init")
@click.option("--gate", metavar="CMD", help="The command that must be green; found by itself otherwise.")
@click.option("--shared", is_flag=True, help="Write .mo/config.toml, for git to track, not .mo/local.toml.")
@click.option("--no-prove", is_flag=True, help="Do not run the gate now.")
@json_option
@click.pass_obj
def command(obj: Context, gate: str | None, shared: bool, no_prove: bool) -> None:
    """Make .mo/, find and prove the gate, check git.

    To prove the gate, mo runs it on HEAD and once more with the tracked source files emptied: a gate that is
    green there would notice nothing.  Running mo init again is harmless.
    """
    _, home = find_repository(obj.cwd)
    new = not home.exists()
    home.create()
    if shared:
        share(home)
    _say(obj, f"{'made' if new else 'found'} {home.path}")
    found: Mapping[str, Any] = {"gate": gate or "", "why": "given" if gate else "", "ok": True}
    if not no_prove:
        found = _prove(obj, home, gate)
    file = home.path / (REPOSITORY_FILE if shared else CLONE_FILE)
    command_found = str(found.get("gate") or "")
    if command_found:
        _write_gate(home, file, command_found)
    _finish(obj, home, file if command_found else None, found, proved=not no_prove)


def _prove(obj: Context, home: Home, gate: str | None) -> Mapping[str, Any]:
    """Let the daemon find and prove the gate; a refusal raises."""
    ensure_daemon(home)
    _say(obj, f"proving the gate{f': {gate}' if gate else ''} (Ctrl-C leaves it out; mo init does it again)")
    outcome = settle(home, send(home, "prove", {"gate": gate}), None)
    assert outcome is not None, "without a limit there is an outcome"
    raise_if_refused(outcome)
    return outcome


def _write_gate(home: Home, file: Path, gate: str) -> None:
    """Set gate.command; a settings file for the team stays trusted, unless others' words stand in it too."""
    from mo_git.config_edit import set_value

    before = file.read_bytes() if file.exists() else None
    own = before is None or trust.judge(home.common_dir, trust.tracked(home.top), environ=os.environ)(
        file.name, before
    )
    set_value(file, "gate.command", toml_string(gate))
    if own and file.name == REPOSITORY_FILE:
        trust.trust(home.common_dir, {file.name: file.read_bytes()}, environ=os.environ)


def share(home: Home) -> None:
    """Let git see `.mo/config.toml` and `.mo/prompts/`, and nothing else below `.mo/`."""
    exclude = home.common_dir / "info" / "exclude"
    lines = exclude.read_text().splitlines()
    kept = [line for line in lines if line not in (_HIDDEN, *_SHARED)]
    exclude.write_text("\n".join([*kept, *_SHARED]) + "\n")


def _say(obj: Context, line: str) -> None:
    """Progress is not the answer: it goes to stderr."""
    if not obj.quiet and not obj.json:
        click.echo(line, err=True)


def _finish(obj: Context, home: Home, file: Path | None, found: Mapping[str, Any], *, proved: bool) -> None:
    if obj.json:
        document = {key: value for key, value in found.items() if key != "ok"}
        document |= {"home": str(home.path), "config": str(file) if file else None, "proved": proved}
        emit_json({"v": 1, **document})
        return
    if not found.get("gate"):
        click.echo("no gate yet; give one: mo init --gate CMD")
        return
    why = f" ({found['why']})" if found.get("why") else ""
    click.echo(f"gate: {found['gate']}{why}{', proved' if proved else ', not proved'}")
    for line in _baseline_lines(found.get("baseline") or {}):
        click.echo(f"  {line}")
    if found.get("hint"):
        click.echo(f"  {found['hint']}")
    click.echo(f"written to {file}\nnext: mo do @plan.toml, or see it work first: mo demo")


def _baseline_lines(baseline: Mapping[str, Any]) -> list[str]:
    """What was found on HEAD: tests that already fail are the baseline, not a reason to refuse."""
    failing = list(baseline.get("failing", ()))
    lines = [f"{count(baseline['passed'], 'test')} green on HEAD"] if "passed" in baseline else []
    if failing:
        shown = ", ".join(failing[:5]) + (", ..." if len(failing) > 5 else "")
        lines.append(f"{count(len(failing), 'failing test')} there, taken as the baseline: {shown}")
    return lines
