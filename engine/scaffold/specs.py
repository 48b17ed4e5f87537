"""Specs for a data file and for a study, as commented TOML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import jinja2
import tomli_w

from ..contracts import TaskDraft

RANK = 4


@attrs.frozen(kw_only=True)
class Recipe:
    """Settings to start from; `benchmarks/first_contact.py` measures them, untouched, on real data."""

    model: Mapping[str, Any]
    objective: str
    backend: str
    rounds: int = 8
    rank: int = RANK
    """At most the number of inputs."""
    sampler: str = "all"
    lr: float = 0.01
    steps: int = 40
    batch_size: int = 64


def recipe_for(draft: TaskDraft, model: str) -> Recipe:
    """The recipe for a kind of data: a perceptron for tables, else the model in a folder."""
    objective = "mse" if draft.target == "values" else "cross-entropy"
    if draft.inputs == "numbers":
        # A short pretraining: a base that has learnt its rows by heart leaves the rounds nothing to learn.
        net = {"use": "mlp", "hidden": [128, 128], "epochs": 5}
        rank = min(RANK, draft.width or 1)
        return Recipe(model=net, objective=objective, backend="reference", rank=rank)
    return Recipe(
        model={"use": "hf-classifier", "path": model},
        objective=objective,
        backend="torch",
        batch_size=16,
        lr=0.003,
    )


def data_spec(draft: TaskDraft, *, task: str, name: str, file: str, model: str = "") -> str:
    """The spec for a drafted `[task]` table."""
    return _render(
        "data.toml.jinja",
        about=draft.about,
        file=file,
        name=name,
        task=task,
        options=draft.options,
        notes=draft.notes,
        recipe=recipe_for(draft, model),
    )


def study_spec(source: str, *, name: str, file: str, lr: float, basis: str) -> str:
    """A study of a spec: two bases, each at its own best of five learning rates around the spec's."""
    rates = [_rounded(lr * factor) for factor in (0.1, 0.3, 1.0, 3.0, 10.0)]
    return _render(
        "study.toml.jinja",
        source=source,
        name=f"{name}-study",
        description=f"bases and learning rates of {name}",
        file=file,
        rates=rates,
        baseline=basis if basis in {"rotate", "gradient"} else "rotate",
    )


def _rounded(rate: float) -> float:
    """A rate with two digits."""
    return round(rate, 1 - math.floor(math.log10(rate)))


def as_toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    return tomli_w.dumps({"x": str(value) if isinstance(value, Path) else value})[len("x = ") :].strip()


@cache
def environment() -> jinja2.Environment:
    """The environment of the templates."""
    folder = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    # The texts are TOML and Python, in which HTML's escapes would be wrong; values pass the filter that quotes them.
    found = jinja2.Environment(loader=folder, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)  # noqa: S701
    found.filters["toml"] = as_toml
    return found


def _render(template: str, **values: Any) -> str:
    """The text, with the comments behind values in one column."""
    text = environment().get_template(template).render(**values)
    return "\n".join(_aligned(line) for line in text.split("\n"))


def _aligned(line: str) -> str:
    value, mark, comment = line.partition("  # ")
    return f"{value.rstrip():34}# {comment.strip()}" if mark and value.strip() else line
