import pytest
from advising_toys import basis, findings

from boostlora.engine.advising.rules import cautions, choose_basis, recommend

ROTATE = basis("rotate", 0.02, own=True)


def advice(found, topic):
    return next(one for one in recommend(found) if one.topic == topic)


@pytest.mark.parametrize(
    ("bases", "chosen"),
    [
        ([ROTATE, basis("gradient", 0.5, itself=0.6, informed=True)], "gradient"),
        ([ROTATE, basis("gradient", 0.03, itself=0.05, informed=True)], "rotate"),  # not twice as much
        ([ROTATE, basis("gradient", 0.2, itself=0.9, informed=True)], "rotate"),  # mostly noise
        ([ROTATE, basis("tail", 0.025)], "rotate"),  # not worth a change
        ([ROTATE, basis("tail", 0.1)], "tail"),
        ([basis("rotate", 1e-4, own=True), basis("tail", 3e-3)], "rotate"),  # both hold next to nothing
        (
            [basis("probe", 0.5, informed=True, own=True), basis("gradient", 0.51, informed=True), ROTATE],
            "probe",
        ),
    ],
)
def test_basis_that_is_chosen(bases, chosen):
    assert choose_basis(findings(*bases)).name == chosen


def test_basis_beside_rewards_hears_no_data_and_says_why():
    found = findings(ROTATE, basis("gradient", 0.8, itself=0.9, informed=True), rewarded=True)
    line = advice(found, "basis")
    assert line.choice == "rotate"
    assert "no advantage" in line.reason
    assert "90.0 % of the half that it heard" in line.reason
    assert advice(found, "rounds").settings == {"rounds": 1, "adapter.rank": 16}


def test_core_is_diagonal_where_that_holds_most():
    assert advice(findings(basis("rotate", 0.1, diagonal=0.09)), "core").settings == {
        "adapter.use": "diagonal"
    }
    assert advice(findings(basis("rotate", 0.1, diagonal=0.02)), "core").settings == {}


def test_core_of_an_adapter_without_frames_comes_with_a_rank():
    found = findings(basis("rotate", 0.1, diagonal=0.02), adapter="full", framed=False)
    assert advice(found, "core").settings == {"adapter.use": "lora-xs", "adapter.rank": 4}


def test_rank_is_raised_where_the_spec_s_holds_too_little():
    leading = {1: 0.05, 4: 0.2, 8: 0.5, 16: 0.8}
    informed = basis("gradient", 0.5, informed=True, own=True)
    assert advice(findings(informed, leading=leading), "rank").settings == {"adapter.rank": 8}
    assert advice(findings(informed), "rank").settings == {}


def test_sites_are_chosen_where_few_have_the_energy():
    few = findings(ROTATE, shares=(0.7, 0.25, 0.03, 0.02))
    assert advice(few, "sites").settings == {"boosting.top_sites": 2}
    assert advice(findings(ROTATE, shares=(0.3, 0.3, 0.2, 0.2)), "sites").settings == {}


def test_rounds_are_one_where_a_single_core_holds_more():
    one = findings(basis("rotate", 0.1, together=0.2, equal=0.4))
    assert advice(one, "rounds").settings == {"rounds": 1, "adapter.rank": 16}
    many = findings(basis("rotate", 0.1, together=0.4, equal=0.2))
    assert advice(many, "rounds").choice == "boosting, 16 rounds"


@pytest.mark.parametrize(
    ("changes", "choice"),
    [
        ({"failures": 400}, "failures"),
        ({"failures": 10}, "hardest"),
        ({"train": 30, "failures": 10}, "all"),
        ({"sampler": "weighted", "failures": 0}, "weighted"),
    ],
)
def test_sampler_goes_on_where_failures_are_soon_used_up(changes, choice):
    line = advice(findings(ROTATE, **{"sampler": "failures"} | changes), "sampler")
    assert line.choice == choice


def test_sampler_beside_gradient_frames_goes_on():
    found = findings(basis("gradient", 0.5, informed=True), sampler="failures")
    assert advice(found, "sampler").settings == {"sampler.use": "hardest"}


def test_halves_that_disagree_are_a_caution():
    assert cautions(findings(ROTATE)) == ()
    assert "--examples" in cautions(findings(ROTATE, agreement=0.1))[0]
    assert "12.0 %" in cautions(findings(ROTATE, error=0.24))[0]


def test_advice_without_any_basis_is_still_given():
    assert [one.topic for one in recommend(findings())] == ["sites", "sampler"]


def test_directions_that_are_used_and_hold_most_are_a_caution():
    assert "boosting.refit_every" in cautions(findings(ROTATE, used=0.9))[0]
    assert cautions(findings(ROTATE, used=0.03)) == ()
