"""`peft-lora` with heads and other models, and which of them it refuses."""

import attrs
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.testing import assert_close
from boostlora.plugins.exporters.peft_lora import PeftLora

from ..support.export_runs import causal_run, classifier_run, scratch_causal_run, scratch_classifier_run
from .peft_helpers import assert_usage_answers, config_of, own_run, tolerance, written

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("peft", reason="needs PEFT")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing:FutureWarning"  # PEFT calls what transformers has renamed
)


def test_head_of_a_language_model_is_an_ordinary_module(tmp_path, shared_cache):
    more = '[sites]\ntargets = ["*.q_proj", "lm_head"]\n[adapter]\nrank = 2\nu = 4\n'
    case = own_run(tmp_path / "run", shared_cache, more)
    folder = written(PeftLora(), case, tmp_path / "x")
    assert "lm_head" in config_of(folder)["target_modules"]
    expected = case.evaluated()
    found = case.opened(PeftLora().reload(case.ensemble, folder))
    assert_close(found, expected, atol=tolerance(expected), what="logits")
    assert_usage_answers(PeftLora(), case, folder)


@pytest.fixture(scope="module")
def head_case(tmp_path_factory, shared_cache):
    more = '[sites]\ntargets = ["*query", "head"]\n[basis]\nuse = "fixed"\n[adapter]\nrank = 2\nu = 4\n'
    return own_run(tmp_path_factory.mktemp("head"), shared_cache, more, family="bert", causal=False)


def test_head_of_a_classifier_that_was_trained_is_merged_beside_the_adapter(head_case, tmp_path):
    folder = written(PeftLora(), head_case, tmp_path / "x")
    assert all("query" in module for module in config_of(folder)["target_modules"])
    expected = head_case.evaluated()
    found = head_case.opened(PeftLora().reload(head_case.ensemble, folder))
    assert_close(found, expected, atol=tolerance(expected), what="logits")
    with pytest.raises(UsageError, match="set per_round to false"):
        PeftLora(per_round=True).check(head_case.ensemble)


def test_classifier_whose_head_alone_was_trained_is_refused(head_case):
    rounds = [
        attrs.evolve(r, updates={"head.weight": r.updates["head.weight"]}) for r in head_case.ensemble.rounds
    ]
    with pytest.raises(UsageError, match=r"only the head head\.weight was trained"):
        PeftLora().check(head_case.of(*rounds).ensemble)


@pytest.mark.parametrize("make", [scratch_causal_run, scratch_classifier_run])
def test_scratch_model_is_loaded_from_its_folder(make, tmp_path, shared_cache):
    case = make(tmp_path / "run", shared_cache)
    folder = written(PeftLora(), case, tmp_path / "x")
    assert_usage_answers(PeftLora(), case, folder)


@pytest.mark.parametrize("pooling", ["cls", "last", "max"])
def test_usage_pools_as_the_model_does(pooling, tmp_path, shared_cache):
    case = classifier_run(tmp_path / "run", shared_cache, options=f'pooling = "{pooling}"')
    folder = written(PeftLora(), case, tmp_path / "x")
    assert_usage_answers(PeftLora(), case, folder)


def test_usage_uses_the_chat_template_when_the_run_did(tmp_path, shared_cache):
    case = causal_run(tmp_path / "run", shared_cache, options="chat_template = true", chat=True)
    folder = written(PeftLora(), case, tmp_path / "x")
    assert_usage_answers(PeftLora(), case, folder)


def test_dense_rounds_are_refused_with_the_exporter_to_use(tmp_path, shared_cache):
    more = '[sites]\ntargets = ["*.q_proj"]\n[adapter]\nuse = "full"\n'
    case = own_run(tmp_path / "run", shared_cache, more)
    with pytest.raises(
        UsageError, match=r"layers\.0\.self_attn\.q_proj\.weight has a dense update .*--to hf"
    ):
        PeftLora().check(case.ensemble)


def test_perceptron_is_refused_with_the_exporter_to_use(mlp_case):
    with pytest.raises(UsageError, match="architecture mlp; --to safetensors exports any"):
        PeftLora().check(mlp_case.ensemble)
