"""Whether this machine can contain programs: found out by doing it once, never by looking for a binary."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mo_daemon.sandbox.words import Policy, Tier
from mo_git.errors import Exit, MoError
from mo_git.process import run

_LATER = ("--disable-userns", "--perms", "--size")  # options that bwrap got with 0.5 to 0.8
_TRY = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
)
# $1 may not be written to, $2 must be.
_SCRIPT = '(: >"$1/file") 2>/dev/null && exit 41; : >"$2/file"'
_INSTALLERS = (
    ("apt-get", "sudo apt-get install bubblewrap"),
    ("dnf", "sudo dnf install bubblewrap"),
    ("pacman", "sudo pacman -S bubblewrap"),
    ("zypper", "sudo zypper install bubblewrap"),
    ("apk", "sudo apk add bubblewrap"),
    ("nix-env", "nix-env -iA nixpkgs.bubblewrap"),
)
_SWITCHES = ("kernel.unprivileged_userns_clone", "user.max_user_namespaces")
_APPARMOR = """\
sudo tee /etc/apparmor.d/bwrap <<'END'
abi <abi/4.0>,
include <tunables/global>
profile bwrap {bwrap} flags=(unconfined) {{
  userns,
}}
END
sudo systemctl reload apparmor"""
_CONTAINER = """\
give the container the right to make namespaces, e.g. for Docker and Podman
--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined
or, where the container itself is the protection: mo config set sandbox.mode off"""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the kernel says about user namespaces, and whether this is a container."""

    apparmor: bool = False
    forbidden: str = ""  # the sysctl that forbids them
    container: bool = False


def probe(environ: Mapping[str, str], *, root: Path = Path("/")) -> Tier:
    """What this machine can do.  Runs bwrap once: about 15 ms.  `root` is where to look at the machine."""
    if not sys.platform.startswith("linux"):
        return Tier("guard", "the sandbox needs Linux")
    path = environ.get("PATH")
    found = shutil.which("bwrap", path=path)
    if found is None:
        remedy = next((how for tool, how in _INSTALLERS if shutil.which(tool, path=path)), "")
        return Tier("guard", "bubblewrap is not installed", remedy or "install bubblewrap")
    bwrap = Path(found).absolute()
    version = run([found, "--version"], env={}).text.strip().removeprefix("bubblewrap ")
    offered = run([found, "--help"], env={})
    options = frozenset(option for option in _LATER if option in offered.text + offered.error_text)
    problem = _try(bwrap, options)
    if problem and "--disable-userns" in options and not _try(bwrap, options - {"--disable-userns"}):
        options -= {"--disable-userns"}
        problem = ""
    if problem:
        reason, remedy = diagnose(problem, look_at(root, environ), bwrap)
        return Tier("guard", reason, remedy, bwrap, version)
    return Tier("sandbox", f"bubblewrap {version}", "", bwrap, version, options)


def _try(bwrap: Path, options: frozenset[str]) -> str:
    """Run a program that must be able to write to one directory and not to another; "" when that holds."""
    with tempfile.TemporaryDirectory(prefix="mo-probe-") as name:
        closed, opened = Path(name, "closed"), Path(name, "opened")
        for directory in (closed, opened):
            directory.mkdir()
        deep = ("--disable-userns",) if "--disable-userns" in options else ()
        places = ("--ro-bind", str(closed), str(closed), "--bind", str(opened), str(opened))
        script = ("--", "/bin/sh", "-c", _SCRIPT, "sh", str(closed), str(opened))
        done = run([str(bwrap), *_TRY, *deep, *places, *script], env={}, timeout=10)
        if done.code == 0 and (opened / "file").exists() and not (closed / "file").exists():
            return ""
        if done.code == 41 or (closed / "file").exists():
            return "a directory that was mounted read-only could be written to"
        return done.error_text or f"bwrap ended with exit code {done.code}"


def look_at(root: Path, environ: Mapping[str, str]) -> Machine:
    """What may be in the way of user namespaces."""
    forbidden = next((name for name in _SWITCHES if _is(root, name, "0")), "")
    return Machine(
        apparmor=_is(root, "kernel.apparmor_restrict_unprivileged_userns", "1"),
        forbidden=forbidden,
        container=bool(environ.get("container"))
        or any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))
        or bool(environ.get("KUBERNETES_SERVICE_HOST")),
    )


def _is(root: Path, name: str, value: str) -> bool:
    try:
        return (root / "proc/sys" / name.replace(".", "/")).read_text().strip() == value
    except OSError:
        return False


def diagnose(said: str, machine: Machine, bwrap: Path) -> tuple[str, str]:
    """(reason, remedy) for what bwrap said."""
    line = re.sub(r"^bwrap: ", "", said.strip().splitlines()[-1]) if said.strip() else "no reason given"
    if machine.forbidden:
        wanted = "1" if machine.forbidden.startswith("kernel.") else "15000"
        return f"the kernel forbids user namespaces: {line}", f"sudo sysctl -w {machine.forbidden}={wanted}"
    if machine.apparmor and os.path.realpath(bwrap) == str(bwrap):
        return f"AppArmor forbids user namespaces: {line}", _APPARMOR.format(bwrap=bwrap)
    if machine.container:
        return f"this container forbids namespaces: {line}", _CONTAINER
    return f"bubblewrap cannot start a program here: {line}", f"{bwrap} --unshare-user --ro-bind / / true"


def in_force(policy: Policy, tier: Tier) -> Tier:
    """The tier that programs run under; MoError where the settings require a sandbox that is not there."""
    if policy.mode == "off":
        return Tier("guard", "sandbox.mode is off")
    if policy.mode == "required" and not tier.contained:
        raise MoError(f"sandbox.mode is required, but {tier.reason}", tier.remedy, Exit.CONFIG)
    return tier
