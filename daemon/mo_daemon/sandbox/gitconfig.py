"""git's settings without what is secret: read a config file, keep the harmless keys, write it again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_HEADER = re.compile(r"""\[\s*([A-Za-z0-9.-]+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\]""")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}

# section, subsection (* stands for any), keys.  Of a remote only what names branches.
_DIFF = (
    ("diff", "", "algorithm context mnemonicprefix noprefix renames"),
    ("diff", "*", "binary wordregex xfuncname"),
    ("merge", "", "conflictstyle"),
    ("user", "", "email name"),
)
_REPOSITORY = (
    *_DIFF,
    ("branch", "*", "merge rebase"),
    ("core", "", "abbrev autocrlf eol filemode ignorecase longpaths precomposeunicode quotepath"),
    ("core", "", "repositoryformatversion sparsecheckout sparsecheckoutcone symlinks"),
    ("extensions", "", "objectformat partialclone relativeworktrees worktreeconfig"),
    ("remote", "*", "fetch partialclonefilter promisor"),
)
_USER = (
    *_DIFF,
    ("core", "", "abbrev autocrlf eol quotepath"),
    ("init", "", "defaultbranch"),
    ("pull", "", "rebase"),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One line; `section` and `key` in lower case, `value` None where the line has no equals sign."""

    section: str
    subsection: str
    key: str
    value: str | None


def parse(text: str) -> Iterator[Setting]:
    """The settings of a file as git-config(1) describes it; lines that git would refuse are left out."""
    section, subsection = "", ""
    for line in _joined(text):
        rest = line.strip()
        if header := _HEADER.match(rest):
            section, subsection = header[1].lower(), _unescaped(header[2] or "")
            if header[2] is None and "." in section:
                section, _, subsection = section.partition(".")
            rest = rest[header.end() :].strip()
        if section and rest and rest[0] not in "#;":
            key, equals, value = rest.partition("=")
            if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", key.strip()):
                yield Setting(section, subsection, key.strip().lower(), _value(value) if equals else None)


def _joined(text: str) -> Iterator[str]:
    """Lines, with those that end in an odd number of backslashes drawn together with the next."""
    pending = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        pending += line
        if (len(line) - len(line.rstrip("\\"))) % 2 and not line.lstrip().startswith(("#", ";")):
            pending = pending[:-1]
            continue
        yield pending
        pending = ""
    if pending:
        yield pending


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _value(raw: str) -> str:
    value, quoted, spaces = "", False, ""
    letters = iter(raw.strip())
    for letter in letters:
        if not quoted and letter in " \t":
            spaces += letter
            continue
        if not quoted and letter in "#;":
            break
        value, spaces = value + spaces, ""
        if letter == "\\":
            escaped = next(letters, "")
            value += _ESCAPES.get(escaped, escaped)
        elif letter == '"':
            quoted = not quoted
        else:
            value += letter
    return value


def render(settings: Iterable[Setting]) -> str:
    """A config file with these settings."""
    lines = []
    for setting in settings:
        name = setting.subsection.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'[{setting.section} "{name}"]' if name else f"[{setting.section}]")
        lines.append(f"\t{setting.key}" + ("" if setting.value is None else f" = {_quoted(setting.value)}"))
    return "".join(f"{line}\n" for line in lines)


def _quoted(value: str) -> str:
    for letter, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\b", "\\b")):
        value = value.replace(letter, escaped)
    return f'"{value}"'


def for_repository(text: str) -> list[Setting]:
    """What a repository's config may show to a program: no URL, no helper, no command."""
    return _kept(text, _REPOSITORY)


def for_user(text: str) -> list[Setting]:
    """What a user's own config may show."""
    return _kept(text, _USER)


def excludes_files(text: str) -> list[str]:
    """Values of core.excludesFile, the last one counts."""
    return [
        setting.value
        for setting in parse(text)
        if (setting.section, setting.key) == ("core", "excludesfile") and setting.value
    ]


def _kept(text: str, allowed: Iterable[tuple[str, str, str]]) -> list[Setting]:
    wanted = {(section, sub, key) for section, sub, keys in allowed for key in keys.split()}
    return [
        setting
        for setting in parse(text)
        if (setting.section, "*" if setting.subsection else "", setting.key) in wanted
    ]
