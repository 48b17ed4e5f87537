import numpy as np
import pytest

from boostlora.engine.contracts import FactoredUpdate, Frame, Metrics, Refusal, Site
from boostlora.engine.testing import (
    AdapterContract,
    MergeContract,
    ModelContract,
    ObjectiveContract,
    OptimizerContract,
    TaskContract,
    assert_close,
)
from boostlora.engine.testing.strategies import SITES
from boostlora.plugins.adapters.diagonal import Diagonal
from boostlora.plugins.adapters.full import Full as FullAdapter
from boostlora.plugins.adapters.lora import Lora
from boostlora.plugins.adapters.lora_xs import LoraXs
from boostlora.plugins.adapters.tinylora import TinyLora
from boostlora.plugins.merges.full import Full
from boostlora.plugins.merges.gate import Gate
from boostlora.plugins.merges.line_search import LineSearch
from boostlora.plugins.merges.shrinkage import Shrinkage
from boostlora.plugins.models.mlp import Mlp
from boostlora.plugins.objectives.cross_entropy import CrossEntropy
from boostlora.plugins.objectives.huber import Huber
from boostlora.plugins.objectives.mse import MeanSquaredError
from boostlora.plugins.optimizers.adam import Adam
from boostlora.plugins.optimizers.sgd import Sgd
from boostlora.plugins.tasks.digits import Digits


class TestTinyLora(AdapterContract):
    def make(self):
        return TinyLora(rank=3, u=5)


class TestTinyLoraTied(AdapterContract):
    def make(self):
        return TinyLora(rank=2, u=1, tie=3, spectrum="paper")


class TestLoraXs(AdapterContract):
    def make(self):
        return LoraXs(rank=3)


class TestLoraXsPaper(AdapterContract):
    starts_at_zero = False

    def make(self):
        return LoraXs(rank=3, spectrum="paper", init_std=1e-5)


class TestDiagonal(AdapterContract):
    def make(self):
        return Diagonal(rank=3)

    def test_core_is_the_diagonal_of_the_trained_vector(self):
        for p in self._all():
            core = np.tensordot(np.array([2.0, -1.0, 0.5]), p.projections, 1)
            np.testing.assert_array_equal(core, np.diag([2.0, -1.0, 0.5]))


class TestDiagonalTied(AdapterContract):
    def make(self):
        return Diagonal(rank=2, tie="kind", spectrum="balanced")


class TestLora(AdapterContract):
    def make(self):
        return Lora(rank=2)


class TestFullAdapter(AdapterContract):
    def make(self):
        return FullAdapter()


class TestFullMerge(MergeContract):
    def make(self):
        return Full()


class TestShrinkage(MergeContract):
    def make(self):
        return Shrinkage(rate=0.3)


class TestGate(MergeContract):
    uses_validation = True

    def make(self):
        return Gate()


class TestGateOnAccuracy(MergeContract):
    uses_validation = True

    def make(self):
        return Gate(metric="accuracy", margin=0.01)


class TestLineSearch(MergeContract):
    uses_validation = True

    def make(self):
        return LineSearch()


class TestCrossEntropy(ObjectiveContract):
    def make(self):
        return CrossEntropy()


class TestMeanSquaredError(ObjectiveContract):
    def make(self):
        return MeanSquaredError()


class TestHuber(ObjectiveContract):
    def make(self):
        return Huber(delta=0.5)


class TestAdam(OptimizerContract):
    def make(self):
        return Adam(over_steps="cosine", over_rounds="linear", warmup=5)


class TestSgd(OptimizerContract):
    def make(self):
        return Sgd()


class TestDigits(TaskContract):
    def make(self):
        return Digits()


class TestNoisyDigits(TaskContract):
    def make(self):
        return Digits(angle=45.0, noise=0.1)


class TestMlp(ModelContract):
    def make(self):
        return Mlp(hidden=(8, 6), epochs=2)

    def splits(self):
        return Digits().load(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("tie", "groups"),
    [
        ("none", [site.name for site in SITES]),
        ("all", ["all"] * 4),
        ("kind", ["kind.q_proj", "kind.v_proj"] * 2),
        ("layer", ["layer.0", "layer.0", "layer.1", "layer.1"]),
        (3, ["block.0", "block.0", "block.0", "block.1"]),
    ],
)
def test_tying_groups_sites_as_configured(tie, groups):
    adapter = TinyLora(rank=2, u=2, tie=tie)
    assert [adapter.parametrise(s, SITES, np.random.default_rng(0)).group for s in SITES] == groups


def test_tinylora_projections_have_variance_one_over_rank():
    core = TinyLora(rank=8, u=4000).parametrise(SITES[0], SITES, np.random.default_rng(0))
    assert float(np.var(core.projections)) == pytest.approx(1 / 8, rel=0.01)  # 256,000 draws


@pytest.mark.parametrize(
    ("spectrum", "left", "right"), [("paper", 1.0, 0.0), ("balanced", 0.5, 0.5), ("flat", 0.0, 0.0)]
)
@pytest.mark.parametrize("adapter", [TinyLora, LoraXs, Diagonal])
def test_spectrum_places_singular_values_by_its_name(adapter, spectrum, left, right):
    """`U S R V'`, `U S^1/2 R S^1/2 V'` and `U R V'`, multiplied out."""
    rng, S = np.random.default_rng(0), np.array([3.0, 2.0, 0.5])
    U, V = (np.linalg.qr(rng.standard_normal((d, 3)))[0] for d in SITES[0].shape)
    core = adapter(rank=3, spectrum=spectrum).parametrise(SITES[0], SITES, rng)
    R = rng.standard_normal((3, 3))
    L, M = FactoredUpdate(frame=Frame(U=U, S=S, V=V), core=R, exponents=core.exponents).factors()
    expected = U @ np.diag(S**left) @ R @ np.diag(S**right) @ V.T
    assert_close(L @ M.T, expected, atol=1e-14, what=spectrum)


@pytest.mark.parametrize(("rank", "alpha"), [(2, 8.0), (8, 2.0)])
def test_lora_scale_is_alpha_over_rank_and_init_within_inverse_root_of_width(rank, alpha):
    site = Site(name="x.weight", shape=(5, 4000), layer=0)
    factors = Lora(rank=rank, alpha=alpha).parametrise(site, [site], np.random.default_rng(0))
    assert factors.scale == alpha / rank
    bound = 1 / np.sqrt(4000)
    assert np.abs(factors.A).max() <= bound
    assert float(factors.A.std()) == pytest.approx(bound / np.sqrt(3), rel=0.02)  # 8,000 draws and more


def _validation(losses):
    return lambda scale: Metrics(accuracy=0.5, loss=losses[scale], count=1)


def test_line_search_takes_the_scale_with_the_smallest_loss():
    assert LineSearch(scales=(0.5, 1.0)).choose(_validation({0.0: 1.0, 0.5: 0.7, 1.0: 0.8})) == 0.5


def test_line_search_without_a_better_scale_refuses_with_a_reason():
    refusal = LineSearch(scales=(0.5, 1.0)).choose(_validation({0.0: 1.0, 0.5: 1.0, 1.0: 2.0}))
    assert refusal == Refusal("no scale of 0.5, 1 improves validation loss")


def test_gate_with_a_margin_requires_more_than_the_margin():
    trial = _validation({0.0: 1.0, 1.0: 0.9})
    assert Gate(margin=0.05).choose(trial) == 1.0
    assert isinstance(Gate(margin=0.2).choose(trial), Refusal)


def test_schedules_over_steps_and_rounds_multiply():
    adam = Adam(lr=1.0, steps=4, over_steps="linear", over_rounds="linear", floor=0.0)
    np.testing.assert_array_equal(adam.rates(0, 2), [1.0, 0.75, 0.5, 0.25])
    np.testing.assert_array_equal(adam.rates(1, 2), [0.5, 0.375, 0.25, 0.125])


def test_schedule_with_warmup_rises_to_the_full_rate():
    np.testing.assert_array_equal(Sgd(lr=2.0, steps=4, warmup=2).rates(0, 1), [1.0, 2.0, 2.0, 2.0])


def test_schedule_with_a_floor_never_falls_below_it():
    rates = Adam(lr=1.0, steps=100, over_steps="cosine", floor=0.1).rates(0, 1)
    assert rates[0] == 1.0
    assert 0.1 <= rates.min() < 0.11
