"""Draws `pictures/architecture.svg`: how a spec becomes a model, and which floor of the engine stands on which.

    python docs/architecture.py

The floors are those of the layers contract in `pyproject.toml`. Texts stand in boxes with a colour of their own, so that the picture is
readable on a light and on a dark page.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
WIDTH = 1000

STEPS = (
    ("spec.toml", "what you write", "file"),
    ("spec", "typed, or every fault", "engine"),
    ("boosting", "a plan, then rounds", "engine"),
    ("runs", "a folder of rounds", "engine"),
    ("ensemble", "any choice of rounds", "engine"),
    ("export", "files for others", "engine"),
)
ROUND = (
    ("evaluate", "task"),
    ("select", "sampler"),
    ("frame", "basis"),
    ("train", "adapter · objective · optimizer"),
    ("merge", "merge policy"),
)
FLOORS = {
    "api": "specs, runs and exports from Python",
    "cli": "the command line, one file a command",
    "testing": "suites that plugin authors inherit",
    "advisor | verification | report | export | scaffold": "what to try, is it right, tables, files, first specs",
    "analysis": "arms and runs compared",
    "study | ensemble": "cells of a study; selections of rounds",
    "boosting": "plan, loop, calibration, merging",
    "runs": "the run folder: lookup, resume, rollback",
    "spec": "TOML becomes a typed spec, or every fault",
    "registry | records": "plugins found; what a run writes",
    "sdk": "judging, splits, ranks, directions",
    "statistics": "tests and intervals",
    "hookspecs": "the hooks",
    "contracts": "protocols and small arrays",
    "foundation": "files, locks, caches, random streams",
    "errors": "what users are told",
}
COLOURS = {
    "file": "#e8e3d3",
    "engine": "#cfd8f7",
    "plugin": "#cdeacb",
    "open": "#cdeacb",
    "backend": "#f7dcc4",
}
INK, LINE = "#1c2333", "#7d8598"
STYLE = (
    f".name {{ font-size: 15px; font-weight: 600; fill: {INK} }} "
    f".text {{ font-size: 13px; fill: {INK} }} "
    f".label {{ font-size: 14px; fill: {LINE} }}"
)


def layers() -> list[str]:
    """The floors of the engine, the highest first, siblings joined by a bar."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return next(contract["layers"] for contract in contracts if contract["type"] == "layers")


def open_floors() -> set[str]:
    """Floors that plugins and backends may import: those that no contract forbids them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    kept = next(
        c for c in contracts if c["type"] == "forbidden" and "boostlora.plugins" in c["source_modules"]
    )
    closed = {name.removeprefix("boostlora.engine.") for name in kept["forbidden_modules"]}
    return {name for layer in layers() for name in layer.split(" | ")} - closed


def box(x: float, y: float, width: float, height: float, colour: str, *lines: str) -> Iterator[str]:
    """A box with one or two centred lines, the first one bold."""
    yield f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{COLOURS[colour]}" stroke="{LINE}"/>'
    middle = y + height / 2 + 5 - 9 * (len(lines) - 1)
    for number, line in enumerate(lines):
        kind = "name" if number == 0 else "text"
        yield f'<text class="{kind}" x="{x + width / 2:g}" y="{middle + 18 * number:g}" text-anchor="middle">{escape(line)}</text>'


def arrow(*points: tuple[float, float]) -> str:
    """A line with a head at its end."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="2" marker-end="url(#head)"/>'


def label(x: float, y: float, text: str, anchor: str = "start") -> str:
    """A text between boxes."""
    return f'<text class="label" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def flow(y: float) -> Iterator[str]:
    """From the file to the exported model."""
    width, gap = 146, 24
    for number, (name, text, colour) in enumerate(STEPS):
        x = 2 + number * (width + gap)
        yield from box(x, y, width, 54, colour, name, text)
        if number:
            yield arrow((x - gap, y + 27), (x - 4, y + 27))


def one_round(y: float) -> Iterator[str]:
    """The steps of a round, with the plugins that decide them."""
    widths, gap, x = (130, 130, 130, 296, 140), 24, 39.0
    left, right = x, x + sum(widths) + gap * (len(widths) - 1)
    yield f'<polyline points="342,74 {left:g},{y - 26:g}" stroke="{LINE}" stroke-dasharray="4 4"/>'
    yield f'<polyline points="488,74 {right:g},{y - 26:g}" stroke="{LINE}" stroke-dasharray="4 4"/>'
    yield f'<rect x="{left - 22:g}" y="{y - 26:g}" width="{right - left + 44:g}" height="172" rx="8" fill="none" stroke="{LINE}" stroke-dasharray="4 4"/>'
    yield label(left - 8, y - 9, "one round")
    first = x + widths[0] / 2
    for number, ((step, kind), width) in enumerate(zip(ROUND, widths, strict=True)):
        yield from box(x, y, width, 34, "engine", step)
        yield from box(x, y + 38, width, 28, "plugin", kind)
        if number:
            yield arrow((x - gap, y + 17), (x - 4, y + 17))
        last = x + width / 2
        x += width + gap
    yield from box(
        left, y + 74, right - left, 28, "backend", "backend: predictions, frames, gradients, merged weights"
    )
    yield arrow((last, y + 102), (last, y + 122), (first, y + 122), (first, y + 106))
    yield label((first + last) / 2, y + 139, "the next round", "middle")


def floors(y: float) -> Iterator[str]:
    """The floors, one on another, and what stands outside."""
    opened, height, width = open_floors(), 30, 640
    yield label(
        2,
        y - 10,
        "A floor imports only what stands below it; the names on one floor do not import each other.",
    )
    at = dict[str, float]()
    for number, layer in enumerate(layers()):
        top = y + number * (height + 4)
        at |= dict.fromkeys(layer.split(" | "), top)
        colour = "open" if set(layer.split(" | ")) <= opened else "engine"
        yield f'<rect x="2" y="{top:g}" width="{width}" height="{height}" rx="5" fill="{COLOURS[colour]}" stroke="{LINE}"/>'
        yield f'<text class="name" x="14" y="{top + 20:g}">{escape(layer.replace(" | ", " · "))}</text>'
        yield f'<text class="text" x="{width - 10}" y="{top + 20:g}" text-anchor="end">{escape(FLOORS[layer])}</text>'
    bottom = y + len(layers()) * (height + 4)
    middle = at["sdk"] + 3 * (height + 4) - 2
    for place, colour, name, text in (
        (y + 40, "plugin", "plugins", "one plugin, one file"),
        (y + 150, "backend", "backends", "reference · torch"),
    ):
        yield from box(780, place, 200, 60, colour, name, text)
    yield arrow((780, y + 70), (740, y + 70), (740, middle - 8), (width + 8, middle - 8))
    yield arrow((880, y + 210), (880, middle + 8), (width + 8, middle + 8))
    yield label(870, middle + 32, "both import the", "middle")
    yield label(870, middle + 52, "green floors only", "middle")
    yield f"<!-- ends at {bottom:g} -->"


def svg() -> str:
    """The whole picture."""
    height = 362 + len(layers()) * 34 + 4
    parts = [*flow(20), *one_round(150), *floors(358)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif">',
            "<title>How a spec becomes a model, and the floors of the engine</title>",
            f"<style>{STYLE}</style>",
            f'<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker>',
            *parts,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
