"""The torch backend on Hugging Face modules: memory, cleanup, and other precisions."""

import attrs
import numpy as np
import pytest
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from boostlora.backends.torch.backend import Torch
from boostlora.engine.contracts import (
    Batch,
    FactoredUpdate,
)
from boostlora.engine.errors import UsageError
from boostlora.engine.testing import assert_close

from ..support.hf_modules import DECODERS, ENCODERS, texts, torch
from .training_transformers import RANK, gradients, opened, request_for

KINDS = [*DECODERS, *ENCODERS]
DOUBLE = Torch(device="cpu", dtype="float64")


@pytest.mark.parametrize("kind", ["qwen2", "bert"])
@pytest.mark.parametrize(
    "change",
    [{"micro_batch": 2}, {"micro_batch": 1}, {"checkpointing": True}],
    ids=["two", "one", "checkpoints"],
)
def test_gradient_does_not_depend_on_how_the_batch_is_computed(kind, change, tmp_path):
    whole, sites = opened(kind, tmp_path, DOUBLE)
    parts, _ = opened(kind, tmp_path, attrs.evolve(DOUBLE, **change))
    request = request_for(whole, sites, kind)
    expected = gradients(whole, request)
    for group, gradient in gradients(parts, request).items():
        assert_close(gradient, expected[group], atol=1e-12, rtol=1e-12, what=group)
    assert not any(module.training for module in parts.net.module.modules())


@pytest.mark.parametrize(("checkpointing", "times"), [(False, 1), (True, 2)])
def test_checkpointing_computes_every_layer_once_more_in_the_backward_pass(checkpointing, times, tmp_path):
    """Numbers are the same either way: that nothing is kept shows in what is computed again."""
    model, sites = opened("qwen2", tmp_path, attrs.evolve(DOUBLE, checkpointing=checkpointing))
    request = request_for(model, sites, "qwen2", steps=1)
    called = list[str]()
    assert model.unreached_sites(request.examples) == ()
    for name, module in model.net.module.named_modules():
        if name.endswith(".mlp"):
            module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
    model.train(request)
    counts = {name: called.count(name) for name in called}
    assert len(counts) > 1
    assert set(counts.values()) == {times}


def test_checkpointing_of_a_model_without_support_is_refused(tmp_path):
    from boostlora.engine.testing.requests import make_request
    from boostlora.engine.testing.strategies import sites_of, tiny_mlp

    source = tiny_mlp(tmp_path)
    model = Torch(device="cpu", checkpointing=True).open(source, sites_of(source))
    with pytest.raises(UsageError, match=r"backend\.checkpointing"):
        model.train(make_request(model, "core", steps=1))


@pytest.mark.parametrize("kind", KINDS)
def test_round_leaves_the_module_tree_unchanged(kind, tmp_path):
    model, sites = opened(kind, tmp_path, DOUBLE)
    module = model.net.module

    def state():
        return (
            [(name, type(m), sorted(vars(m))) for name, m in module.named_modules()],
            [(name, p.shape, p.dtype, p.requires_grad) for name, p in module.named_parameters()],
            [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()],
        )

    model.predict(texts(kind))  # some modules keep tables from their first call on
    before = state()
    training = model.train(request_for(model, sites, kind, steps=2))
    model.assemble([(training.updates, 1.0)])
    model.gradient(sites[0].name, texts(kind), Batch(indices=np.arange(3), weights=np.ones(3)))
    assert state() == before


class Watch(TorchDispatchMode):
    """Notes the shapes of new tensors."""

    def __init__(self, known):
        super().__init__()
        self.known, self.shapes = known, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        answer = function(*args, **(kwargs or {}))
        for x in tree_leaves(answer):
            if isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() not in self.known:
                self.shapes.add(tuple(x.shape))
        return answer


@pytest.mark.parametrize("kind", KINDS)
def test_step_allocates_no_tensor_of_weight_size(kind, tmp_path):
    model, sites = opened(kind, tmp_path, DOUBLE)
    request = request_for(model, sites, kind, steps=2)
    known = {p.untyped_storage().data_ptr() for p in model.net.module.parameters()}
    assert model.unreached_sites(request.examples) == ()
    with Watch(known) as seen:
        model.train(request)
    weights = {site.shape for site in sites} | {site.shape[::-1] for site in sites}
    assert seen.shapes, "nothing was watched"
    assert not seen.shapes & weights


def test_sites_by_pattern_layer_and_exclusion(tmp_path):
    _, sites = opened("qwen2", tmp_path, DOUBLE, targets=("*.q_proj", "*.down_proj"), layers=(1,))
    assert [site.name for site in sites] == [
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
    ]
    _, rest = opened("qwen2", tmp_path, DOUBLE, exclude=("*.mlp.*",))
    assert len(rest) == 8
    with pytest.raises(UsageError, match=r'"\*\.k_porj" matches no linear weight.*k_proj'):
        opened("qwen2", tmp_path, DOUBLE, targets=("*.k_porj",))


def test_small_updates_are_not_lost_in_bfloat16(tmp_path):
    """A thousand updates a thousandth of the weight: the sum is taken in float32 from factors and cast once."""
    model, sites = opened("llama", tmp_path, Torch(device="cpu", dtype="bfloat16"))
    name, rng = sites[0].name, np.random.default_rng(0)
    base, frame = model.weight(name), model.directions(name, RANK)
    core = rng.standard_normal((RANK, RANK)) * np.abs(base).max() * 1e-3
    update = {name: FactoredUpdate(frame=frame, core=core)}
    model.assemble([(update, 1.0)] * 1000)
    total = 1000 * frame.U @ core @ frame.V.T
    lost = np.linalg.norm(model.weight(name) - base - total) / np.linalg.norm(total)
    assert lost < 0.05  # one rounding to 8 bits of the merged weight, and one of the base


def test_unchanged_ensemble_is_not_rewritten(tmp_path):
    model, sites = opened("qwen2", tmp_path, DOUBLE)
    training = model.train(request_for(model, sites, "qwen2"))
    parameter = model._layers[sites[0].name].parameter
    counts = [parameter._version]
    for _ in range(2):
        copy = {s: attrs.evolve(u, core=u.core.copy()) for s, u in training.updates.items()}
        model.assemble([(copy, 1.0)])
        counts.append(parameter._version)
    assert counts[1] > counts[0]
    assert counts[2] == counts[1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_low_precision_gradient_agrees_with_float64_up_to_rounding(dtype, tmp_path):
    exact, sites = opened("llama", tmp_path, DOUBLE)
    rough, _ = opened("llama", tmp_path, Torch(device="cpu", dtype=dtype))
    request = request_for(exact, sites, "llama", start=0.0)
    expected, found = gradients(exact, request), gradients(rough, request)
    unit = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}[dtype]
    for group, gradient in expected.items():
        # Some tens of roundings of random sign on the way through two layers.
        assert_close(
            found[group], gradient, atol=32 * unit * np.abs(gradient).max(), what=f"{dtype}: {group}"
        )


def test_unavailable_device_is_refused_before_any_work():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(
        UsageError, match=r'backend\.device = "cuda": not available here; available devices: .*cpu'
    ):
        Torch(device="cuda").check()
