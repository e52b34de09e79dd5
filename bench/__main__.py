"""`python -m bench [--quick] [NAME...]`: measure, print the table, write bench/results/."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench import queue_sim, rows_cli, rows_daemon, rows_git, rows_sandbox, rows_simple, rows_tasks
from bench.measure import ROUNDS, Context, Row, table

RESULTS = Path(__file__).parent / "results"

GROUPS: Mapping[str, Callable[[Context], Iterator[Row]]] = {
    "status": rows_cli.status,
    "verbs": rows_cli.verbs,
    "start": rows_daemon.start,
    "cpu": rows_daemon.cpu,
    "independent": rows_tasks.independent,
    "chain": rows_tasks.chain,
    "worktree": rows_git.worktree,
    "merge": rows_git.merge,
    "train": rows_git.train,
    "forecast": rows_git.forecast,
    "cell": rows_sandbox.cell,
    "idle": rows_daemon.idle,
    "many": rows_tasks.many,
    "slots": rows_tasks.slots,
    "simple": rows_simple.simple,
    "queued": rows_simple.queued,
    "queue": queue_sim.rows,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, and no large or long rows")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(GROUPS)}")
    options = parser.parse_args()
    unknown = set(options.names) - set(GROUPS)
    if unknown:
        parser.error(f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    context = Context(options.quick, 1 if options.quick else ROUNDS)
    rows: list[Row] = []
    for name in options.names or GROUPS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += GROUPS[name](context)
    print(table(rows))
    print(f"written: {_write(rows, context)}", file=sys.stderr)
    return 0


def _write(rows: list[Row], context: Context) -> Path:
    RESULTS.mkdir(exist_ok=True)
    now = time.time()
    document = {
        "v": 1,
        "at": now,
        "quick": context.quick,
        "python": platform.python_version(),
        "git": subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[2],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "rows": [row.document() for row in rows],
    }
    file = RESULTS / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime(now))
    file.write_text(json.dumps(document, indent=1) + "\n")
    return file


if __name__ == "__main__":
    sys.exit(main())
