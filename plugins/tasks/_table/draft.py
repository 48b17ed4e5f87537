"""A first `[task]` table for a file: its label, dialect and columns."""

from __future__ import annotations

from typing import Any

from ....engine.contracts import TaskDraft
from ....engine.errors import UsageError
from ....engine.foundation.counts import count_text
from .._dialect import Dialect
from .._frames import read, texts
from .columns import column_uses
from .dates import PARTS
from .steps import MAX_CATEGORIES, TEXT_INPUTS
from .target import is_value

LABELS = ("label", "target", "class", "y", "outcome", "labels", "targets")
"""Names that a column to predict often has."""
ENCODINGS = ("utf-8", "cp1252", "latin-1")
MOST_NOTES = 20


def draft_of(path: str, label: str) -> TaskDraft:
    """The draft for a table. Raises `UsageError` for a file that cannot be read, or a label that it lacks."""
    encoding, rows = _readable(path, label)
    names = [str(name) for name in rows.columns]
    if label and label not in names:
        raise UsageError(f'{path}: no column "{label}" (label); there are: {", ".join(names)}')
    label, why = (label, "") if label else likely_label(names)
    uses = column_uses(rows.drop(columns=label), {}, path)
    values = is_value(rows[label])
    notes = [why] if why else []
    empty = int(rows[label].isna().sum())
    if empty:
        notes.append(
            f'{count_text(empty, "row has", "rows have")} no "{label}": remove them first, every row needs one'
        )
    notes += [f"{use.name}: {_said(use.kind, use.reason)}" for use in uses if use.kind != "number"][
        :MOST_NOTES
    ]
    kept = sum(use.kind != "drop" for use in uses)
    classes = len(set(texts(rows[label].dropna())))
    what = f'the values of "{label}"' if values else f'"{label}", {count_text(classes, "class", "classes")}'
    options: dict[str, Any] = {"path": path, "label": label}
    if encoding != "utf-8":
        options["encoding"] = encoding
    return TaskDraft(
        about=f"{count_text(len(rows), 'row')}: predict {what}, from {count_text(kept, 'column')}",
        options=options,
        target="values" if values else "classes",
        inputs="numbers",
        width=sum(_width(use.kind, rows[use.name]) for use in uses),
        notes=tuple(notes),
    )


def likely_label(names: list[str]) -> tuple[str, str]:
    """The column that is likely to be predicted, and the reason: one with a usual name, else the last."""
    found = next((name for usual in LABELS for name in names if name.strip().lower() == usual), "")
    if found:
        return found, f'the label is taken to be "{found}"; name another with --label'
    return names[-1], f'the label is taken to be the last column, "{names[-1]}"; name another with --label'


def _readable(path: str, label: str) -> tuple[str, Any]:
    """The first encoding in which the file can be read, and its rows."""
    for encoding in ENCODINGS[:-1]:
        try:
            return encoding, read(path, (label,), Dialect(encoding=encoding))
        except UsageError as error:
            if "Set task.encoding" not in str(error):
                raise
    return ENCODINGS[-1], read(path, (label,), Dialect(encoding=ENCODINGS[-1]))


def _width(kind: str, column: Any) -> int:
    match kind:
        case "category":
            return min(MAX_CATEGORIES, int(column.nunique()))
        case "date":
            return len(PARTS)
        case "text":
            return TEXT_INPUTS
        case _:
            return int(kind != "drop")


def _said(kind: str, reason: str) -> str:
    name = {"drop": "left out"}.get(kind, kind)
    return f"{name}, {reason}" if reason else name
