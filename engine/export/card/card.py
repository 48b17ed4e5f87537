"""The model card of an export: README.md in the format of Hugging Face's cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import tomli_w

from ...ensemble.choice import Choice
from ...errors import RunError
from ...foundation.atomic import write_text
from ...foundation.markup import code, escaped, fenced, printable
from ...foundation.redaction import publishable
from ...statistics.bootstrap import MIN_VALUES
from .base import base_of
from .facts import (
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
from .front_matter import front_matter, is_adapter
from .redaction import PathRedactor
from .results import difference_of, differences_table, figures_table, results_of, rivals_table, verdict
from .target_units import units_text

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
    environment.filters |= {"md": escaped, "code": code, "table": _table}
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
        "front": front_matter(ensemble, base, inputs.folder, spec, results),
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
        "units": units_text(ensemble, base.architecture),
        "compared": inputs.compared,
        "figures": figures_table(results, alone=not choice.weights) if results else [],
        "measured": bool(differences),
        "few": bool(results) and results[0].base.count < MIN_VALUES,
        "rivals": rivals_table(ensemble),
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
