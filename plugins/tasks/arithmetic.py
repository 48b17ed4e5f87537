"""Sums with whole numbers, made on the spot."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Prompts, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import Judgement, judge_tokens
from ._math.sums import Operation, Sum, Sums
from ._text.data import PARTS, ids_of
from ._text.fields import asks
from ._text.generative_task import GenerativeTask, texts_of
from ._text.shots import with_shots
from ._text.templates import Template

INTEGER = re.compile(r"[-\u2212]?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)")
"""A whole number, perhaps with commas between thousands; the minus may be the typographic one."""
MOST = 1_000_000

filled = Limit("texts that are not empty", bool)


@attrs.frozen(kw_only=True)
class Arithmetic(GenerativeTask):
    """Sums, differences or products of whole numbers, each at most once in all parts together.

    What is right: `written`, the first whole number in what the model writes is the result; `forced`, every token of the result is the
    likeliest after the right ones before it (one pass, and nothing is written). `probability` is measured, too: that of the right
    completion with its end, `mean_i exp(-loss_i targets_i)`. A pair and its mirror image, such as 3+4 and 4+3, are two examples.
    """

    operations: tuple[Operation, ...] = option(("add",), "what is done: add, subtract, multiply")
    digits: int = option(2, "digits of a number at most", min=1, max=4)
    negative: bool = option(False, "subtract: whether results may be below 0")
    train: int = option(500, "sums to train on", min=1, max=MOST)
    validation: int = option(250, "sums for validation", min=1, max=MOST)
    test: int = option(250, "sums for the test", min=1, max=MOST)
    source: int = option(
        0, "further sums, of the same kind, to pretrain a model on; 0: none, train serves", min=0, max=MOST
    )
    prompt: str = option("{a}{op}{b}=", "how a sum is asked, with {a}, {op} and {b}", asks("a", "op", "b"))
    completion: str = option("{answer}", "what should follow, with {answer}", asks("answer"))
    shots: int = option(0, "solved sums before every prompt", min=0, max=64)
    separator: str = option("\n", "what stands after each of them")
    correct: Literal["written", "forced"] = option("written", "what makes an answer right")
    max_new_tokens: int = option(12, "tokens of an answer at most", whole)
    stop: tuple[str, ...] = option(("\n",), "strings that end an answer, themselves left out", filled)

    def __attrs_post_init__(self) -> None:
        """Options that contradict each other, and templates in which the result would not be found."""
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
        """`probability` is that of the right answer, `exp(-loss targets)`, on average."""
        return (*self.pass_measures, "probability")

    @property
    def decoding(self) -> Decoding | None:
        """How the model is to write, where it is to write."""
        return self.decoding_with(self.stop) if self.correct == "written" else None

    def load(self, rng: np.random.Generator) -> Splits:
        """Draw the parts. Raises `UsageError` where there are fewer sums than are asked for."""
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
        return Splits(
            **{part: asked.take(index) for part, index in places.items()},
            source=self._examples(source, self.source, rng) if source else None,
            classes=(),
        )

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Right by the first whole number in what was written, or by tokens, as `correct` says."""
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
        """Sums as texts; solved ones before them are drawn from the first `pool`."""
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
    """The first whole number in a text, without commas and leading zeros; None where there is none."""
    found = INTEGER.search(text)
    if found is None:
        return None
    digits = found[0].lstrip("-\u2212").replace(",", "").lstrip("0") or "0"
    return digits if digits == "0" or found[0][0].isdigit() else f"-{digits}"


def _ids(sums: Sequence[Sum]) -> Any:
    """Ids from what is asked, however it is worded."""
    return ids_of([found.fields for found in sums], ["a", "op", "b"])


def _ordered(sums: Sequence[Sum]) -> list[Sum]:
    """In the order of their ids."""
    order = np.argsort(_ids(sums), kind="stable")
    return [sums[i] for i in order.tolist()]


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `arithmetic`."""
    register("arithmetic", Arithmetic)
