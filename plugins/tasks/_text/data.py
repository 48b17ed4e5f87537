"""Data sources of text tasks and their splits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.errors import UsageError
from ....engine.foundation.options import DatasetPath, FilePath, option
from ....engine.sdk.splits import stratified
from .._frames import row_ids
from .rows import Row, Rows, read_dataset, read_file

PARTS = ("train", "validation", "test")
Index = NDArray[np.int64]
Check = Callable[[Rows, Sequence[Row]], None]


@attrs.frozen(eq=False)
class AssignedRows:
    """Rows sorted by `ids` `(n,)`, and the split that each is `assigned` to by the data; "" if to none."""

    rows: Sequence[Row]
    assigned: Sequence[str]
    ids: Index

    def take(self, indices: Index) -> AssignedRows:
        """The rows at `indices`, in that order."""
        chosen: list[int] = indices.tolist()
        return AssignedRows(
            [self.rows[i] for i in chosen], [self.assigned[i] for i in chosen], self.ids[indices]
        )


@attrs.frozen(kw_only=True)
class TextData:
    """Files or a Hugging Face data set; validation and test are given, or drawn from the remaining rows.

    Splits given by a file (or by a data set) are used as they are; the others are drawn as shares, with rows of equal inputs kept
    together.
    """

    path: FilePath = option("", "the rows: .csv, .tsv, .parquet or .jsonl")
    validation_path: FilePath = option("", "validation rows; empty: a share of path")
    test_path: FilePath = option("", "test rows; empty: a share of path")
    dataset: DatasetPath = option("", "instead of path: a data set's folder, or a Hugging Face id")
    subset: str = option("", "the data set's configuration, if it has several")
    train_split: str = option("train", "the data set's split to train on")
    validation_split: str = option("", "the data set's split for validation; empty: a share of train_split")
    test_split: str = option("", "the data set's split for the test; empty: a share of train_split")
    split: str = option("", 'a column with "train", "validation" or "test" for every row; empty: none')
    validation: float = option(0.2, "share of rows for validation, if none are given", min=0.01, max=0.49)
    test: float = option(0.2, "share of rows for the test, if none are given", min=0.01, max=0.49)
    limit: int = option(0, "maximum examples, a random sample stratified by class; 0: all", min=0)

    def __attrs_post_init__(self) -> None:
        """Require exactly one source, and no options of the other."""
        if bool(self.path) == bool(self.dataset):
            raise ValueError('needs "path" or "dataset", one of them')
        of_datasets = {
            "subset": self.subset,
            "validation_split": self.validation_split,
            "test_split": self.test_split,
        }
        of_files = {"validation_path": self.validation_path, "test_path": self.test_path}
        for name, value in (of_datasets if self.path else of_files).items():
            if value:
                raise ValueError(f'"{name}" belongs to "{"dataset" if self.path else "path"}"')
        if self.split and any((*of_files.values(), self.validation_split, self.test_split)):
            raise ValueError('"split" names a column that divides all rows; give no parts beside it')

    @property
    def where(self) -> str:
        """The data source, for messages."""
        return self.path or self.dataset

    def read_rows(
        self, columns: Mapping[str, str], check: Check, keep: Callable[[Row], bool] = lambda _: True
    ) -> AssignedRows:
        """Read `columns` (name to purpose), filter rows by `keep`, and sort them by id.

        `check` is called with every file's rows, and raises for rows that the task cannot use.
        """
        rows, assigned = self._read(columns, check)
        kept = [i for i, row in enumerate(rows) if keep(row)]
        # Equal rows are numbered in the order of their splits, not of the file.
        kept.sort(key=lambda i: assigned[i])
        ids = ids_of([rows[i] for i in kept], list(columns))
        order = np.argsort(ids, kind="stable")
        return AssignedRows([rows[kept[i]] for i in order], [assigned[kept[i]] for i in order], ids[order])

    def split_rows(
        self,
        found: AssignedRows,
        stratum: Callable[[Row], str],
        rng: np.random.Generator,
        *,
        key: Callable[[Row], Hashable],
    ) -> tuple[AssignedRows, dict[str, Index]]:
        """Apply `limit`, and return the indices of every split, stratified by `stratum`.

        Rows of equal `key` share a split, as far as splits are drawn. Raises `UsageError` for an empty split.
        """
        names = [(part, stratum(row)) for part, row in zip(found.assigned, found.rows, strict=True)]
        if self.limit and self.limit < len(found.ids):
            chosen = stratified_sample(found.ids, names, self.limit, rng)
            found, names = found.take(chosen), [names[i] for i in chosen]
        return found, self._parts(found, names, [key(row) for row in found.rows], rng)

    def _read(self, columns: Mapping[str, str], check: Check) -> tuple[list[Row], list[str]]:
        """All rows, and the split that each is assigned to; "" if to none."""
        wanted = {**columns, self.split: "split"} if self.split else columns
        rows, assigned = list[Row](), list[str]()
        for part, source in self._sources().items():
            found = source.of(wanted)
            check(source, found)
            for row in found:
                assigned.append(row.pop(self.split) if self.split else "" if part == "train" else part)
            rows += found
        wrong = sorted(set(assigned) - {"", *PARTS}) or ([""] if self.split and "" in assigned else [])
        if wrong:
            raise UsageError(
                f'{self.where}: column "{self.split}" says "{wrong[0]}"; allowed: {", ".join(sorted(PARTS))}'
            )
        return rows, assigned

    def _sources(self) -> dict[str, Rows]:
        if self.dataset:
            names = dict(zip(PARTS, (self.train_split, self.validation_split, self.test_split), strict=True))
            return read_dataset(self.dataset, self.subset, {p: n for p, n in names.items() if n})
        paths = dict(zip(PARTS, (self.path, self.validation_path, self.test_path), strict=True))
        return {part: read_file(path) for part, path in paths.items() if path}

    def _parts(
        self,
        found: AssignedRows,
        names: Sequence[tuple[str, str]],
        key: Sequence[Hashable],
        rng: np.random.Generator,
    ) -> dict[str, Index]:
        assigned, ids = np.array(found.assigned), found.ids
        free = np.flatnonzero(assigned == "")
        shares = {"validation": self.validation, "test": self.test}
        shares = {part: share for part, share in shares.items() if not (assigned == part).any()}
        number = {name: i for i, name in enumerate(sorted(set(names)))}
        labels = np.array([number[name] for name in names], dtype=np.int64)
        same = group_numbers(key)[free]
        drawn = stratified(ids[free], labels[free], shares, rng, groups=same) if len(free) else {}
        parts = {
            part: np.sort(np.concatenate([np.flatnonzero(assigned == part), free[drawn.get(part, free[:0])]]))
            for part in PARTS
        }
        for part, index in parts.items():
            if len(index) == 0:
                few = len({stratum for _, stratum in names}) == 1
                why = "there are too few rows" if few else "every class gives its share of rows to it"
                raise UsageError(f"{self.where}: no row is left for {part}; {why}")
        return parts


def group_numbers(keys: Sequence[Hashable]) -> Index:
    """Group numbers `(n,)`, the same for equal keys."""
    number = dict[Hashable, int]()
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)


def stratified_sample(ids: Index, strata: Sequence[Any], count: int, rng: np.random.Generator) -> Index:
    """A stratified sample of `count` indices (largest-remainder allocation), drawn by id, so independent of row order."""
    names = sorted(set(strata))
    members = {name: np.flatnonzero([s == name for s in strata]) for name in names}
    exact = {name: count * len(members[name]) / len(ids) for name in names}
    sizes = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(names, key=lambda name: (sizes[name] - exact[name], name))
    for name in by_remainder[: count - sum(sizes.values())]:
        sizes[name] += 1
    drawn = [
        rng.permutation(members[name][np.argsort(ids[members[name]], kind="stable")])[: sizes[name]]
        for name in names
    ]
    return np.sort(np.concatenate(drawn))


def ids_of(rows: Sequence[Row], columns: Sequence[str]) -> Index:
    """Ids from the rows' content; see `_frames.row_ids`."""
    from pandas import DataFrame  # noqa: PLC0415

    if not rows:
        return np.empty(0, dtype=np.int64)
    return row_ids(
        DataFrame({str(i): [row[name] for row in rows] for i, name in enumerate(columns)}, dtype=object)
    )
