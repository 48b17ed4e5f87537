"""`Ensemble` in Python: any selection of rounds is a model, whatever was asked before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import Outcome
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.ensemble.staging import evaluate, gain, stages, without_each
from boostlora.engine.errors import UsageError
from boostlora.engine.judging import metrics_of
from boostlora.engine.record.directory import RunDirectory
from boostlora.engine.testing import assert_close
from boostlora.engine.workplace import Workplace

from ..support.boost_runs import PLUGIN, ToyRun, weights_sha256

SPLITS = ("train", "validation", "test")
SELECTIONS: tuple[Any, ...] = (0, 1, 2, 3, None, "2..3", "1,3", {1: 0.5, 3: -1.0}, {2: 1.0})


@attrs.frozen
class Family:
    """A run and how it is opened, with inputs that its model takes."""

    name: str
    open: Callable[[], Ensemble]
    base: Path
    inputs: Any
    plugins: tuple[Path, ...] = ()


@pytest.fixture(scope="module")
def classifier_path(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A run of a tiny BERT with a fitted head, which lies beside it in `model`."""
    pytest.importorskip("transformers", reason="needs transformers")
    from ..support.export_runs import classifier_run

    folder = tmp_path_factory.mktemp("classifier")
    classifier_run(folder, shared_cache)
    return folder / "run"


@pytest.fixture(scope="module", params=["toy", "torch_toy", "causal", "classifier"])
def family(request: pytest.FixtureRequest, shared_cache: Path) -> Family:
    """A perceptron by both backends, a causal language model, a classifier."""
    name = request.param
    if name.endswith("toy"):
        run: ToyRun = request.getfixturevalue(name)
        rows = np.random.default_rng(0).standard_normal((5, 9))
        return Family(name, run.ensemble, run.base, rows, (PLUGIN,))
    path: Path = request.getfixturevalue(f"{name}_path")
    inputs: Any = ["good dog", "bad cat 3", "cat"]
    if name == "causal":
        inputs = [("1 + 2 =", " 3"), ("20 + 6 =", " 26")]

    def opened() -> Ensemble:
        return Ensemble.open(path, workplace=Workplace(cache=shared_cache))

    return Family(name, opened, path.parent / "model", inputs)


@pytest.fixture(scope="module")
def fresh(family: Family) -> dict[int, Any]:
    """Logits of every selection, each by an ensemble of its own."""
    return {i: family.open().logits(family.inputs, rounds) for i, rounds in enumerate(SELECTIONS)}


@pytest.fixture(scope="module")
def used(family: Family) -> Ensemble:
    """One ensemble, asked for everything."""
    return family.open()


def _same(one: Outcome, two: Outcome) -> None:
    for field in ("ids", "prediction", "correct", "reward", "loss"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


def test_selections_differ_from_one_another(fresh: dict[int, Any]) -> None:
    kinds = {array.tobytes() for array in fresh.values()}
    assert len(kinds) == len(SELECTIONS) or len(kinds) == len(SELECTIONS) - 1  # three rounds may be all


@given(order=st.lists(st.integers(0, len(SELECTIONS) - 1), min_size=1, max_size=6))
def test_model_of_a_selection_does_not_depend_on_what_was_asked_before(
    order: list[int], family: Family, fresh: dict[int, Any], used: Ensemble
) -> None:
    for i in order:
        np.testing.assert_array_equal(used.logits(family.inputs, SELECTIONS[i]), fresh[i])


def test_predictions_are_the_largest_logits(family: Family, used: Ensemble) -> None:
    if family.name == "causal":
        pytest.skip("a completion's prediction counts its tokens")
    for rounds in (0, 2, "1,3"):
        expected = used.logits(family.inputs, rounds).argmax(axis=1)
        np.testing.assert_array_equal(used.predict(family.inputs, rounds).output, expected)


def test_rounds_of_any_spelling_are_one_model(family: Family, used: Ensemble, fresh: dict[int, Any]) -> None:
    for rounds in (2, "2", "1..2", [2, 1], {1: 1.0, 2: 1.0}, np.int64(2), used.choose(2)):
        np.testing.assert_array_equal(used.logits(family.inputs, rounds), fresh[2])


@pytest.mark.parametrize("split", SPLITS)
def test_recomputed_outcomes_are_the_recorded_ones(split: str, used: Ensemble) -> None:
    for rounds in (0, 2, None, 1):
        _same(used.outcome(split, rounds, recompute=True), used.outcome(split, rounds))
        assert used.evaluate(split, rounds) == metrics_of(used.outcome(split, rounds))


def test_recorded_outcomes_are_read_without_opening_the_model(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = family.open()

    def none(*_: object, **__: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr("boostlora.engine.ensemble.opening.open_experiment", none)
    found = [ensemble.outcome("test", n) for n in range(len(ensemble) + 1)]
    assert [metrics_of(outcome) for outcome in found] == ensemble.staged("test")
    with pytest.raises(AssertionError, match="the model was opened"):
        ensemble.outcome("test", "2..3")


def test_staged_metrics_are_those_of_every_prefix(used: Ensemble) -> None:
    for split in SPLITS:
        expected = [used.evaluate(split, n, recompute=True) for n in range(len(used) + 1)]
        assert used.staged(split) == expected
    assert len(used.staged()) == len(used) + 1


def test_weighted_selections_are_evaluated_as_assembled(family: Family, used: Ensemble) -> None:
    outcome = used.outcome("test", {1: 0.5, 3: -1.0})
    _same(family.open().outcome("test", {1: 0.5, 3: -1.0}), outcome)
    assert outcome.loss.tolist() != used.outcome("test").loss.tolist()


@pytest.mark.parametrize("split", ["tests", "", "all"])
def test_splits_that_are_none_are_refused(split: str, used: Ensemble) -> None:
    for ask in (used.outcome, used.evaluate):
        with pytest.raises(UsageError) as caught:
            ask(split)
        assert str(caught.value) == f'no split "{split}"; there are: train, validation, test'


def test_exportable_has_the_chosen_rounds_with_their_weights(used: Ensemble) -> None:
    found = used.exportable({1: 0.5, 3: -1.0})
    recorded = used.origin.merged
    assert [(r.number, r.scale) for r in found.rounds] == [
        (1, 0.5 * recorded[1].scale),
        (3, -recorded[3].scale),
    ]
    assert used.exportable(0).rounds == ()
    model = used.origin.open()
    used.logits(used.origin.experiment.encoded.test, {1: 0.5, 3: -1.0})
    for site in found.sites:
        # a store merges in the master's dtype, and every model here computes in it
        np.testing.assert_array_equal(found.merged(site.name).astype(np.float64), model.weight(site.name))


def test_ensemble_of_a_boost_file_is_the_runs(family: Family, tmp_path: Path, fresh: dict[int, Any]) -> None:
    own = family.open()
    file = own.save(tmp_path / "x.boost.safetensors")
    cache = Workplace(cache=tmp_path / "cache")
    loaded = Ensemble.load(file, family.base, plugins=family.plugins, workplace=cache)
    assert (len(loaded), loaded.best, loaded.classes) == (len(own), own.best, own.classes)
    assert weights_sha256(loaded) == weights_sha256(own)
    for i, rounds in enumerate(SELECTIONS):
        np.testing.assert_array_equal(loaded.logits(family.inputs, rounds), fresh[i])
    assert loaded.staged("test") == own.staged("test")
    for ask in (loaded.outcome, loaded.evaluate):
        with pytest.raises(
            UsageError, match="a boost file holds no data; evaluate the run that it came from"
        ):
            ask("test", 1)


def test_boost_file_of_a_boost_file_is_the_same(family: Family, tmp_path: Path) -> None:
    own = family.open()
    first = own.save(tmp_path / "one.boost.safetensors")
    cache = Workplace(cache=tmp_path / "cache")
    loaded = Ensemble.load(first, family.base, plugins=family.plugins, workplace=cache)
    second = loaded.save(tmp_path / "two.boost.safetensors", 2)
    again = Ensemble.load(second, family.base, plugins=family.plugins, workplace=cache)
    assert len(again) == 2
    assert weights_sha256(again) == weights_sha256(own, 2)


def test_inputs_that_the_model_does_not_take_are_refused(family: Family, used: Ensemble) -> None:
    wrong: Any = {"causal": ["text"], "classifier": [1, 2]}.get(family.name, np.zeros(9))
    with pytest.raises(UsageError, match="the model takes"):
        used.predict(wrong)
    if not family.name.endswith("toy"):
        with pytest.raises(UsageError, match="one text was given; the model takes a list of them"):
            used.logits("one text")


def test_text_is_generated_by_any_selection(family: Family, used: Ensemble) -> None:
    if family.name != "causal":
        with pytest.raises(UsageError, match=r"model [a-z-]+ writes no texts"):
            used.generate(["1 +"])
        return
    prompts = ["1 + 2 =", "20 + 6 ="]
    first = used.generate(prompts, 1, max_new_tokens=5)
    used.generate(prompts, None, max_new_tokens=5)
    assert used.generate(prompts, 1, max_new_tokens=5) == first == family.open().generate(prompts, 1, max_new_tokens=5)  # fmt: skip
    drawn = [used.generate(prompts, 1, max_new_tokens=5, temperature=2.0, seed=s) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert used.generate([], 1) == []
    for wrong in ("1 +", [1]):
        given: Any = wrong
        with pytest.raises(UsageError):
            used.generate(given)


def test_plain_module_is_a_copy_that_computes_the_same(family: Family, used: Ensemble) -> None:
    torch = pytest.importorskip("torch")
    module, other = used.model(2), used.model(0)
    before = used.logits(family.inputs, 2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(used.logits(family.inputs, 2), before)
    assert any(bool(parameter.any()) for parameter in other.parameters())


@pytest.mark.parametrize(("name", "what"), [("TOY_DATA", "data"), ("TOY_WEIGHTS", "weights")])
def test_run_whose_data_or_weights_changed_is_refused(
    name: str, what: str, toy: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    ensemble = toy.ensemble()
    assert ensemble.staged("test")  # what is on disk is on disk
    for ask in (lambda: ensemble.predict(np.zeros((1, 9))), ensemble.exportable, lambda: ensemble.outcome("test", "2..3")):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == (
            f"{toy.path}: the {what} that it names are no longer those it began with; put them back"
        )


def test_run_of_another_text_dataset_is_refused(causal_path: Path, shared_cache: Path) -> None:
    data = causal_path.parent / "words.jsonl"
    kept = data.read_text()
    data.write_text(kept.replace("1 +", "2 +", 1))
    try:
        ensemble = Ensemble.open(causal_path, workplace=Workplace(cache=shared_cache))
        with pytest.raises(UsageError):
            ensemble.logits([("1 +", " 2")])
    finally:
        data.write_text(kept)


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_folder_that_is_no_run_is_refused(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "run"
    if kind == "file":
        place.write_text("no run")
    elif kind == "empty":
        place.mkdir()
    with pytest.raises(UsageError):
        Ensemble.open(place, runs=tmp_path / "runs")


def test_run_that_has_not_begun_is_told_so(toy: ToyRun, tmp_path: Path) -> None:
    place = tmp_path / "run"
    RunDirectory.create(place, toy.ensemble().spec)
    ensemble = Ensemble.open(place, plugins=(PLUGIN,), workplace=Workplace(cache=toy.cache))
    assert (len(ensemble), ensemble.best) == (0, 0)
    for ask in (lambda: ensemble.outcome("test"), lambda: stages(ensemble, ensemble.choose())):
        with pytest.raises(UsageError, match="the run has not evaluated its base yet; resume it first"):
            ask()
    assert ensemble.logits(np.zeros((1, 9)), 0).shape == (1, 3)


# -- What `boostlora evaluate` is made of


def test_evaluation_is_paired_with_the_base_and_with_all_rounds(used: Ensemble) -> None:
    found = evaluate(used, used.choose("2..3"), ("validation", "test"))
    assert (found.rounds, found.recorded) == ("2..3", False)
    assert found.metrics == {s: used.evaluate(s, "2..3") for s in ("validation", "test")}
    assert found.base == {s: used.evaluate(s, 0) for s in ("validation", "test")}
    assert found.all_rounds == {s: used.evaluate(s) for s in ("validation", "test")}
    for split in ("validation", "test"):
        for pair, other in ((found.against_base[split], 0), (found.against_all[split], None)):
            mine, theirs = used.outcome(split, "2..3").correct, used.outcome(split, other).correct
            assert pair is not None
            assert pair.only_first == int(np.sum(mine & ~theirs))
            assert pair.only_second == int(np.sum(~mine & theirs))
            assert_close(
                pair.difference,
                float(np.mean(mine) - np.mean(theirs)),
                atol=1e-12,
                rtol=0.0,
                what="difference",
            )


def test_leaving_one_round_out_is_the_selection_without_it(used: Ensemble) -> None:
    choice = used.choose()
    found = list(without_each(used, choice))
    merged = [r.round for r in used.records if r.scale != 0.0]
    assert [stage.round for stage in found] == merged
    for stage in found:
        rest = [n for n in choice.weights if n != stage.round]
        assert stage.validation == used.evaluate("validation", rest)
        assert stage.test == used.evaluate("test", rest)
        whole = used.evaluate("validation")
        assert gain(stage.validation, whole, "loss") == stage.validation.loss - whole.loss
        better = gain(stage.validation, whole, "accuracy")
        assert_close(better, whole.accuracy - stage.validation.accuracy, atol=1e-12, rtol=0.0, what="worth")
