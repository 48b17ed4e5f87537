from types import SimpleNamespace

import numpy as np
import pytest

from boostlora.engine.analysis import arm_tests as comparing
from boostlora.engine.analysis.analyse import analyse
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.statistics.mcnemar import mcnemar
from boostlora.engine.statistics.permutation import sign_flip

from .synthetic_study import make_study


def _compared(tmp_path, **options):
    analysis = analyse(tmp_path, make_study(tmp_path, **{"examples": 100, **options}))
    return analysis, [row.comparison for row in analysis.rows]


def test_real_effect_over_enough_seeds_is_better(tmp_path):
    analysis, (none, found) = _compared(tmp_path, seeds=8, spread=0.02)
    by_seed = [
        b - a for a, b in zip(*(row.metrics["test.accuracy"].values for row in analysis.rows), strict=True)
    ]
    assert none is None
    assert found.verdict == "better"
    assert found.difference.values == pytest.approx(by_seed)
    assert found.p == found.p_holm == found.smallest_p == 2 / 2**8
    assert found.wins == 8
    assert found.relative == pytest.approx(
        found.difference.mean / analysis.rows[0].metrics["test.accuracy"].mean
    )
    assert found.words.startswith("+10.")
    assert found.words.endswith("], better in 8 of 8 seeds, p = 0.0078")


def test_real_negative_effect_is_worse(tmp_path):
    found = _compared(tmp_path, seeds=8, arms={"a": 0.8, "b": 0.7})[1][1]
    assert (found.verdict, found.wins) == ("worse", 0)
    assert "worse in 8 of 8 seeds" in found.words


def test_lower_loss_is_better(tmp_path):
    found = _compared(tmp_path, seeds=8, metric="loss")[1][1]
    assert (found.verdict, found.wins) == ("better", 8)
    assert found.difference.mean < 0
    assert found.words.startswith("-0.1")
    assert " nats [-0.1" in found.words


def test_no_effect_is_reported_as_unclear(tmp_path):
    found = _compared(tmp_path, seeds=8, arms={"a": 0.7, "b": 0.7}, spread=0.05)[1][1]
    assert found.verdict == "unclear"
    assert found.words.startswith("no significant difference with 8 seeds: ")
    assert found.p > 0.05


def test_too_few_seeds_report_the_estimate_and_the_number_needed(tmp_path):
    found = _compared(tmp_path, seeds=5, arms={"a": 0.7, "b": 0.8, "c": 0.8, "d": 0.8})[1][1]
    assert found.verdict == "too few seeds"
    assert found.p == 1 / 16
    assert found.p_holm == found.smallest_p == 3 / 16
    assert found.words.startswith("+10.")
    assert found.words.endswith(
        "better in 5 of 5 seeds; 5 seeds cannot bring p below 0.19 after correction for 3 comparisons, 7 seeds could"
    )


def test_reported_number_of_needed_seeds_suffices(tmp_path):
    comparisons = _compared(tmp_path, seeds=7, arms={"a": 0.6, "b": 0.8, "c": 0.8, "d": 0.8})[1]
    assert [c.verdict for c in comparisons[1:]] == ["better"] * 3
    assert {c.p_holm for c in comparisons[1:]} == {3 * 2 / 2**7}


def test_correction_counts_the_comparisons_of_all_blocks(tmp_path):
    analysis, found = _compared(tmp_path, seeds=6, blocks=("90", "45"))
    assert [c.smallest_p for c in found if c] == [2 * 2 / 2**6] * 2
    assert "p-values are corrected (Holm) for 2 comparisons" in analysis.notes


def test_lower_confidence_needs_fewer_seeds(tmp_path):
    assert _compared(tmp_path, seeds=5, confidence=0.9)[1][1].verdict == "better"


def test_one_seed_is_compared_by_examples_with_a_note_on_the_scope(tmp_path):
    study = make_study(tmp_path, seeds=1, examples=100)
    found = analyse(tmp_path, study).rows[1].comparison
    assert (found.verdict, found.p, found.p_holm, found.smallest_p) == ("one seed", None, None, None)
    assert (found.difference.low, found.difference.high) == (None, None)
    examples = found.examples
    assert examples.test == "mcnemar"
    assert examples.p == mcnemar(examples.only_arm, examples.only_baseline)
    total = examples.only_arm + examples.only_baseline + examples.both + examples.neither
    assert total == 100
    assert (examples.only_arm - examples.only_baseline) / total == pytest.approx(found.difference.mean)
    assert examples.low < found.difference.mean < examples.high
    assert found.words.endswith("one seed: the interval covers sampling of test examples, not training")
    assert "points [" in found.words


def test_one_seed_by_loss_reports_the_loss_and_the_examples(tmp_path):
    words = _compared(tmp_path, seeds=1, metric="loss")[1][1].words
    assert words.startswith("-0.1")
    assert " nats; in accuracy +" in words


def test_several_seeds_also_report_the_examples_comparison(tmp_path):
    study = make_study(tmp_path, seeds=3, examples=100)
    found = analyse(tmp_path, study).rows[1].comparison.examples
    net = dict[int, int]()
    pairs = {cell.seed: {} for cell in study.cells}
    for cell in study.cells:
        outcome = RunDirectory.open(tmp_path / cell.folder).outcomes(4)["test"]
        pairs[cell.seed][cell.arm] = dict(zip(outcome.ids.tolist(), outcome.correct.tolist(), strict=True))
    for arms in pairs.values():
        for example, right in arms["b"].items():
            net[example] = net.get(example, 0) + int(right) - int(arms["a"][example])
    assert found.test == "permutation"
    assert found.only_arm - found.only_baseline == sum(net.values())
    assert found.p == pytest.approx(sign_flip(np.array(list(net.values()))).p, abs=0.01)
    assert found.low < sum(net.values()) / 300 < found.high


def test_comparisons_use_the_split_that_the_study_names(tmp_path):
    analysis, found = _compared(
        tmp_path, seeds=2, split="validation", tunings=(0.1,), test_shift={0.1: -0.3}, spread=0.0
    )
    assert analysis.rows[1].metrics["test.accuracy"].mean == pytest.approx(0.5)
    assert found[1].relative == pytest.approx(0.1 / 0.7)


@pytest.mark.parametrize(("baseline", "expected"), [(-0.5, 0.4), (0.5, 0.4), (0.0, None)])
def test_relative_change_has_the_sign_of_the_difference(monkeypatch, baseline, expected):
    """A metric may be negative, as a mean reward."""
    monkeypatch.setattr(comparing, "value_of", lambda study, reading: reading)
    pair = SimpleNamespace(baseline=(baseline, baseline))
    found = comparing._relative(None, pair, (0.1, 0.3))
    assert found == (expected if expected is None else pytest.approx(expected))


def test_pairs_are_the_seeds_finished_by_both(tmp_path):
    analysis, found = _compared(
        tmp_path,
        seeds=5,
        failed=lambda cell: (cell.arm, cell.seed) in {("a", 0), ("b", 1)},
    )
    assert found[1].seeds == (2, 3, 4)
    assert len(found[1].difference.values) == 3
    assert "b: compared in 3 seeds that it shares with the baseline" in analysis.notes


def test_arms_without_common_seeds_are_not_compared(tmp_path):
    analysis, found = _compared(tmp_path, seeds=2, failed=lambda cell: (cell.arm == "a") == (cell.seed == 0))
    assert found == [None, None]
    assert "b: not compared, since it shares no finished seed with the baseline" in analysis.notes


def test_study_without_a_baseline_has_no_comparisons(tmp_path):
    analysis, found = _compared(tmp_path, seeds=2, baseline=None)
    assert found == [None, None]
    assert not any(row.is_baseline for row in analysis.rows)


def test_smallest_p_of_unequal_seed_counts_follows_holm(tmp_path):
    # b has 6 pairs, c has 3: b's smallest is 2 * 2/64, and c's, tested last, 1 * 2/8.
    found = _compared(
        tmp_path,
        seeds=6,
        arms={"a": 0.5, "b": 0.8, "c": 0.8},
        failed=lambda cell: cell.arm == "c" and cell.seed > 2,
    )[1]
    assert [c.smallest_p for c in found[1:]] == [4 / 64, 1 / 4]
    assert [c.p_holm for c in found[1:]] == [4 / 64, 1 / 4]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_the_same_folders_give_the_same_analysis(tmp_path, metric):
    study = make_study(tmp_path, seeds=4, examples=50, metric=metric)
    first, second = analyse(tmp_path, study), analyse(tmp_path, study)
    assert (first.rows, first.curves, first.notes) == (second.rows, second.curves, second.notes)
