"""What a model card says of an ensemble beside its figures: rounds, training, data, and where it all comes from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import tomli

from ...analysis.formats import count_text, number_text
from ...contracts import DenseUpdate
from ...contracts.records import RoundRecord
from ...ensemble.choice import Choice
from ...foundation.markup import code
from ...sdk.rank import rank_of
from .redaction import PathRedactor
from .text import SHOWN

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble

PARTS = ("adapter", "basis", "sampler", "objective", "optimizer", "merge", "generator", "backend")
ROWS = 20
"""Rounds that a table shows; of more, the first and the last."""
Tree = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Grown:
    """What the chosen rounds added, in all."""

    rounds: int
    numbers: int
    """Trained in the rounds that are in the model."""
    sites: int
    rank: str
    """Of what was added to a weight: `64`, or `12 to 16`; empty where it was not computed."""


def grown(ensemble: Ensemble, choice: Choice) -> Grown:
    """Rounds, numbers and rank of a selection; rounds that were refused are none."""
    origin = ensemble.origin
    numbers = {r.round: r.numbers for r in origin.records}
    kept = [n for n in origin.merged if n in choice.weights]
    return Grown(
        rounds=len(kept),
        numbers=sum(numbers.get(n, 0) for n in kept),
        sites=len(origin.sites),
        rank=_span(_ranks(ensemble, choice)),
    )


def _ranks(ensemble: Ensemble, choice: Choice) -> list[int]:
    """By site: as the run recorded it, else from the factors; none where the updates are dense, which takes too long."""
    origin, prefix = ensemble.origin, choice.prefix
    if prefix is not None and prefix < len(origin.records):
        return list(origin.records[prefix].rank.values())
    exportable = ensemble.exportable(choice)
    updates = {site: exportable.updates(site.name) for site in origin.sites}
    if any(isinstance(update, DenseUpdate) for found in updates.values() for update, _ in found):
        return []
    return [rank_of(found, site.shape).rank for site, found in updates.items()]


def _span(values: Sequence[int]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def how_chosen(ensemble: Ensemble, choice: Choice, spec: Tree) -> str:
    """Who decided which rounds are in the model, as far as that is known."""
    prefix, last, best = choice.prefix, choice.last, ensemble.best
    by = f"validation {spec.get('stop', {}).get('metric', 'accuracy')}"
    if not choice.weights:
        return "No round is in it: this is the base."
    if prefix is None:
        return (
            f"The selection ({choice.describe()}, of {count_text(last, 'round')}) was made by hand; by which figures is not "
            "recorded. If those of the test split had a say, they are too good."
        )
    if prefix == best:
        which = "the last one" if best == last else f"of {count_text(last, 'round')}"
        return f"It ends with round {best}, {which}, which is the best by {by}."
    if prefix == last:
        return f"All {count_text(last, 'round')} are in it; the best by {by} is round {best}."
    return (
        f"The first {prefix} of {count_text(last, 'round')}, a number chosen by hand; by which figures is not recorded. "
        f"The best by {by} is round {best}."
    )


def stopping(spec: Tree) -> str:
    """How the number of rounds came about."""
    rules = spec.get("stop", {})
    if not rules.get("patience"):
        return ""
    return (
        f"The run ended after {count_text(int(rules['patience']), 'round')} without a better validation {rules.get('metric')}, "
        "or at its last round."
    )


def rounds_options(choice: Choice) -> str:
    """The selection as options of the command line; empty for all rounds."""
    if choice.prefix == choice.last:
        return ""
    every = attrs.evolve(choice, weights=dict.fromkeys(choice.weights, 1.0))
    words = ["--rounds", every.describe().replace(", ", ",") if choice.weights else "0"]
    for number, weight in choice.weights.items():
        words += ["--weight", f"{number}={weight!r}"] if weight != 1.0 else []
    return " ".join(words)


def rounds_table(ensemble: Ensemble, choice: Choice) -> list[list[str]]:
    """A row a round, as the run recorded it, under titles; the base first."""
    rows = [["round", "in this model", "numbers", "scale", "rank", "validation (%)", "test (%)", "test loss"]]
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
        _span(list(record.rank.values())) or "-",
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
    """A plugin's options as code; those that are empty say nothing, and long ones are cut."""
    shown = [
        code(f"{key} = {json.dumps(value, ensure_ascii=False, default=str)}", SHOWN)
        for key, value in table.items()
        if key != "use" and value not in ("", [], {})
    ]
    return ", ".join(shown)


def portable_spec(ensemble: Ensemble, redactor: PathRedactor) -> dict[str, Any]:
    """The spec as a tree for others: paths by their last parts, and without trackers, whose addresses are the author's own."""
    tree = tomli.loads(ensemble.origin.spec_text)
    return {key: redactor.tree(value) for key, value in tree.items() if key != "trackers"}


def provenance_lines(ensemble: Ensemble, redactor: PathRedactor) -> list[tuple[str, str]]:
    """What is on record of a run's origin: pairs of a word and a text."""
    found = ensemble.origin.provenance
    hashes, versions = found.get("hashes", {}), found.get("versions", {})
    command = shlex.join(redactor.word(str(word)) for word in found.get("command", ()))
    files = ", ".join(redactor.word(str(file)) for file in found.get("plugin_files", ()))
    lines = [
        ("Command", command),
        ("Plugin files", files),
        ("Seed", str(found.get("seed", ensemble.spec.head.seed))),
        ("Begun", str(found.get("created") or "")),
        ("Commit of the folder it was begun in", str(found.get("git") or "")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("SHA-256 of the spec", str(hashes.get("spec", ""))),
        ("SHA-256 of the data", str(hashes.get("data", ""))),
        ("Digest of the rounds", ensemble.records[-1].digest if ensemble.records else ""),
    ]
    return [(name, redactor.text(text)) for name, text in lines if text]
