"""The words of a report: its answer, what stands behind the numbers, and how to have them again."""

from __future__ import annotations

import re
import shlex
from collections import Counter

import attrs

from ..analysis.model import Analysis, Verdict
from .quantities import MINUS, in_sentence, quantity
from .table import metric_name, settings

LESS = re.compile(r"(?<!\w)-(?=\d)")
"""A hyphen that is a minus."""

FEW = 4
"""Comparisons that are read at a glance; more are folded away."""


@attrs.frozen(kw_only=True)
class Answer:
    """What the study found, in words."""

    lead: str
    """One sentence on the whole."""
    sentences: tuple[tuple[str, str], ...]
    """One a comparison: the arm, with its block where there are several, and what is said of it."""
    notes: tuple[str, ...]

    @property
    def is_short(self) -> bool:
        """Whether it can be read at a glance."""
        return len(self.sentences) <= FEW


def answer(analysis: Analysis) -> Answer:
    """The answer of a study, also of one that has none yet."""
    sentences = [
        (f"{row.arm} · {row.block}" if row.block else row.arm, LESS.sub(MINUS, row.comparison.words))
        for row in analysis.rows
        if row.comparison and row.comparison.words
    ]
    notes = dict.fromkeys((*analysis.notes, *analysis.study.notes))
    return Answer(lead=_lead(analysis), sentences=tuple(sentences), notes=tuple(notes))


def _lead(analysis: Analysis) -> str:
    study = analysis.study
    title = in_sentence(metric_name(study))
    if not any(row.seeds for row in analysis.rows):
        return "No cell has finished yet, so there is no answer yet."
    if study.baseline is None:
        return f"The study names no baseline: its arms stand side by side by {title}, and none is compared."
    base = f"“{study.baseline}”"
    compared = [row for row in analysis.rows if row.comparison]
    if not compared:
        return f"No arm can be compared with {base} yet: no seed has finished in both."
    if len(compared) == 1 and compared[0].comparison:
        verdict = SINGLE[compared[0].comparison.verdict].format(base=base, metric=title)
        return f"“{compared[0].arm}” {verdict}."
    blocks = len({row.block for row in compared})
    what = f"comparisons with {base} in {blocks} blocks" if blocks > 1 else f"arms compared with {base}"
    verdicts: Counter[Verdict] = Counter(row.comparison.verdict for row in compared if row.comparison)
    if len(verdicts) == 1:
        return f"By {title}, {'both' if len(compared) == 2 else f'all {len(compared)}'} {what} {PLURAL[next(iter(verdicts))][1]}."
    parts = [f"{n} {PLURAL[v][n > 1]}" for v in PLURAL if (n := verdicts[v])]
    return f"By {title}, of {len(compared)} {what} {', '.join(parts[:-1])} and {parts[-1]}."


SINGLE: dict[Verdict, str] = {
    "better": "is better than {base} by {metric}",
    "worse": "is worse than {base} by {metric}",
    "unclear": "cannot be told from {base} by {metric}",
    "too few seeds": "differs from {base} by {metric}, in too few seeds to tell it from chance",
    "one seed": "and {base} have one seed in common, which does not tell them apart by {metric}",
}

PLURAL: dict[Verdict, tuple[str, str]] = {
    "better": ("is better", "are better"),
    "worse": ("is worse", "are worse"),
    "unclear": ("cannot be told from it", "cannot be told from it"),
    "too few seeds": ("has too few seeds to tell", "have too few seeds to tell"),
    "one seed": ("rests on one seed", "rest on one seed"),
}


def methods(analysis: Analysis) -> tuple[str, ...]:
    """The statistics, in a few sentences."""
    study = analysis.study
    name = in_sentence(metric_name(study))
    model = "after the last round" if study.at == "last" else "of the round that is best on validation"
    said = [
        (
            f"Every result is the mean over seeds of the {name} {model}; its interval is a {100 * study.confidence:g} % "
            "BCa bootstrap over seeds."
        )
    ]
    compared = [row.comparison for row in analysis.rows if row.comparison]
    if compared:
        count = tested(analysis)
        correction = f", corrected by Holm's method over all {count} comparisons" if count > 1 else ""
        test = f": p is of a two-sided paired permutation test over seeds{correction}" if count else ""
        said.append(
            f"An arm is compared with “{study.baseline}” within its block, on the seeds that both have finished{test}."
        )
    if any(comparison.examples for comparison in compared):
        said.append(
            "Gained and lost count the pairs of example and seed that only the arm, or only the baseline, gets right; "
            "their p is exact McNemar's with one seed, and with several that of a permutation test that keeps all seeds "
            "of an example together."
        )
    said += _uncorrected(analysis)
    if any(row.tuned for row in analysis.rows):
        said.append("Tuned values are chosen for every arm on validation, never on the test split.")
    return tuple(said)


def _uncorrected(analysis: Analysis) -> list[str]:
    """What is shown several times over, and not corrected for that."""
    name = metric_name(analysis.study)
    intervals = sum(name in row.metrics and row.metrics[name].low is not None for row in analysis.rows)
    tests = sum(row.comparison is not None and row.comparison.examples is not None for row in analysis.rows)
    if intervals > 1 and tests > 1:
        return [
            "Neither the intervals nor the p of gained and lost are corrected for the number of comparisons."
        ]
    if intervals > 1:
        return ["The intervals are not corrected for the number of comparisons."]
    return ["The p of gained and lost is not corrected for the number of comparisons."] if tests > 1 else []


def tuning(analysis: Analysis) -> str:
    """What the table of candidates shows."""
    metric = in_sentence(f"validation.{analysis.study.metric}")
    model = (
        "after the last round" if analysis.study.at == "last" else "of the round that is best on validation"
    )
    return (
        f"Every candidate with its {metric} {model}: mean and {100 * analysis.study.confidence:g} % interval over the seeds "
        "by which it was judged. Each arm is reported at the candidate that is best here; the test split had no say in it."
    )


def tested(analysis: Analysis) -> int:
    """How many comparisons have a p-value: those that are corrected for."""
    return sum(row.comparison is not None and row.comparison.p is not None for row in analysis.rows)


def facts(analysis: Analysis) -> tuple[tuple[str, str], ...]:
    """The study in a few figures."""
    study = analysis.study
    status = Counter(view.state.status for view in analysis.cells)
    name = quantity(metric_name(study)).title
    finished = f"{status['finished']} of {len(analysis.cells)} finished"
    others = [f"{n} {word}" for word, n in status.items() if word != "finished"]
    blocks = [("Blocks", str(len(study.blocks)))] if len(study.blocks) > 1 else []
    return (
        ("Arms", str(len(study.arms))),
        *blocks,
        ("Seeds", str(len(study.seeds))),
        ("Cells", ", ".join([finished, *others])),
        ("Compared by", f"{name}, {'last round' if study.at == 'last' else 'best on validation'}"),
        ("Baseline", study.baseline if study.baseline is not None else "none"),
    )


def arms(analysis: Analysis) -> tuple[tuple[str, str], ...]:
    """Every arm with the keys by which it differs, solved ones included."""
    return tuple((arm.label, settings(arm.values | arm.solved)) for arm in analysis.study.arms)


def reproduce(analysis: Analysis) -> str:
    """The command that plays the study, for a shell."""
    command = analysis.study.provenance.get("command")
    if isinstance(command, list) and command:
        return shlex.join(str(part) for part in command)
    return "boostlora ablate study.toml"


def origin(analysis: Analysis) -> tuple[tuple[str, str], ...]:
    """Where the numbers come from: hash, commit, versions, date."""
    study = analysis.study
    found = study.provenance
    versions = found.get("versions")
    lines = [
        ("Study", study.name),
        ("Hash of the study", study.sha256),
        ("Created", study.created or str(found.get("created") or "")),
    ]
    lines.append(("Commit", str(found.get("git") or "")))
    if isinstance(versions, dict):
        lines.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    lines.append(("Executor", study.executor))
    lines.append(("Plugin files", ", ".join(study.plugin_files)))
    return tuple((name, text) for name, text in lines if text)
