"""The answer in words, and the main table."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from boostlora.engine.analysis.model import Analysis
from boostlora.engine.report import narrative
from boostlora.engine.report.tables import TableCell, main_table, settings

from .analysis_samples import SITUATIONS, sample


def cells_of(analysis: Analysis, key: str) -> list[TableCell]:
    table = main_table(analysis)
    position = [column.key for column in table.columns].index(key)
    return [row[position] for row in table.rows]


@pytest.mark.parametrize(
    ("situation", "lead"),
    [
        ("plain", "By test accuracy, both arms compared with “fixed” are better."),
        ("one seed", "By test accuracy, both arms compared with “fixed” have one seed."),
        ("loss", "By test loss, both arms compared with “fixed” are better."),
        ("ten blocks", "By test accuracy, all 20 comparisons with “fixed” in 10 blocks are better."),
        ("nothing finished", "No cell has finished yet, so there is no answer yet."),
        ("no baseline", "The study has no baseline: its arms are listed by test accuracy, without comparisons."),
    ],
)  # fmt: skip
def test_answer_in_every_situation_begins_with_one_sentence(situation: str, lead: str) -> None:
    assert narrative.answer(sample(**SITUATIONS[situation])).lead == lead


def test_answer_with_several_verdicts_counts_them_from_better_to_unclear() -> None:
    lead = narrative.answer(sample(arms=("b", "c", "d", "a", "e", "f", "b2"))).lead
    assert (
        lead
        == "By test accuracy, of 6 arms compared with “b” 5 are better and 1 does not differ significantly."
    )


def test_answer_of_one_comparison_names_the_arm() -> None:
    assert narrative.answer(sample(arms=("a", "b"))).lead == "“b” is better than “a” by test accuracy."


def test_unfinished_baseline_has_no_comparisons() -> None:
    lead = narrative.answer(sample(failed=frozenset(range(5)))).lead
    assert lead == "No arm can be compared with “fixed” yet: no seed has finished in both."


def test_words_of_a_comparison_get_a_real_minus() -> None:
    analysis = sample(arms=("a", "b"))
    row = analysis.rows[1]
    assert row.comparison is not None
    worse = attrs.evolve(row.comparison, words="-4.1 points [-5.9, -3.0], well-known")
    rows = (analysis.rows[0], attrs.evolve(row, comparison=worse))
    found = narrative.answer(attrs.evolve(analysis, rows=rows))
    assert found.sentences == (("b", "−4.1 points [−5.9, −3.0], well-known"),)  # noqa: RUF001


def test_repeated_notes_appear_once() -> None:
    analysis = sample(notes=("rounds were solved so that every arm trains 256 numbers",))
    assert len(narrative.answer(analysis).notes) == 1


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        ({}, {"block", "tuned"}),
        ({"baseline": False}, {"block", "tuned", "difference", "relative", "p", "examples"}),
        ({"seeds": (0,), "tuned": (0.1,)}, {"block", "p"}),
        ({"blocks": ("x", "y")}, {"tuned"}),
    ],
)
def test_table_leaves_out_columns_without_content(options: dict[str, Any], dropped: set[str]) -> None:
    keys = {column.key for column in main_table(sample(**options)).columns}
    everything = {"block", "arm", "tuned", "seeds", "metric", "difference", "relative", "p", "examples"}
    everything |= {"parameters", "rank"}
    assert keys == everything - dropped


def test_table_writes_shares_in_percent_with_intervals() -> None:
    cell = cells_of(sample(), "metric")[1]
    assert cell.text == "58.1"
    assert cell.detail == "[57.4, 58.8]"
    assert cell.sort == pytest.approx(0.581, abs=5e-4)  # as far as the text tells


def test_table_writes_losses_in_nats() -> None:
    analysis = sample(metric="loss")
    assert cells_of(analysis, "metric")[1].text == "1.047"
    assert cells_of(analysis, "difference")[1].text == "−0.271"  # noqa: RUF001
    titles = [column.title for column in main_table(analysis).columns]
    assert "Test loss,\N{NO-BREAK SPACE}nats" in titles
    assert "Difference, nats" in titles


def test_table_names_missing_seeds() -> None:
    cell = cells_of(sample(failed=frozenset({1, 2})), "seeds")[0]
    assert (cell.text, cell.title) == ("3 of 5", "missing: 1, 2")


def test_settings_are_written_as_in_a_spec() -> None:
    values: dict[str, Any] = {"a.b": 0.1, "c": True, "d": ["x", 1], "e": "s", "f": {"g": 1e-05}}
    assert settings(values) == "a.b = 0.1, c = true, d = x, 1, e = s, f = g = 1e-05"
    assert settings({"a.b": 0.1}, short=True) == "b = 0.1"


def test_methods_mention_tuning_only_when_the_study_tunes() -> None:
    assert not any("Tuned" in said for said in narrative.methods(sample()))
    assert narrative.methods(sample(tuned=(0.1,)))[-1].startswith("Tuned values are chosen")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {},
            "Neither the intervals nor the p of gained and lost are corrected for the number of comparisons.",
        ),
        ({"baseline": False}, "The intervals are not corrected for the number of comparisons."),
        ({"seeds": (0,)}, "The p of gained and lost is not corrected for the number of comparisons."),
        ({"arms": ("a",)}, None),
        ({"seeds": (0,), "baseline": False}, None),
    ],
)
def test_methods_name_uncorrected_results(options: dict[str, Any], said: str | None) -> None:
    found = [
        sentence for sentence in narrative.methods(sample(**options)) if "number of comparisons" in sentence
    ]
    assert found == ([] if said is None else [said])


def test_methods_mention_only_tests_that_were_run() -> None:
    assert "corrected by Holm's method over all 2 comparisons" in narrative.methods(sample())[1]
    assert narrative.methods(sample(seeds=(0,)))[1].endswith("on the seeds that both have finished.")
    assert len(narrative.methods(sample(seeds=(0, 1), failed=frozenset(range(6))))) == 1


def test_command_is_quoted_for_a_shell() -> None:
    analysis = sample(name="a b")
    assert narrative.reproduce(analysis) == "boostlora ablate 'a b.toml'"
