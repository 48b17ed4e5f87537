"""What to type after a look: lines for the spec with a command, or an arm of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import tomli_w

from ..advisor.advice import Advice
from ..advisor.findings import Findings
from ..foundation.shell import command_line
from .advised_lines import WIDE, wrapped

RATED = frozenset(
    {
        *("basis.use", "adapter.use", "adapter.rank", "sampler.use"),
        *("rounds", "optimizer.steps", "boosting.refit_every"),
    }
)
"""Keys with which the best learning rate changes."""


@attrs.frozen(kw_only=True)
class Next:
    """Where the advice goes."""

    command: tuple[str, ...]
    """Words to which settings are added; of a study, those that hold the advice to it."""
    settings: tuple[str, ...] = ()
    """The user's own, `KEY=VALUE`, of which those stay that the advice leaves alone."""
    solved: frozenset[str] | None = None
    """Of a study, into which it goes as an arm: the keys that budgets solve for, which an arm must not set. None: it is no study."""


def lines_for_spec(found: Findings, advice: Sequence[Advice], then: Next) -> list[str]:
    """What to put into the spec, and what to type."""
    settings = {key: value for one in advice for key, value in one.settings.items()}
    if then.solved is not None:
        return _as_arm(settings, then.solved, then)
    if not settings and found.finished_rounds:
        return [
            "nothing to change: the run goes on as it would be advised" if found.left else "nothing to change"
        ]
    if not settings:
        return ["the spec is as it would be advised", "run it:", *_command(then, {})]
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
    """Of a study that is no single run: an arm more."""
    against = f"once the study has run, hold the advice to it: {command_line(*then.command)}"
    if not settings:
        return ["the spec that the arms start from is as it would be advised", against]
    arm = {key: value for key, value in settings.items() if key not in solved}
    left = [f"{key} = {value}" for key, value in settings.items() if key in solved]
    return [
        "in the study, as an arm:",
        "  [[ablate.case]]",
        '  name = "advised"',
        *(f"  set.{tomli_w.dumps({key: value}).strip()}" for key, value in arm.items()),
        *(wrapped(f"left to [[ablate.budget]], which solves for it: {', '.join(left)}", "") if left else []),
        against,
    ]


def _rates(settings: dict[str, Any]) -> list[str]:
    """A word on what does not carry over."""
    if not settings.keys() & RATED:
        return []
    text = (
        "rates do not carry over to another basis, core, sampler or number of steps: try optimizer.lr at a third and at a tenth as well, and "
        "take what is best on validation (in gradient frames that was 0.03 to 0.1 on digits and a table, and a tenth of that with a "
        "pretrained encoder; refits want the smaller ones)"
    )
    return wrapped(text, "")


def _command(then: Next, settings: dict[str, Any]) -> list[str]:
    """A command in lines that a shell takes as one."""
    given = [text for text in then.settings if text.partition("=")[0].strip() not in settings]
    given += [f"{key}={value}" for key, value in settings.items()]
    lines = [""]
    for option in _options([*then.command, *(word for text in given for word in ("--set", text))]):
        if lines[-1] and len(lines[-1]) + len(option) > WIDE - len("     \\"):
            lines.append("")
        lines[-1] += f" {option}" if lines[-1] else option
    indents, ends = ["  ", *["    "] * (len(lines) - 1)], [*[" \\"] * (len(lines) - 1), ""]
    return [f"{indent}{line}{end}" for indent, line, end in zip(indents, lines, ends, strict=True)]


def _options(words: Sequence[str]) -> list[str]:
    """Words, quoted where they must be, an option and its value as one."""
    joined = list[str]()
    for word in words:
        if joined and joined[-1].startswith("--") and " " not in joined[-1]:
            joined[-1] += f" {command_line(word)}"
        else:
            joined.append(command_line(word))
    return joined
