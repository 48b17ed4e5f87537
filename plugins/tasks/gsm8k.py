"""Grade-school word problems whose answer is a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Prompts, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import Judgement
from ._text.data import TextData
from ._text.fields import asks
from ._text.generative_task import GenerativeTask, texts_of
from ._text.gsm import Extraction, answer_in, comparable
from ._text.rows import Row, Rows
from ._text.shots import with_shots
from ._text.templates import Template

COLUMNS = {"question": "question", "answer": "solution, its last line #### and the number"}
filled = Limit("texts that are not empty", bool)


@attrs.frozen(kw_only=True)
class Gsm8k(TextData, GenerativeTask):
    """GSM8K (Cobbe et al., 2021), or other problems in its form: columns `question` and `answer`, which ends in `#### 18`.

    Answers are found and compared as lm-eval's task `gsm8k` does it: `strict` takes what follows the first `#### `, `flexible` the
    last number; both are measured. Compared are texts without commas and dollars: 18.00 is not 18.
    """

    prompt: str = option(
        "Question: {question}\nAnswer:", "what is asked; {question} stands for the problem", asks("question")
    )
    shots: int = option(0, "solved training examples before every prompt (lm-eval: 5)", min=0, max=8)
    extraction: Extraction = option(
        "flexible", "which answer counts: after the first ####, or the last number"
    )
    stop: tuple[str, ...] = option(
        ("Question:", "</s>", "<|im_end|>"), "strings that end an answer, themselves left out", filled
    )

    def __attrs_post_init__(self) -> None:
        """Options that contradict each other."""
        TextData.__attrs_post_init__(self)
        self.check_completions()

    @property
    def measures(self) -> tuple[str, ...]:
        """Shares right by either extraction."""
        return (*self.pass_measures, "strict", "flexible")

    @property
    def decoding(self) -> Decoding:
        """How the model is to write."""
        return self.decoding_with(self.stop)

    def load(self, rng: np.random.Generator) -> Splits:
        """Read, split, and put the shots before the prompts. Raises `UsageError` naming file, column and row at fault."""
        found, parts = self.divide(
            self.gather(COLUMNS, _check), lambda _: "", rng, asked=lambda row: row["question"]
        )
        template = Template.parse(self.prompt)
        prompts = [template.fill(row) for row in found.rows]
        completions = tuple(f" {row['answer']}" for row in found.rows)
        asked = with_shots(prompts, completions, parts["train"], self.shots, rng, where=self.where)
        whole_set = Examples(
            ids=found.ids, inputs=Prompts(asked, completions), labels=np.zeros(len(found.ids), dtype=np.int64)
        )
        return Splits(**{part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Right by the answer in what was written; `strict` and `flexible` are the shares of first texts right by each."""
        texts = texts_of(predictions)
        k = len(texts) // max(1, len(examples))
        wanted = [comparable(text) for text in examples.inputs.completions for _ in range(k)]
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
    """Refuse a solution that would not be right as an answer to itself."""
    for number, row in enumerate(found, 1):
        right = comparable(row["answer"])
        if not right or any(answer_in(row["answer"], how) != right for how in ("strict", "flexible")):
            raise UsageError(
                f'{rows.where}: column "answer" does not end in "#### " and a number in row {number}'
            )


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `gsm8k`."""
    register("gsm8k", Gsm8k)
