"""Conditional language modelling: prompts and completions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Prompts, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option, positive, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_loss, judge_texts, judge_tokens
from ._text.data import TextData
from ._text.numbers import last_number
from ._text.rows import Row, Rows
from ._text.templates import Template, readable, template_or_column

Match = Literal["exact", "last-line", "last-number"]
filled = Limit("non-empty strings", bool)


def regular(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    """Validate a regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f'"{attribute.name}" is no regular expression: {error}') from error


@attrs.frozen(kw_only=True)
class LanguageModelling(TextData):
    """Rows of a file or a Hugging Face data set: predict the completion of a prompt.

    Correct means: `forced`, every completion token is the argmax given the correct prefix (teacher forcing: one pass, the same
    verdict as greedy decoding); `greedy`, the answer in the generated text equals the answer in the completion; `loss`, the mean
    token loss is below `threshold`. Rows with equal prompts share a split; if all prompts are equal, rows with equal completions.
    """

    prompt: str = option(
        "prompt", "the column with the prompt, or a template such as Q: {question}", readable
    )
    completion: str = option(
        "completion", "the column with the completion, or a template such as {answer}", readable
    )
    correct: Literal["forced", "greedy", "loss"] = option("forced", "criterion of a correct answer")
    max_new_tokens: int = option(64, "greedy: maximum tokens to generate", whole)
    stop: tuple[str, ...] = option((), "greedy: stop strings, excluded from the text", filled)
    extract: str = option(
        "", "greedy: regular expression of the answer in a text; its last match counts", regular
    )
    match: Match = option(
        "exact", "greedy: compare the whole text (stripped), its last line or its last number"
    )
    threshold: float = option(
        0.5, "loss: mean token loss, in nats, below which an answer is correct", positive
    )

    def __attrs_post_init__(self) -> None:
        """Reject options of greedy decoding with another criterion."""
        TextData.__attrs_post_init__(self)
        given = {"stop": bool(self.stop), "extract": bool(self.extract), "match": self.match != "exact"}
        for name in (name for name, is_set in given.items() if is_set and self.correct != "greedy"):
            raise ValueError(f'"{name}" has a meaning only with correct = "greedy"')

    @property
    def decoding(self) -> Decoding | None:
        """Decoding settings; None unless `greedy`."""
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
        rows = self.read_rows(columns, self._check)
        # If all prompts are equal, as in unconditional text, completions are the split key.
        key = prompt if len({prompt.fill(row) for row in rows.rows}) > 1 else completion
        found, parts = self.split_rows(rows, lambda _: "", rng, key=key.fill)
        whole_set = Examples(
            ids=found.ids,
            inputs=Prompts(
                tuple(prompt.fill(row) for row in found.rows),
                tuple(completion.fill(row) for row in found.rows),
            ),
            labels=np.zeros(len(found.ids), dtype=np.int64),
        )
        return Splits.of({part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct by tokens, by the generated text, or by the loss, according to `correct`."""
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
        """Raise `UsageError` for a completion that is empty or contains no answer."""
        _, completion = self._templates
        for number, row in enumerate(found, 1):
            text = completion.fill(row)
            if not text:
                raise UsageError(f"{rows.where}: the completion is empty in row {number}")
            if self.correct == "greedy" and not self._answer(text):
                how = f'extract = "{self.extract}", match = "{self.match}"'
                raise UsageError(f"{rows.where}: the completion in row {number} has no answer ({how})")


def answer_of(text: str, match: Match, extract: str) -> str | None:
    """The answer in a text, None if there is none.

    First `extract`, unless empty: the last match of the regular expression, or its first group if it has one. Then `match`: the
    stripped text, its last non-blank line, or its last number (`1,200.50` is `1200.5`; see `last_number`).
    """
    if extract:
        found = list(re.finditer(extract, text))
        if not found:
            return None
        text = (found[-1][1] if found[-1].re.groups else found[-1][0]) or ""
    if match == "exact":
        return text.strip()
    if match == "last-line":
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)
    return last_number(text)


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `language-modelling`."""
    register("language-modelling", LanguageModelling)
