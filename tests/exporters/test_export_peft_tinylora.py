"""`peft-tinylora` in PEFT itself: its TinyLoRA computes with our directions, projections and numbers, not with its own."""

import attrs
import numpy as np
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.testing import ExporterContract, assert_close
from boostlora.plugins.exporters.peft_tinylora import PeftTinyLora

from .peft_helpers import (
    ROUNDING,
    assert_usage_answers,
    base_module,
    config_of,
    own_run,
    says,
    tensors_of,
    tolerance,
    written,
)

torch = pytest.importorskip("torch", reason="needs PyTorch")
peft = pytest.importorskip("peft", reason="needs PEFT")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing:FutureWarning"  # PEFT calls what transformers has renamed
)


def second(case):
    """Its second round alone, halved: directions that are not the leading ones, and a scale."""
    return case.of(attrs.evolve(case.ensemble.rounds[1], scale=0.5))


def layers_of(wrapped):
    """PEFT's layers by the path of the module."""
    prefix = "base_model.model."
    return {
        name.removeprefix(prefix): module
        for name, module in wrapped.named_modules()
        if isinstance(module, peft.tuners.tinylora.TinyLoraLayer)
    }


class TestPeftTinyLora(ExporterContract):
    # A fitted head's weights cancel one another: its logits are small beside the numbers that were rounded on the way.
    usage_roundings = 512

    def make(self):
        return PeftTinyLora()

    @pytest.fixture(params=["causal_case", "classifier_case"])
    def case(self, request):
        return second(request.getfixturevalue(request.param))

    def test_export_of_no_rounds_has_the_logits_of_the_base(self, case):
        with pytest.raises(UsageError, match="no round was merged, so there is no adapter"):
            self.make().check(case.of().ensemble)

    def test_export_without_the_last_round_differs(self, case):
        two = case.of(*case.ensemble.rounds, attrs.evolve(case.ensemble.rounds[0], number=3))
        with pytest.raises(
            UsageError, match=r"exports one round, and these are 2, 3: choose one, such as --rounds 3\.\.3"
        ):
            self.make().check(two.ensemble)


# -- What PEFT computes with


def test_peft_uses_the_exported_directions_and_projections(causal_case, tmp_path):
    case = second(causal_case)
    folder, (chosen,) = written(PeftTinyLora(), case, tmp_path / "x"), case.ensemble.rounds
    wrapped = peft.PeftModel.from_pretrained(base_module(case), folder)
    fresh = peft.get_peft_model(base_module(case), peft.PeftConfig.from_pretrained(folder))
    own = layers_of(fresh)
    for module, layer in layers_of(wrapped).items():
        core, frame = chosen.parametrisations[f"{module}.weight"], chosen.updates[f"{module}.weight"].frame
        a, b = core.exponents
        expected = {
            "A": (frame.V * frame.S**b).T,
            "B": frame.U * frame.S**a,
            "P": core.projections,
        }
        for name, array in expected.items():
            found = getattr(layer, f"tinylora_{name}")["default"].numpy()
            # Rounded once to float32.
            assert_close(found, array, atol=ROUNDING * np.abs(array).max(), what=f"{module} {name}")
            theirs = getattr(own[module], f"tinylora_{name}")["default"].numpy()
            assert np.abs(theirs - array).max() > 1e-2, "PEFT's own are the same: nothing is shown"
        v = layer.tinylora_v["default"][layer._tinylora_v_key["default"]].detach().numpy()
        expected_v = 0.5 * chosen.values[core.group]
        assert_close(v, expected_v, atol=ROUNDING * np.abs(expected_v).max(), what=f"{module} v")


def test_merge_and_unload_gives_the_merged_weights(causal_case, tmp_path):
    case = second(causal_case)
    folder = written(PeftTinyLora(), case, tmp_path / "x")
    wrapped = peft.PeftModel.from_pretrained(base_module(case), folder)
    parameters = dict(wrapped.merge_and_unload().named_parameters())
    for site in case.ensemble.sites:
        expected = case.ensemble.merged(site.name)
        # Products in float32 over four numbers and twice two directions.
        atol = 16 * ROUNDING * np.abs(expected).max()
        assert_close(parameters[site.name].detach().numpy(), expected, atol=atol, what=site.name)


def test_exported_parameters_can_be_trained_further(causal_case, tmp_path):
    case = second(causal_case)
    folder = written(PeftTinyLora(), case, tmp_path / "x")
    wrapped = peft.PeftModel.from_pretrained(base_module(case), folder, is_trainable=True)
    trained = {id(p): p.numel() for p in wrapped.parameters() if p.requires_grad}
    assert sum(trained.values()) == sum(v.size for v in case.ensemble.rounds[0].values.values())
    wrapped(input_ids=torch.tensor([[3, 4, 5]])).logits.square().sum().backward()
    assert all(float(p.grad.abs().max()) > 0 for p in wrapped.parameters() if p.requires_grad)


def test_adapter_on_a_base_in_half_precision_stays_in_float32(causal_case, tmp_path):
    case = second(causal_case)
    folder = written(PeftTinyLora(), case, tmp_path / "x")
    wrapped = peft.PeftModel.from_pretrained(base_module(case, torch.bfloat16), folder)
    in_file = tensors_of(folder)
    for module, layer in layers_of(wrapped).items():
        for name in "ABP":
            found = getattr(layer, f"tinylora_{name}")["default"]
            assert found.dtype == torch.float32
            expected = in_file[f"base_model.model.{module}.tinylora_{name}"]
            assert_close(found.numpy(), expected, atol=0.0, what=f"{module} {name}")


# -- What may be written


ADAPTERS = {
    "balanced": ("llama", 'spectrum = "balanced"', 0.0, 14),
    "all tied": ("llama", 'tie = "all"', 13 / 14, 1),
    "neighbours tied": ("qwen2", "tie = 7", 12 / 14, 2),
    "tied by layer": ("llama", 'tie = "layer"', 12 / 14, 2),
    "tied by kind, which PEFT cannot say": ("qwen2", 'tie = "kind"', 0.0, 14),
    "LoRA-XS": ("gpt2", 'use = "lora-xs"\nspectrum = "balanced"', 0.0, 8),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_with_a_core_is_loaded_with_its_ties(name, tmp_path, shared_cache):
    family, adapter, degree, vectors = ADAPTERS[name]
    directions = "" if "lora-xs" in adapter else "u = 4\n"
    more = f"[adapter]\nrank = 2\n{directions}{adapter}\n"
    case = second(own_run(tmp_path / "run", shared_cache, more, family=family))
    folder = written(PeftTinyLora(), case, tmp_path / "x")
    assert config_of(folder)["weight_tying"] == pytest.approx(degree)
    assert sum(key.startswith("base_model.tinylora_v.") for key in tensors_of(folder)) == vectors
    expected, base = case.evaluated(), case.of().evaluated()
    found = says(case, peft.PeftModel.from_pretrained(base_module(case), folder).base_model.model)
    assert np.abs(expected - base).max() > 4 * tolerance(expected), "the round does not show"
    assert_close(found, expected, atol=tolerance(expected), what="logits")
    assert_usage_answers(PeftTinyLora(), case, folder)


def test_rounds_with_free_factors_are_refused(tmp_path, shared_cache):
    case = own_run(tmp_path / "run", shared_cache, '[adapter]\nuse = "lora"\nrank = 2\n')
    with pytest.raises(
        UsageError, match=r"q_proj\.weight has no core between fixed directions .*--to peft-lora"
    ):
        PeftTinyLora().check(case.of(case.ensemble.rounds[0]).ensemble)


def altered(case, **changes):
    """The second round with one site's parametrisation changed."""
    (chosen,) = second(case).ensemble.rounds
    site = case.ensemble.sites[-1].name
    core = attrs.evolve(chosen.parametrisations[site], **changes)
    return case.of(attrs.evolve(chosen, parametrisations={**chosen.parametrisations, site: core})).ensemble


def test_sites_of_different_sizes_are_refused(causal_case):
    with pytest.raises(UsageError, match=r"one r and one u .*q_proj\.weight has 2 and 4, .* has 2 and 5"):
        PeftTinyLora().check(altered(causal_case, init=np.zeros(5)))


def test_round_continued_from_another_run_is_refused(causal_case):
    (chosen,) = second(causal_case).ensemble.rounds
    inherited = causal_case.of(attrs.evolve(chosen, parametrisations={}, values={}))
    with pytest.raises(UsageError, match="round 2 comes from another run"):
        PeftTinyLora().check(inherited.ensemble)


def test_projections_of_many_gibibytes_are_refused(causal_case):
    (chosen,) = second(causal_case).ensemble.rounds
    large = {
        site: attrs.evolve(core, rank=100, projections=None, init=np.zeros(10_000))
        for site, core in chosen.parametrisations.items()
    }
    case = causal_case.of(attrs.evolve(chosen, parametrisations=large))
    with pytest.raises(UsageError, match=r"100000000 values at each of 14 sites\) would take 5\.2 GiB"):
        PeftTinyLora().check(case.ensemble)


def test_perceptron_is_refused_with_the_exporter_to_use(mlp_case):
    with pytest.raises(UsageError, match="architecture mlp; --to safetensors exports any"):
        PeftTinyLora().check(mlp_case.ensemble)


def test_peft_without_tinylora_is_named(causal_case, monkeypatch):
    monkeypatch.delattr(peft, "TinyLoraConfig")
    with pytest.raises(UsageError, match="has no TinyLoRA; pip install 'peft>="):
        PeftTinyLora().check(second(causal_case).ensemble)
