"""Differential: our TinyLoRA with `spectrum = "balanced"` is PEFT's, given the same projections.

Singular vectors are defined up to a common sign of each pair, and PEFT keeps the signs that LAPACK happens to give. With D the
diagonal of the sign differences, its `B R A` is ours with projections `D P_i D`. It takes the SVD in float32, ours is of float64: that
is the largest difference by far, and the bound of every comparison.
"""

import attrs
import numpy as np
import pytest

from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.devices import resolve
from boostlora.backends.torch.nets import CausalNet
from boostlora.backends.torch.round_state import loss_of
from boostlora.engine.contracts import Batch, LinearCore, TrainingRequest
from boostlora.engine.sdk.sites import SiteChoice, choose_sites
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.requests import GradientDescent
from boostlora.plugins.adapters.tinylora import TinyLora

from ..support.hf_modules import make, texts, torch

peft = pytest.importorskip("peft", reason="compares with PEFT")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing:FutureWarning"  # PEFT calls what transformers has renamed
)

RANK, DIRECTIONS = 3, 5
FLOAT32 = 2.0**-23
MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@attrs.frozen(eq=False)
class Pair:
    """The same model with the same adapter twice, both away from zero."""

    ours: object
    theirs: object
    layers: dict
    request: TrainingRequest
    rounding: float
    """What float32 leaves of PEFT's singular vectors: `eps s_1 / gap` of the closest pair, over all sites."""


@pytest.fixture(params=["llama", "qwen2"])
def pair(request, tmp_path):
    source = make(request.param, tmp_path)
    sites = choose_sites(SiteChoice(), source.blueprint)
    ours = Torch(device="cpu").open(source, sites)
    module = source.build(source.blueprint, torch.float32)
    theirs = peft.get_peft_model(
        module, peft.TinyLoraConfig(r=RANK, u=DIRECTIONS, target_modules=MATRICES)
    ).eval()
    tree, rng = dict(module.named_modules()), np.random.default_rng(0)
    layers = {site.name: tree[site.name.removesuffix(".weight")] for site in sites}
    exponents = TinyLora(spectrum="balanced").parametrise(sites[0], sites, rng).exponents
    parametrisations, frames, conditions = {}, {}, []
    for site in sites:
        layer, frame = layers[site.name], ours.directions(site.name, RANK)
        D = np.sign(np.sum(frame.U * layer.tinylora_B["default"].double().numpy(), axis=0))
        start = rng.uniform(-0.5, 0.5, DIRECTIONS)
        vector = layer.tinylora_v["default"][layer._tinylora_v_key["default"]]
        vector.data.copy_(torch.from_numpy(start))
        P = layer.tinylora_P["default"].double().numpy() * D[:, None] * D
        parametrisations[site.name] = LinearCore(
            rank=RANK, group=site.name, projections=P, init=start, exponents=exponents
        )
        frames[site.name] = frame
        S = ours.directions(site.name, RANK + 1).S
        conditions.append(S[0] / np.min(-np.diff(S)))
    examples = texts(request.param)
    return Pair(
        ours,
        theirs,
        layers,
        TrainingRequest(
            parametrisations=parametrisations,
            frames=frames,
            examples=examples,
            batches=[Batch(indices=np.arange(len(examples)), weights=np.ones(len(examples)))],
            learning_rates=np.zeros(1),
            optimizer=GradientDescent(),
        ),
        FLOAT32 * max(conditions),
    )


def test_loss_and_gradient_of_every_vector_equal_pefts(pair):
    steps = []
    pair.ours.train(attrs.evolve(pair.request, trace=steps.append))
    net = CausalNet(pair.theirs.base_model.model, resolve("cpu", "float32"))
    count = len(pair.request.examples)
    whole = Batch(indices=np.arange(count), weights=np.ones(count))
    loss = loss_of(net, whole, pair.request.examples, net.place, whole=count)
    loss.backward()
    assert pair.rounding < 1e-4, "a pair of singular values is too close to compare vectors"
    assert_close(steps[0].loss, loss.item(), atol=pair.rounding * loss.item(), what="loss")
    largest = max(np.abs(g).max() for g in steps[0].gradients.values())
    for site, layer in pair.layers.items():
        theirs = layer.tinylora_v["default"][layer._tinylora_v_key["default"]].grad.numpy()
        assert_close(steps[0].gradients[site], theirs, atol=pair.rounding * largest, what=site)
    assert largest > 1e-2, "gradients of nothing say nothing"


def test_logits_and_merged_weights_equal_pefts(pair):
    base = {site: pair.ours.weight(site) for site in pair.layers}
    training = pair.ours.train(pair.request)
    pair.ours.assemble([(training.updates, 1.0)])
    net = CausalNet(pair.theirs.base_model.model, resolve("cpu", "float32"))
    with torch.no_grad():
        expected = net.logits(pair.request.examples).numpy()
    found = pair.ours.logits(pair.request.examples)
    assert_close(found, expected, atol=pair.rounding * np.abs(expected).max(), what="logits")
    pair.theirs.merge_adapter()
    for site, layer in pair.layers.items():
        theirs = layer.base_layer.weight.detach().numpy()
        moved = np.abs(theirs - base[site]).max()
        assert_close(pair.ours.weight(site), theirs, atol=pair.rounding * np.abs(theirs).max(), what=site)
        assert moved > 1e-2, "the update did nothing"
