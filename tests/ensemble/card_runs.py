"""Runs whose exports get cards, and ways to read a card."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

from boostlora.engine.ensemble.choice import Rounds
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.export.card.card import write_card
from boostlora.engine.foundation.run_context import RunContext

from ..support.export_runs import ADAPTER, CAUSAL, MLP, REFERENCE, TORCH, boosted, words

USAGE = "print('loaded')\n"
ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)


def mlp_run_of(folder: Path, cache: Path, *, rounds: int = 3, head: str = "", data: str = "rows.csv") -> Path:
    """A perceptron on a small table that it can learn in part; `head` is put above the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    # Rows come again, all but, with other labels: never all right.
    labels = [(i % 11) % 3 if i % 5 else i % 3 for i in range(90)]
    lines = [
        ",".join([*(f"{(i * k) % 11 / 5 + i * 1e-6:f}" for k in range(1, 9)), str(labels[i])])
        for i in range(90)
    ]
    (folder / data).write_text("a,b,c,d,e,f,g,h,label\n" + "\n".join(lines) + "\n")
    text = MLP.replace("rounds = 3", f"rounds = {rounds}\n{head}").replace('"rows.csv"', f"'{data}'")
    return boosted(folder, text + ADAPTER.format(lr=0.1) + '[basis]\nexhausted = "wrap"\n' + REFERENCE, cache)


def causal_run_of(folder: Path, cache: Path, *, head: str = "", family: str = "llama") -> Path:
    """A tiny language model of random weights, from a folder that is a user's."""
    from ..support.hf_toys import causal

    folder.mkdir(parents=True, exist_ok=True)
    words(folder)
    causal(folder / "model", family)
    text = CAUSAL.format(model='use = "hf-causal-lm"\npath = "model"\n')
    text = text.replace("rounds = 3", f"rounds = 3\n{head}")
    return boosted(folder, text + ADAPTER.format(lr=0.3) + TORCH.format(dtype="float32"), cache)


def opened(run: Path, cache: Path) -> Ensemble:
    """A run's ensemble, with the session's cache."""
    return Ensemble.open(run, context=RunContext(cache=cache))


def card_of(ensemble: Ensemble, folder: Path, rounds: Rounds = None, usage: str = USAGE) -> str:
    """The text of the card of an export into `folder`, whatever is there already."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "README.md"
    chosen = ensemble.choose(rounds)
    write_card(ensemble, chosen, file, to="safetensors", place="place", usage=usage, compared=None)
    return file.read_text(encoding="utf-8")


def front_of(card: str) -> dict[str, Any]:
    """The front matter, by a YAML parser."""
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert found, card[:200]
    return yaml.safe_load(found[1])


def html_of(card: str) -> str:
    """The card's body as a browser would get it, HTML in it let through."""
    body = card.split("\n---\n", 1)[1]
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(body)


def rows_of(card: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, titles and rule left out."""
    part = card.split(f"\n## {heading}\n", 1)[1].lstrip("\n")
    table = part[part.index("|") :].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.split(" | ")] for line in ROW.findall(table)][2:]
