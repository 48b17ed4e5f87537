"""Facts of a model card besides results: rounds, training, data and provenance."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import tomli

from ...analysis.formats import number_text
from ...contracts import DenseUpdate
from ...contracts.records import RoundRecord
from ...ensemble.choice import Choice
from ...foundation.counts import count_text
from ...foundation.markup import code
from ...sdk.metrics import default_metric
from ...sdk.rank import rank_of
from .redaction import PathRedactor

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble

PARTS = ("adapter", "basis", "sampler", "objective", "optimizer", "merge", "generator", "backend")
ROWS = 20
"""Maximum rounds of a table; of more, the first and last are shown."""
SHOWN = 100
"""Maximum length of an option's value in a table."""
Tree = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class AddedRounds:
    """Totals of the selected rounds."""

    rounds: int
    numbers: int
    """Parameters trained in the selected rounds."""
    sites: int
    rank: str
    """Rank of the update of a weight: `64`, or `12 to 16`; empty if it was not computed."""


def added_rounds(ensemble: Ensemble, choice: Choice) -> AddedRounds:
    """Rounds, parameters and rank of a selection, without refused rounds."""
    origin = ensemble.origin
    numbers = {r.round: r.new_parameters for r in origin.records}
    kept = [n for n in origin.merged if n in choice.weights]
    return AddedRounds(
        rounds=len(kept),
        numbers=sum(numbers.get(n, 0) for n in kept),
        sites=len(origin.sites),
        rank=_range_text(_ranks(ensemble, choice)),
    )


def _ranks(ensemble: Ensemble, choice: Choice) -> list[int]:
    """Ranks by site: as recorded, or computed from the factors; none for dense updates, which would take too long."""
    origin, prefix = ensemble.origin, choice.prefix
    if prefix is not None and prefix < len(origin.records):
        return list(origin.records[prefix].rank.values())
    exportable = ensemble.exportable(choice)
    updates = {site: exportable.updates(site.name) for site in origin.sites}
    if any(isinstance(update, DenseUpdate) for found in updates.values() for update, _ in found):
        return []
    return [rank_of(found, site.shape).rank for site, found in updates.items()]


def _range_text(values: Sequence[int]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def selection_text(ensemble: Ensemble, choice: Choice, spec: Tree) -> str:
    """How the rounds of the model were selected, as far as it is known."""
    prefix, last, best = choice.prefix, choice.last, ensemble.best
    by = f"validation {_metric(ensemble, spec)}"
    if not choice.weights:
        return "No round is in it: this is the base."
    if prefix is None:
        return (
            f"The selection ({choice.describe()}, of {count_text(last, 'round')}) was made by hand; the criterion is not "
            "recorded. If it used the test split, test results are optimistic."
        )
    if prefix == best:
        which = "the last one" if best == last else f"of {count_text(last, 'round')}"
        return f"It ends with round {best}, {which}, which is the best by {by}."
    if prefix == last:
        return f"All {count_text(last, 'round')} are in it; the best by {by} is round {best}."
    return (
        f"The first {prefix} of {count_text(last, 'round')}, selected by hand; the criterion is not recorded. "
        f"The best by {by} is round {best}."
    )


def _metric(ensemble: Ensemble, spec: Tree) -> str:
    """The metric by which rounds are compared."""
    named, records = str(spec.get("stop", {}).get("metric", "")), ensemble.records
    return named or (default_metric(records[0].validation) if records else "accuracy")


def stopping_text(spec: Tree) -> str:
    """How the number of rounds was determined."""
    rules = spec.get("stop", {})
    if not rules.get("patience"):
        return ""
    return (
        f"The run ended after {count_text(int(rules['patience']), 'round')} without a better validation {rules.get('metric')}, "
        "or at its last round."
    )


def rounds_options(choice: Choice) -> str:
    """The selection as options of the command line."""
    if choice.prefix == choice.last and choice.last:
        return "--rounds all"
    every = attrs.evolve(choice, weights=dict.fromkeys(choice.weights, 1.0))
    words = ["--rounds", every.describe().replace(", ", ",") if choice.weights else "0"]
    for number, weight in choice.weights.items():
        words += ["--weight", f"{number}={weight!r}"] if weight != 1.0 else []
    return " ".join(words)


def rounds_table(ensemble: Ensemble, choice: Choice) -> list[list[str]]:
    """A row per round as recorded, the base first."""
    rows = [
        ["round", "in this model", "parameters", "scale", "rank", "validation (%)", "test (%)", "test loss"]
    ]
    shown = [_round(record, choice) for record in ensemble.records]
    if len(shown) > ROWS:
        gap = ["…", *[""] * (len(rows[0]) - 1)]
        shown = [*shown[: ROWS // 2], gap, *shown[-(ROWS // 2 - 1) :]]
    return rows + shown


def _round(record: RoundRecord, choice: Choice) -> list[str]:
    weight = choice.weights.get(record.round)
    inside = "no" if weight is None else "yes" if weight == 1.0 else f"x {weight:g}"
    if record.round == 0:
        inside = "the base"
    elif record.scale == 0.0:
        inside = record.status
    return [
        str(record.round),
        inside,
        f"{record.parameters:,}" if record.round else "",
        f"{record.scale:g}" if record.round else "",
        _range_text(list(record.rank.values())) or "-",
        number_text(record.validation.accuracy, "accuracy"),
        number_text(record.test.accuracy, "accuracy"),
        number_text(record.test.loss, "loss"),
    ]


def parts_table(spec: Tree) -> list[list[str]]:
    """The plugins of a run with their options, under titles."""
    rows = [["part", "plugin", "options"]]
    rows += [
        [part, code(str(spec[part].get("use", ""))), options_text(spec[part])]
        for part in PARTS
        if isinstance(spec.get(part), dict)
    ]
    return rows


def options_text(table: Tree) -> str:
    """A plugin's options as code, without empty ones; long ones are shortened."""
    shown = [
        code(f"{key} = {json.dumps(value, ensure_ascii=False, default=str)}", SHOWN)
        for key, value in table.items()
        if key != "use" and value not in ("", [], {})
    ]
    return ", ".join(shown)


def portable_spec(ensemble: Ensemble, redactor: PathRedactor) -> dict[str, Any]:
    """The spec without private data: paths are reduced to their last parts, and trackers are dropped."""
    tree = tomli.loads(ensemble.origin.spec_text)
    return {key: redactor.tree(value) for key, value in tree.items() if key != "trackers"}


def provenance_lines(ensemble: Ensemble, redactor: PathRedactor) -> list[tuple[str, str]]:
    """The recorded provenance of a run: pairs of name and text."""
    found = ensemble.origin.provenance
    hashes, versions = found.get("hashes", {}), found.get("versions", {})
    command = shlex.join(redactor.word(str(word)) for word in found.get("command", ()))
    files = ", ".join(redactor.word(str(file)) for file in found.get("plugin_files", ()))
    lines = [
        ("Command", command),
        ("Plugin files", files),
        ("Seed", str(found.get("seed", ensemble.spec.head.seed))),
        ("Started", str(found.get("created") or "")),
        ("Commit of its working directory", str(found.get("git") or "")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("SHA-256 of the spec", str(hashes.get("spec", ""))),
        ("SHA-256 of the data", str(hashes.get("data", ""))),
        ("Digest of the rounds", ensemble.records[-1].digest if ensemble.records else ""),
    ]
    return [(name, redactor.text(text)) for name, text in lines if text]
