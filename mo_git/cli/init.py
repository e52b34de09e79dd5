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
from mo_git.config_layers import CLONE_FILE, REPOSITORY_FILE, user_config_file
from mo_git.home import DIRECTORY, Home
from mo_git.text import count
from mo_git.tomltext import toml_string

_NO_GATE = "none"
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

    To prove the gate, mo runs it on HEAD and once more with the source files made unreadable: a gate that is
    green there would notice nothing.  Running mo init again is harmless.
    """
    _, home = find_repository(obj.cwd)
    value, origin = _configured(home)
    new = home.create()
    if shared:
        share(home)
    _say(obj, f"{'made' if new else 'found'} {home.path}")
    chosen, proof = gate or value, None
    if not no_prove:
        chosen, proof = _prove(obj, home, gate)
    if chosen and (gate or not value):
        file = home.path / (REPOSITORY_FILE if shared else CLONE_FILE)
        _write_gate(home, file, chosen)
        origin = str(file)
    _finish(obj, home, chosen, origin if chosen else "", proof)


def _configured(home: Home) -> tuple[str, str]:
    """The gate command that the settings hold already, and where; empty where they leave it to detection."""
    from mo_git.config import load

    judge = trust.judge(home.common_dir, trust.tracked(home.top), environ=os.environ)
    loaded = load(home.path, environ=os.environ, user_file=user_config_file(os.environ), trusted=judge)
    return loaded.config.gate.command, loaded.origins["gate.command"]


def _prove(obj: Context, home: Home, gate: str | None) -> tuple[str, Mapping[str, Any]]:
    """Let the daemon find and prove the gate: (the command, what was seen on HEAD); a refusal raises."""
    ensure_daemon(home)
    _say(obj, f"proving the gate{f': {gate}' if gate else ''} (Ctrl-C leaves it out)")
    outcome = settle(home, send(home, "prove", {"gate": gate}), None)
    assert outcome is not None, "without a limit there is an outcome"
    raise_if_refused(outcome)
    return str(outcome["gate"]), outcome["proof"]


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
    lines = exclude.read_text(errors="surrogateescape").splitlines()
    kept = [line for line in lines if line not in (_HIDDEN, *_SHARED)]
    exclude.write_text("\n".join([*kept, *_SHARED]) + "\n", errors="surrogateescape")


def _say(obj: Context, line: str) -> None:
    """Progress is not the answer: it goes to stderr."""
    if not obj.quiet and not obj.json:
        click.echo(line, err=True)


def _finish(obj: Context, home: Home, gate: str, origin: str, proof: Mapping[str, Any] | None) -> None:
    if obj.json:
        document = {"v": 1, "home": str(home.path), "gate": gate or None, "config": origin or None}
        emit_json({**document, "proof": proof})
        return
    if not gate:
        click.echo("no gate yet; give one: mo init --gate CMD")
        return
    proved = "proved" if proof is not None and gate != _NO_GATE else "not proved"
    click.echo(f"gate: {gate} ({proved}; set in {origin})")
    for line in _proof_lines(proof or {}):
        click.echo(f"  {line}")
    click.echo("next: mo do @plan.toml, or see it work first: mo demo")


def _proof_lines(proof: Mapping[str, Any]) -> list[str]:
    """What was seen on HEAD: tests that fail there are the baseline, not a reason to refuse."""
    failing = list(proof.get("failing", ()))
    lines = [f"{count(proof['tests'], 'test')} on HEAD"] if proof.get("tests") else []
    if failing:
        shown = ", ".join(failing[:5]) + (", ..." if len(failing) > 5 else "")
        lines.append(f"{count(len(failing), 'failing test')} there, taken as the baseline: {shown}")
    if proof.get("weak"):
        lines.append("weak: " + (proof.get("reason") or "judged by its exit code alone, not test by test"))
    return lines + ([proof["hint"]] if proof.get("hint") else [])
