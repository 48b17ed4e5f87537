"""Protein-protein binding: classification of pairs by affinity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, Outcome, Predictions, Splits, Texts
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_labels
from ...engine.sdk.metrics import class_measures, log_odds, ranking_measures
from ._protein.complexes import BREAK, Complex, averaged, named, pkd, side, windows
from ._protein.groups import connected, group_split
from ._text.data import PARTS, TextData, stratified_sample
from ._text.rows import Row, Rows

CLASSES = ("weak", "tight")
MEASURES = ("auroc", "auprc", "mcc", "balanced_accuracy", "macro_f1", "f1")
GLYCINES = "G" * 25
"""ESMFold's `chain_linker` (Lin et al., 2023): a flexible linker without structure."""

letters = Limit("letters, or one of . and -", lambda text: text in {".", "-"} or text.isalpha())


@attrs.frozen(kw_only=True)
class ProteinBinding(TextData):
    """Protein pairs from a file or a Hugging Face data set: predict whether the measured affinity is above a threshold.

    Splits are drawn by group: rows that share a group or a chain, directly or transitively, share a split; a pair with several
    measurements belongs to all their groups. Ids derive from the sequences, so the order of the rows does not matter. Splits
    given by files or by a column are used as they are.
    """

    ligand: str = option("ligand_seq", "the column with one side's chains, joined by |")
    receptor: str = option("receptor_seq", "the column with the other side's chains")
    affinity: str = option("pkd", "the column with the affinity")
    scale: Literal["pkd", "molar"] = option(
        "pkd", "scale of the affinity: -log10 of the dissociation constant, or the constant in molar"
    )
    group: str = option(
        "group", "a column of groups to keep in one split; empty: groups are shared chains only"
    )
    mutations: str = option("mutations", "a column that is empty for wild types; empty: no such column")
    variants: Literal["all", "wild-types", "mutants"] = option("all", "which rows to use, by mutations")
    threshold: float = option(8.0, "-log10 KD from which a pair is tight (8: 10 nM); 0: the median", min=0.0)
    gap: float = option(0.0, "exclude pairs closer than this to the threshold", min=0.0)
    duplicates: Literal["mean", "keep"] = option(
        "mean", "repeated measurements of a pair: one example with the mean -log10 KD, or one each"
    )
    per_group: int = option(0, "maximum pairs per group, drawn at random; 0: all", min=0)
    max_residues: int = option(
        0, "maximum residues per side, cut around the variants' mutations; 0: all", min=0
    )
    linker: str = option(GLYCINES, "linker between the chains of a text; 25 glycines, as in ESMFold", letters)
    layout: Literal["pair", "joined"] = option("pair", "two texts, or one joined by the linker")

    def __attrs_post_init__(self) -> None:
        """Check that `variants` has its column."""
        TextData.__attrs_post_init__(self)
        if self.variants != "all" and not self.mutations:
            raise ValueError(f'"variants" = "{self.variants}" needs the column of "mutations"')

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures besides accuracy and loss, for splits with both classes."""
        return MEASURES

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault, or if a split cannot have both classes."""
        complexes = self._complexes()
        pairs, ids = named(averaged(complexes) if self.duplicates == "mean" else complexes)
        if not pairs:
            raise UsageError(f'{self.where}: no row is left of "variants" = "{self.variants}"')
        affinities = np.array([pair.pkd for pair in pairs])
        threshold = self.threshold or float(np.median(affinities))
        labels = (affinities >= threshold).astype(np.int64)
        groups = connected([pair.keys for pair in pairs])
        whole = Examples(ids=ids, inputs=self._texts(pairs, groups.tolist()), labels=labels)
        kept = np.flatnonzero(np.abs(affinities - threshold) >= self.gap)
        kept = self._limited(kept, whole, groups, rng)
        if len(np.unique(labels[kept])) < 2:
            raise UsageError(
                f"{self.where}: {len(kept)} pairs, all of one class at threshold {threshold:g}, gap {self.gap:g}; "
                f"affinities lie between {affinities.min():g} and {affinities.max():g}"
            )
        assigned = np.array([pairs[i].assigned for i in kept.tolist()])
        parts = self._drawn(assigned, labels[kept], groups[kept], rng)
        return Splits.of({part: whole.take(kept[index]) for part, index in parts.items()}, classes=CLASSES)

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the class is; measures `auroc`, `auprc`, `mcc`, `balanced_accuracy`, `macro_f1`, and `f1` of the tight class."""
        odds = log_odds(examples.labels, predictions.loss)
        measures = {
            **ranking_measures(examples.labels, odds),
            **class_measures(examples.labels, predictions.output),
        }
        return attrs.evolve(judge_labels(examples, predictions), measures=measures)

    def _complexes(self) -> list[Complex]:
        """The rows of the chosen variants as complexes."""
        columns = {self.ligand: "ligand", self.receptor: "receptor", self.affinity: "affinity"}
        columns |= {
            name: what for name, what in ((self.group, "group"), (self.mutations, "mutations")) if name
        }
        rows, assigned = self._read(columns, self._check)
        found = [self._complex(self.where, 0, row, part) for row, part in zip(rows, assigned, strict=True)]
        if self.variants == "all":
            return found
        return [c for c in found if (c.mutations == "") == (self.variants == "wild-types")]

    def _check(self, rows: Rows, found: Sequence[Row]) -> None:
        """Raise `UsageError` for a row that is not a valid complex."""
        for number, row in enumerate(found, 1):
            self._complex(rows.where, number, row, "")

    def _complex(self, where: str, number: int, row: Row, assigned: str) -> Complex:
        return Complex(
            assigned=assigned,
            ligand=side(where, self.ligand, number, row[self.ligand]),
            receptor=side(where, self.receptor, number, row[self.receptor]),
            pkd=pkd(where, self.affinity, number, row[self.affinity], self.scale),
            groups=(group,) if self.group and (group := row[self.group].strip()) else (),
            mutations=row[self.mutations].strip() if self.mutations else "",
        )

    def _texts(self, pairs: Sequence[Complex], groups: Sequence[int]) -> Texts:
        sides = [[pair.ligand for pair in pairs], [pair.receptor for pair in pairs]]
        if self.max_residues:
            sides = [windows(texts, groups, self.max_residues) for texts in sides]
        rows = [[text.replace(BREAK, self.linker) for text in row] for row in zip(*sides, strict=True)]
        if self.layout == "joined":
            rows = [[self.linker.join(row)] for row in rows]
        return Texts(tuple(tuple(row) for row in rows))

    def _limited(
        self, kept: NDArray[np.int64], whole: Examples, groups: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """At most `per_group` pairs per group and `limit` in total, sorted by id."""
        if self.per_group:
            drawn = rng.permutation(kept)
            order = drawn[np.argsort(groups[drawn], kind="stable")]
            _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
            rank = np.arange(len(order)) - np.repeat(starts, sizes)
            kept = np.sort(order[rank < self.per_group])
        if self.limit and self.limit < len(kept):
            kept = kept[stratified_sample(whole.ids[kept], whole.labels[kept].tolist(), self.limit, rng)]
        return kept

    def _drawn(
        self,
        assigned: NDArray[np.str_],
        labels: NDArray[np.int64],
        groups: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> dict[str, NDArray[np.int64]]:
        """The given splits, and the others drawn from the remaining pairs."""
        given = {part: np.flatnonzero(assigned == part) for part in PARTS}
        free = np.flatnonzero(assigned == "")
        shares = {
            p: s for p, s in (("validation", self.validation), ("test", self.test)) if not len(given[p])
        }
        drawn = dict[str, NDArray[np.int64]]()
        if len(free):
            drawn = group_split(labels[free], groups[free], shares, rng, where=self.where)
        nothing = free[:0]
        parts = {
            part: np.sort(np.concatenate([given[part], free[drawn[part]] if part in drawn else nothing]))
            for part in PARTS
        }
        for part, index in parts.items():
            if not len(index):
                raise UsageError(f"{self.where}: no row is left for {part}")
        return parts


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `protein-binding`."""
    register("protein-binding", ProteinBinding)
