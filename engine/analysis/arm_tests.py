"""Tests of every arm against the baseline of its block: paired by seed and by example, with Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from ..foundation.counts import count_text
from ..sdk.metrics import BASIC_METRICS, lower_is_better
from ..sdk.metrics import value_of as metric_of
from ..statistics.bootstrap import bca
from ..statistics.examples import Answers, compare_examples
from ..statistics.holm import holm
from ..statistics.permutation import pairs_needed, sign_flip, smallest_p
from ..study.record import StudyRecord
from .formats import change_text, difference_text, p_sentence, p_text
from .model import Comparison, Estimate, ExampleComparison, Verdict
from .run_reader import CellRun
from .tuning_choice import TuningChoice

ArmKey = tuple[str, str]
"""Block and arm."""


@attrs.frozen(kw_only=True, eq=False)
class Pair:
    """An arm and the baseline of its block on the seeds that both have finished, in the study's order."""

    key: ArmKey
    arm: tuple[CellRun, ...]
    baseline: tuple[CellRun, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(run.cell.seed for run in self.arm)

    def differences(self, study: StudyRecord) -> list[float]:
        """Arm minus baseline by seed, in the study's metric on the compared split."""
        pairs = zip(self.arm, self.baseline, strict=True)
        return [value_of(study, mine) - value_of(study, theirs) for mine, theirs in pairs]


def value_of(study: StudyRecord, run: CellRun) -> float:
    """The study's metric of a finished cell at the counted round: accuracy as a share, loss in nats, or a task measure; NaN if missing."""
    return metric_of(getattr(run.record, study.split), study.metric)


def pairs_of(study: StudyRecord, choices: Sequence[TuningChoice]) -> list[Pair]:
    """Pairs to compare; an arm that shares no finished seed with its block's baseline has none."""
    baselines = {choice.block: choice.by_seed() for choice in choices if choice.arm == study.baseline}
    found = list[Pair]()
    for choice in choices:
        mine, theirs = choice.by_seed(), baselines.get(choice.block, {})
        seeds = [seed for seed in choice.seeds if seed in theirs]
        if seeds and choice.arm != study.baseline:
            arm, baseline = tuple(mine[seed] for seed in seeds), tuple(theirs[seed] for seed in seeds)
            found.append(Pair(key=(choice.block, choice.arm), arm=arm, baseline=baseline))
    return found


def compare(
    study: StudyRecord, pairs: Sequence[Pair], answers: Mapping[str, Answers]
) -> dict[ArmKey, Comparison]:
    """All comparisons of the study, by block and arm; `answers` holds ids and correctness by cell key.

    Holm's correction covers every comparison with at least two seeds. `smallest_p` applies it to the smallest p-values
    that the tests can reach: `m 2 / 2^n` for m comparisons of n seeds each. The adjustment is monotone in the raw
    p-values, so this is a lower bound on `p_holm`.
    """
    differences = [pair.differences(study) for pair in pairs]
    raw = [_seed_p(values) for values in differences]
    adjusted = holm(raw)
    smallest = holm(
        [None if p is None else smallest_p(len(d)) for p, d in zip(raw, differences, strict=True)]
    )
    examples = [_examples(study, pair, answers) for pair in pairs]
    tests = sum(p is not None for p in raw)
    found = dict[ArmKey, Comparison]()
    for index, pair in enumerate(pairs):
        comparison = Comparison(
            seeds=pair.seeds,
            difference=_estimate(differences[index], study.confidence),
            relative=_relative(study, pair, differences[index]),
            wins=sum(d < 0 if lower_is_better(study.metric) else d > 0 for d in differences[index]),
            p=raw[index],
            p_holm=adjusted[index],
            smallest_p=smallest[index],
            examples=examples[index],
            verdict="unclear",
            words="",
        )
        verdict = _verdict(study, comparison)
        words = verdict_text(attrs.evolve(comparison, verdict=verdict), study, tests)
        found[pair.key] = attrs.evolve(comparison, verdict=verdict, words=words)
    return found


def _seed_p(differences: Sequence[float]) -> float | None:
    test = sign_flip(differences) if len(differences) > 1 else None
    return None if test is None else test.p


def _estimate(values: Sequence[float], confidence: float) -> Estimate:
    interval = bca(values, confidence)
    low, high = (None, None) if interval is None else interval
    return Estimate(mean=sum(values) / len(values), low=low, high=high, values=tuple(values))


def _relative(study: StudyRecord, pair: Pair, differences: Sequence[float]) -> float | None:
    """`sum_s d_s / |sum_s b_s|`: it has the sign of the difference, also for a negative baseline."""
    baseline = abs(sum(value_of(study, run) for run in pair.baseline))
    return sum(differences) / baseline if baseline else None


def _examples(study: StudyRecord, pair: Pair, answers: Mapping[str, Answers]) -> ExampleComparison | None:
    both = [(answers[a.cell.key], answers[b.cell.key]) for a, b in zip(pair.arm, pair.baseline, strict=True)]
    found = compare_examples(both, study.confidence)
    if found is None:
        return None
    low, high = (None, None) if found.interval is None else found.interval
    return ExampleComparison(
        only_arm=found.only_first,
        only_baseline=found.only_second,
        both=found.both,
        neither=found.neither,
        p=found.p,
        test=found.test,
        low=low,
        high=high,
    )


def _verdict(study: StudyRecord, comparison: Comparison) -> Verdict:
    """A difference is significant if its corrected p is at most `1 - confidence`."""
    alpha = 1.0 - study.confidence
    if len(comparison.seeds) == 1:
        return "one seed"
    if comparison.p_holm is None or comparison.smallest_p is None:
        return "unclear"
    if not at_most(comparison.smallest_p, alpha):
        return "too few seeds"
    if not at_most(comparison.p_holm, alpha):
        return "unclear"
    return "worse" if (comparison.difference.mean > 0) == lower_is_better(study.metric) else "better"


def at_most(p: float, alpha: float) -> bool:
    """Whether `p <= alpha`, with a tolerance for the rounding of `1 - confidence`."""
    return p <= alpha * (1 + 1e-9)


def verdict_text(comparison: Comparison, study: StudyRecord, tests: int) -> str:
    """The verdict in a sentence; `tests` is the number of comparisons in the correction."""
    seeds = len(comparison.seeds)
    change = difference_text(comparison.difference, study.metric)
    if not math.isfinite(comparison.difference.mean):
        return f"cannot be compared: the {study.metric} of some seed is {'not finite' if study.metric in BASIC_METRICS else 'not known'}"
    if comparison.verdict == "one seed":
        return _one_seed(comparison, study, change)
    corrected = p_sentence(comparison.p_holm) + _correction(tests)
    if comparison.verdict == "unclear":
        return f"no significant difference with {count_text(seeds, 'seed')}: {change}, {corrected}"
    if comparison.verdict == "too few seeds":
        least, needed = p_text(comparison.smallest_p), pairs_needed(1.0 - study.confidence, tests)
        limit = f"{count_text(seeds, 'seed')} cannot bring p below {least}{_correction(tests)}, {needed} seeds could"
        return f"{change}, {_wins(comparison)}; {limit}"
    return f"{change}, {_wins(comparison)}, {corrected}"


def _correction(tests: int) -> str:
    return f" after correction for {tests} comparisons" if tests > 1 else ""


def _wins(comparison: Comparison) -> str:
    """The number of seeds in which the arm is better, or in which it is worse if those are more."""
    values = comparison.difference.values
    ties = sum(value == 0.0 for value in values)
    losses = len(values) - comparison.wins - ties
    word, count = ("better", comparison.wins) if comparison.wins >= losses else ("worse", losses)
    return f"{word} in {count} of {count_text(len(values), 'seed')}"


def _one_seed(comparison: Comparison, study: StudyRecord, difference: str) -> str:
    """One seed gives no variance over training; a test over examples still measures the variance of their sampling."""
    found = comparison.examples
    if found is None:
        return f"{difference} with one seed and no examples in common: nothing can be tested"
    pairs = found.only_arm + found.only_baseline + found.both + found.neither
    share = (found.only_arm - found.only_baseline) / pairs
    on = f"on {count_text(pairs, f'{study.split} example')}"
    change = change_text(share, found.low, found.high, "accuracy")
    result = f"{change} {on}" if study.metric == "accuracy" else f"{difference}; in accuracy {change} {on}"
    return f"{result}, {p_sentence(found.p)}; one seed: the interval covers sampling of {study.split} examples, not training"
