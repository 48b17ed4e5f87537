"""The last number of a text, in any notation."""

from __future__ import annotations

import decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.plugins.tasks._text.numbers import MOST_EXPONENT, MOST_PLACES, last_number

MINUS = ("-", "\u2212", "\ufe63", "\uff0d", "\u2010", "\u2011", "\u2012", "\u2013")
LARGE = "121932631137021071359549253925"


def refers(text: str, number: str | None) -> None:
    assert last_number(text) == number, text


@pytest.mark.parametrize("sign", MINUS)
def test_last_number_after_any_minus_sign_is_negative(sign: str) -> None:
    for text in (
        "{}5",
        "is {}5.",
        "={}5",
        "{}$5",
        "${}5",
        "{}\\$5",
        "\\boxed{{{}5}}",
        "**{}5**",
        "{}US$ 5",
        "{}€5",
    ):
        refers(text.format(sign), "-5")
    refers(f"{sign}$1,200.50", "-1200.5")
    refers(f"{sign}.5", "-0.5")


@pytest.mark.parametrize("sign", MINUS)
def test_last_number_after_a_dash_between_two_terms_has_no_sign(sign: str) -> None:
    for text in ("in 2019{}2021", "2019{}{}2021", "$5{}$2021", "5€{}2021€", "5%{}2021%", "5\\%{}2021", "x{}2021", "(x){}2021", "5°{}2021°"):  # fmt: skip
        refers(text.format(sign, sign), "2021")
    refers(f"10 {sign} 2021", "2021")
    refers(f"{sign} 2021", "2021")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-0", "0"),
        ("-0.00", "0"),
        ("0e7", "0"),
        ("+5", "5"),
        ("007", "7"),
        ("3.", "3"),
        (".5", "0.5"),
        ("wait...5", "5"),
        ("5%", "5"),
        ("(5)", "5"),
        ("1/2", "2"),
        ("5 apples", "5"),
        ("18.00 and no more", "18"),
        ("\uff15\uff0c\uff10\uff10\uff10", "5000"),
        ("\uff0b\uff11\uff0e\uff15\uff05", "1.5"),
        ("\u0663\u066b\u0665", "3.5"),
        ("\u5171100\uff0c200\u4e2a", "200"),
        ("\u7b54\u6848\u662f-5", "-5"),
        ("\u041a\u043e\u0432\u0438\u0434-19", "19"),
        ("", None),
        ("none - at all.", None),
    ],
)
def test_last_number_is_found_in_any_formatting(text: str, number: str | None) -> None:
    refers(text, number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,200.50", "1200.5"),
        ("-1,000,000.", "-1000000"),
        ("1,00,000", "100000"),
        ("12,34,567.5", "1234567.5"),
        ("1,000e3", "1000000"),
        ("1, 2,3", "3"),
        ("1,23", "23"),
        ("1,2,345", "345"),
        ("1,234,56", "56"),
        ("1,2345", "2345"),
        ("1234,567", "567"),
        ("1,200,", "1200"),
    ],
)
def test_last_number_commas_group_thousands_or_separate_numbers(text: str, number: str) -> None:
    refers(text, number)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.2.3", "3"), ("12.05.2024", "2024"), ("192.168.0.1", "1"), ("1,200.50.3", "3"), ("v.2", "2")],
)
def test_last_number_of_several_points_is_the_last_part(text: str, number: str) -> None:
    refers(text, number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e3", "1000"),
        ("1E-3", "0.001"),
        ("-1.5e+3 m", "-1500"),
        ("1e3.", "1000"),
        ("1e", "1"),
        ("2e3.5", "3.5"),
        ("1e3x", "3"),
        (f"1e{MOST_PLACES}", "1" + "0" * MOST_PLACES),
        (f"10e{MOST_PLACES}", f"1e{MOST_PLACES + 1}"),
        (f"1e-{MOST_PLACES}", "0." + "0" * (MOST_PLACES - 1) + "1"),
        (f"0.1e-{MOST_PLACES}", f"1e-{MOST_PLACES + 1}"),
        ("0." + "1" * 150, "0." + "1" * 150),
        ("1e999999999", "1e999999999"),
        ("-120e-999999999", "-12e-999999998"),
        ("1e" + "9" * MOST_EXPONENT, "1e" + "9" * MOST_EXPONENT),
        ("1e" + "9" * (MOST_EXPONENT + 1), None),
    ],
)
def test_last_number_exponent_belongs_to_it(text: str, number: str | None) -> None:
    refers(text, number)


def test_last_number_is_compared_in_all_digits() -> None:
    refers(f"so {LARGE}", LARGE)
    refers(f"{LARGE[:-1]}9.50", f"{LARGE[:-1]}9.5")
    refers("7" * 100_000, "7" * 100_000)


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40),
    st.sampled_from(["{}", "{:f}", "{:,f}", "it is {:e}.", "$x = {:f}$"]),
)
def test_last_number_is_exactly_what_was_written(value: decimal.Decimal, form: str) -> None:
    found = last_number(form.format(value))
    assert found is not None
    assert decimal.Decimal(found) == value
    assert found == last_number(found)


@given(st.text(alphabet="0123456789.,-+eE$%() \u2212x", max_size=40))
def test_last_number_of_its_own_answer_is_the_same(text: str) -> None:
    found = last_number(text)
    assert found is None or last_number(found) == found


@pytest.mark.parametrize(
    "text", ["1,111" + ",111" * 50_000 + ",1", "1." * 50_000, "-" * 200_000, "-A" * 100_000, "0" * 200_000, "1e" + "9" * 200_000]
)  # fmt: skip
def test_last_number_of_a_long_text_is_found_in_linear_time(text: str) -> None:
    last_number(text)


@pytest.mark.parametrize("sign", ["\u2010", "\u2011", "\u2012", "\u2013", "\u2212", "\ufe63", "\uff0d", "-"])
@pytest.mark.parametrize("currency", ["$", "\ufe69", "\uff04", ""])
def test_last_number_has_its_sign_in_every_form(sign: str, currency: str) -> None:
    refers(f"it is {sign}{currency}5", "-5")
