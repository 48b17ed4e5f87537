"""Synthetic arithmetic with integers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Prompts, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import Judgement, judge_tokens
from ._math.sums import Operation, Sum, Sums
from ._text.data import PARTS, ids_of
from ._text.generative_task import GenerativeTask, texts_of
from ._text.shots import with_shots
from ._text.templates import Template, requires_fields

INTEGER = re.compile(r"[-\u2212]?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)")
"""An integer, optionally with thousands separators; also with a typographic minus."""
MOST = 1_000_000

filled = Limit("non-empty strings", bool)


@attrs.frozen(kw_only=True)
class Arithmetic(GenerativeTask):
    """Sums, differences or products of integers; each problem occurs at most once in all splits together.

    Correct means: `written`, the first integer in the generated text is the result; `forced`, every token of the result is the argmax
    given the correct prefix (teacher forcing, no generation). `probability` is also measured: that of the correct completion and
    its end token, `mean_i exp(-loss_i targets_i)`. Mirrored problems such as 3+4 and 4+3 are two examples.
    """

    operations: tuple[Operation, ...] = option(("add",), "operations: add, subtract, multiply")
    digits: int = option(2, "maximum digits of an operand", min=1, max=4)
    negative: bool = option(False, "subtract: allow negative results")
    train: int = option(500, "training problems", min=1, max=MOST)
    validation: int = option(250, "validation problems", min=1, max=MOST)
    test: int = option(250, "test problems", min=1, max=MOST)
    source: int = option(
        0, "additional problems to pretrain a model on; 0: pretrain on train", min=0, max=MOST
    )
    prompt: str = option(
        "{a}{op}{b}=", "prompt template with {a}, {op} and {b}", requires_fields("a", "op", "b")
    )
    completion: str = option("{answer}", "completion template with {answer}", requires_fields("answer"))
    shots: int = option(0, "few-shot examples before every prompt", min=0, max=64)
    separator: str = option("\n", "separator after each few-shot example")
    correct: Literal["written", "forced"] = option("written", "criterion of a correct answer")
    max_new_tokens: int = option(12, "maximum tokens of an answer", whole)
    stop: tuple[str, ...] = option(("\n",), "stop strings, excluded from the answer", filled)

    def __attrs_post_init__(self) -> None:
        """Reject contradictory options, and completions from which the result cannot be extracted."""
        self.check_completions()
        if not self.operations or len(set(self.operations)) < len(self.operations):
            raise ValueError('"operations" must be one or more of add, subtract, multiply, each once')
        if self.negative and "subtract" not in self.operations:
            raise ValueError('"negative" has a meaning only with the operation "subtract"')
        for name in ("samples", "temperature"):
            if (
                self.correct == "forced"
                and getattr(self, name) != getattr(attrs.fields(type(self)), name).default
            ):
                raise ValueError(f'"{name}" has a meaning only with correct = "written"')
        if integer_in(Template.parse(self.completion).fill({"answer": "7"})) != "7":
            raise ValueError('"completion": {answer} must be the first whole number in it')

    @property
    def measures(self) -> tuple[str, ...]:
        """pass@k, and `probability`: the mean probability `exp(-loss targets)` of the correct completion."""
        return (*self.pass_measures, "probability")

    @property
    def decoding(self) -> Decoding | None:
        """Decoding settings; None for `forced`."""
        return self.decoding_with(self.stop) if self.correct == "written" else None

    def load(self, rng: np.random.Generator) -> Splits:
        """Draw the splits without replacement. Raises `UsageError` if there are too few problems."""
        sums = Sums(self.operations, 10**self.digits, self.negative)
        counts = (self.train, self.validation, self.test, self.source)
        if sum(counts) > len(sums):
            asked = " + ".join(str(count) for count in counts)
            raise UsageError(
                f"task arithmetic: train + validation + test + source = {asked} = {sum(counts)}, but there are only {len(sums)} "
                f"different sums ({', '.join(self.operations)}; digits = {self.digits}); ask for fewer, or more digits"
            )
        train, validation, test, source = (_ordered(part) for part in sums.drawn(counts, rng))
        groups = (train, validation, test)
        asked = self._examples([found for part in groups for found in part], self.train, rng)
        ends = np.cumsum([0, *(len(part) for part in groups)])
        places = {part: np.arange(ends[i], ends[i + 1]) for i, part in enumerate(PARTS)}
        return Splits.of(
            {part: asked.take(index) for part, index in places.items()},
            source=self._examples(source, self.source, rng) if source else None,
            classes=(),
        )

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct by the first integer in the generated text, or by tokens, according to `correct`."""
        if self.correct == "forced":
            outcome = judge_tokens(examples, predictions)
        else:
            outcome = self.outcome(examples, predictions, self._judged(examples, texts_of(predictions)))
        if predictions.targets is None:
            return outcome
        probability = float(np.mean(np.exp(-predictions.loss * predictions.targets)))
        return attrs.evolve(outcome, measures={**outcome.measures, "probability": probability})

    def _judged(self, examples: Examples, texts: Sequence[str]) -> list[Judgement]:
        k = len(texts) // max(1, len(examples))
        wanted = [integer_in(text) for text in examples.inputs.completions for _ in range(k)]
        found = [integer_in(text) for text in texts]
        return [Judgement(f is not None and f == w, f) for f, w in zip(found, wanted, strict=False)]

    def _examples(self, sums: Sequence[Sum], pool: int, rng: np.random.Generator) -> Examples:
        """Problems as texts; few-shot examples are drawn from the first `pool`."""
        prompt, completion = Template.parse(self.prompt), Template.parse(self.completion)
        rows = [found.fields for found in sums]
        prompts, completions = [prompt.fill(row) for row in rows], tuple(completion.fill(row) for row in rows)
        asked = with_shots(
            prompts,
            completions,
            np.arange(pool, dtype=np.int64),
            self.shots,
            rng,
            where="task arithmetic",
            separator=self.separator,
        )
        labels = np.zeros(len(sums), dtype=np.int64)
        return Examples(ids=_ids(sums), inputs=Prompts(asked, completions), labels=labels)


def integer_in(text: str) -> str | None:
    """The first integer in a text, without thousands separators and leading zeros; None if there is none."""
    found = INTEGER.search(text)
    if found is None:
        return None
    digits = found[0].lstrip("-\u2212").replace(",", "").lstrip("0") or "0"
    return digits if digits == "0" or found[0][0].isdigit() else f"-{digits}"


def _ids(sums: Sequence[Sum]) -> NDArray[np.int64]:
    """Ids from operands and operation, independent of the templates."""
    return ids_of([found.fields for found in sums], ["a", "op", "b"])


def _ordered(sums: Sequence[Sum]) -> list[Sum]:
    """Sorted by id."""
    order = np.argsort(_ids(sums), kind="stable")
    return [sums[i] for i in order.tolist()]


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `arithmetic`."""
    register("arithmetic", Arithmetic)
