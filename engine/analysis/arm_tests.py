"""Every arm against the baseline of its block: paired by seed, paired by example, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ..sdk.metrics import lower_is_better
from ..sdk.metrics import value_of as metric_of
from ..statistics.bootstrap import bca
from ..statistics.examples import Answers, compare_examples
from ..statistics.holm import holm
from ..statistics.permutation import sign_flip, smallest_p
from ..study.record import StudyRecord
from .chosen_round import Choice
from .model import Comparison, Estimate, ExampleComparison, Verdict
from .run_reader import Reading
from .verdicts import words_of

Place = tuple[str, str]
"""Block and arm."""


@attrs.frozen(kw_only=True, eq=False)
class Pair:
    """An arm and the baseline of its block in the seeds that both have finished, in the study's order."""

    place: Place
    arm: tuple[Reading, ...]
    baseline: tuple[Reading, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(reading.cell.seed for reading in self.arm)

    def differences(self, study: StudyRecord) -> list[float]:
        """Arm minus baseline by seed, in the study's metric on the compared split."""
        pairs = zip(self.arm, self.baseline, strict=True)
        return [value_of(study, mine) - value_of(study, theirs) for mine, theirs in pairs]


def value_of(study: StudyRecord, reading: Reading) -> float:
    """A finished cell's compared number: accuracy as a share, loss in nats, or a measure, at the counted round; NaN where there is none."""
    return metric_of(getattr(reading.record, study.split), study.metric)


def pairs_of(study: StudyRecord, choices: Sequence[Choice]) -> list[Pair]:
    """What is compared; an arm that shares no finished seed with its block's baseline is not."""
    baselines = {choice.block: choice.by_seed() for choice in choices if choice.arm == study.baseline}
    found = list[Pair]()
    for choice in choices:
        mine, theirs = choice.by_seed(), baselines.get(choice.block, {})
        seeds = [seed for seed in choice.seeds if seed in theirs]
        if seeds and choice.arm != study.baseline:
            arm, baseline = tuple(mine[seed] for seed in seeds), tuple(theirs[seed] for seed in seeds)
            found.append(Pair(place=(choice.block, choice.arm), arm=arm, baseline=baseline))
    return found


def compare(
    study: StudyRecord, pairs: Sequence[Pair], answers: Mapping[str, Answers]
) -> dict[Place, Comparison]:
    """All comparisons of the study, by block and arm; `answers` are those of the cells, by their keys.

    Holm's correction counts every comparison that has at least two seeds. `smallest_p` applies it to the smallest
    values that the tests could have, which with n seeds everywhere is `m 2 / 2^n`: adjusted values cannot fall when a raw
    one rises, so no outcome has a smaller one.
    """
    differences = [pair.differences(study) for pair in pairs]
    raw = [_seed_p(values) for values in differences]
    adjusted = holm(raw)
    smallest = holm(
        [None if p is None else smallest_p(len(d)) for p, d in zip(raw, differences, strict=True)]
    )
    examples = [_examples(study, pair, answers) for pair in pairs]
    tests = sum(p is not None for p in raw)
    found = dict[Place, Comparison]()
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
        words = words_of(attrs.evolve(comparison, verdict=verdict), study, tests)
        found[pair.place] = attrs.evolve(comparison, verdict=verdict, words=words)
    return found


def _seed_p(differences: Sequence[float]) -> float | None:
    test = sign_flip(differences) if len(differences) > 1 else None
    return None if test is None else test.p


def _estimate(values: Sequence[float], confidence: float) -> Estimate:
    interval = bca(values, confidence)
    low, high = (None, None) if interval is None else interval
    return Estimate(mean=sum(values) / len(values), low=low, high=high, values=tuple(values))


def _relative(study: StudyRecord, pair: Pair, differences: Sequence[float]) -> float | None:
    """`sum_s d_s / |sum_s b_s|`: its sign is that of the difference, whatever the baseline's."""
    baseline = abs(sum(value_of(study, reading) for reading in pair.baseline))
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
    """A difference counts where its corrected p is at most `1 - confidence`."""
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
    """Whether `p <= alpha`, however `1 - confidence` was rounded."""
    return p <= alpha * (1 + 1e-9)
