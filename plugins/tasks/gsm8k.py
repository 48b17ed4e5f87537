"""GSM8K: grade-school word problems with numeric answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Prompts, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import Judgement
from ._text.data import TextData
from ._text.generative_task import GenerativeTask, texts_of
from ._text.rows import Row, Rows
from ._text.shots import with_shots
from ._text.templates import Template, requires_fields

COLUMNS = {"question": "question", "answer": "solution whose last line is #### and the number"}
Extraction = Literal["strict", "flexible"]

STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
IGNORED = tuple(re.compile(pattern) for pattern in (",", r"\$", r"(?s).*#### ", r"\.$"))
"""Patterns deleted from answers before the comparison, in this order."""
filled = Limit("non-empty strings", bool)


@attrs.frozen(kw_only=True)
class Gsm8k(TextData, GenerativeTask):
    """GSM8K (Cobbe et al., 2021), or problems in its format: columns `question` and `answer`, which ends in `#### 18`.

    Answers are extracted and compared as in lm-eval's task `gsm8k`: `strict` takes the number after the first `#### `, `flexible` the
    last number; both are measured. The comparison is textual, without commas and dollar signs: 18.00 is not 18.
    """

    prompt: str = option(
        "Question: {question}\nAnswer:", "prompt template with {question}", requires_fields("question")
    )
    shots: int = option(0, "few-shot examples before every prompt (lm-eval: 5)", min=0, max=8)
    extraction: Extraction = option(
        "flexible", "answer extraction: strict (after the first ####) or flexible (the last number)"
    )
    stop: tuple[str, ...] = option(
        ("Question:", "</s>", "<|im_end|>"), "stop strings, excluded from the answer", filled
    )

    def __attrs_post_init__(self) -> None:
        """Reject contradictory options."""
        TextData.__attrs_post_init__(self)
        self.check_completions()

    @property
    def measures(self) -> tuple[str, ...]:
        """pass@k, and the accuracy under each extraction."""
        return (*self.pass_measures, "strict", "flexible")

    @property
    def decoding(self) -> Decoding:
        """Decoding settings."""
        return self.decoding_with(self.stop)

    def load(self, rng: np.random.Generator) -> Splits:
        """Read, split, and prepend few-shot examples. Raises `UsageError` naming file, column and row at fault."""
        found, parts = self.split_rows(
            self.read_rows(COLUMNS, _check), lambda _: "", rng, key=lambda row: row["question"]
        )
        template = Template.parse(self.prompt)
        prompts = [template.fill(row) for row in found.rows]
        completions = tuple(f" {row['answer']}" for row in found.rows)
        asked = with_shots(prompts, completions, parts["train"], self.shots, rng, where=self.where)
        whole_set = Examples(
            ids=found.ids, inputs=Prompts(asked, completions), labels=np.zeros(len(found.ids), dtype=np.int64)
        )
        return Splits.of({part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct by the extracted answer; `strict` and `flexible` are the accuracies of first samples under each extraction."""
        texts = texts_of(predictions)
        k = len(texts) // max(1, len(examples))
        wanted = [normalised(text) for text in examples.inputs.completions for _ in range(k)]
        judged: dict[Extraction, list[Judgement]] = {
            how: [_judged(answer_in(text, how), right) for text, right in zip(texts, wanted, strict=False)]
            for how in ("strict", "flexible")
        }
        outcome = self.outcome(examples, predictions, judged[self.extraction])
        shares = {how: float(np.mean([j.right for j in found[::k]])) for how, found in judged.items()}
        return attrs.evolve(outcome, measures={**outcome.measures, **shares})


def _judged(answer: str | None, right: str) -> Judgement:
    return Judgement(answer is not None and answer == right, answer)


def _check(rows: Rows, found: Sequence[Row]) -> None:
    """Raise `UsageError` for a solution that is not correct as its own answer."""
    for number, row in enumerate(found, 1):
        right = normalised(row["answer"])
        if not right or any(answer_in(row["answer"], how) != right for how in ("strict", "flexible")):
            raise UsageError(
                f'{rows.where}: column "answer" does not end in "#### " and a number in row {number}'
            )


def answer_in(text: str, extraction: Extraction) -> str | None:
    """The normalised answer in a text, None if there is none; as in lm-eval 0.4's task `gsm8k`, version 3.

    `strict`: the number after the first `#### `; `flexible`: the last match of a number pattern.
    """
    if extraction == "strict":
        first = STRICT.search(text)
        return None if first is None else normalised(first[1])
    last = None
    for last in FLEXIBLE.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    return None if last is None else normalised(last[1] or last[2])


def normalised(answer: str) -> str:
    """An answer without commas, dollar signs, everything up to the last `#### `, and a final full stop; in lower case.

    `18.00` stays `18.00` and is not `18`.
    """
    for pattern in IGNORED:
        answer = pattern.sub("", answer)
    return answer.lower()


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `gsm8k`."""
    register("gsm8k", Gsm8k)
