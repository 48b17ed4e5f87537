"""What a look has found, as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from ..advisor.advice import Advice
from ..advisor.findings import BasisFinding, Findings
from ..advisor.formats import percent
from ..advisor.rules import cautions, choose_basis, recommend
from ..advisor.studies import YARDSTICKS
from ..advisor.thresholds import DEFAULT
from .advised_lines import Row, laid_out, share, wrapped
from .advised_next import Next, lines_for_spec
from .console import Console

MOST_SITES = 8
"""Sites that are listed; all are in `--json`."""


def print_advice(found: Findings, then: Next) -> None:
    """Print it: what was looked at, bases, ranks, sites, what to do, and what to type."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    advice = recommend(found)
    for line in (*head(found), "", *bases(found), "", *ranks(found), "", *sites(found), ""):
        console.print(line, markup=False)
    console.print("advice", style="bold")
    for line in advised(advice):
        console.print(line, markup=False)
    for word, told in (("caution", cautions(found)), ("note", found.notes)):
        for text in told:
            for line in wrapped(f"{word}: {text}", ""):
                console.print(line, style="yellow", markup=False)
    console.print()
    for line in lines_for_spec(found, advice, then):
        console.print(line, markup=False)


def head(found: Findings) -> list[str]:
    """Which gradient was looked at."""
    of = "sampled answers to" if found.rewarded else "the loss of"
    error = f" ± {percent(found.error / found.energy)}" if found.error else ", exact"
    heard = f"{found.heard:,} of the {found.chosen:,} examples that {found.sampler} chose"
    if found.heard == found.chosen:
        heard = f"the {found.heard:,} examples that {found.sampler} chose"
    text = (
        f"the gradient of {of} {heard}: energy {found.energy:.3g}{error}; the gradients of two halves of them have a cosine of "
        f"{found.agreement:.2f}"
    )
    first = (
        f"{found.name} · {found.moment} · {found.failures:,} of {found.train:,} training examples are wrong"
    )
    return [first, *wrapped(text, "")]


def bases(found: Findings) -> list[str]:
    """A table of what every basis holds."""
    many = found.looked > 1
    own = found.framed and found.adapter not in {"lora-xs", "diagonal"}
    titles = ["basis", "r x r", "of unheard", "diagonal", *([found.adapter] if own else [])]
    titles += [f"{found.looked} rounds"] if many else []
    equal = found.bases[0].equal_rank if found.bases else 0
    titles += [f"one, r = {equal}", f"one, r = {found.rank * found.looked}"] if many else []
    rows: list[Row] = [tuple(titles)]
    rows += [tuple(_cells(basis, many=many, own=own)) for basis in found.bases]
    rows.append(("the best there is", share(_best(found)), *[""] * (len(titles) - 2)))
    if found.used is not None:
        used = (share(found.used.captured), share(found.used.held_out))
        rows.append(("the rounds so far", *used, *[""] * (len(titles) - 3)))
    told = [
        f"% of the gradient's energy that r = {found.rank} directions a site hold, next round"
        + (", and beyond:" if many else ":")
    ]
    return [*told, *laid_out(rows), *_legend(found, many=many)]


def _best(found: Findings) -> float:
    return max(
        backtest for rank, backtest in found.leading.items() if rank <= max(found.rank, min(found.leading))
    )


def _legend(found: Findings, *, many: bool) -> list[str]:
    text = (
        "* the spec's own; of unheard: r x r, on the half of the examples that the directions have not heard; energy: the square of the "
        "gradient's size, of which a first step can use what its directions hold"
    )
    if many:
        text += (
            f"; {found.looked} rounds: a core each, if the gradient stayed as it is; one, r = {found.bases[0].equal_rank}: a single core "
            "with as many numbers"
        )
    if found.used is not None:
        text += "; the rounds so far: all of their directions together, a core each"
    if _yardsticks(found):
        text += "; †: to compare with, and not advised"
    return wrapped(f"({text})", "")


def _yardsticks(found: Findings) -> bool:
    return any(basis.name in YARDSTICKS for basis in found.bases)


def _cells(basis: BasisFinding, *, many: bool, own: bool) -> list[str]:
    marks = " †" * (basis.name in YARDSTICKS) + " *" * basis.own
    cells = [f"{basis.name}{marks}", share(basis.first["square"].captured)]
    cells += [share(basis.first["square"].held_out), share(basis.first["diagonal"].captured)]
    cells += [share(basis.first["adapter"].captured)] if own else []
    if many:
        cells += [
            share(basis.together["square"].captured),
            share(basis.equal.captured),
            share(basis.one_shot.captured),
        ]
    return cells


def ranks(found: Findings) -> list[str]:
    """What the leading directions of the gradient hold, by rank."""
    rows: list[Row] = [("leading directions a site", *(str(rank) for rank in found.leading))]
    rows.append(("% of the energy", *(share(backtest) for backtest in found.leading.values())))
    return laid_out(rows)


def sites(found: Findings) -> list[str]:
    """Where the energy is, the largest first, and what the advised basis and those that hold most have of it."""
    shown = found.sites[:MOST_SITES]
    chosen = choose_basis(found, DEFAULT)
    top = [basis for basis in (chosen, found.own, *found.bases) if basis and basis.name not in YARDSTICKS]
    top = [basis for number, basis in enumerate(top) if basis not in top[:number]][:3]
    rows: list[Row] = [("site", "shape", "% of energy", *(f"{basis.name} holds" for basis in top))]
    for site in shown:
        backtest = (share(basis.sites[site.name]) for basis in top)
        rows.append((site.name, f"{site.shape[0]} x {site.shape[1]}", share(site.share), *backtest))
    rest = len(found.sites) - len(shown)
    if rest:
        left = sum(site.share for site in found.sites[MOST_SITES:])
        rows.append((f"{rest} more", "", share(left), *[""] * len(top)))
    return laid_out(rows)


def advised(advice: Sequence[Advice]) -> list[str]:
    """Every recommendation in a line, with its reason below."""
    lines = list[str]()
    for one in advice:
        lines += [f"  {one.topic:<8} {one.choice}", *wrapped(one.reason, " " * 11)]
    return lines
