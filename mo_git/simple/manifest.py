"""Reading a manifest: JSON lines or CSV to items, with everything that is wrong said at once.  Pure.

An item is a line of JSON, or a record of a CSV file whose first line names the columns.  The keys are those
of `READERS`; docs/simple-mode.md describes them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mo_git.errors import Exit, MoError
from mo_git.model import PROVIDERS
from mo_git.simple.item import Item
from mo_git.simple.item_fields import FROM_CELL, READERS, RESERVED_IDS
from mo_git.values import Wrong, kind, nearest, printable

SHOWN = 20  # problems; the rest is counted
LARGEST_SUM = 2**30  # bytes of all instructions together
_LARGEST_CELL = 64 * 2**20  # characters; a larger instruction is refused in our words, not in csv's
_ID_LENGTH = 80
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._]+")
_MESSAGE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Common:
    """What is said for all items; what an item says itself wins."""

    instruction: str = ""
    run: tuple[str, ...] | None = None
    model: str = ""


class Problems:
    """Everything wrong with a manifest, each as `FILE: line N: FIELD: what`."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines: list[str] = []
        self._number = 0

    def add(self, line: int, key: str, what: str) -> None:
        self._number += 1
        if self._number <= SHOWN:
            where = f"line {line}" if line else ""
            said = ": ".join(part for part in (self._source, where, key, what) if part)
            self._lines.append(
                printable(said if len(said) <= _MESSAGE_LENGTH else f"{said[:_MESSAGE_LENGTH]}...")
            )

    def finish(self) -> None:
        """MoError (usage) where there is any."""
        if self._number:
            more = [f"and {self._number - SHOWN} more"] if self._number > SHOWN else []
            what = "this" if self._number == 1 else f"these {self._number} problems"
            hint = f"correct {what} in {self._source}; nothing was queued"
            raise MoError("\n".join([*self._lines, *more]), hint, Exit.USAGE)


@dataclass(frozen=True, slots=True)
class Numbered:
    """An item and the line of the manifest that it begins in."""

    item: Item
    line: int


def parse_manifest(
    data: bytes,
    source: str,
    common: Common,
    *,
    as_csv: bool = False,
    providers: Collection[str] = PROVIDERS,
) -> list[Numbered]:
    """The items of a manifest.  `source` is how messages name it.

    MoError (usage) with all that is wrong (20 of them are shown); an item without a line of its own that
    could be read is not checked further.
    """
    problems = Problems(source)
    text = _decoded(data, problems)
    problems.finish()
    records = _csv_records(text, problems) if as_csv else _json_records(text, problems)
    found = [
        (line, values)
        for line, record in records
        if (values := _read(record, line, problems, common, providers, FROM_CELL if as_csv else {}))
        is not None
    ]
    _refuse_duplicates(found, problems)
    problems.finish()
    if not found:
        raise MoError(f"{source}: holds no item", "write one item a line", Exit.USAGE)
    return name_items(found)


def _decoded(data: bytes, problems: Problems) -> str:
    """The text, without a byte order mark; csv and json take both ends of lines."""
    if (at := data.find(b"\0")) >= 0:
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        what = "is UTF-16: save it as UTF-8" if wide else "holds a NUL byte: is it a text?"
        problems.add(data.count(b"\n", 0, at) + 1, "", what)
        return ""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add(data.count(b"\n", 0, error.start) + 1, "", "is not UTF-8: save it as UTF-8")
        return ""


# -- records ------------------------------------------------------------------------------------------


Record = tuple[int, Mapping[str, Any]]


def _json_records(text: str, problems: Problems) -> Iterator[Record]:
    decode = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number).decode
    for number, line in enumerate(io.StringIO(text), 1):
        if not line.strip():
            continue
        try:
            value = decode(line.strip())
        except Wrong as wrong:
            problems.add(number, "", str(wrong.args[0]))
        except json.JSONDecodeError as error:
            problems.add(number, "", f"is not JSON: {error.msg} (column {error.colno}){_many_lines(line)}")
        except (ValueError, RecursionError) as error:
            problems.add(number, "", f"is not JSON that can be read: {error}")
        else:
            if isinstance(value, dict):
                yield number, value
            else:
                problems.add(number, "", f"expected an object {{...}}, found {_json_kind(value)}")


def _many_lines(line: str) -> str:
    return ", an item is an object on one line" if line.strip() in ("{", "[") else ""


def _json_kind(value: object) -> str:
    return "a list: write one object a line" if isinstance(value, list) else kind(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        raise Wrong(f'"{twice}" stands there twice')
    return found


def _no_number(word: str) -> object:
    raise Wrong(f"{word} is no number of JSON")


def _csv_records(text: str, problems: Problems) -> Iterator[Record]:
    csv.field_size_limit(_LARGEST_CELL)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    begun = 1
    try:
        for row in rows:
            line, begun = begun, rows.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip() for cell in row]
                if not _header_is_good(header, line, problems):
                    return
            elif len(row) != len(header):
                problems.add(line, "", f"cells: {len(row)}, columns: {len(header)}")
            else:
                yield line, {key: cell for key, cell in zip(header, row) if cell.strip()}
    except csv.Error as error:
        problems.add(begun, "", f"is no CSV: {error}")


def _header_is_good(header: Sequence[str], line: int, problems: Problems) -> bool:
    wrong = []
    for key, number in Counter(header).items():
        if number > 1:
            wrong.append(f'column "{key}" stands there {number} times')
        elif key not in READERS:
            wrong.append(f'unknown column "{key}"{nearest(key, READERS)}')
    if "target" not in header:
        wrong.append(f'has no column "target": the first line names the columns, of {", ".join(READERS)}')
    for what in wrong:
        problems.add(line, "", what)
    return not wrong


# -- one record ---------------------------------------------------------------------------------------


def _read(
    record: Mapping[str, Any],
    line: int,
    problems: Problems,
    common: Common,
    providers: Collection[str],
    from_cell: Mapping[str, Callable[[str], object]],
) -> dict[str, Any] | None:
    """The fields of an item as the words have them; None where anything is wrong.  A null is not given."""
    values: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    for key, value in record.items():
        reader = READERS.get(key)
        if reader is None:
            wrong.append((key, f"unknown key{nearest(key, READERS)}"))
        elif value is not None:
            try:
                values[key] = reader(from_cell[key](value) if key in from_cell else value)
            except Wrong as found:
                wrong += [(key, str(message)) for message in found.args]
    wrong += _missing(values, record, common, providers)
    for key, what in wrong:
        problems.add(line, key, what)
    return None if wrong else _with_common(values, common)


def _missing(
    values: Mapping[str, Any], record: Mapping[str, Any], common: Common, providers: Collection[str]
) -> Iterator[tuple[str, str]]:
    """What no single field shows."""
    if record.get("target") is None:
        yield "target", "is missing: name the file or directory that the item may change"
    given = [key for key in ("instruction", "run") if record.get(key) is not None]
    if len(given) == 2:
        yield "run", "stands beside an instruction: write one of them"
    if not given and not common.instruction and common.run is None:
        yield (
            "instruction",
            "is missing, as is run: write one of them, or say it for all with --prompt or --run",
        )
    provider = values.get("provider")
    if provider is not None and (provider == "command" or provider not in providers):
        agents = [known for known in providers if known != "command"]
        yield "provider", f'no provider "{provider}"{nearest(provider, agents)}'


def _with_common(values: dict[str, Any], common: Common) -> dict[str, Any]:
    values["targets"] = values.pop("target")
    if "instruction" not in values and "run" not in values:
        values["instruction"], values["run"] = common.instruction, common.run
    if common.model and values.get("run") is None:
        values.setdefault("model", common.model)
    return values


def _refuse_duplicates(found: Iterable[tuple[int, Mapping[str, Any]]], problems: Problems) -> None:
    seen: dict[str, int] = {}
    size = 0
    for line, values in found:
        size += len(values.get("instruction", ""))
        if (one := values.get("id")) is not None and seen.setdefault(one, line) != line:
            problems.add(line, "id", f'"{one}" is that of line {seen[one]}, too')
    if size > LARGEST_SUM:
        what = f"all together have {size / 2**30:.1f} GiB, more than 1 GiB: put the long part into a file"
        problems.add(0, "instruction", what)


# -- ids ----------------------------------------------------------------------------------------------


def name_items(found: Sequence[tuple[int, dict[str, Any]]]) -> list[Numbered]:
    """Items of fields, each with an id: its own, one like its target where that is unique, or item-000123."""
    taken = {values["id"] for _, values in found if "id" in values}
    wished = [None if "id" in values else id_like(values["targets"][0]) for _, values in found]
    often = Counter(one.lower() for one in wished if one)
    items = []
    for n, ((line, values), wish) in enumerate(zip(found, wished), 1):
        if wish is not None:
            unique = wish and often[wish.lower()] == 1 and wish not in taken
            values["id"] = wish if unique else _numbered(n, taken)
            taken.add(values["id"])
        items.append(Numbered(Item(**values), line))
    return items


def _numbered(n: int, taken: Collection[str]) -> str:
    name = f"item-{n:06}"
    while name in taken:
        name += "-x"
    return name


def id_like(target: str) -> str:
    """`src/a b.py` -> `src-a-b.py`; empty where nothing of it can be used."""
    name = _NOT_IN_ID.sub("-", target).replace("..", ".")[-_ID_LENGTH:].strip("-._")
    return "" if ".." in name or name.endswith(".lock") or name in RESERVED_IDS else name
