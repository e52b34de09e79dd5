"""What a person without mo would do: the same commands in a shell, with plain git."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path

from bench.world import GATE, World, command

# One task after the other: worktree, command, commit, merge, gate, and everything away again.
_LOOP = f"""\
set -e
top=$1; trees=$2; count=$3
cd "$top"
for n in $(seq "$count"); do
  git worktree add -q -b "w$n" "$trees/$n"
  cd "$trees/$n"
  {command('"s$n"')}
  git add -A
  git commit -q -m "task $n"
  cd "$top"
  git merge -q --no-ff -m "land $n" "w$n"
  {GATE}
  git worktree remove "$trees/$n"
done
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a whole run: on the wall, and of CPU with all its programs."""

    wall: float
    cpu: float


_made = 0


def fresh(world: World, files: int = 30) -> Path:
    """Another repository like the one that mo works in."""
    global _made
    _made += 1
    return world.repository(f"plain-{_made}", files=files)


def one_by_one(world: World, count: int) -> Cost:
    """`count` tasks by a shell loop over plain git, one after the other."""
    top = fresh(world)
    return _cost(world, "sh", "-c", _LOOP, "sh", str(top), f"{top}-trees", str(count), cwd=top)


def in_parallel(world: World, count: int, at_once: int) -> Cost:
    """The bare commands in one directory by `xargs -P`: no worktree, no commit, no merge, no gate."""
    top = fresh(world)
    names = "\n".join(f"x{number}" for number in range(count))
    words = ("xargs", "-P", str(at_once), "-I", "{}", "sh", "-c", command("{}"))
    return _cost(world, *words, cwd=top, stdin=names)


def _cost(world: World, *argv: str, cwd: Path, stdin: str | None = None) -> Cost:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    world.run(*argv, cwd=cwd, stdin=stdin)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu)
