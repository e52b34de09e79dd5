"""Programs that some tests need: missing ones skip the test on a person's machine and fail it in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

NODE_MODULES = Path(__file__).parents[1] / ".ci-cache" / "node" / "node_modules"


def require(program: str) -> str:
    """The path of a program on PATH."""
    return shutil.which(program) or missing(f"{program} is not installed")


def require_npm(package: str) -> Path:
    """The `node_modules` directory that holds an npm package; .ci/run puts it there."""
    require("node")
    if not (NODE_MODULES / package).is_dir():
        missing(f"npm install --prefix .ci-cache/node {package}")
    return NODE_MODULES


def missing(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(reason)
    pytest.fail(f"CI has to have it: {reason}", pytrace=False)
