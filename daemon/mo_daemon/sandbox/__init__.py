"""Containment of what agents, checks, gates and set-up run: bubblewrap around each program."""

from __future__ import annotations

from mo_daemon.sandbox.inner import failure, inner_group
from mo_daemon.sandbox.probe import in_force, probe
from mo_daemon.sandbox.rooms import prepare
from mo_daemon.sandbox.view import make_view
from mo_daemon.sandbox.words import Places, Policy, Profile, Purpose, Room, Tier, View, Wrapped
from mo_daemon.sandbox.wrap import Sandbox

__all__ = [
    "Places",
    "Policy",
    "Profile",
    "Purpose",
    "Room",
    "Sandbox",
    "Tier",
    "View",
    "Wrapped",
    "failure",
    "in_force",
    "inner_group",
    "make_view",
    "prepare",
    "probe",
]
