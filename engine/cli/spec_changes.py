"""Advice as text to copy: lines for the spec with a command, or an arm of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import tomli_w

from ..advisor.advice import Advice
from ..advisor.findings import Findings
from ..foundation.shell import command_line
from .layout import text_width, wrapped

RATED = frozenset(
    {
        *("basis.use", "adapter.use", "adapter.rank", "sampler.use"),
        *("rounds", "optimizer.steps", "boosting.refit_every"),
    }
)
"""Keys that change the best learning rate."""


@attrs.frozen(kw_only=True)
class Next:
    """The command that applies the advice."""

    command: tuple[str, ...]
    """Its words, without settings."""
    settings: tuple[str, ...] = ()
    """The user's settings, `KEY=VALUE`; the advice may replace some of them."""
    solved: frozenset[str] | None = None
    """For a study, the keys that its budgets solve for, which an arm must not set; None for a single run."""


def lines_for_spec(found: Findings, advice: Sequence[Advice], then: Next) -> list[str]:
    """The changes to the spec, and the command."""
    settings = {key: value for one in advice for key, value in one.settings.items()}
    if then.solved is not None:
        return _as_arm(settings, then.solved, then)
    if not settings and found.finished_rounds:
        return [
            "nothing to change: the rest of the run follows the advice" if found.left else "nothing to change"
        ]
    if not settings:
        return ["the spec follows the advice", "run it:", *_command(then, {})]
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        table, _, name = key.rpartition(".")
        (tree.setdefault(table, {}) if table else tree)[name] = value
    plain = {key: value for key, value in tree.items() if not isinstance(value, dict)}
    ordered = plain | {key: value for key, value in tree.items() if isinstance(value, dict)}
    return [
        "in the spec:",
        *(f"  {line}".rstrip() for line in tomli_w.dumps(ordered).strip().splitlines()),
        "or:",
        *_command(then, settings),
        *_rates(settings),
    ]


def _as_arm(settings: dict[str, Any], solved: frozenset[str], then: Next) -> list[str]:
    """An additional arm for a study."""
    run = ["run it:", *_command(then, {})]
    if not settings:
        return ["the spec that the arms share follows the advice", *run]
    arm = {key: value for key, value in settings.items() if key not in solved}
    left = [f"{key} = {value}" for key, value in settings.items() if key in solved]
    return [
        "in the study, as an arm:",
        "  [[ablate.case]]",
        '  name = "advised"',
        *(f"  set.{tomli_w.dumps({key: value}).strip()}" for key, value in arm.items()),
        *(wrapped(f"solved for by [[ablate.budget]]: {', '.join(left)}") if left else []),
        *run,
    ]


def _rates(settings: dict[str, Any]) -> list[str]:
    """A hint on the learning rate."""
    if not settings.keys() & RATED:
        return []
    text = (
        "the best learning rate changes with basis, core, sampler and steps: also try a third and a tenth of optimizer.lr, and choose on "
        "validation (in gradient frames the best was 0.03 to 0.1 on digits and a table, a tenth of that with a pretrained encoder; refits need "
        "the smaller ones)"
    )
    return wrapped(text)


def _command(then: Next, settings: dict[str, Any]) -> list[str]:
    """A command in lines that a shell reads as one."""
    given = [text for text in then.settings if text.partition("=")[0].strip() not in settings]
    given += [f"{key}={value}" for key, value in settings.items()]
    lines = [""]
    for option in _options([*then.command, *(word for text in given for word in ("--set", text))]):
        if lines[-1] and len(lines[-1]) + len(option) > text_width() - len("     \\"):
            lines.append("")
        lines[-1] += f" {option}" if lines[-1] else option
    indents, ends = ["  ", *["    "] * (len(lines) - 1)], [*[" \\"] * (len(lines) - 1), ""]
    return [f"{indent}{line}{end}" for indent, line, end in zip(indents, lines, ends, strict=True)]


def _options(words: Sequence[str]) -> list[str]:
    """Quoted words, with an option and its value as one."""
    joined = list[str]()
    for word in words:
        if joined and joined[-1].startswith("--") and " " not in joined[-1]:
            joined[-1] += f" {command_line(word)}"
        else:
            joined.append(command_line(word))
    return joined
