"""Times that providers say in words: "resets 5:46pm (UTC)", "try again in 1.5s"."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

_AMOUNT = (
    r"\d+(?:\.\d+)?\s*(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|weeks?)\b"
)
_WITHIN = re.compile(
    rf"\b(?:try again|retry|resets?|retry after|wait)\s+(?:in\s+)?((?:{_AMOUNT}[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_AT = re.compile(
    r"\b(?:try again at|resets?(?: at)?)\s+"
    r"(?:(?P<month>[A-Za-z]{3})[a-z]*\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<year>\d{4}))?,?(?: at)? )?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::(?P<second>\d{2}))?\s?(?P<half>[ap]\.?m\.?)?"
    r"(?:\s*\((?P<zone>[A-Za-z0-9_+\-/]+)\))?",
    re.IGNORECASE,
)
_LONGEST = 400 * 86400.0


def said_time(text: str, now: float) -> float | None:
    """The time after `now` (epoch seconds) that a message names; None where it names none.

    A time of day without a date is the next one; without a zone it is this machine's.  One that is said to
    the minute is the end of that minute: programs cut the seconds off.
    """
    if within := _WITHIN.search(text):
        seconds = sum(float(n) * _seconds(unit) for n, unit in _PART.findall(within[1]))
        return now + seconds if seconds <= _LONGEST else None
    for match in _AT.finditer(text):
        if found := _point(match, now):
            return found if now <= found <= now + 10 * _LONGEST else None
    return None


def _seconds(unit: str) -> float:
    unit = unit.lower()
    return _UNITS["ms"] if unit.startswith(("ms", "milli")) else _UNITS[unit[0]]


def _point(match: re.Match[str], now: float) -> float | None:
    if not (match["half"] or match["minute"]):
        return None
    zone = _zone(match["zone"])
    here = datetime.fromtimestamp(now, zone)  # without a zone: naive, and local for timestamp() too
    hour = int(match["hour"])
    if match["half"]:
        hour = hour % 12 + (12 if match["half"].lower().startswith("p") else 0)
    try:
        second = int(match["second"] or 0)
        when = here.replace(hour=hour, minute=int(match["minute"] or 0), second=second, microsecond=0)
        if match["month"]:
            month = _MONTHS.index(match["month"].lower()) + 1
            when = when.replace(month=month, day=int(match["day"]), year=int(match["year"] or here.year))
        if match["minute"] and not match["second"]:
            when += timedelta(minutes=1)
        if not match["month"] and when <= here:
            when += timedelta(days=1)
        elif match["month"] and not match["year"] and when < here:
            when = when.replace(year=here.year + 1)
    except ValueError:
        return None
    return when.timestamp()


def _zone(name: str | None) -> tzinfo | None:
    """A time zone by name; None: this machine's own."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
        return UTC
