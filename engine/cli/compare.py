"""`boostlora compare`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from ..runs.lookup import one_run
from .common import json_option, load_registry, plugin_option, runs_option
from .terminal import echo

AT = re.compile(r"(?P<run>.+)@(?P<round>\d{1,9}|best|last)")


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option(
    "--split",
    type=click.Choice(["test", "train", "validation"]),
    default="test",
    show_default=True,
    help="The examples to compare on.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="Examples to show in each direction; 0: none.",
)
@runs_option
@plugin_option
@json_option
def command(
    a: str,
    b: str,
    split: Any,
    examples: int,
    runs_folder: Path,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Pair two runs, A and B, example by example: what each gained and lost, where they differ.

    A and B are a run's folder, its name, or the beginning of its hash; RUN@7 is the run after round 7, RUN@0 its base,
    RUN@best the round that is best on validation. Without @, its last round. No model is opened: everything comes from the
    runs' files; the texts of examples from their data.
    """
    from ..analysis.comparison.compare import compare
    from ..analysis.comparison.sides import read_side
    from ..analysis.comparison.summary import as_json as content_of
    from .compared import print_comparison

    places = [find_side(word, runs_folder) for word in (a, b)]
    first, second = (read_side(path, moment, split) for path, moment in places)
    found = compare(first, second, _loader(plugin_files), examples)
    if as_json:
        echo(json.dumps(content_of(found), indent=2, allow_nan=False))
    else:
        print_comparison(found)


def find_side(word: str, runs_folder: Path) -> tuple[Path, Any]:
    """The folder and the round of `RUN`, `RUN@7`, `RUN@best` or `RUN@last`; a folder whose name ends like that is meant itself.

    Raises `UsageError` for no run, and for several.
    """
    from ..runs.directory import SPEC

    parts = AT.fullmatch(word)
    if parts is None or any((folder / SPEC).is_file() for folder in (Path(word), runs_folder / word)):
        return one_run(word, runs_folder), "last"
    moment = parts["round"]
    return one_run(parts["run"], runs_folder), int(moment) if moment.isdigit() else moment


def _loader(plugin_files: tuple[Path, ...]) -> Any:
    """Loads a side's data; plugins only once, and only if they are needed."""
    from functools import cache

    from ..analysis.comparison.examples import LoadedSplit, load_split
    from ..analysis.comparison.sides import Side

    registry = cache(lambda: load_registry(plugin_files))

    def load(side: Side) -> LoadedSplit:
        from .console import Console

        with Console(stderr=True).status(f"loading the data of {side.title}"):
            return load_split(side, registry())

    return load
