"""The one builder of real repositories for tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RepoBuilder:
    """A real repository in a temporary directory."""

    path: Path

    @classmethod
    def create(cls, path: Path, files: Mapping[str, str] | None = None, *init_args: str) -> RepoBuilder:
        path.mkdir(parents=True)
        builder = cls(path)
        builder.git("init", "-q", "-b", "main", *init_args)
        if files:
            builder.commit(files, "first")
        return builder

    def git(self, *args: str, check: bool = True, stdin: str | None = None) -> str:
        """Run git here; its standard output without the last newline."""
        done = subprocess.run(
            ["git", *args],
            cwd=self.path,
            env=dict(os.environ),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.removesuffix("\n")

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: Mapping[str, str | bytes], message: str = "change") -> str:
        """Write the files, commit everything, return the commit id."""
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def branch(self, name: str, files: Mapping[str, str | bytes], start: str = "HEAD") -> str:
        """Commit the files on a new branch from `start`, return to the branch that was checked out."""
        back = self.git("symbolic-ref", "--short", "HEAD")
        self.git("checkout", "-q", "-b", name, start)
        commit = self.commit(files, f"work on {name}")
        self.git("checkout", "-q", back)
        return commit

    def head(self, ref: str = "HEAD") -> str:
        return self.git("rev-parse", ref)

    def tree(self, ref: str = "HEAD") -> dict[str, str]:
        """Path -> text content of every file of a commit."""
        names = self.git("ls-tree", "-r", "-z", "--name-only", ref).split("\0")
        return {name: self.git("show", f"{ref}:{name}") for name in names if name}
