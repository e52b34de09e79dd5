"""The entry point of `mo`: the fast path, the command line, and the boundary where errors become text."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import click

    from mo_git.errors import MoError


def main() -> int:
    """Run `mo` with the arguments of this process; returns the exit code."""
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # no text may end the program
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the last flush complains
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, it ends as a message
        return report(_bug(error, arguments), "--json" in arguments)
    return code


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        from mo_git import __version__

        print(f"mo, version {__version__}")
        return 0
    if "status" in arguments and "_MO_COMPLETE" not in os.environ:
        import time

        from mo_git import fast_status

        code = fast_status.run(arguments, time.time())
        if code is not None:
            return code
    return _run_command_line(arguments)


def _run_command_line(arguments: list[str]) -> int:
    import click

    from mo_git.cli import cli
    from mo_git.errors import MoError

    as_json = "--json" in arguments
    try:
        result = cli.main(arguments, prog_name="mo", complete_var="_MO_COMPLETE", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        return _usage(error, as_json)
    except MoError as error:
        return report(error, as_json)
    return int(result) if isinstance(result, int) else 0


def report(error: MoError, as_json: bool) -> int:
    """An expected error on standard error, with its remedy."""
    if as_json:
        import json

        sys.stderr.write(json.dumps(error.document()) + "\n")
    else:
        from mo_git.text import printable

        lines = [f"mo: {error.message}", *(f"  {line}" for line in error.hint.splitlines())]
        sys.stderr.write(printable("\n".join(lines)) + "\n")
    return int(error.code)


def _usage(error: click.ClickException, as_json: bool) -> int:
    if not as_json:
        error.show()
        return int(error.exit_code)
    from mo_git.errors import Exit, MoError

    return report(MoError(error.format_message(), "see mo --help", Exit(error.exit_code)), True)


def _bug(error: Exception, arguments: list[str]) -> MoError:
    """An unexpected error: its traceback goes to a file that the message names."""
    import traceback

    from mo_git.errors import MoError

    text = f"mo {' '.join(arguments)}\n" + "".join(traceback.format_exception(error))
    return MoError(
        f"unexpected {type(error).__name__}: {error}",
        f"this is a bug in mo; the traceback is in {_keep(text)}",
    )


def _keep(text: str) -> str:
    import tempfile

    from mo_git.fast_status import find_top

    top = find_top(".")
    for directory in ([os.path.join(top, ".mo", "log")] if top else []) + [None]:
        try:
            handle, path = tempfile.mkstemp(prefix="mo-error-", suffix=".log", dir=directory)
        except OSError:
            continue
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return path
    return "no file, since none could be written:\n" + text


if __name__ == "__main__":
    sys.exit(main())
