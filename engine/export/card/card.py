"""The model card of an export: README.md in the format of Hugging Face's cards."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import tomli_w

from ...contracts import Metrics
from ...ensemble.choice import Choice
from ...errors import RunError
from ...foundation.atomic import write_text
from ...foundation.markup import code, escaped, fenced, printable
from ...foundation.options import DatasetPath
from ...foundation.redaction import publishable
from ...statistics.bootstrap import MIN_VALUES
from .base import Base, base_of
from .facts import (
    Tree,
    added_rounds,
    options_text,
    parts_table,
    portable_spec,
    provenance_lines,
    rounds_options,
    rounds_table,
    selection_text,
    stopping_text,
)
from .redaction import PathRedactor, path_options
from .results import SplitResult, difference_of, differences_table, figures_table, results_of, verdict

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble
    from ..export_check import ExportCheck


PACKAGE = __name__.rpartition(".")[0]
BASE_CARD = "README-base.md"
"""File name of the base's own card, if an exporter copied it."""


@attrs.frozen(kw_only=True)
class CardInputs:
    """Facts about an export for its card."""

    folder: Path
    """Temporary folder of its files."""
    to: str
    """The exporter's name."""
    place: str
    usage: str
    compared: ExportCheck | None
    base_card: Path | None
    """The base's own card, if an exporter copied it."""
    options: Mapping[str, Any]
    """Options of the exporter that were set."""


def write_card(
    ensemble: Ensemble,
    choice: Choice,
    file: Path,
    *,
    to: str,
    place: str,
    usage: str,
    compared: ExportCheck | None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Write the card of an export with its other files in `file`'s folder and the final name `place`.

    An existing card of the base is renamed to `README-base.md`, to which ours links. Raises `RunError` for damaged outcomes of
    the run, or a failed write.
    """
    inputs = CardInputs(
        folder=file.parent,
        to=to,
        place=place,
        usage=usage,
        compared=compared,
        base_card=_move_base_card(file),
        options=options or {},
    )
    write_text(file, publishable(_render(_content(ensemble, choice, inputs))))


def _move_base_card(file: Path) -> Path | None:
    """Rename the base's own card."""
    if not file.is_file():
        return None
    target = file.with_name(BASE_CARD)
    try:
        return file.rename(target)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror or error})") from error


def _render(content: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - slow to import

    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=False,  # noqa: S701 - Markdown, not HTML: filters escape every text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"yaml": yaml_scalar, "md": escaped, "code": code, "table": _table}
    return environment.get_template("card.md").render(content)


def _settings(options: Mapping[str, Any]) -> list[str]:
    """Options as command-line arguments."""
    spelling = {True: "true", False: "false"}
    return [f"--set {k}={spelling[v] if isinstance(v, bool) else v}" for k, v in options.items()]


def _content(ensemble: Ensemble, choice: Choice, inputs: CardInputs) -> dict[str, Any]:
    redactor = PathRedactor.of(ensemble, inputs.folder)
    spec, base = portable_spec(ensemble, redactor), base_of(ensemble, inputs.folder, inputs.base_card)
    results = results_of(ensemble, choice)
    differences = [d for r in results if (d := difference_of(r)) is not None]
    shown = redactor.text(inputs.usage)
    return {
        "name": ensemble.spec.head.name,
        "description": printable(redactor.text(ensemble.spec.head.description)),
        "front": front_matter_of(ensemble, base, inputs.folder, spec, results),
        "form": inputs,
        "adapters": is_adapter(inputs.folder),
        "base": base,
        "beside": inputs.base_card.name if inputs.base_card else "",
        "added": added_rounds(ensemble, choice),
        "rounds": choice.describe(),
        "command": " ".join(
            [
                "boostlora export RUN --to",
                inputs.to,
                *rounds_options(choice).split(),
                *map(redactor.word, _settings(inputs.options)),
            ]
        ),
        "whole": bool(choice.weights),
        "usage": fenced(shown, "python"),
        "usage_shortened": shown != inputs.usage,
        "compared": inputs.compared,
        "figures": figures_table(results, alone=not choice.weights) if results else [],
        "measured": bool(differences),
        "few": bool(results) and results[0].base.count < MIN_VALUES,
        "known": bool(results) and results[0].now is not None,
        "differences": differences_table(differences),
        "verdict": verdict(differences[0]) if differences and choice.weights else "",
        "chosen": selection_text(ensemble, choice, spec),
        "stopping": stopping_text(spec),
        "task": spec.get("task", {}),
        "task_options": options_text(spec.get("task", {})),
        "sizes": _sizes(ensemble),
        "parts": parts_table(spec),
        "by_round": rounds_table(ensemble, choice),
        "spec": fenced(tomli_w.dumps(spec), "toml"),
        "origin": provenance_lines(ensemble, redactor),
    }


def _sizes(ensemble: Ensemble) -> list[tuple[str, int]]:
    if not ensemble.records:
        return []
    splits = ("train", "validation", "test")
    return [(split, getattr(ensemble.records[0], split).count) for split in splits]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns of numbers are right-aligned."""
    titles, *body = rows
    right = [all(_numeric(row[i]) for row in body) for i in range(len(titles))]
    rule = ["--:" if numeric else ":--" for numeric in right]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in row)} |" for row in (titles, rule, *body))


def _numeric(cell: str) -> bool:
    return cell in {"", "-", "…"} or cell.lstrip("+-<> ")[:1].isdigit()


PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
"""Texts that need no quotes in YAML, except `WORDS`."""
WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def yaml_scalar(value: str | float) -> str:
    """A text or number as a YAML scalar. JSON strings are valid YAML if every character is printable."""
    if not isinstance(value, str):
        return repr(value)
    text = printable(value)
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


TASKS = {"causal-lm": "text-generation", "classifier": "text-classification"}
"""The hub's task by architecture."""


def front_matter_of(
    ensemble: Ensemble,
    base: Base,
    folder: Path,
    spec: Tree,
    results: Sequence[SplitResult],
) -> dict[str, Any]:
    """Front matter for the hub, by the template's names; empty values are unknown."""
    family = base.architecture.partition("/")[0]
    pipeline = _pipeline(folder, family)
    datasets = [
        value
        for slot, kind, value in path_options(ensemble)
        if slot == "task" and kind is DatasetPath and not Path(value).is_absolute()
    ]
    data = [Path(value).name for slot, _, value in path_options(ensemble) if slot == "task"]
    task = str(spec.get("task", {}).get("use", "task"))
    tested = next((r.now for r in results if r.split == "test"), None)
    return {
        "licence": base.licence,
        "base_model": base.hub,
        "library": _library(folder),
        "pipeline": pipeline,
        "datasets": datasets,
        "task_type": pipeline or TASKS.get(family, "tabular-classification"),
        "dataset_name": (datasets or data or [task])[0],
        "dataset_type": (datasets or [task])[0],
        "metrics": _metrics(tested),
    }


def _metrics(tested: Metrics | None) -> dict[str, float]:
    """Finite metrics of the test split."""
    if tested is None:
        return {}
    found = {"accuracy": tested.accuracy, "loss": tested.loss, **tested.measures}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds adapters for the base."""
    return any(folder.rglob("adapter_config.json"))


def _library(folder: Path) -> str:
    """The target library of a folder's files; empty if unclear."""
    if is_adapter(folder):
        return "peft"
    if (folder / "modules.json").is_file():
        return "sentence-transformers"
    if any(folder.glob("*.gguf")):
        return "gguf"
    return "transformers" if (folder / "config.json").is_file() else ""


def _pipeline(folder: Path, family: str) -> str:
    """The hub's task, if a pipeline can load the files; not for a classifier with a separate head."""
    if family == "causal-lm":
        return TASKS[family]
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = [str(name) for name in config.get("architectures") or ()]
    except (OSError, ValueError, AttributeError, TypeError):
        return ""
    return TASKS[family] if any(n.endswith("ForSequenceClassification") for n in names) else ""
