"""Texts of a report: findings, methods, and how to reproduce them."""

from __future__ import annotations

import re
import shlex
from collections import Counter

import attrs

from ..analysis.model import Analysis, Verdict
from .quantities import MINUS, in_sentence, quantity
from .tables import metric_name, settings

HYPHEN_MINUS = re.compile(r"(?<!\w)-(?=\d)")
"""A hyphen used as a minus sign."""

MAX_VISIBLE = 4
"""Maximum number of comparisons that are shown unfolded."""


@attrs.frozen(kw_only=True)
class Answer:
    """The study's findings as text."""

    lead: str
    """A summary in one sentence."""
    sentences: tuple[tuple[str, str], ...]
    """One per comparison: the arm (with its block if there are several), and its verdict."""
    notes: tuple[str, ...]

    @property
    def is_short(self) -> bool:
        """Whether all comparisons are shown unfolded."""
        return len(self.sentences) <= MAX_VISIBLE


def answer(analysis: Analysis) -> Answer:
    """The findings of a study, also of an unfinished one."""
    sentences = [
        (f"{row.arm} · {row.block}" if row.block else row.arm, HYPHEN_MINUS.sub(MINUS, row.comparison.words))
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
        return f"The study has no baseline: its arms are listed by {title}, without comparisons."
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
    "unclear": "does not differ significantly from {base} by {metric}",
    "too few seeds": "differs from {base} by {metric}, but has too few seeds for a significant result",
    "one seed": "and {base} share one seed, which is too few for a test by {metric}",
}

PLURAL: dict[Verdict, tuple[str, str]] = {
    "better": ("is better", "are better"),
    "worse": ("is worse", "are worse"),
    "unclear": ("does not differ significantly", "do not differ significantly"),
    "too few seeds": ("has too few seeds", "have too few seeds"),
    "one seed": ("has one seed", "have one seed"),
}


def methods(analysis: Analysis) -> tuple[str, ...]:
    """The statistics, in a few sentences."""
    study = analysis.study
    name = in_sentence(metric_name(study))
    model = "after the last round" if study.at == "last" else "of the round that is best on validation"
    sentences = [
        (
            f"Every result is the mean over seeds of the {name} {model}; its interval is a {100 * study.confidence:g} % "
            "BCa bootstrap over seeds."
        )
    ]
    compared = [row.comparison for row in analysis.rows if row.comparison]
    if compared:
        count = tested(analysis)
        correction = f", corrected by Holm's method over all {count} comparisons" if count > 1 else ""
        test = f": p is that of a two-sided paired permutation test over seeds{correction}" if count else ""
        sentences.append(
            f"An arm is compared with “{study.baseline}” within its block, on the seeds that both have finished{test}."
        )
    if any(comparison.examples for comparison in compared):
        sentences.append(
            "Gained and lost count the pairs of example and seed that only the arm, or only the baseline, gets right; "
            "their p is exact McNemar's with one seed, and with several that of a permutation test that keeps all seeds "
            "of an example together."
        )
    sentences += _uncorrected(analysis)
    if any(row.tuned for row in analysis.rows):
        sentences.append("Tuned values are chosen for every arm on validation, never on the test split.")
    return tuple(sentences)


def _uncorrected(analysis: Analysis) -> list[str]:
    """Intervals and tests that are not corrected for multiple comparisons."""
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
    """Explains the table of candidates."""
    metric = in_sentence(f"validation.{analysis.study.metric}")
    model = (
        "after the last round" if analysis.study.at == "last" else "of the round that is best on validation"
    )
    return (
        f"Every candidate with its {metric} {model}: mean and {100 * analysis.study.confidence:g} % interval over the seeds "
        "that score it. Each arm is reported at its best candidate; tuning never uses the test split."
    )


def tested(analysis: Analysis) -> int:
    """The number of comparisons with a p-value, which Holm's correction counts."""
    return sum(row.comparison is not None and row.comparison.p is not None for row in analysis.rows)


def facts(analysis: Analysis) -> tuple[tuple[str, str], ...]:
    """Key facts of the study."""
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
    """Every arm with its settings, including solved ones."""
    return tuple((arm.label, settings(arm.values | arm.solved)) for arm in analysis.study.arms)


def reproduce(analysis: Analysis) -> str:
    """The shell command that runs the study."""
    command = analysis.study.provenance.get("command")
    if isinstance(command, list) and command:
        return shlex.join(str(part) for part in command)
    return "boostlora ablate study.toml"


def origin(analysis: Analysis) -> tuple[tuple[str, str], ...]:
    """Provenance of the study: hash, commit, versions, date."""
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
