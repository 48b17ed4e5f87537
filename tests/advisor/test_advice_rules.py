import attrs
import pytest

from boostlora.engine.advisor.basis_advice import choose_basis
from boostlora.engine.advisor.rules import cautions, recommend
from boostlora.engine.advisor.thresholds import DEFAULT

from .advisor_toys import basis, findings, used

ROTATE = basis("rotate", 0.02, own=True)
FIXED = basis("fixed", 0.05)


def advice(found, topic):
    return next(one for one in recommend(found) if one.topic == topic)


def settings(found):
    return {key: value for one in recommend(found) for key, value in one.settings.items()}


def gradient(held, **changes):
    return basis("gradient", held, data_driven=True, **changes)


@pytest.mark.parametrize(
    ("bases", "chosen"),
    [
        ([ROTATE, gradient(0.5, itself=0.6)], "gradient"),
        ([ROTATE, gradient(0.06, itself=0.3)], "gradient"),  # a fifth survives: in runs that was worth it
        ([ROTATE, gradient(0.03, itself=0.05)], "rotate"),  # not twice as much
        ([ROTATE, gradient(0.08, itself=0.9)], "rotate"),  # mostly noise
        ([basis("rotate", 1e-4, own=True), gradient(1.5e-3)], "rotate"),  # not twice what chance holds
        ([ROTATE, basis("tail", 0.5)], "rotate"),  # what bases hold that hear nothing does not rank them
        ([ROTATE, basis("activation", 0.9, data_driven=True)], "rotate"),  # it does not know the loss
        ([basis("probe", 0.5, data_driven=True, own=True), gradient(0.51), ROTATE], "probe"),
        ([gradient(0.0006, own=True), basis("rotate", 0.0009)], "gradient"),  # nothing speaks for another
    ],
)
def test_basis_that_is_chosen(bases, chosen):
    assert choose_basis(findings(*bases), DEFAULT).name == chosen


@pytest.mark.parametrize(
    "bases",
    [
        [FIXED, ROTATE],
        [FIXED, gradient(0.0006, own=True), basis("rotate", 0.0009)],  # late in a run
        [basis("fixed", 0.9, own=True), ROTATE],
        [basis("fixed", 0.9, own=True), basis("rotate", 0.02), gradient(0.3)],
        [FIXED, basis("random", 0.001)],  # the spec's own is used up
        [FIXED],
    ],
)
@pytest.mark.parametrize("rewarded", [False, True])
def test_same_directions_in_every_round_are_never_advised(bases, rewarded):
    found = findings(*bases, rewarded=rewarded, number=6, used=used(0.2))
    chosen = choose_basis(found, DEFAULT)
    assert chosen is None or chosen.name != "fixed"
    assert settings(found).get("basis.use") != "fixed"
    assert recommend(found)[0].topic == "basis"


def test_reference_basis_in_a_spec_is_advised_against():
    line = advice(findings(basis("fixed", 0.9, own=True), basis("rotate", 0.02)), "basis")
    assert line.settings == {"basis.use": "rotate"}
    assert "the same first directions in every round" in line.reason


def test_exhausted_basis_is_not_replaced():
    found = findings(FIXED, basis("random", 0.001), own_basis="rotate", number=17, used=used(0.05))
    assert advice(found, "basis").choice == "rotate has no further directions"
    assert settings(found) == {"boosting.refit_every": 16, "rounds": 17}


def test_basis_with_rewards_is_gradient_if_its_energy_generalises():
    found = findings(ROTATE, gradient(0.8, itself=0.9), rewarded=True)
    line = advice(found, "basis")
    assert line.choice == "gradient"
    assert "in four larger rounds gradient ended above rotate" in line.reason
    assert "90.0 % of that half's energy" in line.reason
    assert advice(attrs.evolve(found, sampler="failures"), "sampler").choice == "failures", (
        "they do not run out"
    )


def test_basis_with_noisy_rewards_uses_no_data_and_gives_the_reason():
    found = findings(ROTATE, gradient(0.08, itself=0.9), rewarded=True)
    line = advice(found, "basis")
    assert line.choice == "rotate"
    assert "90.0 % of its calibration half" in line.reason
    assert "a small share of its calibration half" in line.reason
    assert "made no difference in nine small rounds" in line.reason


@pytest.mark.parametrize("own", ["rotate", "gradient"])
def test_basis_of_a_started_reward_run_is_kept(own):
    bases = [basis("rotate", 0.02, own=own == "rotate"), gradient(0.8, own=own == "gradient")]
    found = findings(*bases, rewarded=True, number=3, used=used(0.1), own_basis=own)
    assert advice(found, "basis").choice == own


def test_few_rounds_with_equal_parameters_are_advised_for_rewards():
    line = advice(findings(ROTATE, rewarded=True, rounds=9, shares=(1.0,)), "rounds")
    assert line.settings == {"rounds": 4, "adapter.rank": 6, "optimizer.steps": 90}
    assert advice(findings(ROTATE, rewarded=True, rounds=4), "rounds").settings == {}


@pytest.mark.parametrize(
    ("adapter", "held", "wanted"),
    [
        (
            "lora-xs",
            {"diagonal": 0.5},
            None,
        ),  # a diagonal holds all of a first step, and no more is asked than that
        ("diagonal", {"diagonal": 0.45}, None),
        ("diagonal", {"diagonal": 0.2}, "lora-xs"),
        ("tinylora", {"adapter": 0.48}, None),
        ("tinylora", {"adapter": 0.3, "diagonal": 0.5}, "lora-xs"),
    ],
)
def test_core_is_full_unless_the_specs_core_captures_nearly_as_much(adapter, held, wanted):
    line = advice(findings(gradient(0.5, own=True, **held), adapter=adapter), "core")
    assert line.settings == ({} if wanted is None else {"adapter.use": wanted})


def test_core_of_an_adapter_without_frames_comes_with_a_rank():
    found = findings(basis("rotate", 0.1, diagonal=0.02, own=True), adapter="full", framed=False)
    assert advice(found, "core").settings == {"adapter.use": "lora-xs", "adapter.rank": 4}
    assert advice(found, "refits").settings == {}


def test_rank_is_raised_if_the_specs_captures_too_little():
    leading = {1: 0.05, 4: 0.2, 8: 0.5, 16: 0.8}
    data_driven = gradient(0.5, own=True)
    assert advice(findings(data_driven, leading=leading), "rank").settings == {"adapter.rank": 8}
    assert advice(findings(data_driven), "rank").settings == {}


def test_cores_of_future_refits_are_not_changed():
    leading = {1: 0.05, 4: 0.2, 8: 0.5, 16: 0.8}
    data_driven = gradient(0.01, own=True, adapter=0.001, diagonal=0.001)
    late = {"adapter": "tinylora", "leading": leading, "number": 6}
    found = findings(data_driven, used=used(0.2), **late)
    assert settings(found) == {"boosting.refit_every": 5}
    found = findings(data_driven, used=used(0.001), **late)
    assert settings(found) == {"adapter.use": "lora-xs", "adapter.rank": 8}


def test_top_sites_are_advised_if_few_sites_have_the_energy():
    few = findings(ROTATE, shares=(0.7, 0.25, 0.03, 0.02))
    assert advice(few, "sites").settings == {"boosting.top_sites": 2}
    assert advice(findings(ROTATE, shares=(0.3, 0.3, 0.2, 0.2)), "sites").settings == {}


def test_one_shot_with_equal_parameters_is_advised_if_a_single_core_captures_more():
    one = findings(basis("rotate", 0.1, together=0.2, equal=0.4, own=True), wide=64)
    assert advice(one, "rounds").settings == {"rounds": 1, "adapter.rank": 16, "optimizer.steps": 640}
    assert advice(one, "rank").choice == "r = 16"
    assert advice(one, "refits").choice == "none"
    assert advice(one, "sampler").settings == {"sampler.use": "all"}
    many = findings(basis("rotate", 0.1, together=0.4, equal=0.2, own=True))
    assert advice(many, "rounds").choice == "boosting, 16 rounds, as it is"


def test_started_run_is_advised_to_continue():
    found = findings(basis("rotate", 0.1, together=0.2, equal=0.4, own=True), number=6, used=used(0.01))
    assert advice(found, "rounds").choice == "continue, 11 rounds left"
    assert advice(found, "rounds").settings == {}
    assert advice(attrs.evolve(found, number=17), "rounds").choice == "all are finished"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"rounds": 20, "boosting.refit_every": 4}),
        ({"rounds": 4, "fresh": 4}, {"rounds": 6, "boosting.refit_every": 2}),
        ({"rounds": 3, "fresh": 3}, {}),
        ({"refit_every": 4}, {}),
        ({"rewarded": True, "rounds": 4}, {}),
    ],
)
def test_refits_before_the_first_round_use_studied_frequencies(changes, expected):
    assert advice(findings(gradient(0.5, own=True), ROTATE, **changes), "refits").settings == expected


@pytest.mark.parametrize(
    ("held", "changes", "expected"),
    [
        (used(0.2), {}, {"boosting.refit_every": 5}),
        (used(0.03), {}, {}),  # the run's own next directions hold nearly as much
        (
            used(0.2, agreement=-0.1),
            {},
            {"boosting.refit_every": 5},
        ),  # halves did not foretell what refits gained
        (used(0.2), {"rewarded": True}, {}),
        (used(0.2), {"refit_every": 4}, {}),  # there are some: round 10 is the next
        (used(0.2), {"number": 17}, {"boosting.refit_every": 16, "rounds": 17}),
        (used(0.2), {"number": 17, "refit_every": 5}, {"rounds": 18}),
        (used(0.2), {"number": 17, "refit_every": 15}, {}),  # the last round was one
    ],
)
def test_refit_is_advised_if_used_directions_capture_more_than_the_next(held, changes, expected):
    found = findings(ROTATE, gradient(0.5), **({"number": 6, "used": held} | changes))
    assert advice(found, "refits").settings == expected


def test_next_refit_of_the_spec_is_named():
    found = findings(ROTATE, used=used(0.2), refit_every=4, number=6)
    assert advice(found, "refits").choice == "round 10 is the next, as it is"
    assert advice(attrs.evolve(found, number=10), "refits").choice == "the next round is one"


@pytest.mark.parametrize(
    ("changes", "choice"),
    [
        ({"failures": 400}, "failures"),
        ({"failures": 10}, "all"),
        ({"train": 30, "failures": 10}, "all"),
        ({"sampler": "hardest"}, "hardest"),
        ({"sampler": "hardest", "train": 60, "failures": 50}, "all"),
        ({"sampler": "weighted", "failures": 0}, "weighted"),
    ],
)
def test_sampler_is_one_that_continues_if_failures_run_out(changes, choice):
    line = advice(findings(ROTATE, **{"sampler": "failures"} | changes), "sampler")
    assert line.choice == choice


def test_sampler_all_is_advised_with_gradient_frames():
    data_driven = gradient(0.5, own=True)
    assert advice(findings(data_driven, sampler="failures"), "sampler").settings == {"sampler.use": "all"}


def test_disagreeing_halves_give_a_caution():
    assert cautions(findings(ROTATE)) == ()
    assert "--examples" in cautions(findings(ROTATE, agreement=0.1))[0]
    assert "12.0 %" in cautions(findings(ROTATE, error=0.24))[0]


def test_no_wrong_examples_give_a_caution():
    assert "validation" in cautions(findings(ROTATE, failures=0))[0]


def test_energy_between_used_and_free_directions_gives_a_caution():
    own = gradient(0.01, own=True, project="both")
    assert "basis.project" in cautions(findings(own, used=used(0.1)))[0]
    assert cautions(findings(own, used=used(0.3))) == ()
    shares = gradient(0.01, own=True, project="none")
    assert cautions(findings(shares, used=used(0.1))) == ()


def test_advice_without_any_basis_is_still_given():
    assert [one.topic for one in recommend(findings())] == ["basis", "sites", "refits", "sampler"]
