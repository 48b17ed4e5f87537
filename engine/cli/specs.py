"""`boostlora specs`."""

from __future__ import annotations

import json

import click

from .common import json_option
from .layout import paragraph
from .terminal import echo


@click.command("specs")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the shipped specs; with NAME, print that one as a start for your own."""
    import tomli

    from ..spec.document import find_spec, shipped_specs

    if name is not None:
        echo(find_spec(name).read_text(encoding="utf-8"), nl=False)
        return
    found = {
        key: tomli.loads(path.read_text(encoding="utf-8")).get("description", "")
        for key, path in shipped_specs().items()
    }
    if as_json:
        echo(json.dumps([{"name": key, "description": text} for key, text in found.items()], indent=2))
        return
    width = max(map(len, found), default=0)
    for key, text in found.items():
        name = f"{key:{width}}  "
        first, *more = paragraph(f"{name}{text}", " " * len(name))
        echo(name, fg="cyan", nl=False)
        echo("\n".join([first[len(name) :], *more]))
