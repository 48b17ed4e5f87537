"""A look at the small quickstart against dense gradients of the same examples."""

import numpy as np
import pytest

from boostlora.engine.advisor.advise import ModelState, advise
from boostlora.engine.advisor.candidate_frames import FrameBuilder, candidates
from boostlora.engine.advisor.gradient_sample import sample_gradient
from boostlora.engine.advisor.source import open_run, open_spec, read_spec
from boostlora.engine.boosting.experiment import open_experiment, prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.boosting.round_plan import plan_round
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext, no_report
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close

SMALL = ("rounds=3", "model.hidden=[24, 16]", "model.epochs=15", "adapter.rank=2")
EXACT = 1e-9
"""Shares of sums over 2,000 products, in float64."""


@pytest.fixture(scope="module")
def registry():
    return Registry.load()


@pytest.fixture
def moment(registry):
    return open_spec(load_spec("paper/digits", registry, SMALL), RunContext())


def plan_of(moment):
    return plan_round(moment.experiment.spec, moment.number)


def dense(moment, part="all"):
    """Every site's gradient of what was heard, by the backend's own dense route."""
    look = sample_gradient(moment.experiment, plan_of(moment), list(moment.history), None, no_report)
    batches = look.oracle(part).batches
    sizes = [len(batch) for batch in batches]
    examples = moment.experiment.encoded.train
    return {
        site.name: sum(
            n * moment.experiment.model.gradient(site.name, examples, batch)
            for n, batch in zip(sizes, batches, strict=True)
        )
        / sum(sizes)
        for site in moment.experiment.sites
    }


def test_captured_energy_matches_dense_gradients(moment, registry):
    found = advise(moment, registry, RunContext())
    G = dense(moment)
    total = sum(np.sum(g**2) for g in G.values())
    assert_close(found.energy, total, atol=EXACT, what="energy")
    look = sample_gradient(moment.experiment, plan_of(moment), list(moment.history), None, no_report)
    for candidate in candidates(registry, moment.experiment.spec)[0]:
        framing = FrameBuilder(look, 2, RunContext()).frame_sets(candidate)[0]
        held = {name: (frame := framing.first(name)).U.T @ g @ frame.V for name, g in G.items()}
        share = found.basis(candidate.name).first
        expected = sum(np.sum(C**2) for C in held.values()) / total
        assert_close(share["square"].captured, expected, atol=EXACT, what=f"{candidate.name}, r x r")
        expected = sum(np.sum(np.diag(C) ** 2) for C in held.values()) / total
        assert_close(share["diagonal"].captured, expected, atol=EXACT, what=f"{candidate.name}, diagonal")


def test_gradient_frames_capture_the_optimum_and_less_on_held_out_examples(moment, registry):
    found = advise(moment, registry, RunContext(), examples=40)
    share = found.basis("gradient").first["square"]
    assert_close(
        share.captured, found.leading[2], atol=1e-3, what="the leading two directions"
    )  # a range finder's
    assert share.held_out < share.itself
    rotate = found.basis("rotate").first["square"]
    assert_close(rotate.itself, rotate.held_out, atol=EXACT, what="a basis that hears nothing")


def test_halves_are_disjoint_and_complete(moment):
    look = sample_gradient(moment.experiment, plan_of(moment), list(moment.history), 50, no_report)
    heard = {
        part: {int(i) for batch in look.oracle(part).batches for i in batch.indices}
        for part in ("all", "one", "other")
    }
    assert heard["one"].isdisjoint(heard["other"])
    assert heard["one"] | heard["other"] == heard["all"]
    assert abs(len(heard["one"]) - len(heard["other"])) <= 1


def test_rounds_capture_between_the_next_round_and_one_shot(moment, registry):
    for found in advise(moment, registry, RunContext()).bases:
        assert found.first["square"].captured <= found.together["square"].captured + EXACT
        assert found.together["square"].captured <= found.one_shot.captured + EXACT
        assert found.together["adapter"].captured <= found.together["square"].captured + EXACT


def test_advice_is_reproducible(moment, registry):
    assert advise(moment, registry, RunContext()) == advise(moment, registry, RunContext())


def test_advise_uses_a_default_rank_for_adapters_without_frames(registry):
    moment = open_spec(load_spec("paper/digits", registry, (*SMALL, "adapter.use=full")), RunContext())
    found = advise(moment, registry, RunContext(), rank=3)
    assert (found.rank, found.framed) == (3, False)
    assert set(found.bases[0].first) == {"square", "diagonal"}


def test_rank_above_the_sites_dimensions_is_refused(moment, registry):
    with pytest.raises(UsageError, match="--rank 16 or less"):
        advise(moment, registry, RunContext(), rank=17)


def test_advise_uses_all_examples_if_none_is_wrong(moment, registry):
    outcome = moment.history[0]
    right = type(outcome)(
        ids=outcome.ids,
        prediction=outcome.prediction,
        loss=outcome.loss,
        correct=np.ones(len(outcome), dtype=np.bool_),
        reward=outcome.reward,
    )
    found = advise(ModelState(experiment=moment.experiment, history=[right]), registry, RunContext())
    assert (found.failures, found.chosen) == (0, found.train)
    assert "chose no example" in found.notes[0]


def test_advise_does_not_change_the_model(moment, registry):
    before = {site.name: moment.experiment.model.weight(site.name) for site in moment.experiment.sites}
    advise(moment, registry, RunContext())
    fresh = open_experiment(prepare(moment.experiment.spec), RunContext(), factorise=False)
    for name, weight in before.items():
        np.testing.assert_array_equal(moment.experiment.model.weight(name), weight)
        np.testing.assert_array_equal(fresh.model.weight(name), weight)


@pytest.fixture(scope="module")
def run(registry, tmp_path_factory):
    """Two rounds of the weight's own directions, then a refit."""
    settings = (*SMALL, "rounds=6", "boosting.refit_every=2", "optimizer.steps=5")
    spec = load_spec("paper/digits", registry, settings)
    path = tmp_path_factory.mktemp("runs") / "run"
    boost(prepare(spec), RunDirectory.create(path, spec), registry, RunContext())
    return path


def test_energy_in_used_directions_matches_dense_gradients(run, registry):
    base = open_run(run, 0, registry, RunContext()).experiment.model
    moment = open_run(run, 3, registry, RunContext())
    found = advise(moment, registry, RunContext())
    assert (found.finished_rounds, found.left, found.fresh, found.rounds_ahead) == (3, 3, 4, 2)
    bases = {site.name: np.linalg.svd(base.weight(site.name)) for site in moment.experiment.sites}

    def projections(part):
        """Of two rounds of two directions; the refit has no others."""
        return np.concatenate(
            [
                (U[:, t : t + 2].T @ G @ Vt[t : t + 2].T).ravel()
                for name, G in dense(moment, part).items()
                for U, _, Vt in [bases[name]]
                for t in (0, 2)
            ]
        )

    total = sum(np.sum(G**2) for G in dense(moment).values())
    assert_close(found.used.captured, np.sum(projections("all") ** 2) / total, atol=EXACT, what="used")
    one, other = projections("one"), projections("other")
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert_close(found.used.agreement, cosine, atol=EXACT, what="agreement of the halves")


def test_study_is_analysed_by_the_spec_its_arms_share(registry):
    spec, solved = read_spec("boosting/digits-60", registry, SMALL)
    assert (spec.head.name, spec.rounds) == ("boosting-digits-60", 3)
    assert solved == {"optimizer.steps", "adapter.rank"}
    assert read_spec("quickstart", registry, ())[1] is None


def test_advise_uses_the_rank_of_the_next_round(registry):
    settings = (*SMALL, "adapter.use=lora-xs")
    plain = open_spec(load_spec("paper/digits", registry, (*settings, "adapter.rank=4")), RunContext())
    listed = open_spec(
        load_spec("paper/digits", registry, (*settings, "boosting.ranks=[4, 3]")), RunContext()
    )
    one, two = (
        advise(moment, registry, RunContext(), examples=40, only_own=True) for moment in (plain, listed)
    )
    assert (one.rank, two.rank) == (4, 4)
    assert two.basis("rotate").first["adapter"] == one.basis("rotate").first["adapter"]
    assert two.notes == (*one.notes, "boosting.ranks: all remaining rounds are measured with r = 4")
    alike = open_spec(load_spec("paper/digits", registry, (*settings, "boosting.ranks=[2, 2]")), RunContext())
    assert not any("ranks" in note for note in advise(alike, registry, RunContext(), examples=40).notes)
