"""The text of `config.toml`: every setting with its default and what it means."""

from __future__ import annotations

import re

from pydantic import BaseModel

from mo_git.config_agents import ENTRY
from mo_git.config_schema import Config, choices, entry_leaves, extra_of, leaves, plain, section_of
from mo_git.tomltext import toml_value

_HEAD = """\
# Every setting of mo with its default.  All are optional.
#
# Settings are read from, later ones winning: the user's own file ($XDG_CONFIG_HOME/mo/config.toml), this
# repository's .mo/config.toml, .mo/local.toml (this clone only), environment variables such as
# MO_ORCHESTRATOR__MAX_PARALLEL=8, and options of the command line.  `mo config show --origin` says where each
# value comes from.  Keys marked (trust) count in a git-tracked file only after `mo trust`.
"""

_EXAMPLE = """
# One more agent: another account or model of claude or codex, or any other program that takes a prompt.
# What an entry of kind claude or codex does not say, it takes from the section of its kind.
"""


def render_default_file() -> str:
    """The text of `config.toml`."""
    text = _HEAD
    table = ""
    for name, field in leaves().items():
        if field.default == {}:  # a table with keys of the person's own
            trust = " (trust)" if extra_of(field)["guarded"] else ""
            text += f"\n# {field.description}{trust}\n[{name}]\n# {extra_of(field)['example']}\n"
            table = name
            continue
        section, _, last = name.rpartition(".")
        if section != table:
            text += _EXAMPLE + _entry_lines() if table == "agents" else ""
            table = section
            text += f"\n# {_title(section)}\n[{section}]\n"
        text += f"# {field.description}{' (trust)' if extra_of(field)['guarded'] else ''}\n"
        if field.default is None:
            text += f"# {last} =\n"
        else:
            text += f"{last} = {toml_value(plain(field.default))}\n"
    return text


def _entry_lines() -> str:
    """The keys of an entry, as comments."""
    text, table = "# [agents.NAME]\n", ""
    for name, field in entry_leaves().items():
        section, _, last = name.rpartition(".")
        if section != table:
            table = section
            text += f"# [{ENTRY}{section}]\n"
        default = "" if field.default is None else f" {toml_value(plain(field.default))}"
        words = f", one of {', '.join(choices(field))}" if choices(field) else ""
        trust = " (trust)" if extra_of(field)["guarded"] else ""
        text += f"# {last} ={default}  # {field.description}{words}{trust}\n"
    return text


def _title(section: str) -> str:
    model: type[BaseModel] = Config
    for part in section.split("."):
        model = section_of(model.model_fields[part]) or model
    return re.sub(r"\s+", " ", model.__doc__ or "")
