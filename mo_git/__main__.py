"""The entry point of `mo`: the fast path, the command line, and the boundary where errors become text."""

from __future__ import annotations

import gc
import os
import sys

# Almost all objects of a verb are modules and classes, which live to its end: a verb starts and ends a fifth
# faster without looking for garbage among them.
_OBJECTS_BEFORE_COLLECTING = 50_000


def main() -> int:
    """Run `mo` with the arguments of this process; returns the exit code."""
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING)
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # no text may end the program
    try:
        code = _run(arguments)
        sys.stdout.flush()
        gc.freeze()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the last flush complains
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, it ends as a message
        from mo_git.cli import entry

        return entry.report_bug(error, arguments)
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
    from mo_git.cli import entry

    return entry.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
