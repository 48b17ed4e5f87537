"""What a look has found, as people read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tomli_w
from rich.console import Console

from ..advising.findings import BasisFinding, Findings
from ..advising.holding import WORDS, ArmHeld, Held
from ..advising.rules import Advice, cautions, recommend
from ..advising.wording import percent
from ..analysis.wording import number_text, unit_of

WIDE = 120
MOST_SITES = 8
"""Sites that are listed; all are in `--json`."""

Row = tuple[str, ...]


def print_advice(found: Findings) -> None:
    """Print it: what was looked at, bases, ranks, sites, what to do."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    advice = recommend(found)
    for line in (*head(found), "", *bases(found), "", *ranks(found), "", *sites(found), ""):
        console.print(line, markup=False)
    console.print("advice", style="bold")
    for line in advised(advice):
        console.print(line, markup=False)
    for word, told in (("caution", cautions(found)), ("note", found.notes)):
        for text in told:
            for line in _wrapped(f"{word}: {text}", ""):
                console.print(line, style="yellow", markup=False)
    console.print()
    for line in lines_for_spec(found, advice):
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
    return [first, *_wrapped(text, "")]


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
        rows.append(("the rounds so far", share(found.used), *[""] * (len(titles) - 2)))
    told = [
        f"% of the gradient's energy that r = {found.rank} directions a site hold, next round"
        + (", and beyond:" if many else ":")
    ]
    return [*told, *laid_out(rows), *_legend(found, many=many)]


def _best(found: Findings) -> float:
    return max(held for rank, held in found.leading.items() if rank <= max(found.rank, min(found.leading)))


def _legend(found: Findings, *, many: bool) -> list[str]:
    lines = [
        "(* the spec's own; of unheard: r x r, on the half of the examples that the directions have not heard"
    ]
    if many:
        lines[0] += ";"
        lines.append(
            f" {found.looked} rounds: a core each, if the gradient stayed as it is; one, r = {found.bases[0].equal_rank}: a single core with as "
            "many numbers)"
        )
    else:
        lines[0] += ")"
    return lines


def _cells(basis: BasisFinding, *, many: bool, own: bool) -> list[str]:
    cells = [f"{basis.name}{' *' * basis.own}", share(basis.first["square"].captured)]
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
    rows.append(("% of the energy", *(share(held) for held in found.leading.values())))
    return laid_out(rows)


def sites(found: Findings) -> list[str]:
    """Where the energy is, the largest first, and what the bases that hold most have of it."""
    shown = found.sites[:MOST_SITES]
    top = found.bases[:3]
    rows: list[Row] = [("site", "shape", "% of energy", *(f"{basis.name} holds" for basis in top))]
    for site in shown:
        held = (share(basis.sites[site.name]) for basis in top)
        rows.append((site.name, f"{site.shape[0]} x {site.shape[1]}", share(site.share), *held))
    rest = len(found.sites) - len(shown)
    if rest:
        left = sum(site.share for site in found.sites[MOST_SITES:])
        rows.append((f"{rest} more", "", share(left), *[""] * len(top)))
    return laid_out(rows)


def advised(advice: Sequence[Advice]) -> list[str]:
    """Every recommendation in a line, with its reason below."""
    lines = list[str]()
    for one in advice:
        lines += [f"  {one.topic:<8} {one.choice}", *_wrapped(one.reason, " " * 11)]
    return lines


def lines_for_spec(found: Findings, advice: Sequence[Advice]) -> list[str]:
    """What to put into the spec."""
    settings = {key: value for one in advice for key, value in one.settings.items()}
    if not settings:
        return ["the spec is as it would be advised"]
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        table, _, name = key.rpartition(".")
        (tree.setdefault(table, {}) if table else tree)[name] = value
    plain = {key: value for key, value in tree.items() if not isinstance(value, dict)}
    ordered = plain | {key: value for key, value in tree.items() if isinstance(value, dict)}
    command = " ".join(f"--set {key}={value}" for key, value in settings.items())
    return [
        "in the spec:",
        *(f"  {line}".rstrip() for line in tomli_w.dumps(ordered).strip().splitlines()),
        f"or: {command}",
        "rates do not carry over to another basis or core: tune optimizer.lr again",
    ]


def print_held(held: Held) -> None:
    """Print arms with what was seen of them and what became of them, and whether the two agree."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    console.print(
        f"{held.study}: what looks at the base model would have ranked first, against {held.metric} (seed {held.seed} looked at)",
        markup=False,
    )
    console.print()
    for line in laid_out(_arm_rows(held)):
        console.print(line, markup=False)
    console.print(
        "(% of the gradient's energy, with each arm's own core, on examples that its directions have not heard)"
    )
    console.print()
    for verdict in held.verdicts:
        place = f"{verdict.block}: " if verdict.block else ""
        metric = held.metric.rpartition(".")[2]
        by = WORDS[verdict.by]
        if verdict.hit:
            text = f"hit: {place}by {by}, {verdict.picked} ranks first, and it is the best of {verdict.arms}"
        else:
            lost = f"{number_text(verdict.lost, metric)} {_difference_unit(metric)}".strip()
            text = f"miss: {place}by {by}, {verdict.picked} ranks first; the best of {verdict.arms} is {verdict.best}, by {lost}"
        rank = "" if verdict.spearman is None else f"; rank correlation {verdict.spearman:+.2f}"
        console.print(text + rank, style="green" if verdict.hit else "red", markup=False)
    hits = sum(verdict.hit for verdict in held.verdicts)
    console.print(f"{hits} of {len(held.verdicts)} hit", markup=False)
    for note in held.notes:
        console.print(f"note: {note}", style="yellow", markup=False)


def _arm_rows(held: Held) -> list[Row]:
    metric = held.metric.rpartition(".")[2]
    unit = unit_of(metric)
    rows: list[Row] = [
        (
            "arm",
            "basis",
            "adapter",
            "r",
            "rounds",
            "next round",
            "all rounds",
            f"{metric} ({unit})" if unit else metric,
        )
    ]
    return rows + [_arm_row(arm, metric) for arm in held.arms]


def _arm_row(arm: ArmHeld, metric: str) -> Row:
    name = f"{arm.arm} · {arm.block}" if arm.block else arm.arm
    held = ("-" if value is None else share(value) for value in (arm.first, arm.together))
    basis = "-" if arm.first is None else arm.basis
    return (name, basis, arm.adapter, str(arm.rank), str(arm.rounds), *held, number_text(arm.metric, metric))


def _difference_unit(metric: str) -> str:
    from ..analysis.wording import difference_unit

    return difference_unit(metric)


def share(value: float) -> str:
    """A share in percent, without its sign."""
    return percent(value).removesuffix(" %")


def _wrapped(text: str, indent: str) -> list[str]:
    """Lines of at most `WIDE` characters, a number and its sign on the same one."""
    from textwrap import wrap

    whole = text.replace(" %", "\u00a0%")
    lines = wrap(whole, WIDE, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def laid_out(rows: list[Row]) -> list[str]:
    """Cells under each other, the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)
    return [line.rstrip() for line in lines]
