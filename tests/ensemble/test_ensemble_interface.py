"""`Ensemble` in Python: any selection of rounds is a model, independent of earlier calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.api import load, save
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext

from ..support.boost_runs import weights_sha256
from .families import Family

SELECTIONS: tuple[Any, ...] = (0, 1, 2, 3, None, "2..3", "1,3", {1: 0.5, 3: -1.0}, {2: 1.0})


@pytest.fixture(scope="module")
def fresh(family: Family) -> dict[int, Any]:
    """Logits of every selection, each by an ensemble of its own."""
    return {i: family.open().logits(family.inputs, rounds) for i, rounds in enumerate(SELECTIONS)}


def test_different_selections_have_different_outputs(fresh: dict[int, Any]) -> None:
    kinds = {array.tobytes() for array in fresh.values()}
    assert len(kinds) == len(SELECTIONS) or len(kinds) == len(SELECTIONS) - 1  # three rounds may be all


@given(order=st.lists(st.integers(0, len(SELECTIONS) - 1), min_size=1, max_size=6))
def test_model_of_a_selection_does_not_depend_on_earlier_calls(
    order: list[int], family: Family, fresh: dict[int, Any], used: Ensemble
) -> None:
    for i in order:
        np.testing.assert_array_equal(used.logits(family.inputs, SELECTIONS[i]), fresh[i])


def test_predictions_are_the_argmax_of_the_logits(family: Family, used: Ensemble) -> None:
    if family.name == "causal":
        pytest.skip("a completion's prediction counts its tokens")
    for rounds in (0, 2, "1,3"):
        expected = used.logits(family.inputs, rounds).argmax(axis=1)
        np.testing.assert_array_equal(used.predict(family.inputs, rounds).output, expected)


def test_equivalent_spellings_of_rounds_share_one_model(
    family: Family, used: Ensemble, fresh: dict[int, Any]
) -> None:
    for rounds in (2, "2", "1..2", [2, 1], {1: 1.0, 2: 1.0}, np.int64(2), used.choose(2)):
        np.testing.assert_array_equal(used.logits(family.inputs, rounds), fresh[2])


def test_exportable_has_the_selected_rounds_and_weights(used: Ensemble) -> None:
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


def test_ensemble_of_a_boost_file_equals_that_of_the_run(
    family: Family, tmp_path: Path, fresh: dict[int, Any]
) -> None:
    own = family.open()
    file = save(own, tmp_path / "x.boost.safetensors")
    cache = RunContext(cache=tmp_path / "cache")
    loaded = load(file, family.base, plugins=family.plugins, context=cache)
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
    first = save(own, tmp_path / "one.boost.safetensors")
    cache = RunContext(cache=tmp_path / "cache")
    loaded = load(first, family.base, plugins=family.plugins, context=cache)
    second = save(loaded, tmp_path / "two.boost.safetensors", 2)
    again = load(second, family.base, plugins=family.plugins, context=cache)
    assert len(again) == 2
    assert weights_sha256(again) == weights_sha256(own, 2)


def test_inputs_of_the_wrong_form_are_refused(family: Family, used: Ensemble) -> None:
    wrong: Any = {"causal": ["text"], "classifier": [1, 2]}.get(family.name, np.zeros(9))
    with pytest.raises(UsageError, match="the model takes"):
        used.predict(wrong)
    if not family.name.endswith("toy"):
        with pytest.raises(UsageError, match="the model takes a list of texts, not a single text"):
            used.logits("one text")


def test_text_is_generated_by_any_selection(family: Family, used: Ensemble) -> None:
    if family.name != "causal":
        with pytest.raises(UsageError, match=r"model [a-z-]+ does not generate text"):
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


def test_plain_module_is_a_copy_with_equal_outputs(family: Family, used: Ensemble) -> None:
    torch = pytest.importorskip("torch")
    module, other = used.model(2), used.model(0)
    before = used.logits(family.inputs, 2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(used.logits(family.inputs, 2), before)
    assert any(bool(parameter.any()) for parameter in other.parameters())
