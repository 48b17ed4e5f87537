"""Rows of a text, or a pair of texts, and a label to predict: options, checks and new rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice

import attrs
import numpy as np

from ....engine.contracts import TaskDraft, Texts
from ....engine.errors import UsageError
from ....engine.foundation.counts import count_text
from ....engine.foundation.options import FilePath, option
from .._chunks import chunks
from .._files import PLAIN
from .._table.draft import likely_label
from .._table.target import is_value
from .data import TextData, ids_of
from .rows import Row, Rows, columns_of, read_file
from .templates import Template, readable

CHUNK = 1_000
"""New rows that are read at a time."""
SOURCE = "a file with the same columns to which the base model's head is fitted first"
VALUES = 'the label is taken for a value; for classes set task.use = "text-classification" and objective.use = "cross-entropy"'
"""What `init` says of a label with many different numbers."""


@attrs.frozen(kw_only=True)
class LabelledTexts(TextData):
    """Rows with a `label` column, to be predicted from the texts that `text` or `template` name."""

    text: tuple[str, ...] | str = option("text", "the column with the text, or a list of two for pairs")
    template: str = option("", "instead of text: a template of columns, such as {title}: {body}", readable)
    label: str = option("label", "the column to predict")
    source: FilePath = option("", SOURCE)

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
        """Options for a file: the text is the column with the longest cells, the label one with a usual name, or the last."""
        from pandas import Series  # noqa: PLC0415 - half a second to import

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
        continuous = is_value(Series([None if v == "" else v for v in values], dtype=object))
        classes = len(set(map(str, values)))
        what = (
            f'the values of "{label}"'
            if continuous
            else f'"{label}", {count_text(classes, "class", "classes")}'
        )
        return TaskDraft(
            about=f'{count_text(len(values), "text")} in "{text}": predict {what}',
            options={"path": path, "text": text, "label": label},
            target="values" if continuous else "classes",
            inputs="texts",
            notes=tuple(note for note in (why, VALUES * continuous) if note),
        )

    @property
    def columns(self) -> dict[str, str]:
        """Columns that are read, and what for."""
        return {**self.text_columns, self.label: "label"}

    @property
    def text_columns(self) -> dict[str, str]:
        """Columns of the texts, and what for."""
        return dict.fromkeys((name for t in self._templates for name in t.fields), "text")

    def texts(self, rows: Sequence[Row]) -> Texts:
        """The texts of every row."""
        return Texts(tuple(self.filled(row) for row in rows))

    def filled(self, row: Row) -> tuple[str, ...]:
        """A row's text, or its pair of texts."""
        return tuple(template.fill(row) for template in self._templates)

    def check_rows(self, rows: Rows, found: Sequence[Row]) -> None:
        """Raise `UsageError` for a row without label or text."""
        for number, row in enumerate(found, 1):
            if not row[self.label]:
                raise UsageError(
                    f'{rows.where}: column "{self.label}" is empty in row {number}; every row needs a label'
                )
        self._check_texts(rows, found)

    def source_rows(self) -> list[Row]:
        """The rows of `source`, sorted by id; none without a source."""
        if not self.source:
            return []
        rows = read_file(self.source)
        found = rows.of(self.columns)
        self.check_rows(rows, found)
        return [found[i] for i in np.argsort(ids_of(found, list(self.columns)), kind="stable")]

    def chunks_of(self, path: str) -> Iterator[tuple[int, Rows, Texts]]:
        """Rows of a file in chunks, or one text a line of standard input: rows before the chunk, their columns, and texts.

        Raises `UsageError` naming file, column and row at fault.
        """
        for first, rows in self._lines() if path == "-" else _chunks(path):
            found = rows.of(self.text_columns, first=first)
            self._check_texts(rows, found, first)
            yield first, rows, self.texts(found)

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

    def _check_texts(self, rows: Rows, found: Sequence[Row], first: int = 0) -> None:
        for number, row in enumerate(found, first + 1):
            for template in self._templates:
                if not template.fill(row).strip():
                    names = ", ".join(f'"{name}"' for name in template.fields)
                    raise UsageError(f"{rows.where}: no text in row {number} (column {names})")


def _chunks(path: str) -> Iterator[tuple[int, Rows]]:
    for frame in chunks(path, PLAIN, CHUNK):
        yield int(frame.index[0]), Rows(where=path, columns=columns_of(frame))
