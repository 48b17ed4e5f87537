"""MATH-500's answers, judged in worker processes, against `verify(parse(gold), parse(text))` in this one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from boostlora.plugins.tasks._math.pool import verdicts
from boostlora.plugins.tasks.math500 import gold

from .math_cases import real

pytest.importorskip("math_verify", reason="differential tests need math-verify")

SECONDS = 20.0
"""math-verify's own limits are 5 s for each of three steps; none of these answers comes near either."""

WORDINGS = (
    "\\boxed{{{a}}}", "${a}$", "\\({a}\\)", "\\[{a}\\]", "{a}", "$${a}$$", "The answer is ${a}$.", "\\boxed{{ {a} }}", "\\boxed{{{a}.}}",
    "Final Answer: The final answer is ${a}$. I hope it is correct.", "So $x={a}$.", "\\boxed{{x={a}}}", "\\boxed{{1}} or \\boxed{{{a}}}",
    "\\boxed{{{a}}} and not \\boxed{{1}}", "${a}$, so $\\boxed{{{a}}}$", "\\boxed{{\\text{{{a}}}}}", "\\boxed{{-({a})}}", "${a}",
    "\\boxed{{{a}", "\\fbox{{{a}}}", "\\boxed{{\\boxed{{{a}}}}}", "**{a}**", "\\boxed{{\\left({a}\\right)}}", "\\boxed{{{a}^\\circ}}",
    "\\boxed{{{a}\\%}}", "\\boxed{{\\${a}}}", "\\boxed{{{a}\\text{{ cm}}}}", "answer: {a}", "\\boxed{{{a}}}\n\nThat is 7.", "\\boxed {a}",
)  # fmt: skip
PAIRS = (
    ("\\frac{1}{2}", "0.5"), ("\\frac{1}{2}", "1/2"), ("\\frac{1}{2}", "\\boxed{\\frac12}"), ("\\frac{1}{2}", "\\boxed{\\dfrac{2}{4}}"),
    ("\\frac{1}{2}", "$50\\%$"), ("\\frac{1}{2}", ".5"), ("\\frac{1}{2}", "\\boxed{\\frac{1}{2}}."), ("\\frac{1}{3}", "0.333333"),
    ("\\frac{1}{3}", "0.33"), ("0.5", "\\boxed{1/2}"), ("\\{1, 2\\}", "$\\{2, 1\\}$"), ("\\{1, 2\\}", "1, 2"), ("1,2", "$1$ and $2$"),
    ("1, 2", "\\boxed{1}, \\boxed{2}"), ("1, 2", "\\boxed{2, 1}"), ("(1, 2)", "$(1,2)$"), ("(1, 2)", "$[1,2]$"), ("(1, 2)", "$\\{1,2\\}$"),
    ("(1,2]", "$1 < x \\le 2$"), ("(-\\infty, 2)", "$(-\\infty,2)$"), ("(-\\infty, 2)", "$x<2$"), ("[0,1] \\cup [2,3]", "$[2,3]\\cup[0,1]$"),
    ("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "$\\begin{bmatrix} 1 & 2 \\\\ 3 & 4 \\end{bmatrix}$"),
    ("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "\\boxed{\\begin{pmatrix}1&2\\\\3&5\\end{pmatrix}}"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "$(1, 2)$"), ("\\begin{pmatrix}\n1 \\\\\n2\n\\end{pmatrix}", "\\boxed{\\begin{pmatrix}1\\\\2\\end{pmatrix}}"),
    ("\\text{Evelyn}", "\\boxed{\\text{Evelyn}}"), ("\\text{Evelyn}", "Evelyn"), ("\\text{Evelyn}", "\\boxed{Evelyn}"),
    ("\\text{Evelyn}", "\\boxed{\\text{evelyn}}"), ("\\text{(B)}", "\\boxed{B}"), ("\\text{(B)}", "\\boxed{(B)}"), ("\\text{even}", "\\boxed{\\text{odd}}"),
    ("90^\\circ", "$90^\\circ$"), ("90^\\circ", "90"), ("90^\\circ", "90 degrees"), ("90", "\\boxed{90^{\\circ}}"), ("\\frac{\\pi}{2}", "$90^\\circ$"),
    ("10\\%", "10\\%"), ("10\\%", "$0.1$"), ("10", "\\boxed{10\\%}"), ("-5", "\u22125"), ("-5", "$\u22125$"), ("-5", "\\boxed{-5}"),
    ("-5", "\\boxed{- 5}"), ("-5", "(-5)"), ("18", "18.00"), ("18", "$18"), ("18", "18 dollars"), ("18", "#### 18."), ("18", "####18"),
    ("\\$18.90", "$18.90"), ("\\$18.90", "\\boxed{\\$18.90}"), ("\\$18.90", "\\boxed{18.9}"), ("10,000", "10000"), ("10,\\!000", "\\boxed{10,000}"),
    ("10000", "$10\\,000$"), ("4210_{5}", "\\boxed{4210_5}"), ("4210_{5}", "$4210$"), ("2\\sqrt{3}", "$\\sqrt{12}$"), ("2\\sqrt{3}", "3.4641016"),
    ("2\\sqrt{3}", "$2 \\cdot 3^{1/2}$"), ("x^2+2x+1", "$(x+1)^2$"), ("(x+1)^2", "\\boxed{x^2 + 2x + 1}"), ("x^2+2x+1", "$y^2+2y+1$"),
    ("y = 2x + 3", "$2x+3$"), ("y = 2x + 3", "$y=3+2x$"), ("y = 2x + 3", "$y - 2x = 3$"), ("2x+3", "$f(x) = 2x+3$"), ("5", "$x = 5$"), ("x=5", "5"),
    ("x \\ge 2", "$2 \\le x$"), ("x \\ge 2", "$x > 2$"), ("3+4i", "$4i+3$"), ("3+4i", "$3-4i$"), ("e^{i\\pi}", "$-1$"), ("\\infty", "$\\infty$"),
    ("\\log_2 8", "3"), ("n!", "$n!$"), ("\\binom{5}{2}", "10"), ("\\pm 2", "$2, -2$"), ("2, -2", "\\boxed{\\pm 2}"), ("11\\text{ cm}", "11"),
    ("11", "11 cm^2"), ("11", "\\boxed{11\\text{ square units}}"), ("1.5", "1\\frac{1}{2}"), ("\\frac{3}{2}", "\\boxed{1\\frac12}"),
    ("7", ""), ("7", " "), ("7", "\\boxed{}"), ("7", "\\boxed"), ("7", "\\boxed{"), ("7", "$"), ("7", "$$"), ("7", "}"), ("7", "{" * 400),
    ("7", "\\frac{" * 50), ("7", "\\boxed{\\sqrt}"), ("7", "none"), ("7", "\u0667"), ("7", "\x00"), ("7", "\ud800"), ("7", "x" * 20_000),
    ("7", "7 " * 100), ("7", "$7$ " * 100), ("7", "\\boxed{7}" * 20), ("7", "\\boxed{7 8}"), ("7", "\\boxed{07}"), ("7", "7.0000001"), ("7", "7.001"),
    ("7", "\\boxed{\\frac{7}{0}}"), ("7", "\\boxed{\\frac{14}{2}}"), ("7", "\\boxed{3+4}"), ("7", "3 + 4"), ("7", "3 + 4 = 7"), ("7", "7 = 3 + 4"),
    ("7", "The answer is 7, not 8"), ("7", "not 8 but 7"), ("7", "\\boxed{7}, hmm, \\boxed{8}"), ("7", "\\boxed{8}, no: \\boxed{7}"),
)  # fmt: skip
INDISTINCT = "\\text{Evelyn}", "\\frac{1}{2}", "(1, 2)", "-5", "10,000"


def expected(answer: str, text: str) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(gold(answer)), parse(text)))


def assert_the_same(pairs: list[tuple[str, str]]) -> int:
    found = verdicts([(gold(answer), text) for answer, text in pairs], SECONDS)
    assert [verdict.failure for verdict in found] == [""] * len(pairs)
    said = [expected(*pair) for pair in pairs]
    wrong = [pair for pair, v, right in zip(pairs, found, said, strict=True) if v.right != right]
    assert wrong == []
    return sum(said)


def test_math500_answers_in_every_wording_are_judged_as_math_verify_does() -> None:
    pairs = [(a, wording.format(a=a)) for a in INDISTINCT for wording in WORDINGS] + list(PAIRS)
    assert len(pairs) >= 250
    rights = assert_the_same(pairs)
    assert len(pairs) // 4 < rights < 3 * len(pairs) // 4


def test_math500_real_answers_and_solutions_are_judged_as_math_verify_does() -> None:
    rows = real("math500/test.jsonl")[::5]
    answers = [row["answer"] for row in rows]
    right = [(row["answer"], row["solution"]) for row in rows] + [(a, f"I get ${a}$.") for a in answers]
    assert assert_the_same(right) == len(right) == 200
    wrong = [(a, f"\\boxed{{{b}}}") for a, b in pairwise(answers)]
    assert assert_the_same(wrong) <= 5  # neighbours with the same answer


def test_math500_real_answers_are_equal_to_themselves_in_dollars_too() -> None:
    from math_verify import parse, verify

    for row in real("math500/test.jsonl")[1::5]:
        assert verify(parse(f"${row['answer']}$"), parse(gold(row["answer"])))


@pytest.mark.parametrize(
    ("answer", "wrapped"),
    [
        ("7", "\\boxed{7}"),
        ("$7$", "$7$"),
        ("\\boxed{7}", "\\boxed{7}"),
        ("\\$7", "\\boxed{\\$7}"),
        ("$", "\\boxed{$}"),
    ],
)
def test_math500_gold_answer_is_wrapped_as_latex(answer: str, wrapped: str) -> None:
    assert gold(answer) == wrapped
