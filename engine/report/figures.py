"""Figures with matplotlib: curves with bands, and differences with their intervals. Their bytes are reproducible."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ..analysis.formats import is_share
from ..analysis.model import Analysis, Curve, Row
from ..errors import UsageError
from .quantities import in_sentence, title_with_unit
from .tables import difference_title, metric_name

OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that colour-blind people can distinguish: Okabe and Ito (2008), Color Universal Design."""
NEUTRAL = "#4d4d4d"
MARKERS, DASHES = "os^Dv*P", ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (9, 3)))

STYLE: Any = {  # matplotlib's own type names every key that it knows
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # shipped with matplotlib, so that figures are the same everywhere
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#8a8d93",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e2dc",
    "grid.linewidth": 0.7,
    "xtick.color": "#5d6066",
    "ytick.color": "#5d6066",
    "legend.frameon": False,
    "text.parse_math": False,  # print dollar signs in labels literally
    "text.usetex": False,
    "pdf.fonttype": 42,  # embed fonts
    "svg.fonttype": "path",  # letters as outlines: no font is needed
    "svg.hashsalt": "boostlora",
}
METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}
MAX_LABEL = 40
"""Maximum length of a label, in characters."""


def figures(analysis: Analysis, suffix: str) -> dict[str, bytes]:
    """Make `curves`, and `differences` if arms are compared, as `png`, `svg` or `pdf`.

    Raises `UsageError` if matplotlib is missing.
    """
    with _style():
        made = {"curves": _encode(_curves(analysis), suffix)}
        if compared := [row for row in analysis.rows if row.comparison]:
            made["differences"] = _encode(_differences(analysis, compared), suffix)
    return made


@contextmanager
def _style() -> Generator[None]:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "figures need matplotlib: pip install 'boostlora[figures]', or choose html, md, tex or csv"
        ) from error
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def _encode(figure: Any, suffix: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=200, bbox_inches="tight", metadata=METADATA[suffix])
    return buffer.getvalue()


def _figure(width: float, height: float) -> Any:
    """A figure outside pyplot, so that matplotlib keeps no global state."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    return Figure(figsize=(width, height), layout="constrained")


def _shorten(label: str, longest: int = MAX_LABEL) -> str:
    text = " ".join(label.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _arm_style(analysis: Analysis, arm: str) -> dict[str, Any]:
    """Colour, marker and dash of an arm; the baseline is neutral."""
    if arm == analysis.study.baseline:
        return {"color": NEUTRAL, "marker": "o", "linestyle": "-"}
    i = [a.label for a in analysis.study.arms].index(arm)
    return {
        "color": OKABE_ITO[i % len(OKABE_ITO)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": DASHES[i % len(DASHES)],
    }


def _curves(analysis: Analysis) -> Any:
    """The study's metric after every round, one panel per block."""
    name = metric_name(analysis.study)
    curves = [curve for curve in analysis.curves if curve.quantity == name]
    blocks = list(dict.fromkeys(curve.block for curve in curves)) or [""]
    across = min(3, len(blocks))
    down = math.ceil(len(blocks) / across)
    labels = {arm: _shorten(arm) for arm in dict.fromkeys(curve.arm for curve in curves)}
    width, height = (5.2, 3.2) if across == 1 else (2.9 * across, 2.4 * down)
    room = int(12 * width / (max(map(len, labels.values()), default=0) + 6))  # about 12 letters an inch
    columns = max(1, min(4, room, len(labels)))
    figure = _figure(width, height + 0.2 * math.ceil(len(labels) / columns))
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flatten()
    factor = 100 if is_share(name) else 1
    shown = dict[str, Any]()
    for i, (block, panel) in enumerate(zip(blocks, panels, strict=False)):
        for curve in (c for c in curves if c.block == block):
            shown.setdefault(curve.arm, _curve(panel, analysis, curve, factor))
        panel.set_title(_shorten(block, 30))
        panel.xaxis.get_major_locator().set_params(integer=True)
        if i + across >= len(blocks):  # the lowest panel of its column
            panel.tick_params(labelbottom=True)
            panel.set_xlabel("Round")
        if i % across == 0:
            panel.set_ylabel(title_with_unit(name).replace("\N{NO-BREAK SPACE}", " "))
    for panel in panels[len(blocks) :]:
        panel.set_visible(False)
    if not curves:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "No cell has finished yet.", ha="center", transform=panels[0].transAxes)
        return figure
    figure.legend(shown.values(), map(labels.__getitem__, shown), loc="outside lower left", ncols=columns)
    return figure


def _curve(panel: Any, analysis: Analysis, curve: Curve, factor: float) -> Any:
    style = _arm_style(analysis, curve.arm)
    x = curve.x["round"]
    banded = [
        (at, low, high)
        for at, low, high in zip(x, curve.low, curve.high, strict=True)
        if low is not None and high is not None
    ]
    if banded:
        at, low, high = zip(*banded, strict=True)
        panel.fill_between(
            at,
            [factor * v for v in low],
            [factor * v for v in high],
            color=style["color"],
            alpha=0.15,
            linewidth=0,
        )
    (line,) = panel.plot(
        x,
        [factor * v for v in curve.mean],
        markersize=3.5,
        linewidth=1.4,
        markevery=max(1, len(x) // 16),
        **style,
    )
    return line


def _differences(analysis: Analysis, rows: list[Row]) -> Any:
    """A forest plot: a line per arm, grouped by block."""
    study = analysis.study
    factor = 100 if is_share(study.metric) else 1
    several = len({row.block for row in rows}) > 1
    lines = list[tuple[str, Row | None]]()
    for i, row in enumerate(rows):
        if several and (i == 0 or rows[i - 1].block != row.block):
            lines.append((_shorten(row.block), None))
        lines.append((_shorten(row.arm), row))
    figure = _figure(4.2 + 0.065 * max(len(label) for label, _ in lines), 0.9 + 0.24 * len(lines))
    panel = figure.subplots()
    for y, (_, row) in enumerate(lines):
        if row is not None:
            _difference(panel, analysis, row, y, factor)
    panel.axvline(0, color="#8a8d93", linewidth=1.1, zorder=1.5)
    panel.set_yticks(range(len(lines)), [label for label, _ in lines])
    for tick, (_, row) in zip(panel.get_yticklabels(), lines, strict=True):
        tick.set_color("#1b1c1e")
        tick.set_fontweight("bold" if row is None else "normal")
    panel.set_ylim(len(lines) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.spines["left"].set_visible(False)
    name = metric_name(study)
    title = f"Difference in {in_sentence(name)} from {_shorten(study.baseline or '')}"
    panel.set_xlabel(difference_title(title, name))
    return figure


def _difference(panel: Any, analysis: Analysis, row: Row, y: int, factor: float) -> None:
    if row.comparison is None:
        return
    found, style = row.comparison.difference, _arm_style(analysis, row.arm)
    panel.plot(
        [factor * v for v in found.values],
        [y] * len(found.values),
        "o",
        color=style["color"],
        alpha=0.3,
        markersize=3,
        markeredgewidth=0,
    )
    if found.low is not None and found.high is not None:
        panel.plot(
            [factor * found.low, factor * found.high],
            [y, y],
            color=style["color"],
            linewidth=1.8,
            solid_capstyle="round",
        )
    panel.plot(
        [factor * found.mean],
        [y],
        color=style["color"],
        marker=style["marker"],
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.7,
    )
