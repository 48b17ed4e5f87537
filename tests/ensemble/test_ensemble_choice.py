"""Which rounds a user means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.cli.ensembles import choice_of
from boostlora.engine.ensemble.choice import Choice, choose
from boostlora.engine.errors import UsageError

LAST = 12
ALLOWED = "allowed: 7 (the first seven), 1..7, 3.., 1..3,5, all, best, 0 (the base)"


def _rounds(rounds: Any, last: int = LAST, **more: Any) -> list[int]:
    return list(choose(rounds, last, **more).weights)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        (None, range(1, 13)),
        ("all", range(1, 13)),
        (" all ", range(1, 13)),
        ("best", range(1, 6)),
        ("0", []),
        (0, []),
        ("7", range(1, 8)),
        (" 7 ", range(1, 8)),
        ("007", range(1, 8)),
        (7, range(1, 8)),
        ("12", range(1, 13)),
        ("1..7", range(1, 8)),
        ("7..7", [7]),
        ("10..", [10, 11, 12]),
        ("..3", [1, 2, 3]),
        ("..", range(1, 13)),
        ("1..3,5,9..12", [1, 2, 3, 5, 9, 10, 11, 12]),
        ("5, 1 .. 3".replace(" .. ", ".."), [1, 2, 3, 5]),
        ("3,3,2..3", [2, 3]),
        ("3,", None),
        ([3, 1], [1, 3]),
        ((), []),
        ({4}, [4]),
        (range(2, 4), [2, 3]),
        ({5: 0.5, 2: 1.0}, [2, 5]),
        ({5: 0.0}, []),
        ({}, []),
        (np.int64(7), range(1, 8)),
        (np.int64(0), []),
        (np.array([3, 1], dtype=np.int32), [1, 3]),
        ([np.uint8(3)], [3]),
        ({np.int64(3): np.float32(0.5)}, [3]),
    ],
)
def test_choice_accepts_every_documented_spelling(rounds: Any, expected: Any) -> None:
    if expected is None:
        with pytest.raises(UsageError, match='"" is not a selection of rounds'):
            _rounds(rounds)
        return
    found = choose(rounds, LAST, best=5)
    assert list(found.weights) == list(expected)
    assert all(type(n) is int and type(w) is float for n, w in found.weights.items())
    assert found.last == LAST


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ("13", "no round 13; there are: 1 to 12"),
        (13, "no round 13; there are: 1 to 12"),
        (-1, "no round -1; there are: 1 to 12"),
        (np.int64(13), "no round 13; there are: 1 to 12"),
        ([0], "no round 0; there are: 1 to 12"),
        ([1, 13], "no round 13; there are: 1 to 12"),
        ({0: 1.0}, "no round 0; there are: 1 to 12"),
        ("0..3", "no round 0; there are: 1 to 12"),
        ("3..13", "no round 13; there are: 1 to 12"),
        ("13..", "rounds 13..: the first is after the last"),
        ("5..3", "rounds 5..3: the first is after the last"),
        ("..0", "rounds ..0: the first is after the last"),
        ("1,0", "no round 0; there are: 1 to 12"),
        ("", f'"" is not a selection of rounds; {ALLOWED}'),
        ("  ", f'"" is not a selection of rounds; {ALLOWED}'),
        (",", f'"" is not a selection of rounds; {ALLOWED}'),
        ("1,,2", f'"" is not a selection of rounds; {ALLOWED}'),
        ("-1", f'"-1" is not a selection of rounds; {ALLOWED}'),
        ("+1", f'"+1" is not a selection of rounds; {ALLOWED}'),
        ("1.5", f'"1.5" is not a selection of rounds; {ALLOWED}'),
        ("1...3", f'"1...3" is not a selection of rounds; {ALLOWED}'),
        ("1 .. 3", f'"1 .. 3" is not a selection of rounds; {ALLOWED}'),
        ("1-3", f'"1-3" is not a selection of rounds; {ALLOWED}'),
        ("ALL", f'"ALL" is not a selection of rounds; {ALLOWED}'),
        ("best,1", f'"best" is not a selection of rounds; {ALLOWED}'),
        ("all,1", f'"all" is not a selection of rounds; {ALLOWED}'),
        ("²", f'"²" is not a selection of rounds; {ALLOWED}'),
        ("1\n..2", f'"1\\n..2" is not a selection of rounds; {ALLOWED}'),
        ("\x1b[31m", f'"\\x1b[31m" is not a selection of rounds; {ALLOWED}'),
        (1.5, "1.5 is not a round number"),
        (7.0, "7.0 is not a round number"),
        ([1, 2.5], "2.5 is not a round number"),
        (["1"], "'1' is not a round number"),
        ({"1": 1.0}, "'1' is not a round number"),
        (object, f"{object!r} is not a round number"),
        ({1: "much"}, "'much' is not a weight of a round; a number is required"),
        ({1: None}, "None is not a weight of a round; a number is required"),
        ({1: 10**400}, None),
        ({1: float("nan")}, "weights of rounds must be finite numbers"),
        ({1: float("inf")}, "weights of rounds must be finite numbers"),
    ],
)
def test_choice_refuses_values_that_name_no_rounds(rounds: Any, message: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        choose(rounds, LAST, best=5)
    assert message is None or str(caught.value) == message


@pytest.mark.parametrize(
    "rounds",
    ["9" * 20, "9" * 5000, "1.." + "9" * 5000, "9" * 5000 + "..", 10**5000],
    ids=["long", "longer", "end", "beginning", "number"],
)
def test_choice_refuses_huge_numbers_with_a_short_message(rounds: Any) -> None:
    with pytest.raises(UsageError) as caught:
        choose(rounds, LAST)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        (1, "no round 1; there are: none yet; 0 is the base"),
        ("1..", "rounds 1..: the first is after the last"),
        ("best", "there is no best round: the run has no finished round"),
    ],
)
def test_choice_of_a_round_is_refused_when_the_run_has_none(rounds: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(rounds, 0)
    assert str(caught.value) == message


@pytest.mark.parametrize("rounds", [None, "all", 0, "0", []])
def test_choice_of_the_base_is_accepted_when_the_run_has_no_rounds(rounds: Any) -> None:
    assert choose(rounds, 0).prefix == 0


@pytest.mark.parametrize(
    ("drop", "weights", "expected"),
    [
        ([3], {}, {1: 1.0, 2: 1.0, 4: 1.0}),
        ([3, 3], {}, {1: 1.0, 2: 1.0, 4: 1.0}),
        ([1, 2, 3, 4], {}, {}),
        ([], {2: 0.5}, {1: 1.0, 2: 0.5, 3: 1.0, 4: 1.0}),
        ([4], {2: -0.5, 1: 0.0}, {2: -0.5, 3: 1.0}),
        ([np.int64(4)], {np.int64(1): np.float64(2)}, {1: 2.0, 2: 1.0, 3: 1.0}),
    ],
)
def test_choice_applies_drop_and_weights(
    drop: list[int], weights: dict[int, float], expected: dict[int, float]
) -> None:
    assert choose(None, 4, drop=drop, weights=weights).weights == expected


@pytest.mark.parametrize(
    ("drop", "weights", "message"),
    [
        ([4], {}, "round 4 cannot be dropped: it is not selected"),
        ([9], {}, "no round 9; there are: 1 to 4"),
        ([0], {}, "no round 0; there are: 1 to 4"),
        ([], {4: 2.0}, "round 4 cannot get weight 2: it is not selected"),
        ([2], {2: 2.0}, "round 2 cannot get weight 2: it is not selected"),
        ([], {1: float("inf")}, "weights of rounds must be finite numbers"),
        ([], {4: "x"}, "'x' is not a weight of a round; a number is required"),
    ],
)
def test_choice_refuses_to_drop_or_weight_unselected_rounds(
    drop: list[int], weights: dict[int, float], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose("1..3", 4, drop=drop, weights=weights)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({}, "0 (the base)"),
        ({1: 1.0}, "1..1"),
        ({3: 1.0}, "3..3"),
        ({3: 0.5}, "3..3 (x 0.5)"),
        ({1: 1.0, 2: 1.0}, "1..2"),
        ({1: 1.0, 3: 1.0}, "1, 3"),
        ({1: 1.0, 2: 1.0, 3: 1.0, 5: 0.5}, "1..3, 5 (x 0.5)"),
        ({1: 1.0, 2: 0.5, 3: 0.5, 4: 1.0}, "1, 2..3 (x 0.5), 4"),
        ({1: -1.0, 2: 1.0}, "1 (x -1), 2"),
    ],
)
def test_choice_is_printed_as_ranges(weights: dict[int, float], told: str) -> None:
    assert Choice(weights=weights, last=LAST).describe() == told


@given(st.integers(1, 60).flatmap(lambda last: st.tuples(st.just(last), st.sets(st.integers(1, last)))))
def test_printed_choice_parses_to_the_same_choice(drawn: tuple[int, set[int]]) -> None:
    last, rounds = drawn
    choice = choose(rounds, last)
    assert choose(choice.describe().removesuffix(" (the base)"), last) == choice
    assert choose(dict(choice.weights), last) == choice


@given(st.dictionaries(st.integers(1, 9), st.sampled_from([1.0, 1.0, 1.0, 0.5, -1.0])))
def test_choice_is_a_prefix_only_without_gaps_and_weights(
    weights: dict[int, float],
) -> None:
    choice = choose(weights, 9)
    plain = all(weight == 1.0 for weight in weights.values())
    contiguous = sorted(weights) == list(range(1, max(weights, default=0) + 1))
    assert choice.prefix == (len(weights) if plain and contiguous else None)
    if choice.prefix is not None:
        assert choose(choice.prefix, 9) == choice


@given(
    st.lists(st.integers(1, 9), max_size=4, unique=True),
    st.dictionaries(st.integers(1, 9), st.floats(-2, 2), max_size=4),
)
def test_choice_options_equal_the_mapping_form(drop: list[int], weights: dict[int, float]) -> None:
    weights = {n: w for n, w in weights.items() if n not in drop}
    expected = {n: weights.get(n, 1.0) for n in range(1, 10) if n not in drop}
    assert choose(None, 9, drop=drop, weights=weights) == choose(expected, 9)


class _Nine:
    """All of an ensemble that the options ask."""

    @staticmethod
    def choose(rounds: Any, **more: Any) -> Choice:
        return choose(rounds, 9, best=4, **more)


def test_choice_options_are_parsed_from_the_command_line() -> None:
    nine: Any = _Nine()
    found = choice_of(nine, "1..5", ("2, 3", "4"), ("5=0.5", "1=-2"))
    assert found.weights == {1: -2.0, 5: 0.5}


@pytest.mark.parametrize(
    ("drop", "weights", "message"),
    [
        (("x",), (), '--drop: "x" is not the number of a round'),
        (("1,",), (), '--drop: "" is not the number of a round'),
        (("-1",), (), '--drop: "-1" is not the number of a round'),
        (("²",), (), '--drop: "²" is not the number of a round'),
        (("1..2",), (), '--drop: "1..2" is not the number of a round'),
        ((), ("5",), '--weight: "5" is not of the form N=FACTOR, such as 5=0.5'),
        ((), ("=2",), '--weight: "=2" is not of the form N=FACTOR, such as 5=0.5'),
        ((), ("5=",), '--weight: "5=" is not of the form N=FACTOR, such as 5=0.5'),
        ((), ("5=x",), '--weight: "5=x" is not of the form N=FACTOR, such as 5=0.5'),
        ((), ("5=nan",), "weights of rounds must be finite numbers"),
        ((), ("5=1e999",), "weights of rounds must be finite numbers"),
        ((), ("10=1",), "no round 10; there are: 1 to 9"),
    ],
)
def test_choice_refuses_malformed_options(
    drop: tuple[str, ...], weights: tuple[str, ...], message: str
) -> None:
    nine: Any = _Nine()
    with pytest.raises(UsageError) as caught:
        choice_of(nine, "all", drop, weights)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 5000 + "=1"], ids=["drop", "weight"])
def test_choice_options_with_huge_numbers_have_a_short_message(text: str) -> None:
    nine: Any = _Nine()
    with pytest.raises(UsageError) as caught:
        choice_of(nine, "all", () if "=" in text else (text,), (text,) if "=" in text else ())
    assert len(str(caught.value)) < 300


def test_choice_is_accepted_as_an_argument_and_can_be_modified() -> None:
    choice = choose({2: 0.5, 5: 1.0}, LAST)
    assert choose(choice, LAST) == choice
    assert dict(choose(choice, LAST, drop=[5], weights={2: 2.0}).weights) == {2: 2.0}
    with pytest.raises(UsageError, match="5"):
        choose(choice, 4)
