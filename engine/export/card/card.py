"""The model card of an export: README.md in the form of Hugging Face's cards."""

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
    grown,
    how_chosen,
    options_text,
    parts_table,
    portable_spec,
    provenance_lines,
    rounds_options,
    rounds_table,
    stopping,
)
from .front import front_matter_of, is_adapter
from .redaction import PathRedactor
from .results import difference_of, differences_table, figures_table, results_of, verdict
from .text import yaml_scalar

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble
    from ..compared import Compared

PACKAGE = __name__.rpartition(".")[0]
BASE_CARD = "README-base.md"
"""What the base's own card is called, where an exporter brought it along."""


@attrs.frozen(kw_only=True)
class Form:
    """An export as its card describes it."""

    folder: Path
    """Where its files are while it is made."""
    to: str
    """The exporter's name."""
    place: str
    usage: str
    compared: Compared | None
    base_card: Path | None
    """The base's own card, where an exporter brought it along."""
    options: Mapping[str, Any]
    """The exporter's, those that were set."""


def write_card(
    ensemble: Ensemble,
    choice: Choice,
    file: Path,
    *,
    to: str,
    place: str,
    usage: str,
    compared: Compared | None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Write the card of an export whose other files are in `file`'s folder, and which will be called `place`.

    A card of the base that is there already goes on as `README-base.md`, named in ours. Raises `RunError` where outcomes that a
    run has on disk are damaged, or a file cannot be written.
    """
    form = Form(
        folder=file.parent,
        to=to,
        place=place,
        usage=usage,
        compared=compared,
        base_card=_kept(file),
        options=options or {},
    )
    write_text(file, publishable(_rendered(_content(ensemble, choice, form))))


def _kept(file: Path) -> Path | None:
    """The base's own card, out of the way of ours."""
    if not file.is_file():
        return None
    target = file.with_name(BASE_CARD)
    try:
        return file.rename(target)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror or error})") from error


def _rendered(content: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only where a card is made

    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=False,  # noqa: S701 - Markdown, not HTML: every text goes through a filter
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"yaml": yaml_scalar, "md": escaped, "code": code, "table": _table}
    return environment.get_template("card.md").render(content)


def _settings(options: Mapping[str, Any]) -> list[str]:
    """Options as on the command line."""
    told = {True: "true", False: "false"}
    return [f"--set {k}={told[v] if isinstance(v, bool) else v}" for k, v in options.items()]


def _content(ensemble: Ensemble, choice: Choice, form: Form) -> dict[str, Any]:
    redactor = PathRedactor.of(ensemble, form.folder)
    spec, base = portable_spec(ensemble, redactor), base_of(ensemble, form.folder, form.base_card)
    results = results_of(ensemble, choice)
    differences = [d for r in results if (d := difference_of(r)) is not None]
    shown = redactor.text(form.usage)
    return {
        "name": ensemble.spec.head.name,
        "description": printable(redactor.text(ensemble.spec.head.description)),
        "front": front_matter_of(ensemble, base, form.folder, spec, results),
        "form": form,
        "adapters": is_adapter(form.folder),
        "base": base,
        "beside": form.base_card.name if form.base_card else "",
        "grown": grown(ensemble, choice),
        "rounds": choice.describe(),
        "command": " ".join(
            [
                "boostlora export RUN --to",
                form.to,
                *rounds_options(choice).split(),
                *map(redactor.word, _settings(form.options)),
            ]
        ),
        "whole": bool(choice.weights),
        "usage": fenced(shown, "python"),
        "usage_shortened": shown != form.usage,
        "compared": form.compared,
        "figures": figures_table(results, alone=not choice.weights) if results else [],
        "measured": bool(differences),
        "few": bool(results) and results[0].base.count < MIN_VALUES,
        "known": bool(results) and results[0].now is not None,
        "differences": differences_table(differences),
        "verdict": verdict(differences[0]) if differences and choice.weights else "",
        "chosen": how_chosen(ensemble, choice, spec),
        "stopping": stopping(spec),
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
    """Cells under titles as Markdown; numbers, all but the first column, stand to the right where they have a figure first."""
    titles, *body = rows
    right = [all(_numeric(row[i]) for row in body) for i in range(len(titles))]
    rule = ["--:" if numeric else ":--" for numeric in right]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in row)} |" for row in (titles, rule, *body))


def _numeric(cell: str) -> bool:
    return cell in {"", "-", "…"} or cell.lstrip("+-<> ")[:1].isdigit()
