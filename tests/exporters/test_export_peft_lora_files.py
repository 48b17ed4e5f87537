"""Files of `peft-lora` loaded by PEFT compute the boosted model."""

import attrs
import numpy as np
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.testing import assert_close
from boostlora.plugins.exporters.peft_lora import PeftLora

from .peft_helpers import (
    ROUNDING,
    base_module,
    config_of,
    own_run,
    product,
    says,
    sum_of_updates,
    tensors_of,
    tolerance,
    written,
)

pytest.importorskip("torch", reason="needs PyTorch")
peft = pytest.importorskip("peft", reason="needs PEFT")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing:FutureWarning"  # PEFT calls what transformers has renamed
)

# PEFT computes `x W^T + (x A^T) B^T` where a merge adds the product to `W` first: every logit is a sum of the same terms in another
# order, some roundings apart.


def test_stacked_adapter_has_the_sum_of_the_rounds_ranks_and_scaling_one(causal_case, tmp_path):
    folder = written(PeftLora(), causal_case, tmp_path / "x")
    config = config_of(folder)
    assert (config["r"], config["lora_alpha"], config["rank_pattern"]) == (6, 6, {})
    assert config["task_type"] == "CAUSAL_LM"
    assert config["base_model_name_or_path"] == str(causal_case.ensemble.source.files[0].parent)
    wrapped = peft.PeftModel.from_pretrained(base_module(causal_case), folder)
    layers = [m for m in wrapped.modules() if isinstance(m, peft.tuners.lora.LoraLayer)]
    assert len(layers) == len(causal_case.ensemble.sites)
    assert {layer.scaling["default"] for layer in layers} == {1.0}


@pytest.mark.parametrize("options", [{}, {"compact": True}])
def test_factors_in_the_files_multiply_to_the_sum_of_updates(causal_case, tmp_path, options):
    folder = written(PeftLora(**options), causal_case, tmp_path / "x")
    for site in causal_case.ensemble.sites:
        expected = sum_of_updates(causal_case, site.name)
        # Two factors, each rounded once to float32, over six columns.
        atol = 8 * ROUNDING * np.abs(expected).max()
        assert_close(product(folder, site.name.removesuffix(".weight")), expected, atol=atol, what=site.name)


@pytest.mark.parametrize("name", ["causal_case", "classifier_case"])
def test_merge_and_unload_gives_the_merged_weights(name, request, tmp_path):
    case = request.getfixturevalue(name)
    folder, whole = written(PeftLora(), case, tmp_path / "x"), base_module(case)
    classifier = name == "classifier_case"
    wrapped = peft.PeftModel.from_pretrained(whole.model if classifier else whole, folder)
    parameters = dict(wrapped.merge_and_unload().named_parameters())
    for site in case.ensemble.sites:
        found = parameters[site.name.removeprefix("model.") if classifier else site.name]
        expected = case.ensemble.merged(site.name)
        # The product in float32 over six columns, and one addition.
        atol = 8 * ROUNDING * np.abs(expected).max()
        assert_close(found.detach().numpy(), expected, atol=atol, what=site.name)


def test_first_adapters_of_the_rounds_give_the_staged_models(causal_case, tmp_path):
    folder = written(PeftLora(per_round=True), causal_case, tmp_path / "x")
    rounds = [f"round-{r.number:04d}" for r in causal_case.ensemble.rounds]
    assert sorted(path.name for path in folder.iterdir()) == rounds
    assert {config_of(folder / name)["r"] for name in rounds} == {2}
    wrapped = peft.PeftModel.from_pretrained(base_module(causal_case), folder / rounds[0], rounds[0])
    for name in rounds[1:]:
        wrapped.load_adapter(folder / name, name)
    for t in range(1, len(rounds) + 1):
        wrapped.base_model.set_adapter(rounds[:t])
        expected = causal_case.of(*causal_case.ensemble.rounds[:t]).evaluated()
        found = says(causal_case, wrapped.base_model.model)
        assert_close(found, expected, atol=tolerance(expected), what=f"after {t} rounds")


def test_round_adapters_combined_by_peft_give_the_whole_model(causal_case, tmp_path):
    folder = written(PeftLora(per_round=True), causal_case, tmp_path / "x")
    rounds = sorted(path.name for path in folder.iterdir())
    wrapped = peft.PeftModel.from_pretrained(base_module(causal_case), folder / rounds[0], rounds[0])
    for name in rounds[1:]:
        wrapped.load_adapter(folder / name, name)
    wrapped.add_weighted_adapter(rounds, [1.0] * len(rounds), "all", combination_type="cat")
    wrapped.set_adapter("all")
    expected = causal_case.evaluated()
    found = says(causal_case, wrapped.base_model.model)
    assert_close(found, expected, atol=tolerance(expected), what="logits")


def test_sites_of_different_ranks_are_loaded_with_their_ranks(causal_case, tmp_path):
    rounds = causal_case.ensemble.rounds
    site = causal_case.ensemble.sites[3].name
    fewer = {name: update for name, update in rounds[1].updates.items() if name != site}
    case = causal_case.of(rounds[0], attrs.evolve(rounds[1], updates=fewer))
    folder = written(PeftLora(), case, tmp_path / "x")
    config = config_of(folder)
    assert config["r"] == 4
    assert config["rank_pattern"] == config["alpha_pattern"]
    assert list(config["rank_pattern"].values()) == [2]
    expected = case.evaluated()
    found = case.opened(PeftLora().reload(case.ensemble, folder))
    assert_close(found, expected, atol=tolerance(expected), what="logits")


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_compact_adapter_of_fixed_directions_has_the_rank_of_one_round(family, tmp_path, shared_cache):
    more = '[basis]\nuse = "fixed"\n[adapter]\nrank = 2\nu = 4\n'
    case = own_run(tmp_path / "run", shared_cache, more, family=family)
    stacked = written(PeftLora(), case, tmp_path / "stacked")
    folder = written(PeftLora(compact=True), case, tmp_path / "compact")
    assert (config_of(stacked)["r"], config_of(folder)["r"]) == (6, 2)
    for site in case.ensemble.sites:
        rank = np.linalg.matrix_rank(sum_of_updates(case, site.name), tol=1e-12)
        key = f"base_model.model.{site.name.removesuffix('.weight')}.lora_A.weight"
        assert tensors_of(folder)[key].shape[0] == rank
    expected = case.evaluated()
    found = case.opened(PeftLora().reload(case.ensemble, folder))
    assert_close(found, expected, atol=tolerance(expected), what="logits")


def test_lora_rounds_are_exported_with_their_free_factors(tmp_path, shared_cache):
    case = own_run(tmp_path / "run", shared_cache, '[adapter]\nuse = "lora"\nrank = 2\n')
    folder = written(PeftLora(), case, tmp_path / "x")
    expected = case.evaluated()
    found = case.opened(PeftLora().reload(case.ensemble, folder))
    assert_close(found, expected, atol=tolerance(expected), what="logits")


def test_files_can_be_read_by_others(classifier_case, tmp_path):
    folder = written(PeftLora(), classifier_case, tmp_path / "x")
    names = {"adapter_config.json", "adapter_model.safetensors", "head.safetensors"}
    assert {path.name for path in folder.iterdir()} == names
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.iterdir())


def test_adapter_that_lacks_a_module_is_not_read_back(causal_case, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = written(PeftLora(), causal_case, tmp_path / "x")
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UsageError, match="PEFT cannot load it: Found missing adapter keys"):
        causal_case.opened(PeftLora().reload(causal_case.ensemble, folder))
