"""Texts to be continued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Prompts, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option, positive, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_loss, judge_texts, judge_tokens
from ._text.answers import Match, answer_of, regular
from ._text.data import TextData
from ._text.rows import Row, Rows
from ._text.templates import Template, readable, template_or_column

filled = Limit("texts that are not empty", bool)


@attrs.frozen(kw_only=True)
class LanguageModelling(TextData):
    """Rows of a file or a Hugging Face data set: continue a prompt with its completion.

    What is right: `forced`, every token of the completion is the likeliest after the right ones before it (one pass, the verdict
    of greedy decoding token by token); `greedy`, the answer in what the model writes is the answer in the completion; `loss`, the
    completion's mean token loss is below `threshold`. Rows of equal prompts are drawn for one part; where all prompts are equal, rows
    of equal completions.
    """

    prompt: str = option(
        "prompt", "the column with the prompt, or a template such as Q: {question}", readable
    )
    completion: str = option(
        "completion", "the column with what should follow, or a template such as {answer}", readable
    )
    correct: Literal["forced", "greedy", "loss"] = option("forced", "what makes an answer right")
    max_new_tokens: int = option(64, "greedy: tokens the model may write", whole)
    stop: tuple[str, ...] = option((), "greedy: strings that end what it writes, themselves left out", filled)
    extract: str = option(
        "", "greedy: regular expression of the answer in a text; its last match counts", regular
    )
    match: Match = option(
        "exact", "greedy: compare all of it (without space around), its last line or last number"
    )
    threshold: float = option(
        0.5, "loss: mean loss of a token, in nats, below which an answer is right", positive
    )

    def __attrs_post_init__(self) -> None:
        """Options of greedy decoding mean nothing elsewhere."""
        TextData.__attrs_post_init__(self)
        given = {"stop": bool(self.stop), "extract": bool(self.extract), "match": self.match != "exact"}
        for name in (name for name, said in given.items() if said and self.correct != "greedy"):
            raise ValueError(f'"{name}" has a meaning only with correct = "greedy"')

    @property
    def decoding(self) -> Decoding | None:
        """What the model may write, where it is to write."""
        if self.correct != "greedy":
            return None
        return Decoding(max_new_tokens=self.max_new_tokens, stop=self.stop)

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault."""
        prompt, completion = self._templates
        columns = {
            **dict.fromkeys(completion.fields, "completion"),
            **dict.fromkeys(prompt.fields, "prompt"),
        }
        rows = self.gather(columns, self._check)
        # Where all prompts are the same, as in a text without one, the completions tell examples apart.
        told = prompt if len({prompt.fill(row) for row in rows.rows}) > 1 else completion
        found, parts = self.divide(rows, lambda _: "", rng, asked=told.fill)
        whole_set = Examples(
            ids=found.ids,
            inputs=Prompts(
                tuple(prompt.fill(row) for row in found.rows),
                tuple(completion.fill(row) for row in found.rows),
            ),
            labels=np.zeros(len(found.ids), dtype=np.int64),
        )
        return Splits(**{part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Right by tokens, by what was written, or by the loss, as `correct` says."""
        if self.correct == "greedy":
            return judge_texts(examples, predictions, self._answer)
        if self.correct == "loss":
            return judge_loss(examples, predictions, self.threshold)
        return judge_tokens(examples, predictions)

    @property
    def _templates(self) -> tuple[Template, Template]:
        return template_or_column(self.prompt), template_or_column(self.completion)

    def _answer(self, text: str) -> str | None:
        return answer_of(text, self.match, self.extract)

    def _check(self, rows: Rows, found: Sequence[Row]) -> None:
        """Refuse a row whose completion is empty, or has no answer to compare with."""
        _, completion = self._templates
        for number, row in enumerate(found, 1):
            text = completion.fill(row)
            if not text:
                raise UsageError(f"{rows.where}: the completion is empty in row {number}")
            if self.correct == "greedy" and not self._answer(text):
                how = f'extract = "{self.extract}", match = "{self.match}"'
                raise UsageError(f"{rows.where}: the completion in row {number} has no answer ({how})")


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `language-modelling`."""
    register("language-modelling", LanguageModelling)
