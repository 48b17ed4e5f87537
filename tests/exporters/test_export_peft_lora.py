"""The exporter `peft-lora` with each of its options: its suite, checks and precision."""

import attrs
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.testing import ExporterContract
from boostlora.plugins.exporters.peft_lora import PeftLora

from ..support.export_runs import causal_run
from .peft_helpers import written

torch = pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("peft", reason="needs PEFT")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing:FutureWarning"  # PEFT calls what transformers has renamed
)


class LoraContract(ExporterContract):
    @pytest.fixture(params=["causal_case", "classifier_case"])
    def case(self, request):
        return request.getfixturevalue(request.param)

    def test_export_of_no_rounds_has_the_logits_of_the_base(self, case):
        with pytest.raises(UsageError, match="no round was merged, so there is no adapter"):
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


def as_bfloat16(folder):
    """Store a model's weights in bfloat16, but for those of its last layer."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    halved = {n: t if "layers.1" in n else t.bfloat16() for n, t in load_file(file).items()}
    save_file(halved, file, metadata={"format": "pt"})


def test_factors_have_the_dtype_of_the_base(tmp_path, shared_cache):
    from safetensors.torch import load_file

    case, exporter = causal_run(tmp_path / "run", shared_cache, after=as_bfloat16), PeftLora(dtype="base")
    folder = written(exporter, case, tmp_path / "x")
    assert exporter.precision(case.ensemble) == "bfloat16"
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        assert tensor.dtype == (torch.float32 if "layers.1" in name else torch.bfloat16)
    assert PeftLora().precision(case.ensemble) == "float32"


def test_entry_too_large_for_float16_is_refused(causal_case, tmp_path):
    rounds = [attrs.evolve(r, scale=1e12) for r in causal_case.ensemble.rounds]
    with pytest.raises(UsageError, match="an entry is too large for float16; --set dtype=bfloat16"):
        written(PeftLora(dtype="float16"), causal_case.of(*rounds), tmp_path / "x")


def test_usage_states_the_rank_a_server_must_allow(causal_case):
    rounds, ensemble = causal_case.ensemble.rounds, causal_case.ensemble
    assert "--max-lora-rank 8\n" in PeftLora().usage(ensemble, "x")
    many = attrs.evolve(ensemble, rounds=rounds * 3)
    assert "--max-lora-rank 32\n" in PeftLora().usage(many, "x")
    too_many = attrs.evolve(ensemble, rounds=rounds * 100)
    assert "The rank is 600, but vLLM supports at most 512: try --set compact=true" in PeftLora().usage(
        too_many, "x"
    )
    assert "from the r in x/adapter_config.json" in PeftLora(compact=True).usage(ensemble, "x")


def test_missing_peft_is_named(causal_case, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else found(name))
    with pytest.raises(UsageError, match=r"needs pip install 'boostlora\[peft\]' \(peft is missing\)"):
        PeftLora().check(causal_case.ensemble)


def test_compact_and_per_round_together_are_refused():
    with pytest.raises(ValueError, match="choose one of them"):
        PeftLora(compact=True, per_round=True)
