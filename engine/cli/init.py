"""`boostlora init`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .common import load_registry
from .terminal import echo

if TYPE_CHECKING:
    from ..contracts import DraftableTask

TABLES = "table"
TEXTS = {"classes": "text-classification", "values": "text-regression"}
"""Tasks of texts by what the label looks like; both draft alike."""


@click.command("init")
@click.argument("words", nargs=-1, metavar="FILE | study SPEC | plugin KIND NAME", required=True)
@click.option("--label", default="", metavar="COLUMN", help="The column to predict; default: a likely one.")
@click.option(
    "--text", is_flag=True, help="Predict from texts in FILE instead of rows of numbers and categories."
)
@click.option("--model", default="", metavar="PATH", help="Folder or Hugging Face id of the texts' model.")
@click.option("--out", type=Path, help="File to write; default: FILE's or SPEC's name with .toml, here.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def command(
    words: tuple[str, ...], label: str, text: bool, model: str, out: Path | None, force: bool
) -> None:
    """Write a first spec: for a data file, or a study of a spec. Or write a first plugin, with its test.

    \b
    boostlora init people.csv --label income
    boostlora init reviews.csv --text --model ./all-MiniLM-L6-v2
    boostlora init study people.toml
    boostlora init plugin sampler costliest
    """  # noqa: D301 - click reads the backspace
    if words[0] == "study":
        _init_study(words[1:], out, force=force)
        return
    if words[0] == "plugin":
        _init_plugin(words[1:], specs_only=bool(label or text or model or out), force=force)
        return
    if len(words) != 1:
        raise UsageError("name one data file, or: boostlora init study SPEC, boostlora init plugin KIND NAME")
    _init_data(words[0], label, text=text or bool(model), model=model, out=out, force=force)


def _init_data(path: str, label: str, *, text: bool, model: str, out: Path | None, force: bool) -> None:
    from ..scaffold.specs import data_spec

    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file; name a .csv, .tsv, .xlsx, .parquet or .jsonl file")
    if text and not model:
        raise UsageError(
            "texts need a model: --model FOLDER, or a Hugging Face id such as sentence-transformers/all-MiniLM-L6-v2"
        )
    task: type[DraftableTask] = load_registry(()).entries("task")[TEXTS["classes"] if text else TABLES].cls
    draft = task.draft(path, label)
    use = TEXTS[draft.target] if text else TABLES
    name = re.sub(r"[^a-z0-9-]+", "-", Path(path).stem.lower()).strip("-") or "data"
    place = out or Path(f"{name}.toml")
    _write(place, data_spec(draft, task=use, name=name, file=str(place), model=model), force=force)
    echo(f"{place}: {draft.about}")
    for note in draft.notes:
        echo(f"  {note}")
    echo(f"next: boostlora check {place}, then boostlora run {place}")


def _init_study(words: tuple[str, ...], out: Path | None, *, force: bool) -> None:
    from ..scaffold.specs import study_spec
    from ..spec.resolve import load_spec

    if len(words) != 1:
        raise UsageError("name the spec to study: boostlora init study SPEC")
    source = words[0]
    spec = load_spec(source, load_registry((), source))
    name = spec.head.name
    place = out or Path(f"{name}-study.toml")
    rate = float(getattr(spec.optimizer, "lr", 0.01))
    text = study_spec(source, name=name, file=str(place), lr=rate, basis=spec.slots["basis"].use)
    _write(place, text, force=force)
    echo(f"{place}: two bases at five learning rates each, 8 seeds")
    echo(f"next: boostlora check {place}, then boostlora ablate {place}")


def _init_plugin(words: tuple[str, ...], *, specs_only: bool, force: bool) -> None:
    from ..scaffold.plugins import ALL, draft_plugin

    if len(words) != 2:
        raise UsageError(f"give a kind and a name: boostlora init plugin KIND NAME; kinds: {', '.join(ALL)}")
    if specs_only:
        raise UsageError(
            "--label, --text, --model and --out are for specs; a plugin is written here, as NAME.py"
        )
    draft = draft_plugin(*words, load_registry(()))
    existing = [str(place) for place in draft.files if place.exists() or place.is_symlink()]
    if existing and not force:
        raise UsageError(
            f"{' and '.join(existing)} exist{'s' * (len(existing) == 1)}; give another name, or replace it with --force"
        )
    for place, text in draft.files.items():
        place.write_text(text, encoding="utf-8")
    kind = draft.kind.slot
    echo(f'{draft.module}.py: the {kind} "{draft.name}", ready to run and to change')
    echo(
        f"test_{draft.module}.py: its contract suite; needs pip install 'boostlora[testing]'"
        if draft.tested
        else f"there is no contract suite for plugins of the kind {kind}, so no test is written"
    )
    for label, line in draft.next_steps():
        echo(f"{label + ':' if label else '':9}{line}")


def _write(place: Path, text: str, *, force: bool) -> None:
    if place.exists() and not force:
        raise UsageError(f"{place} exists; name another file with --out, or replace it with --force")
    place.write_text(text, encoding="utf-8")
