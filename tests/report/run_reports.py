"""Finished runs of three kinds, made once a session, and the content of their reports."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import attrs

from ..support.commands import boostlora

PRICES = """
extends = "quickstart"
name = "prices"
description = "rents of <b>flats</b>"
rounds = 2
boosting.refit_every = 0
adapter.rank = 1
model.epochs = 2
objective.use = "mse"
task.use = "table"
task.path = "rows.csv"
task.label = "price"
"""
SUMS = """
name = "sums"
rounds = 2

[task]
use = "arithmetic"
train = 24
validation = 8
test = 8
source = 60
max_new_tokens = 3

[model]
use = "scratch-causal-lm"
layers = 1
hidden = 16
heads = 2
intermediate = 32
max_length = 64
pretrain_steps = 10

[adapter]
rank = 2
u = 4

[objective]
use = "grpo"
temperature = 1.5

[sampler]
use = "all"

[optimizer]
steps = 2
batch_size = 8

[backend]
use = "torch"
threads = 1
"""


def make_tables(folder: Path) -> None:
    """A classification and a regression of two rounds."""
    rows = "".join(f"{i % 7},{'ab'[i % 2]},{i * 5 % 11 + i / 10}\n" for i in range(90))
    (folder / "rows.csv").write_text("size,kind,price\n" + rows)
    (folder / "prices.toml").write_text(PRICES)
    for spec in ("prices.toml", "quickstart"):
        made(folder, "run", spec, "--set", "rounds=2")


def make_sums(folder: Path) -> None:
    """A run of two rounds that learns from rewards."""
    (folder / "sums.toml").write_text(SUMS)
    made(folder, "run", "sums.toml")


def made(folder: Path, *words: str) -> str:
    """What a command prints that must succeed."""
    done = boostlora(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@attrs.frozen
class Page:
    """A page's text without tags, and its data."""

    text: str
    data: dict[str, Any]
    markup: str

    @classmethod
    def read(cls, path: Path) -> Page:
        markup = path.read_text(encoding="utf-8")
        (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', markup, re.DOTALL)
        body = re.sub(r"<(script|style).*?</\1>", "", markup, flags=re.DOTALL)
        text = html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\N{NO-BREAK SPACE}", " ")
        return cls(" ".join(text.split()), json.loads(data), markup)

    @property
    def charts(self) -> dict[str, dict[str, list[float | None]]]:
        return {c["title"]: {s["label"]: s["mean"] for s in c["series"]} for c in self.data["charts"]}
