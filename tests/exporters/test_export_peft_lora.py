"""`peft-lora` in PEFT itself: what it loads computes what was boosted.

PEFT computes `x W^T + (x A^T) B^T` where a merge adds the product to `W` first: every logit is a sum of the same terms in another
order, some roundings apart.
"""

import attrs
import numpy as np
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.testing import ExporterContract, assert_close
from boostlora.plugins.exporters.peft_lora import PeftLora

from ..support.export_runs import causal_run, classifier_run, scratch_causal_run, scratch_classifier_run
from .peft_helpers import (
    ROUNDING,
    assert_usage_answers,
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

torch = pytest.importorskip("torch", reason="needs PyTorch")
peft = pytest.importorskip("peft", reason="needs PEFT")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing:FutureWarning"  # PEFT calls what transformers has renamed
)


class LoraContract(ExporterContract):
    @pytest.fixture(params=["causal_case", "classifier_case"])
    def case(self, request):
        return request.getfixturevalue(request.param)

    def test_export_of_no_rounds_says_what_the_base_says(self, case):
        with pytest.raises(UsageError, match="no round was merged, so there is nothing to adapt"):
            self.make().check(case.of().ensemble)


class TestStacked(LoraContract):
    # A fitted head's weights cancel one another: its logits are small beside the numbers that were rounded on the way, and
    # where sums of float32 begin, with memory, decides their last bits: 18 roundings were seen.
    roundings = 64
    usage_roundings = 512

    def make(self):
        return PeftLora()


class TestCompact(LoraContract):
    test_usage_loads_the_export_without_this_package = None  # it is that of the stacked adapter

    def make(self):
        return PeftLora(compact=True)


class TestPerRound(LoraContract):
    def make(self):
        return PeftLora(per_round=True)

    @pytest.fixture
    def case(self, causal_case):
        return causal_case

    def weight_files(self, folder):
        return sorted(folder.rglob("*.safetensors"))


class TestHalf(LoraContract):
    test_usage_loads_the_export_without_this_package = None  # it is that of the stacked adapter

    def make(self):
        return PeftLora(dtype="float16")


@pytest.fixture(scope="module")
def gpt2_case(tmp_path_factory, shared_cache):
    return causal_run(tmp_path_factory.mktemp("gpt2"), shared_cache, family="gpt2")


class TestConv1d(LoraContract):
    test_usage_loads_the_export_without_this_package = None  # it is that of any other model

    def make(self):
        return PeftLora()

    @pytest.fixture
    def case(self, gpt2_case):
        return gpt2_case


# -- What PEFT does with the files


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


def test_adapters_of_the_rounds_put_together_by_peft_give_the_whole(causal_case, tmp_path):
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


def test_sites_of_different_ranks_are_loaded_with_theirs(causal_case, tmp_path):
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
    more = '[basis]\nuse = "fixed"\n[adapter]\nrank = 2\ndirections = 4\n'
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


# -- Heads, and other models


def test_head_of_a_language_model_is_a_module_as_any(tmp_path, shared_cache):
    more = '[sites]\ntargets = ["*.q_proj", "lm_head"]\n[adapter]\nrank = 2\ndirections = 4\n'
    case = own_run(tmp_path / "run", shared_cache, more)
    folder = written(PeftLora(), case, tmp_path / "x")
    assert "lm_head" in config_of(folder)["target_modules"]
    expected = case.evaluated()
    found = case.opened(PeftLora().reload(case.ensemble, folder))
    assert_close(found, expected, atol=tolerance(expected), what="logits")
    assert_usage_answers(PeftLora(), case, folder)


@pytest.fixture(scope="module")
def head_case(tmp_path_factory, shared_cache):
    more = (
        '[sites]\ntargets = ["*query", "head"]\n[basis]\nuse = "fixed"\n[adapter]\nrank = 2\ndirections = 4\n'
    )
    return own_run(tmp_path_factory.mktemp("head"), shared_cache, more, family="bert", causal=False)


def test_head_of_a_classifier_that_was_trained_is_merged_beside_the_adapter(head_case, tmp_path):
    folder = written(PeftLora(), head_case, tmp_path / "x")
    assert all("query" in module for module in config_of(folder)["target_modules"])
    expected = head_case.evaluated()
    found = head_case.opened(PeftLora().reload(head_case.ensemble, folder))
    assert_close(found, expected, atol=tolerance(expected), what="logits")
    with pytest.raises(UsageError, match="leave per_round off"):
        PeftLora(per_round=True).check(head_case.ensemble)


def test_classifier_whose_head_alone_was_trained_is_refused(head_case):
    rounds = [
        attrs.evolve(r, updates={"head.weight": r.updates["head.weight"]}) for r in head_case.ensemble.rounds
    ]
    with pytest.raises(UsageError, match=r"only the head head\.weight was trained"):
        PeftLora().check(head_case.of(*rounds).ensemble)


@pytest.mark.parametrize("make", [scratch_causal_run, scratch_classifier_run])
def test_model_made_from_nothing_is_loaded_from_its_folder(make, tmp_path, shared_cache):
    case = make(tmp_path / "run", shared_cache)
    folder = written(PeftLora(), case, tmp_path / "x")
    assert_usage_answers(PeftLora(), case, folder)


@pytest.mark.parametrize("pooling", ["cls", "last", "max"])
def test_usage_pools_as_the_model_does(pooling, tmp_path, shared_cache):
    case = classifier_run(tmp_path / "run", shared_cache, options=f'pooling = "{pooling}"')
    folder = written(PeftLora(), case, tmp_path / "x")
    assert_usage_answers(PeftLora(), case, folder)


def test_usage_asks_in_the_chat_template_where_the_run_did(tmp_path, shared_cache):
    case = causal_run(tmp_path / "run", shared_cache, options="chat_template = true", chat=True)
    folder = written(PeftLora(), case, tmp_path / "x")
    assert_usage_answers(PeftLora(), case, folder)


# -- Precision, and refusals


def as_bfloat16(folder):
    """Store a model's weights in bfloat16, but for those of its last layer."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    halved = {n: t if "layers.1" in n else t.bfloat16() for n, t in load_file(file).items()}
    save_file(halved, file, metadata={"format": "pt"})


def test_factors_as_the_base_are_of_its_dtype(tmp_path, shared_cache):
    from safetensors.torch import load_file

    case, exporter = causal_run(tmp_path / "run", shared_cache, after=as_bfloat16), PeftLora(dtype="base")
    folder = written(exporter, case, tmp_path / "x")
    assert exporter.precision(case.ensemble) == "bfloat16"
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        assert tensor.dtype == (torch.float32 if "layers.1" in name else torch.bfloat16)
    assert PeftLora().precision(case.ensemble) == "float32"


def test_usage_says_which_rank_a_server_has_to_allow(causal_case):
    rounds, ensemble = causal_case.ensemble.rounds, causal_case.ensemble
    assert "--max-lora-rank 8\n" in PeftLora().usage(ensemble, "x")
    many = attrs.evolve(ensemble, rounds=rounds * 3)
    assert "--max-lora-rank 32\n" in PeftLora().usage(many, "x")
    too_many = attrs.evolve(ensemble, rounds=rounds * 100)
    assert "The rank is 600, and vLLM takes 512 at most: try --set compact=true" in PeftLora().usage(
        too_many, "x"
    )
    assert "from the r in x/adapter_config.json" in PeftLora(compact=True).usage(ensemble, "x")


def test_entry_too_large_for_float16_is_refused(causal_case, tmp_path):
    rounds = [attrs.evolve(r, scale=1e12) for r in causal_case.ensemble.rounds]
    with pytest.raises(UsageError, match="an entry is too large for float16; --set dtype=bfloat16"):
        written(PeftLora(dtype="float16"), causal_case.of(*rounds), tmp_path / "x")


def test_dense_rounds_are_refused_and_told_what_to_use(tmp_path, shared_cache):
    more = '[sites]\ntargets = ["*.q_proj"]\n[adapter]\nuse = "full"\n'
    case = own_run(tmp_path / "run", shared_cache, more)
    with pytest.raises(
        UsageError, match=r"layers\.0\.self_attn\.q_proj\.weight was trained entry by entry .*--to hf"
    ):
        PeftLora().check(case.ensemble)


def test_perceptron_is_refused_and_told_what_to_use(mlp_case):
    with pytest.raises(UsageError, match="architecture mlp; --to safetensors takes any"):
        PeftLora().check(mlp_case.ensemble)


def test_missing_peft_is_named(causal_case, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else found(name))
    with pytest.raises(UsageError, match=r"needs pip install 'boostlora\[peft\]' \(peft is missing\)"):
        PeftLora().check(causal_case.ensemble)


def test_compact_and_per_round_together_are_refused():
    with pytest.raises(ValueError, match="choose one of them"):
        PeftLora(compact=True, per_round=True)


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
