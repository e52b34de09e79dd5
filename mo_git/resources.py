"""Files that ship with mo: inside the package when it was installed, else in the checkout it runs from."""

from __future__ import annotations

from pathlib import Path

from mo_git.errors import Exit, MoError

_CHECKOUT = {
    "example": ".mo-example",
    "hooks": "hooks",
    "service": "daemon/service",
    "config.toml": "config.toml",
}


def path(name: str) -> Path:
    """Where "example", "hooks", "service" or "config.toml" is; MoError (not_found) if it is nowhere."""
    package = Path(__file__).parent
    places = (package / "data" / name, package.parent / _CHECKOUT[name])
    for place in places:
        if place.exists():
            return place
    raise MoError(
        f"mo's own files are incomplete: {places[0]} is missing", "install mo-git again", Exit.NOT_FOUND
    )
