"""The generator `vllm` against a stand-in that keeps to vLLM's documented interface; no GPU has seen it yet."""

import sys
import types

import attrs
import numpy as np
import pytest

pytest.importorskip("transformers", reason="the stand-in computes with Hugging Face's modules")

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.contracts import (
    Blueprint,
    Examples,
    GenerationRequest,
    ModelSource,
    Sampling,
    Site,
    Tokens,
    WeightInfo,
)
from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close
from boostlora.plugins.generators.vllm import Stored, Vllm, VllmEngine

from ..support.places import SUPPORT
from . import fake_vllm

WEIGHED = SUPPORT / "torchrun_plugin.py"
SPEC = """
name = "sums"
rounds = 2

[task]
use = "arithmetic"
train = 16
validation = 8
test = 8
source = 100
max_new_tokens = 5
stop = ["7"]

[model]
use = "scratch-causal-lm"
layers = 1
hidden = 16
heads = 2
intermediate = 32
max_length = 64
pretrain_steps = 60

[adapter]
rank = 2
u = 4

[optimizer]
steps = 3
batch_size = 4
lr = 0.3

[backend]
use = "torch"
device = "cpu"
threads = 1
"""


@pytest.fixture
def vllm(monkeypatch):
    """vLLM is there; every engine that was made."""
    for name, module in fake_vllm.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    fake_vllm.MADE.clear()
    return fake_vllm.MADE


def played(folder, *settings):
    folder.mkdir()
    (folder / "sums.toml").write_text(SPEC)
    registry = Registry.load((WEIGHED,))
    spec = load_spec(str(folder / "sums.toml"), registry, settings)
    directory = RunDirectory.create(folder / "run", spec)
    boost(prepare(spec), directory, registry, RunContext())
    return directory


def test_greedy_run_equals_the_backend_and_sends_only_changed_weights(vllm, tmp_path):
    native = played(tmp_path / "native")
    found = played(tmp_path / "vllm", "generator.use=vllm", "generator.dtype=float32", "merge.use=full")
    for record in native.records:
        one, two = native.outcomes(record.round), found.outcomes(record.round)
        for split, outcome in one.items():
            assert two[split].texts == outcome.texts, f"round {record.round}, {split}"
    texts = [native.outcomes(r)["train"].texts for r in (0, 2)]
    assert texts[0] != texts[1], "weights that change no text test nothing"
    (engine,) = vllm
    assert engine.arguments["dtype"] == "float32"
    assert engine.arguments["gpu_memory_utilization"] == 0.3
    assert engine.arguments["max_model_len"] is None
    sites = list(found.updates(1))
    assert [list(push) for push in engine.pushed] == [sorted(sites)] * 3, "base, and after each of two rounds"
    params = engine.asked[0][1]
    assert (params.temperature, params.seed, params.stop, params.ignore_eos) == (0.0, None, ["7"], True)
    assert params.stop_token_ids


def test_rollouts_use_the_weights_in_training_and_are_reproducible(vllm, tmp_path):
    settings = (
        "generator.use=vllm",
        "task.use=weighed",
        "objective.use=grpo",
        "objective.group_size=4",
        "objective.iterations=2",
    )
    runs = [played(tmp_path / name, *settings, "rounds=1") for name in ("one", "two")]
    assert runs[0].digest == runs[1].digest
    engine = vllm[0]
    seeds = [params.seed for _, params in engine.asked if params.temperature == 1.0]
    assert len(seeds) == len(set(seeds)) > 16, "a seed for every sequence"
    assert engine.asked[0][1].temperature == 0.0
    assert len(engine.pushed) > 2


def writer(stored=None, **weights):
    """A writer whose engine notes what it is given, and a speaker with the given weights."""
    notes = {"pushed": [], "resets": 0, "asked": []}

    class Engine:
        counts = (1,)
        token_ids, stop_reason = (5, 6, 2, 9), None

        def collective_rpc(self, method, args):
            from safetensors.numpy import load_file

            notes["pushed"].append((method, load_file(args[0])))
            return list(self.counts)

        def reset_prefix_cache(self):
            notes["resets"] += 1

        def generate(self, prompts, params, *, use_tqdm):
            del use_tqdm
            notes["asked"] += zip(prompts, params, strict=True)
            answer = types.SimpleNamespace(token_ids=self.token_ids, stop_reason=self.stop_reason)
            return [types.SimpleNamespace(outputs=[answer])] * len(prompts)

    generative_model = types.SimpleNamespace(weight=lambda site: weights[site])
    stored = stored or {name: Stored(name, transposed=False) for name in weights}
    return VllmEngine(llm=Engine(), params=dict, stored=stored), generative_model, notes, weights


def rows(*prompts):
    tokens = Tokens.join([[*p, 99] for p in prompts], [len(p) for p in prompts])
    n = len(prompts)
    return Examples(ids=np.arange(n), inputs=tokens, labels=np.zeros(n, dtype=np.int64))


GREEDY = GenerationRequest(max_new_tokens=4, end_tokens=(2,))


def test_changed_weights_are_sent_in_the_names_and_layout_of_the_checkpoint():
    W, V = np.arange(6.0).reshape(2, 3), np.ones((2, 2))
    stored = {"a": Stored("h.0.a", transposed=True), "b": Stored("b", transposed=False)}
    made, generative_model, notes, weights = writer(stored, a=W, b=V)
    made.write(generative_model, rows([1, 2]), GREEDY)
    method, pushed = notes["pushed"][0]
    assert (method, sorted(pushed)) == ("boostlora_load", ["b", "h.0.a"])
    assert_close(pushed["h.0.a"], W.T, atol=0, what="as the file has it")
    assert pushed["b"].dtype == np.float32
    made.write(generative_model, rows([1, 2]), GREEDY)
    assert len(notes["pushed"]) == notes["resets"] == 1
    weights["b"] = V + 1e-3
    made.write(generative_model, rows([1, 2]), GREEDY)
    weights["b"] = V
    made.write(generative_model, rows([1, 2]), GREEDY)
    assert [list(push) for _, push in notes["pushed"][1:]] == [["b"], ["b"]]
    assert notes["resets"] == 3


@pytest.mark.parametrize("counts", [(), (1, 0)])
def test_engine_that_updates_no_parameters_is_an_error_and_gets_them_again(counts):
    made, generative_model, notes, _ = writer(a=np.ones((2, 2)))
    made.llm.counts = counts
    for _ in range(2):
        with pytest.raises(RunError, match="vLLM updated no parameters"):
            made.write(generative_model, rows([1]), GREEDY)
    assert len(notes["pushed"]) == 2
    assert not notes["asked"]


@pytest.mark.parametrize(
    ("tokens", "reason", "finished", "expected"),
    [
        ((5, 6, 2, 9), None, None, ([5, 6], 2)),
        ((5, 6), 2, None, ([5, 6], 2)),
        ((5, 6, 7, 8), None, None, ([5, 6, 7, 8], None)),
        ((5, 6), "stop", None, ([5, 6], None)),
        ((5, 6, 7, 2), 2, lambda t: t[-1] == 6, ([5, 6], None)),
        ((2,), 2, lambda t: True, ([], 2)),
    ],
)
def test_answers_end_at_the_requested_stops(tokens, reason, finished, expected):
    made, generative_model, notes, _ = writer(a=np.ones((1, 1)))
    made.llm.token_ids, made.llm.stop_reason = tokens, reason
    (written,) = made.write(generative_model, rows([1, 4]), attrs.evolve(GREEDY, finished=finished))
    assert (written.tokens.tolist(), written.end) == expected
    assert written.tokens.dtype == np.int32
    assert notes["asked"][0][0] == {"prompt_token_ids": [1, 4]}, "the completion is not told"


def test_seeds_follow_the_draws_in_any_order():
    draws = np.random.default_rng(0).random((3, 4))
    request = attrs.evolve(GREEDY, sampling=Sampling(temperature=0.7, top_p=0.9), draws=draws)
    made, generative_model, notes, _ = writer(a=np.ones((1, 1)))
    made.write(generative_model, rows([1], [2], [3]), request)
    params = [p for _, p in notes["asked"]]
    assert {(p["temperature"], p["top_p"], p["max_tokens"]) for p in params} == {(0.7, 0.9, 4)}
    order = np.array([2, 0])
    made.write(generative_model, rows([3], [1]), request.take(order))
    assert [p["seed"] for _, p in notes["asked"][3:]] == [params[2]["seed"], params[0]["seed"]]
    assert len({p["seed"] for p in params}) == 3
    assert made.write(generative_model, rows(), request) == []
    (none,) = made.write(generative_model, rows([1]), attrs.evolve(GREEDY, max_new_tokens=0))
    assert len(none.tokens) == 0
    assert len(notes["asked"]) == 5


@pytest.mark.parametrize(
    ("modules", "environment", "message"),
    [
        ({"vllm": None}, {}, "pip install vllm"),
        (fake_vllm.modules(version="0.8.5"), {}, "needs vLLM 0.9 or newer, and this is 0.8.5"),
        (fake_vllm.modules(cuda=False), {}, "needs a GPU"),
        (
            fake_vllm.modules(),
            {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
            "torchrun has started several",
        ),
    ],
    ids=["absent", "old", "no-gpu", "torchrun"],
)
def test_vllm_refuses_unsupported_setups_with_a_message(modules, environment, message, monkeypatch):
    if modules == {"vllm": None}:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    else:
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        Vllm().check()


def test_new_and_unnumbered_versions_are_accepted(monkeypatch):
    for version in ("0.9.0", "0.31.2rc1", "1.0", "dev"):
        for name, module in fake_vllm.modules(version=version).items():
            monkeypatch.setitem(sys.modules, name, module)
        Vllm().check()


def source(folder, architecture="causal-lm/llama", **config):
    weights = (WeightInfo(name="lm_head.weight", shape=(4, 2), role="head"),)
    blueprint = Blueprint(architecture=architecture, config={"hf": config}, weights=weights)
    return ModelSource(blueprint=blueprint, files=(folder / "model.safetensors",), sha256="")


def test_models_whose_weights_cannot_be_synchronised_are_refused(vllm, tmp_path):
    head = [Site(name="lm_head.weight", shape=(4, 2))]
    with pytest.raises(UsageError, match="not classifier/bert"):
        Vllm().open(source(tmp_path, "classifier/bert"), head)
    with pytest.raises(UsageError, match=r"no config\.json next to the weights"):
        Vllm().open(source(tmp_path), head)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="is tied to the embedding"):
        Vllm().open(source(tmp_path, tie_word_embeddings=True), head)
    assert not vllm
