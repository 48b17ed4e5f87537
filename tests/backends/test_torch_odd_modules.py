"""Sites whose weight is not used by one call of a linear layer: the trained update is the merged one."""

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch backend needs PyTorch")

import torch

from boostlora.backends.torch import deltas as torch_deltas
from boostlora.backends.torch import model as torch_model
from boostlora.backends.torch.devices import Placement
from boostlora.backends.torch.train import checkpointed
from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.contracts import (
    Batch,
    DenseDelta,
    DenseUpdate,
    FreeFactors,
    LinearCore,
    TrainingRequest,
)
from boostlora.engine.errors import UsageError
from boostlora.engine.registry import Registry
from boostlora.engine.spec import Slot
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close
from boostlora.plugins.optimizers.sgd import Sgd
from tests.support.odd_modules import (
    ODD,
    Base,
    Hidden,
    OddModule,
    StopGradient,
    Unused,
    opened,
    rows,
    splits,
)

BATCH = Batch(indices=np.array([0, 3, 5, 8, 9, 11]), weights=np.array([1.0, 0.5, 2.0, 1.0, 0.7, 1.3]))
ON_TORCH = ("backend.use=torch", "backend.device=cpu", "rounds=2", "adapter.rank=2")
EXACT = 1e-12
"""A few layers in float64, gradients of order one."""


def one_step(model, parametrisations, frames=None):
    """Minus the gradient at the start: one step of rate 1."""
    request = TrainingRequest(
        parametrisations=parametrisations,
        frames=frames or {},
        examples=rows(),
        batches=[BATCH],
        learning_rates=np.ones(1),
        optimizer=Sgd(momentum=0.0),
    )
    return model.train(request)


def slope(model, site, direction, h=1e-5):
    """The derivative of the batch's loss along a direction of the merged weight."""

    def loss(step):
        found = model.predict(
            rows().take(BATCH.indices), {site: DenseUpdate(delta=step * direction)}, 1.0
        ).loss
        return float(np.mean(BATCH.weights * found))

    return (loss(h) - loss(-h)) / (2 * h)


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    return opened(ODD[request.param], tmp_path)


def test_gradient_is_the_slope_of_the_merged_models_loss(odd):
    model, sites = odd
    rng = np.random.default_rng(1)
    for site in sites:
        G, E = model.gradient(site.name, rows(), BATCH), rng.standard_normal(site.shape)
        assert_close(np.sum(G * E), slope(model, site.name, E), atol=1e-7, what=site.name)
        assert np.abs(G).max() > 1e-6, "nothing to compare"


def test_products_are_those_of_the_gradient(odd):
    model, sites = odd
    rng = np.random.default_rng(2)
    right = {s.name: rng.standard_normal((s.shape[1], 2)) for s in sites}
    left = {s.name: rng.standard_normal((s.shape[0], 3)) for s in sites}
    found = model.gradient_products(rows(), [BATCH], right=right, left=left)
    alone = model.gradient_products(rows(), [BATCH], right=right, left={})
    for site in found:
        G = model.gradient(site, rows(), BATCH)
        assert_close(found[site].right, G @ right[site], atol=EXACT, what=f"{site}: right")
        assert_close(alone[site].right, G @ right[site], atol=EXACT, what=f"{site}: right alone")
        assert_close(found[site].left, G.T @ left[site], atol=EXACT, what=f"{site}: left")


def test_every_parametrisation_trains_on_the_gradient(odd):
    model, sites = odd
    G = {s.name: model.gradient(s.name, rows(), BATCH) for s in sites}
    frames = {s.name: model.directions(s.name, 2) for s in sites}
    core = LinearCore(rank=2, group="", projections=None, init=np.zeros(4), exponents=(0.0, 0.0))
    cores = {s.name: attrs.evolve(core, group=s.name) for s in sites}
    found = one_step(model, cores, frames).values
    for site, frame in frames.items():
        expected = frame.U.T @ G[site] @ frame.V
        assert_close(-found[site].reshape(2, 2), expected, atol=EXACT, what=f"{site}: core")
    found = one_step(model, {s.name: DenseDelta() for s in sites}).values
    for site, gradient in G.items():
        assert_close(-found[site], gradient, atol=EXACT, what=f"{site}: dense")
    A = {s.name: np.random.default_rng(5).standard_normal((2, s.shape[1])) for s in sites}
    found = one_step(model, {s.name: FreeFactors(rank=2, scale=0.5, A=A[s.name]) for s in sites}).values
    for site, gradient in G.items():
        assert_close(-found[f"{site}:B"], 0.5 * gradient @ A[site].T, atol=EXACT, what=f"{site}: factors")


@pytest.mark.parametrize("micro_batch", [0, 2])
def test_loss_after_training_is_that_of_the_merged_model(odd, micro_batch, tmp_path):
    model, sites = odd
    if micro_batch:
        model._options = type(model._options)(device="cpu", dtype="float64", micro_batch=micro_batch)
    request = TrainingRequest(
        parametrisations={s.name: FreeFactors(rank=2, scale=1.0, A=np.ones((2, s.shape[1]))) for s in sites},
        frames={},
        examples=rows(),
        batches=[BATCH] * 3,
        learning_rates=np.full(3, 0.05),
        optimizer=Sgd(momentum=0.0),
    )
    training = model.train(request)
    before = one_step(model, {s.name: DenseDelta() for s in sites}).losses[0]
    assert_close(training.losses[0], before, atol=EXACT, what="the first loss is the model's own")
    again = TrainingRequest(
        parametrisations={s.name: DenseDelta() for s in sites},
        frames={},
        examples=rows(),
        batches=[BATCH],
        learning_rates=np.zeros(1),
        optimizer=Sgd(momentum=0.0),
    )
    two = TrainingRequest(
        parametrisations=request.parametrisations,
        frames={},
        examples=rows(),
        batches=[BATCH] * 2,
        learning_rates=np.full(2, 0.05),
        optimizer=Sgd(momentum=0.0),
    )
    model.assemble([(model.train(two).updates, 1.0)])
    assert_close(model.train(again).losses[0], training.losses[2], atol=1e-10, what="two steps, merged")


def test_linear_layers_and_equivalent_ones_take_the_low_rank_path(tmp_path):
    ways = {}
    for name, make in {"plain": Base, **ODD}.items():
        model, _ = opened(make, tmp_path)
        model.unreached_sites(rows())
        ways[name] = {s.removesuffix(".weight"): layer.low_rank for s, layer in model._layers.items()}
    assert all(way["first"] for way in ways.values())
    low = {name for name, way in ways.items() if all(way.values())}
    assert low == {
        "plain",
        "shared",
        "called twice",
        "a subclass that does the same",
        "in place",
        "by keyword",
    }


READ_WITHOUT_THEIR_LAYER = {"F.linear", "addmm", "called, and its transpose", "passed over without gradients"}
"""Seen only when the model runs, so that a plan takes them for ordinary layers."""


@pytest.mark.parametrize("name", sorted({"plain", *ODD} - READ_WITHOUT_THEIR_LAYER))
def test_plan_predicts_which_weights_train_on_a_dense_sum(name, tmp_path):
    model, _ = opened({"plain": Base, **ODD}[name], tmp_path)
    model.unreached_sites(rows())
    summed = {site for site, layer in model._layers.items() if not layer.low_rank}
    planned = OddModule(make={"plain": Base, **ODD}[name]).blueprint(splits()).weights
    assert {w.name for w in planned if w.summed} == summed


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("bfloat16", 2)])
def test_plan_counts_dense_sums_and_their_gradients(dtype, itemsize):
    """One `16 x 16` weight of two is summed; without it as a site nothing is."""

    def added(make, *settings):
        spec = load_spec("paper/digits", Registry.load(), (*ON_TORCH, f"backend.dtype={dtype}", *settings))
        slots = {**spec.slots, "model": Slot(use="odd", plugin=OddModule(make=make))}
        return prepare(attrs.evolve(spec, slots=slots)).plan.extra_bytes

    assert added(ODD["a subclass that scales"]) - added(Base) == 2 * itemsize * 16 * 16
    alone = 'sites.targets="first"'
    assert added(ODD["a subclass that scales"], alone) == added(Base, alone)


def test_round_restores_the_modules(odd):
    model, sites = odd
    module = model.net.module

    def state():
        return [(name, type(m), sorted(vars(m))) for name, m in module.named_modules()], [
            (name, id(p), p.requires_grad, p.grad) for name, p in module.named_parameters()
        ]

    before = state()
    one_step(model, {s.name: DenseDelta() for s in sites})
    model.gradient_products(rows(), [BATCH], right={s.name: np.eye(s.shape[1]) for s in sites}, left={})
    assert state() == before


def test_unused_layer_is_named_and_its_core_stays_zero(tmp_path):
    model, sites = opened(Unused, tmp_path)
    assert model.unreached_sites(rows()) == ("spare.weight",)
    for rank in (1, 2):
        core = LinearCore(
            rank=rank, group="all", projections=None, init=np.zeros(rank**2), exponents=(0.0, 0.0)
        )
        frames = {s.name: model.directions(s.name, rank) for s in sites}
        lone = one_step(model, {"spare.weight": core}, frames)
        assert not lone.updates["spare.weight"].core.any()
        assert lone.losses[0] > 0
    tied = one_step(model, {s.name: core for s in sites}, frames).values["all"]
    without = one_step(model, {s.name: core for s in sites if s.name != "spare.weight"}, frames).values["all"]
    assert_close(tied, without, atol=EXACT, what="a tied core hears the sites that are used")
    G = model.gradient("spare.weight", rows(), BATCH)
    assert G.shape == (16, 16)
    assert not G.any()


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_unreachable_weight_is_refused_by_name(tmp_path, dtype):
    model, sites = opened(Hidden, tmp_path, dtype=dtype)
    with pytest.raises(UsageError, match=r"^inner\.weight: training through the adapter .*sites\.targets"):
        model.unreached_sites(rows())
    with pytest.raises(UsageError, match=r"^inner\.weight"):
        one_step(model, {s.name: DenseDelta() for s in sites})


def test_values_behind_a_stopped_gradient_are_those_of_the_sum(tmp_path):
    model, _ = opened(StopGradient, tmp_path)
    assert model.unreached_sites(rows()) == ()
    assert {s: layer.low_rank for s, layer in model._layers.items()} == {
        "first.weight": True,
        "inner.weight": False,
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", sorted(set(ODD) - {"passed over without gradients"}))
def test_low_rank_path_is_chosen_alike_in_every_precision(name, dtype, tmp_path):
    """In half precision outputs are not compared: what is passed over without gradients goes unnoticed, but torch's own such layers."""
    model, _ = opened(ODD[name], tmp_path, dtype=dtype)
    double, _ = opened(ODD[name], tmp_path)
    assert model.unreached_sites(rows()) == double.unreached_sites(rows()) == ()
    assert {s: x.low_rank for s, x in model._layers.items()} == {
        s: x.low_rank for s, x in double._layers.items()
    }


def test_low_rank_path_that_misses_one_of_two_modules_is_detected(tmp_path, monkeypatch):
    """What the check is for: with a path that is wrong, the weight itself is trained."""

    def first_only(module, transposed, right=torch_deltas.layers_of):
        found = right(module, transposed)
        return {name: attrs.evolve(layer, modules=layer.modules[:1]) for name, layer in found.items()}

    monkeypatch.setattr(torch_model, "layers_of", first_only)
    model, _ = opened(ODD["shared"], tmp_path)
    with pytest.raises(UsageError, match=r"inner\.weight"):
        model.unreached_sites(rows())


def test_activations_of_weights_that_are_used_without_their_layer_are_refused_by_name(tmp_path):
    model, sites = opened(ODD["F.linear"], tmp_path)
    O = {s.name: np.eye(s.shape[1])[:, :2] for s in sites}  # noqa: E741
    with pytest.raises(UsageError, match=r"^inner\.weight: .*activations"):
        model.activation_products(rows(), [BATCH], O)
    found = model.activation_products(rows(), [BATCH], {"first.weight": O["first.weight"]})["first.weight"]
    X, w = rows().inputs[BATCH.indices], BATCH.weights
    assert_close(found, (X * w[:, None]).T @ X[:, :2] / w.sum(), atol=EXACT, what="in their shares")


def test_views_are_not_what_a_layer_returns():
    for bias in (None, torch.zeros(6)):
        for shape in ((5, 8), (2, 5, 8), (2, 3, 5, 8), (8,)):
            x = torch.randn(shape)
            y = torch_deltas.CoreLinear.apply(
                x,
                torch.randn(6, 8),
                bias,
                torch.randn(2, 6),
                torch.zeros(2, 2, requires_grad=True),
                torch.randn(2, 8),
            )
            assert y.shape == (*shape[:-1], 6)
            y += 1.0
            y.sum().backward()


def test_forward_of_a_module_is_restored_after_checkpointing():
    class GradientCheckpointingLayer(torch.nn.Linear):
        """Known by its name, as transformers' own."""

    layer = GradientCheckpointingLayer(2, 2)
    plain, calls = GradientCheckpointingLayer(2, 2), []
    own = layer.forward = lambda x: calls.append(x) or x
    place = Placement(device=torch.device("cpu"), compute_dtype=torch.float32)
    with checkpointed(torch.nn.Sequential(layer, plain), place):
        assert layer.forward is not own
        layer(torch.ones(1, 2, requires_grad=True)).sum().backward()
    assert layer.forward is own
    assert calls
    assert "forward" not in vars(plain)
