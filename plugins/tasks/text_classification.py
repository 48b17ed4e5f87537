"""Classification of texts or text pairs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, NewRows, Outcome, Predictions, Splits, TaskDraft, Texts
from ...engine.errors import UsageError
from ...engine.foundation.options import FilePath, option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_labels
from ._chunks import chunks
from ._files import PLAIN
from ._frames import WHOLE, class_numbers, classes_of, text_of
from ._table.draft import likely_label
from ._text.data import AssignedRows, TextData, ids_of
from ._text.rows import Row, Rows, columns_of, read_file
from ._text.templates import Template, readable

CHUNK = 1_000
"""New rows that are read at a time."""


@attrs.frozen(kw_only=True)
class TextClassification(TextData):
    """Rows of a file or a Hugging Face data set: predict the `label` column from a text or a pair of texts.

    Example ids derive from texts and label, so the order of the rows does not matter. Rows with equal texts share a split.
    """

    text: tuple[str, ...] | str = option("text", "the column with the text, or a list of two for pairs")
    template: str = option("", "instead of text: a template of columns, such as {title}: {body}", readable)
    label: str = option("label", "the column to predict")
    drop: tuple[str, ...] = option((), "labels whose rows are excluded")
    source: FilePath = option(
        "", "a file with the same columns to which the base model's head is fitted first"
    )

    def __attrs_post_init__(self) -> None:
        """Check `text` and `template`: one or two texts, from columns or from a template."""
        TextData.__attrs_post_init__(self)
        if self.template and self.text != "text":
            raise ValueError('give "text" or "template", not both')
        if self.template and "{" not in self.template:
            raise ValueError('"template" names no column; write it as {column}, or use "text"')
        if not isinstance(self.text, str) and not 1 <= len(self.text) <= 2:
            raise ValueError(f'"text" names one column, or two for pairs, not {len(self.text)}')

    @classmethod
    def draft(cls, path: str, label: str) -> TaskDraft:
        """Options for a file: the text is the column with the longest cells, the label one with few different values."""
        rows = read_file(path)
        sizes = {
            name: sum(len(str(v)) for v in values) / max(1, len(values))
            for name, values in rows.columns.items()
        }
        if len(sizes) < 2:
            raise UsageError(
                f"{path}: needs a column of texts and one of labels; there are: {', '.join(sizes)}"
            )
        if label and label not in sizes:
            raise UsageError(f'{path}: no column "{label}" (label); there are: {", ".join(sizes)}')
        text = max((name for name in sizes if name != label), key=lambda name: sizes[name])
        label, why = (label, "") if label else likely_label([name for name in sizes if name != text])
        values = rows.columns[label]
        return TaskDraft(
            about=f'{len(values):,} texts in "{text}": predict "{label}", {len(set(map(str, values)))} classes',
            options={"path": path, "text": text, "label": label},
            target="classes",
            inputs="texts",
            notes=(why,) if why else (),
        )

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault."""
        columns = {**{name: "text" for t in self._templates for name in t.fields}, self.label: "label"}
        found = self.read_rows(columns, self._check, lambda row: row[self.label] not in self.drop)
        source = self._source(columns) if self.source else []
        found, source = self._unify_labels(found, source)
        classes = self._classes(found.rows, source)
        found, parts = self.split_rows(found, lambda row: row[self.label], rng, key=self._filled)
        whole = self._examples(found.rows, found.ids, classes)
        return Splits.of(
            {part: whole.take(index) for part, index in parts.items()},
            source=self._examples(source, ids_of(source, list(columns)), classes) if source else None,
            classes=classes,
        )

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the predicted class is the label."""
        return judge_labels(examples, predictions)

    def new_rows(self, path: str, splits: Splits) -> Iterator[NewRows]:
        """Rows of another file with the same columns of text, or one text a line of standard input."""
        for first, rows in self._lines() if path == "-" else _chunks(path):
            names = dict.fromkeys((name for t in self._templates for name in t.fields), "text")
            found = rows.of(names, first=first)
            self._check_texts(rows, found, first)
            n = len(found)
            labels = class_numbers(
                ["" if c is None else text_of(c) for c in rows.columns.get(self.label, [None] * n)],
                splits.classes,
            )
            numbers = np.arange(first + 1, first + n + 1, dtype=np.int64)
            texts = Texts(tuple(self._filled(row) for row in found))
            examples = Examples(ids=numbers, inputs=texts, labels=np.maximum(labels, 0))
            yield NewRows(examples=examples, numbers=numbers, columns=rows.columns, known=labels >= 0)

    def _lines(self) -> Iterator[tuple[int, Rows]]:
        """Standard input in chunks, and the number of lines before each."""
        names = {name for template in self._templates for name in template.fields}
        if len(self._templates) > 1 or len(names) > 1:
            shown = ", ".join(f'"{name}"' for name in sorted(names))
            raise UsageError(f"the task reads several columns ({shown}); name a file that has them")
        (name,), first = names, 0
        while lines := [line.rstrip("\r\n") for line in islice(sys.stdin, CHUNK)]:
            yield first, Rows(where="standard input", columns={name: lines})
            first += len(lines)
        if first == 0:
            raise UsageError("standard input: it has no line; give one text a line")

    @property
    def _templates(self) -> tuple[Template, ...]:
        if self.template:
            return (Template.parse(self.template),)
        names = (self.text,) if isinstance(self.text, str) else self.text
        return tuple(Template.column(name) for name in names)

    def _filled(self, row: Row) -> tuple[str, ...]:
        return tuple(template.fill(row) for template in self._templates)

    def _check(self, rows: Rows, found: Sequence[Row]) -> None:
        """Raise `UsageError` for a row without label or text."""
        for number, row in enumerate(found, 1):
            if not row[self.label]:
                raise UsageError(
                    f'{rows.where}: column "{self.label}" is empty in row {number}; every row needs a label'
                )
        self._check_texts(rows, found)

    def _check_texts(self, rows: Rows, found: Sequence[Row], first: int = 0) -> None:
        for number, row in enumerate(found, first + 1):
            for template in self._templates:
                if not template.fill(row).strip():
                    names = ", ".join(f'"{name}"' for name in template.fields)
                    raise UsageError(f"{rows.where}: no text in row {number} (column {names})")

    def _source(self, columns: dict[str, str]) -> list[Row]:
        rows = read_file(self.source)
        found = rows.of(columns)
        self._check(rows, found)
        found = [row for row in found if row[self.label] not in self.drop]
        if not found:
            raise UsageError(f"{self.source}: no row is left")
        ids = ids_of(found, list(columns))
        return [found[i] for i in np.argsort(ids, kind="stable")]

    def _unify_labels(self, found: AssignedRows, source: list[Row]) -> tuple[AssignedRows, list[Row]]:
        """Rename `1.0` to `1` if both are labels: integers may be stored as floats in one file and not in another."""
        labels = {row[self.label] for row in (*found.rows, *source)}
        whole = {name: bare for name in labels if (bare := WHOLE.sub(r"\1", name)) != name and bare in labels}
        if not whole:
            return found, source
        rows, source = (
            [{**row, self.label: whole.get(row[self.label], row[self.label])} for row in some]
            for some in (found.rows, source)
        )
        return attrs.evolve(found, rows=rows), source

    def _classes(self, rows: Sequence[Row], source: Sequence[Row]) -> tuple[str, ...]:
        return classes_of({row[self.label] for row in (*rows, *source)}, self.where, self.label)

    def _examples(self, rows: Sequence[Row], ids: NDArray[np.int64], classes: tuple[str, ...]) -> Examples:
        position = {name: i for i, name in enumerate(classes)}
        texts = Texts(tuple(self._filled(row) for row in rows))
        return Examples(
            ids=ids,
            inputs=texts,
            labels=np.array([position[row[self.label]] for row in rows], dtype=np.int64),
        )


def _chunks(path: str) -> Iterator[tuple[int, Rows]]:
    for frame in chunks(path, PLAIN, CHUNK):
        yield int(frame.index[0]), Rows(where=path, columns=columns_of(frame))


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `text-classification`."""
    register("text-classification", TextClassification)
