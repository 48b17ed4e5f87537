"""Rounds that adapt the sites with the largest gradient, and rounds that train on a part of what was chosen."""

import attrs
import numpy as np
import pytest

from boostlora.engine.boosting.calibration import oracle_of
from boostlora.engine.boosting.frames import frames_of, parametrise
from boostlora.engine.boosting.round_plan import SITE_EXAMPLES, calibration_at
from boostlora.engine.boosting.round_setup import core_gradient, largest_gradient_sites
from boostlora.engine.boosting.rounds import subsampled
from boostlora.engine.contracts import Frame, LinearCore, Products, Selection
from boostlora.engine.export.boost_writer import pack
from boostlora.engine.foundation.run_context import no_report
from boostlora.engine.runs.directory import RunDirectory

from .boosting_toys import DEEP, as_run, opened, records, toy, weights_sha256, went_on


class Known:
    """Evidence of gradients that are given."""

    def __init__(self, gradients):
        self.gradients, self.passes = gradients, 0

    def gradient_products(self, *, right=None, left=None):
        assert not right
        self.passes += 1
        return {site: Products(left=self.gradients[site].T @ Q) for site, Q in left.items()}


def scene(rng, names, exponents=(0.5, 0.5), numbers=3):
    frames, cores, gradients = {}, {}, {}
    for name in names:
        d_out, d_in = rng.integers(3, 9, 2)
        U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in (d_out, d_in))
        frames[name] = Frame(U=U, S=rng.uniform(0.5, 2, 2), V=V)
        projections = rng.standard_normal((numbers, 2, 2)) if numbers else None
        cores[name] = LinearCore(
            rank=2, group=name, projections=projections, init=np.zeros(numbers or 4), exponents=exponents
        )
        gradients[name] = rng.standard_normal((d_out, d_in)) * rng.uniform(0.1, 10)
    return frames, cores, gradients


def size_of(frame, core, G):
    a, b = core.exponents
    slope = np.diag(frame.S**a) @ frame.U.T @ G @ frame.V @ np.diag(frame.S**b)
    return float(np.linalg.norm(core_gradient(core, slope)))


@pytest.mark.parametrize("numbers", [None, 1, 3])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_top_sites_have_the_largest_projected_gradients(numbers, count):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frames, cores, gradients = scene(rng, "abcdef", numbers=numbers)
        sizes = {site: size_of(frames[site], cores[site], gradients[site]) for site in frames}
        expected = set(sorted(sizes, key=sizes.__getitem__)[-count:])
        oracle = Known(gradients)
        found = largest_gradient_sites(frames, cores, oracle, count)
        assert found == [site for site in frames if site in expected], "in the order of sites"
        assert oracle.passes == 1


def test_top_sites_prefers_the_first_of_equal_gradients():
    frames, cores, gradients = scene(np.random.default_rng(0), "abc")
    silence = {site: np.zeros_like(G) for site, G in gradients.items()}
    assert largest_gradient_sites(frames, cores, Known(silence), 2) == ["a", "b"]


CHOOSING = (*DEEP, "boosting.top_sites=1", "sampler.use=all", "rounds=4")


@pytest.fixture(scope="module", params=["rotate", "gradient"])
def choosy(request, tmp_path_factory):
    """Four rounds that adapt one site of three each, for a basis of either kind."""
    made = toy(tmp_path_factory.mktemp(request.param), *CHOOSING, f"basis.use={request.param}")
    made.go("whole")
    return made


def test_round_adapts_the_site_of_the_largest_dense_gradient(choosy):
    experiment, runner = opened(choosy)
    selection = runner.select(1)
    plan = runner.plan(1)
    (chosen,) = runner.frames(plan, selection)
    oracle = oracle_of(experiment, plan, selection, runner.history[-1], no_report)
    frames, cores = frames_of(experiment, plan, oracle), parametrise(experiment, plan)
    total, sizes = sum(len(b) for b in oracle.batches), dict[str, float]()
    for site in frames:
        G = sum(len(b) * experiment.model.gradient(site, oracle.examples, b) for b in oracle.batches) / total
        sizes[site] = size_of(frames[site], cores[site], G)
    assert chosen == max(sizes, key=sizes.__getitem__)


def test_run_records_and_stores_only_adapted_sites(choosy):
    directory, ranks = RunDirectory.open(choosy.path("whole")), {f"layers.{i}.weight": 0 for i in range(3)}
    assert directory.records[0].adapted is None
    for record in directory.records[1:]:
        (site,) = directory.updates(record.round)
        assert (record.adapted, record.parameters) == (1, 3)
        ranks[site] += 2
        assert record.rank == ranks, "ranks of others stay"
        if choosy.spec.slots["basis"].use == "gradient":
            assert record.stored == 3 + 2 * sum(directory.updates(record.round)[site].shape)
        else:
            assert record.stored is None
    assert len([rank for rank in ranks.values() if rank]) > 1, "one site alone; the test shows little"


def test_interrupted_run_with_top_sites_has_the_same_digest(choosy):
    assert went_on(choosy, "stopped", 2) == records(choosy, "whole")[-1].digest


def test_boost_file_of_top_sites_stores_factors_and_restores_the_weights(choosy, tmp_path):
    run = as_run(choosy, "whole")
    own, place = run.ensemble(), tmp_path / "x.boost.safetensors"
    packed = pack(own, place, own.choose())
    assert list(packed.factors) == [1, 2, 3, 4]
    found = run.load(place, tmp_path / "cache")
    assert weights_sha256(found) == weights_sha256(own)
    assert weights_sha256(found, 2) == weights_sha256(own, 2)


@pytest.mark.parametrize("settings", [("adapter.tie=all",), ("boosting.refit_every=2",)])
def test_top_sites_works_with_tied_cores_and_refits(settings, tmp_path):
    made = toy(tmp_path, *CHOOSING, *settings)
    made.go("run")
    directory = RunDirectory.open(made.path("run"))
    ever = set(directory.updates(1)) | set(directory.updates(2))
    for record in directory.records[1:]:
        found = directory.updates(record.round)
        assert set(found) == ever if record.refit else len(found) == 1
        assert record.adapted == (len(found) if len(found) < 3 else None)


def test_top_sites_uses_its_default_examples_without_a_data_driven_basis(choosy):
    calibration = calibration_at(choosy.spec, 2)
    if choosy.spec.slots["basis"].use == "rotate":
        assert (calibration.source, calibration.examples, calibration.passes) == ("chosen", SITE_EXAMPLES, 1)
    else:
        assert calibration.passes == choosy.spec.basis.calibration(2).passes + 1


def parted(tmp_path, share, *more):
    return opened(toy(tmp_path, f"boosting.subsample={share}", *more))[0]


@pytest.mark.parametrize(("share", "size"), [(0.001, 1), (0.3, 12), (0.5, 20), (0.99, 40), (1.0, 40)])
def test_subsample_keeps_the_examples_weights(share, size, tmp_path):
    experiment, rng = parted(tmp_path, share), np.random.default_rng(0)
    given = Selection(indices=rng.permutation(60)[:40], weights=rng.uniform(0.1, 2.0, 40))
    found = subsampled(experiment, 1, given)
    places = [given.indices.tolist().index(i) for i in found.indices.tolist()]
    assert len(found) == len(set(places)) == size
    assert places == sorted(places), "in their order"
    np.testing.assert_array_equal(found.weights, given.weights[places])


def test_subsample_depends_on_round_and_seed_only(tmp_path):
    everything = Selection.equal(np.arange(60))

    def drawn(number, *more):
        return subsampled(parted(tmp_path, 0.5, *more), number, everything).indices.tolist()

    assert drawn(1) == drawn(1)
    assert len({tuple(x) for x in (drawn(1), drawn(2), drawn(1, "seed=1"), drawn(2, "seed=1"))}) == 4


def test_subsample_of_an_empty_selection_is_empty(tmp_path):
    assert len(subsampled(parted(tmp_path, 0.5), 1, Selection.empty())) == 0


def test_run_with_subsample_trains_only_on_it_and_resumes_identically(tmp_path):
    made = toy(tmp_path, "boosting.subsample=0.25", "sampler.use=all", "optimizer.steps=30", "rounds=3")
    made.go("whole")
    for record in records(made, "whole")[1:]:
        assert record.selected == record.trained_on == 15
    assert went_on(made, "stopped", 2) == records(made, "whole")[-1].digest
    every = attrs.evolve(made.spec.boosting, subsample=1.0)
    assert not every.given
