"""Writes three pages of the reference from the code: `<!-- commands -->`, `<!-- plugins -->` with their options, and `<!-- spec -->`, its tables."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import attrs
import click
from click.testing import CliRunner

from boostlora.engine.cli import COMMANDS, group
from boostlora.engine.cli.plugins import options_of
from boostlora.engine.spec.resolve import TABLES
from boostlora.engine.spec.spec import Head
from boostlora.engine.study.ablate import Ablate, Budget, Case, Condition

SPEC_TABLES = {
    "Above the tables": Head,
    **{f"[{name}]": cls for name, cls in TABLES.items()},
    "[ablate]": Ablate,
    "[[ablate.case]]": Case,
    "[[ablate.when]]": Condition,
    "[[ablate.budget]]": Budget,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each mark by what it stands for."""
    marks = {"<!-- commands -->": _commands, "<!-- plugins -->": _plugins, "<!-- spec -->": _spec}
    for mark, lines in marks.items():
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(lines()))
    return markdown


def _commands() -> Iterator[str]:
    overview = click.Context(group, info_name="boostlora")
    yield "| command | |\n|---|---|"
    for name, line in COMMANDS.items():
        yield f"| [`{name}`](#{name}) | {_cell(line)} |"
    for name in COMMANDS:
        command = group.get_command(overview, name)
        assert command is not None
        yield from _command(click.Context(command, info_name=name, parent=overview))


def _command(context: click.Context) -> Iterator[str]:
    """A heading, the usage, what the command does, and its options."""
    yield f"\n## {context.info_name}\n"
    yield f"```console\n{context.command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield f"{_plain(inspect.cleandoc(context.command.help or ''))}\n"
    yield "| option | |\n|---|---|"
    for parameter in context.command.get_params(context):
        if (record := parameter.get_help_record(context)) and record[1]:
            yield f"| `{record[0]}` | {_cell(record[1])} |"


def _plugins() -> Iterator[str]:
    """Every built-in plugin by its kind, as `boostlora plugins --json` has them."""
    answer = CliRunner().invoke(group, ["plugins", "--json"], catch_exceptions=False)
    plugins = json.loads(answer.stdout)["plugins"]
    for kind, of_kind in groupby(plugins, key=lambda plugin: plugin["kind"]):
        yield f"\n## {kind.capitalize()}\n"
        for plugin in of_kind:
            yield f"\n### {plugin['name']} {{: #{kind}-{plugin['name']} }}\n\n{_plain(plugin['help'])}\n"
            yield from _options(plugin["options"])


def _spec() -> Iterator[str]:
    """Every key of a spec that belongs to no plugin, by its table."""
    for title, cls in SPEC_TABLES.items():
        attrs.resolve_types(cls)
        yield f"\n## {_plain(title)}\n\n{inspect.getdoc(cls)}\n"
        untyped = {field.name for field in attrs.fields(cls) if field.type is Any}
        yield from _options([o | {"type": ""} if o["name"] in untyped else o for o in options_of(cls)])


def _options(options: list[dict[str, Any]]) -> Iterator[str]:
    if options:
        yield "| option | default | |\n|---|---|---|"
    for option in options:
        default = (
            "required" if option["required"] else f"`{json.dumps(option['default'], ensure_ascii=False)}`"
        )
        typed = f" ({_cell(option['type'])})" if option["type"] else ""
        yield f"| `{option['name']}` | {default} | {_cell(option['help'])}{typed} |"


def _cell(text: str) -> str:
    return _plain(" ".join(text.split())).replace("|", "\\|")


def _plain(text: str) -> str:
    """A text in which Markdown finds no links and no tags."""
    return text.replace("[", "\\[").replace("<", "&lt;")
