"""`protein-binding`: its suite, how rows become pairs, and how a split is measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import Examples, Predictions, Texts
from boostlora.engine.testing import TaskContract, assert_close
from boostlora.plugins.tasks._protein.complexes import windows
from boostlora.plugins.tasks.protein_binding import ProteinBinding

from .protein_cases import complexes
from .text_cases import PARTS, Write, contents, everything, load, message


class TestProteinBinding(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, write: Write) -> None:
        self.path = write(complexes(), "complexes.csv")

    def make(self):
        return ProteinBinding(path=self.path)


class TestJoined(TestProteinBinding):
    def make(self):
        return ProteinBinding(path=self.path, layout="joined", per_group=3, limit=30, max_residues=8)


def test_protein_pairs_are_two_texts_with_linkers_and_the_tight_class_second(write: Write) -> None:
    frame = complexes()
    splits = load(ProteinBinding(path=write(frame), linker="."))
    assert splits.classes == ("weak", "tight")
    expected = {
        (a.replace("|", "."), b): "tight" if pkd >= 8 else "weak"
        for a, b, pkd in zip(frame.ligand_seq, frame.receptor_seq, frame.pkd, strict=True)
    }
    assert dict(everything(splits).values()) == expected


def test_protein_joined_layout_is_one_text_with_glycines_by_default(write: Write) -> None:
    frame = complexes()
    found = everything(load(ProteinBinding(path=write(frame), layout="joined")))
    wanted = {
        f"{a}|{b}".replace("|", "G" * 25) for a, b in zip(frame.ligand_seq, frame.receptor_seq, strict=True)
    }
    assert {text for (text,), _ in found.values()} == wanted


def test_protein_molar_affinities_are_the_same_as_their_logarithms(write: Write) -> None:
    frame = complexes()
    path = write(frame.assign(kd=10.0**-frame.pkd))
    molar = load(ProteinBinding(path=path, affinity="kd", scale="molar"))
    assert everything(molar) == everything(load(ProteinBinding(path=path)))


def test_protein_measurements_of_one_pair_are_averaged_unless_kept(write: Write) -> None:
    frame = complexes()
    again = frame.iloc[[0, 0]].assign(pkd=[7.0, 8.5])  # the pair itself is at 6.0: the mean is 7.2
    path = write(pd.concat([again, frame]))
    pair = (frame.ligand_seq[0], frame.receptor_seq[0])

    def labels(task: ProteinBinding) -> list[str]:
        return sorted(label for texts, label in everything(load(task)).values() if texts[1] == pair[1])

    assert labels(ProteinBinding(path=path)) == ["weak"]
    assert labels(ProteinBinding(path=path, duplicates="keep")) == ["tight", "weak", "weak"]


def test_protein_gap_omits_pairs_near_the_threshold(write: Write) -> None:
    frame = complexes()
    splits = load(ProteinBinding(path=write(frame), threshold=9.05, gap=0.02))
    assert len(everything(splits)) == len(frame) - sum(abs(frame.pkd - 9.05) < 0.02) < len(frame)


def test_protein_threshold_of_zero_is_the_median(write: Write) -> None:
    frame = complexes().assign(pkd=np.linspace(2.0, 5.0, 48))
    labels = [
        label for _, label in everything(load(ProteinBinding(path=write(frame), threshold=0.0))).values()
    ]
    assert labels.count("tight") == labels.count("weak") == 24


@pytest.mark.parametrize(("variants", "rows"), [("wild-types", 12), ("mutants", 36), ("all", 48)])
def test_protein_variants_are_identified_by_their_mutations(write: Write, variants: str, rows: int) -> None:
    assert len(everything(load(ProteinBinding(path=write(complexes()), variants=variants)))) == rows  # type: ignore[arg-type]


def test_protein_per_group_limits_the_pairs_of_each_group(write: Write) -> None:
    frame = complexes()
    found = everything(load(ProteinBinding(path=write(frame), per_group=2)))
    ligands = [texts[0] for texts, _ in found.values()]
    assert {ligands.count(ligand) for ligand in ligands} == {2}
    assert len(set(ligands)) == 12


def test_protein_ids_do_not_depend_on_options_or_order(write: Write) -> None:
    frame = complexes()
    expected = {k: v[0] for k, v in everything(load(ProteinBinding(path=write(frame)))).items()}
    path = write(frame.sample(frac=1, random_state=3), "shuffled.csv")
    found = everything(load(ProteinBinding(path=path, threshold=6.05, per_group=3), seed=5))
    assert {k: v[0] for k, v in found.items()}.items() <= expected.items()


def test_protein_given_splits_are_kept(write: Write) -> None:
    frame = complexes()
    path, test = write(frame[:40]), write(frame[40:], "test.csv")
    splits = load(ProteinBinding(path=path, test_path=test, linker="-"))
    assert {row[1] for row in splits.test.inputs.rows} == set(frame.receptor_seq[40:])
    column = frame.assign(part=np.repeat(["train", "validation", "test"], 16))
    splits = load(ProteinBinding(path=write(column, "said.csv"), split="part"))
    assert [len(getattr(splits, part)) for part in PARTS] == [16, 16, 16]


def test_protein_window_contains_the_positions_where_variants_differ() -> None:
    head, tail = "A" * 30, "C" * 30
    sides = [f"{head}DEF{tail}", f"{head}DKF{tail}", f"{head}DEW{tail}"]
    found = windows([*sides, "M" * 5, "KL" * 20], [0, 0, 0, 0, 1], 8)
    assert [text.replace("A", "").replace("C", "") for text in found[:3]] == ["DEF", "DKF", "DEW"]
    assert len({len(text) for text in found[:3]}) == 1
    assert found[3:] == ["M" * 5, "KL" * 4]


def test_protein_windows_do_not_end_in_a_chain_break() -> None:
    assert windows(["ACD|EFG", "ACD|EFH"], [0, 0], 4) == ["EFG", "EFH"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pkd": "high"}, ['"pkd"', '"high"', "row 3", "a number"]),
        ({"receptor_seq": "AC1D"}, ['"receptor_seq"', '"AC1D"', "row 3", "one letter per residue"]),
        ({"ligand_seq": "ACD||EF"}, ['"ligand_seq"', "an empty chain", "row 3"]),
        ({"ligand_seq": ""}, ['"ligand_seq"', "an empty chain", "row 3"]),
    ],
)
def test_protein_rows_without_a_complex_are_refused(
    write: Write, change: dict[str, str], words: list[str]
) -> None:
    frame = complexes().astype(object)
    for column, value in change.items():
        frame.loc[2, column] = value
    path = write(frame)
    said = message(lambda: ProteinBinding(path=path))
    assert all(word in said for word in [path, *words]), said


def test_protein_constants_that_are_not_positive_are_refused(write: Write) -> None:
    path = write(complexes().assign(kd=0.0))
    assert "is positive" in message(lambda: ProteinBinding(path=path, affinity="kd", scale="molar"))


def test_protein_missing_column_is_refused_with_those_there_are(write: Write) -> None:
    path = write(complexes().drop(columns="group"))
    assert 'no column "group" (group); there are: mutations' in message(lambda: ProteinBinding(path=path))
    assert len(everything(load(ProteinBinding(path=path, group="")))) == 48


def test_protein_threshold_that_leaves_one_class_is_refused(write: Write) -> None:
    path = write(complexes())
    said = message(lambda: ProteinBinding(path=path, threshold=12.0))
    assert "all of one class at threshold 12" in said
    assert "between 6 and 9.11" in said


def test_protein_too_few_groups_are_refused(write: Write) -> None:
    path = write(complexes(groups=2))
    said = message(lambda: ProteinBinding(path=path))
    assert "there are 2 groups: 2 with both classes" in said


def test_protein_variants_without_their_column_are_refused() -> None:
    with pytest.raises(ValueError, match='needs the column of "mutations"'):
        ProteinBinding(path="x.csv", mutations="", variants="mutants")


def test_protein_judgement_measures_the_ranking(write: Write) -> None:
    """By hand: scores of class 1 are 0.9, 0.4 (tight) and 0.6, 0.2 (weak): three of four pairs are in order."""
    examples = Examples(ids=np.arange(4), inputs=Texts((("A", "C"),) * 4), labels=np.array([1, 1, 0, 0]))
    p = np.array([0.9, 0.4, 0.6, 0.2])
    loss = -np.log(np.where(examples.labels == 1, p, 1 - p))
    predictions = Predictions(output=(p > 0.5).astype(np.int64), loss=loss)
    outcome = ProteinBinding(path=write(complexes())).judge(examples, predictions)
    assert outcome.correct.tolist() == [True, False, False, True]
    wanted = {"auroc": 0.75, "auprc": 5 / 6, "mcc": 0.0, "balanced_accuracy": 0.5, "macro_f1": 0.5, "f1": 0.5}
    assert list(outcome.measures) == list(wanted)
    for name, value in wanted.items():
        assert_close(outcome.measures[name], value, atol=1e-12, what=name)  # rounding


def test_protein_judgement_of_one_class_has_no_measures(write: Write) -> None:
    examples = Examples(ids=np.arange(2), inputs=Texts((("A", "C"),) * 2), labels=np.array([1, 1]))
    predictions = Predictions(output=np.array([1, 0]), loss=np.array([0.1, 2.0]))
    assert ProteinBinding(path=write(complexes())).judge(examples, predictions).measures == {}


def test_protein_splits_contain_every_pair_once(write: Write) -> None:
    splits = load(ProteinBinding(path=write(complexes())))
    assert sum(len(contents(splits, part)) for part in PARTS) == len(everything(splits)) == 48
