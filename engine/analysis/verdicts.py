"""A comparison's verdict in words that claim no more than its seeds can tell."""

from __future__ import annotations

import math

from ..sdk.metrics import PLAIN
from ..statistics.permutation import pairs_needed
from ..study.record import StudyRecord
from .formats import change_text, count_text, difference_text, p_sentence, p_text
from .model import Comparison


def words_of(comparison: Comparison, study: StudyRecord, tests: int) -> str:
    """The verdict in a sentence; `tests` is how many comparisons were corrected for."""
    seeds = len(comparison.seeds)
    seen = difference_text(comparison.difference, study.metric)
    if not math.isfinite(comparison.difference.mean):
        return f"cannot be compared: the {study.metric} of some seed is {'not finite' if study.metric in PLAIN else 'not known'}"
    if comparison.verdict == "one seed":
        return _one_seed(comparison, study, seen)
    corrected = p_sentence(comparison.p_holm) + _correction(tests)
    if comparison.verdict == "unclear":
        return f"no difference that {seeds} seeds can tell: {seen}, {corrected}"
    if comparison.verdict == "too few seeds":
        least, needed = p_text(comparison.smallest_p), pairs_needed(1.0 - study.confidence, tests)
        limit = f"{seeds} seeds cannot bring p below {least}{_correction(tests)}, {needed} seeds could"
        return f"{seen}, {_wins(comparison)}; {limit}"
    return f"{seen}, {_wins(comparison)}, {corrected}"


def _correction(tests: int) -> str:
    return f" after correction for {tests} comparisons" if tests > 1 else ""


def _wins(comparison: Comparison) -> str:
    """In how many seeds the arm is better; where the mean says worse, in how many it is worse."""
    values = comparison.difference.values
    ties = sum(value == 0.0 for value in values)
    losses = len(values) - comparison.wins - ties
    word, count = ("better", comparison.wins) if comparison.wins >= losses else ("worse", losses)
    return f"{word} in {count} of {len(values)} seeds"


def _one_seed(comparison: Comparison, study: StudyRecord, seen: str) -> str:
    """One seed says nothing of training's luck; the examples still say how far the choice of them could have misled."""
    found = comparison.examples
    if found is None:
        return f"{seen} with one seed and no examples in common: nothing can be tested"
    pairs = found.only_arm + found.only_baseline + found.both + found.neither
    share = (found.only_arm - found.only_baseline) / pairs
    on = f"on {count_text(pairs, f'{study.split} example')}"
    change = change_text(share, found.low, found.high, "accuracy")
    told = f"{change} {on}" if study.metric == "accuracy" else f"{seen}; in accuracy {change} {on}"
    return f"{told}, {p_sentence(found.p)}; one seed: the interval covers the choice of {study.split} examples, not of training"
