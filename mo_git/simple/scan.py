"""Items from files of the base commit, chosen by patterns or by name.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pathspec import GitIgnoreSpec

from mo_git.errors import Exit, MoError
from mo_git.globs import bad_pattern
from mo_git.simple.item_fields import bad_target
from mo_git.simple.manifest import Common, Numbered, Problems, name_items


def matching(patterns: Sequence[str], paths: Iterable[str]) -> list[str]:
    """The paths that any of the patterns names, in their order; patterns as git's ignore files have them.

    MoError: usage for a pattern that cannot be used, not_found where nothing matches one.
    """
    for pattern in patterns:
        if why := bad_pattern(pattern):
            raise MoError(f'--glob "{pattern}" {why}', "for example: --glob 'src/**/*.py'", Exit.USAGE)
    known = list(paths)
    chosen: set[str] = set()
    for pattern in patterns:
        found = set(GitIgnoreSpec.from_lines([pattern]).match_files(known))
        if not found:
            hint = "patterns are relative to the repository's root; only committed files count"
            raise MoError(f'--glob "{pattern}" matches no file of the base', hint, Exit.NOT_FOUND)
        chosen |= found
    return [path for path in known if path in chosen]


def split_names(data: bytes) -> list[bytes]:
    """File names from standard input: separated by NUL bytes where there is one, else one a line."""
    parts = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    return [part for part in parts if part.strip()]


def items_for(paths: Sequence[str], common: Common, source: str) -> list[Numbered]:
    """An item for each path, in their order; the "line" is the number of the path.

    MoError (usage) for names that cannot be targets, or none at all, or where nothing says what to do.
    """
    if not common.instruction and common.run is None:
        hint = 'say it in words (mo simple run --glob PATTERN "..."), with --prompt or with --run'
        raise MoError("nothing says what to do with the files", hint, Exit.USAGE)
    problems = Problems(source)
    for n, path in enumerate(paths, 1):
        if why := bad_target(path):
            problems.add(n, "target", f'"{path}" {why}')
    problems.finish()
    once = dict.fromkeys(path.removesuffix("/") for path in paths)
    if not once:
        raise MoError(f"{source}: names no file", "name files, or choose them: --glob PATTERN", Exit.USAGE)
    values = {"instruction": common.instruction, "run": common.run, "model": common.model}
    return name_items([(n, {"targets": (path,), **values}) for n, path in enumerate(once, 1)])
