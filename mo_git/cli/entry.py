"""Runs the command line and turns what it raises into messages and exit codes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from mo_git.cli import cli
from mo_git.errors import Exit, MoError
from mo_git.fast_status import find_top
from mo_git.text import printable


def run(arguments: list[str]) -> int:
    """`mo ARGUMENTS`; returns the exit code.  Expected errors are reported here, others are raised."""
    as_json = _wants_json(arguments)
    try:
        result = cli.main(arguments, prog_name="mo", complete_var="_MO_COMPLETE", standalone_mode=False)
    except click.exceptions.Abort:
        return Exit.INTERRUPTED
    except click.ClickException as error:
        return _report_usage(error, as_json)
    except MoError as error:
        return report(error, as_json)
    return int(result) if isinstance(result, int) else Exit.OK


def _wants_json(arguments: list[str]) -> bool:
    return "--json" in arguments


def report(error: MoError, as_json: bool) -> int:
    """An expected error on standard error, with its remedy; returns its exit code."""
    if as_json:
        sys.stderr.write(json.dumps(error.document()) + "\n")
    else:
        lines = [f"mo: {error.message}", *(f"  {line}" for line in error.hint.splitlines())]
        sys.stderr.write(printable("\n".join(lines)) + "\n")
    return error.code


def _report_usage(error: click.ClickException, as_json: bool) -> int:
    if as_json:
        return report(MoError(error.format_message(), "mo --help", Exit(error.exit_code)), True)
    error.show()
    return error.exit_code


def report_bug(error: Exception, arguments: list[str]) -> int:
    """An unexpected error: a short message, and the traceback in a file that it names."""
    import shlex
    import traceback

    text = f"mo {shlex.join(arguments)}\n" + "".join(traceback.format_exception(error))
    expected = MoError(
        f"unexpected {type(error).__name__}: {error}",
        f"this is a bug in mo; the traceback is in {_keep(text)}",
    )
    return report(expected, _wants_json(arguments))


def _keep(text: str) -> str:
    """Write a file below `.mo/log`, else in the temporary directory; its path."""
    import tempfile

    top = find_top(".")
    for directory in [*([Path(top, ".mo", "log")] if top else []), None]:
        try:
            handle, path = tempfile.mkstemp(prefix="mo-error-", suffix=".log", dir=directory)
        except OSError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return path
    return f"no file, since none could be written:\n{text}"
