"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..analysis.model import Analysis
from ..foundation.markup import code, escaped, fenced
from . import narrative
from .tables import COST_NOTE, LEGEND, MARKS, ReportTable, TableCell, cost_table, main_table, tuning_table


def markdown(analysis: Analysis, figures: Sequence[str] = ()) -> str:
    """The whole report; `figures` are names of image files in the same folder."""
    found = narrative.answer(analysis)
    study, costs, tuning = analysis.study, cost_table(analysis), tuning_table(analysis)
    parts = [
        f"# {escaped(study.name)}",
        escaped(study.description),
        escaped(found.lead),
        listed(f"**{escaped(arm)}**: {escaped(sentence)}" for arm, sentence in found.sentences),
        "## Results",
        table_text(main_table(analysis)),
        f"{LEGEND}." if any(row.comparison for row in analysis.rows) else "",
        "\n".join(f"![{alt}]({name})" for name, alt in _shown(figures)),
        listed(escaped(note) for note in found.notes),
        *(("## Cost", escaped(COST_NOTE), table_text(costs)) if costs else ()),
        *(("## Tuning", escaped(narrative.tuning(analysis)), table_text(tuning)) if tuning else ()),
        "## How this was computed",
        escaped(" ".join(narrative.methods(analysis))),
        listed(f"**{escaped(arm)}**: {code(values)}" for arm, values in narrative.arms(analysis) if values),
        "To reproduce it, in the folder of the spec:",
        fenced(narrative.reproduce(analysis), "bash"),
        listed(f"{escaped(name)}: {code(text)}" for name, text in narrative.origin(analysis)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def listed(lines: Iterable[str]) -> str:
    """Lines as a list."""
    return "\n".join(f"- {line}" for line in lines)


def _shown(figures: Sequence[str]) -> list[tuple[str, str]]:
    """One image of each kind, in a format that browsers show."""
    shown = dict[str, tuple[str, str]]()
    for name in figures:
        stem, _, suffix = name.rpartition(".")
        if suffix in {"svg", "png"}:
            alt = (
                "Differences with their intervals"
                if stem == "differences"
                else "Round by round, with intervals"
            )
            shown.setdefault(stem, (name, alt))
    return list(shown.values())


def table_text(table: ReportTable) -> str:
    """A table of a report."""
    lines = [
        [escaped(column.title) for column in table.columns],
        ["--:" if column.numeric else ":--" for column in table.columns],
        *([_cell(cell) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: TableCell) -> str:
    mark = f"{MARKS[cell.mark]} " if cell.mark else ""
    return f"{mark}{escaped(cell.text)}" + (f" {escaped(cell.aside)}" if cell.detail else "")
