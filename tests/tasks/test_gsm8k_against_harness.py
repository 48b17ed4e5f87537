"""GSM8K's answers as lm-evaluation-harness reads them: its own filters and metric, with the settings of its own task file."""

from __future__ import annotations

from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from boostlora.plugins.tasks.gsm8k import Gsm8k

from .math_cases import lines, problems, real, solved, written

pytest.importorskip("lm_eval", reason="differential tests need lm-eval")

FILTERS = {"strict": "strict-match", "flexible": "flexible-extract"}

WORDINGS = (
    "#### {n}", "####{n}", "#### {n}.", "#### {n}.00", "#### {n}.0", "#### ${n}", "#### -{n}", "####  {n}", "#### {n},", "## {n}",
    "#### {n}\n", "#### {n} dollars", "#### {n}%", "#### {n}\n#### 1", "#### 1\n#### {n}", "So #### {n}. Next question", "#### #### {n}",
    "{n}", "${n}", "$ {n}", "${n}.00", "{n} dollars", "{n}.", "{n}!", "{n},", "{n}$", "-{n}", "--{n}", "- {n}", "+{n}", "\u2212{n}",
    "({n})", "**{n}**", "\\boxed{{{n}}}", "\\({n}\\)", "It is {n}", "It is {n}.", "It is {n}, I think.", "Answer: {n}", "{n} = {n}",
    "The answer is {n} and not 3", "not 3 but {n}", "{n}/1", "{n}e0", "{n}.5", "0{n}", "{n}0", "{n} 000", "x={n}", "x{n}x", "{n}th", "{n}:00",
    "{n}\u00a0", "{n}\u20ac", "€{n}", "{n}\n\n", "\n{n}", "{n} ...", "{n}...", "{n} $", "{n} , .", "{n}.,", "$.{n}", "#### .{n}", "#### ,{n}",
    "#### {n}\r\n", "#### {n}\x00", "{n} A", "#### {n}a", "#### a{n}", "<<1+1=2>>{n}", "1,{n}", "#### 1,{n}", "{n},000", "#### {n},000",
)  # fmt: skip
PLAIN = ("", " ", "no number", "####", "#### ", "#### .", "#### ,", "#### -", "....", "$$", "$", "-", ",,", "[invalid]", "#### [invalid]",
    "9" * 5000, "#### " + "9" * 5000, "#### 1" * 2000, "-" * 3000 + "5", "1." * 2000, "٣", "#### ٣", "½", "\ufeff18", "#### 1 8")  # fmt: skip
GOLDS = ("18", "3", "70000", "1,000", "-5", "0.5", "18.00", "5.", "1,234,567", "0")


@cache
def harness() -> dict[str, Any]:
    """The task file of lm-eval."""
    found = find_spec("lm_eval")
    assert found is not None
    assert found.origin is not None
    text = (Path(found.origin).parent / "tasks" / "gsm8k" / "gsm8k.yaml").read_text()
    return yaml.safe_load(text)


def harness_says(extraction: str, gold: str, text: str) -> bool:
    """Whether lm-eval counts `text` as right."""
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter

    steps = next(f["filter"] for f in harness()["filter_list"] if f["name"] == FILTERS[extraction])
    how = {k: v for k, v in steps[0].items() if k != "function"}
    assert steps[1] == {"function": "take_first"}
    taken = next(iter(RegexFilter(**how).apply([[text]], [{}])))[0]
    metric = harness()["metric_list"][0]
    options = {k: metric[k] for k in ("regexes_to_ignore", "ignore_case", "ignore_punctuation")}
    return bool(exact_match_hf_evaluate([taken], [gold], **options)["exact_match"])


def assert_the_same(pairs: list[tuple[str, str]]) -> dict[str, int]:
    """Every `(solution, answer)` is judged as lm-eval does; says how many are right."""
    rights = dict[str, int]()
    examples, predictions = solved([f" {gold}" for gold, _ in pairs]), written([text for _, text in pairs])
    for extraction in ("strict", "flexible"):
        outcome = Gsm8k(path="x", extraction=extraction).judge(examples, predictions)
        expected = np.array([harness_says(extraction, *pair) for pair in pairs])
        wrong = [pair for pair, same in zip(pairs, outcome.correct == expected, strict=True) if not same]
        assert wrong == []
        assert outcome.measures[extraction] == expected.mean()
        np.testing.assert_array_equal(outcome.reward, expected.astype(float))
        rights[extraction] = int(expected.sum())
    return rights


def test_gsm8k_answers_in_every_wording_are_judged_as_the_harness_does() -> None:
    pairs = [
        (f"It is so.\n#### {gold}", text)
        for gold in GOLDS
        for text in (*(w.format(n=gold) for w in WORDINGS), *PLAIN)
    ]
    rights = assert_the_same(pairs)
    assert len(pairs) == len(GOLDS) * (len(WORDINGS) + len(PLAIN)) >= 900
    # Neither all right nor all wrong, and the two ways differ.
    assert 0 < rights["strict"] < rights["flexible"] < len(pairs)


def test_gsm8k_real_solutions_reworded_are_judged_as_the_harness_does() -> None:
    answers = [row["answer"] for row in real("gsm8k/test.jsonl")[:120]]
    last = [answer.split("#### ")[1] for answer in answers]
    pairs = [(answer, answer) for answer in answers]
    pairs += [(answer, answer.replace("#### ", "The answer is ")) for answer in answers]
    pairs += [(answer, f"{answer}.00") for answer in answers]
    pairs += list(pairwise(answers))
    pairs += [
        (answer, f"{int(n.replace(',', '')):,} dollars") for answer, n in zip(answers, last, strict=True)
    ]
    rights = assert_the_same(pairs)
    assert rights["flexible"] >= 3 * len(answers)


def test_gsm8k_prompts_with_shots_are_those_of_the_harness(tmp_path: Path, rng: np.random.Generator) -> None:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.api.utils import multiturn_to_singleturn

    path = tmp_path / "train.jsonl"
    path.write_text(lines(problems()))
    splits = Gsm8k(path=str(path), shots=2).load(rng)
    settings = harness()
    asked = splits.test.inputs.prompts[0]
    by_question = {row["question"]: row["answer"] for row in problems()}
    *shots, own = (part.splitlines()[0].removeprefix("Question: ") for part in asked.split("\n\n"))
    fill = lambda calibration: settings["doc_to_text"].replace("{{question}}", calibration)  # noqa: E731
    turn: Any = partial(ConfigurableTask.build_qa_turn, None)
    turns = [m for shot in shots for m in turn(q=fill(shot), a=by_question[shot])]
    turns += turn(q=fill(own), few_delim="")
    assert len(shots) == 2
    assert asked == "".join(turn.to_text() for turn in turns)
    # In a chat, where models wrap a prompt as a user's message, it is the harness's single turn.
    assert multiturn_to_singleturn(turns) == [{"role": "user", "content": asked}]


def test_gsm8k_stops_and_default_prompt_are_those_of_the_harness() -> None:
    task = Gsm8k(path="x")
    assert list(task.decoding.stop) == harness()["generation_kwargs"]["until"]
    assert task.prompt.replace("{question}", "{{question}}") == harness()["doc_to_text"]
