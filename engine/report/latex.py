"""The main table as LaTeX, with the packages booktabs, and graphicx to shrink wide tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ..analysis.model import Analysis
from . import narrative
from .quantities import MINUS, MISSING, quantity
from .tables import TableCell, main_table, metric_name

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    MINUS: "$-$",
    MISSING: "--",
    "—": "---",
    "“": "``",
    "”": "''",
    "·": r"\textperiodcentered{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "±": r"$\pm$",
    "°": r"$^\circ$",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "…": r"\dots{}",
    "\N{NO-BREAK SPACE}": "~",
}
GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "phi",
    "chi",
    "psi",
    "omega",
]
SPECIAL |= {
    unicodedata.lookup(f"GREEK SMALL LETTER {'LAMDA' if n == 'lambda' else n.upper()}"): f"$\\{n}$"
    for n in GREEK
}
SPECIAL["µ"] = r"$\mu$"


def escaped(text: str) -> str:
    """Escape a text for LaTeX, on one line, without control characters."""
    line = " ".join(text.split())
    return "".join(SPECIAL.get(c, c) for c in line if unicodedata.category(c) not in {"Cc", "Cf", "Cs"})


def latex(analysis: Analysis) -> str:
    r"""A `table` environment with caption, label and notes: `\input{table}` after `\usepackage{booktabs,graphicx}`."""
    table = main_table(analysis)
    body = list[str]()
    for i, (row, cells) in enumerate(zip(analysis.rows, table.rows, strict=True)):
        if i and row.block != analysis.rows[i - 1].block:
            body.append(r"\midrule")
        body.append(_row(cells))
    kinds = "".join("r" if column.numeric else "l" for column in table.columns)
    head = " & ".join(escaped(column.title) for column in table.columns) + r" \\"
    lines = [
        "% Made by BoostLoRA. Needs: \\usepackage{booktabs,graphicx} and, for pdfLaTeX, \\usepackage[T1]{fontenc},",
        "% \\usepackage{textcomp}. Letters beyond Latin and Greek need LuaLaTeX or XeLaTeX with a font that has them.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(analysis)}}}",
        rf"\label{{tab:{_label(analysis.study.name)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\medskip",
        r"\begin{minipage}{\linewidth}\footnotesize",
        *(
            _sentence(sentence)
            for sentence in (*narrative.methods(analysis), *narrative.answer(analysis).notes)
        ),
        r"\end{minipage}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[TableCell]) -> str:
    r"""A line of the table. After `\\`, LaTeX would parse a label that begins with `[` or `*` as its option; `{}` prevents that."""
    line = " & ".join(map(_cell, cells))
    return ("{}" if line.startswith(("[", "*")) else "") + line + r" \\"


def _cell(cell: TableCell) -> str:
    return escaped(cell.text) + (rf" {{\footnotesize {escaped(cell.aside)}}}" if cell.detail else "")


def _sentence(note: str) -> str:
    return escaped(note) + ("" if note.endswith((".", "?", "!")) else ".")


def _caption(analysis: Analysis) -> str:
    study = analysis.study
    title = quantity(metric_name(study)).title
    about = f"{study.name}: {study.description}" if study.description else study.name
    ending = "" if about.endswith((".", "?", "!")) else "."
    return escaped(
        f"{about}{ending} {title}, mean over seeds with its {100 * study.confidence:g} % interval."
    )


def _label(name: str) -> str:
    """A label of letters, digits and hyphens, which is safe with every package."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
