"""Competition mathematics whose answers are compared as mathematics."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option, positive, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import Judgement
from ._math.pool import Verdict, verdicts
from ._math.problems import Problems
from ._text.data import TextData
from ._text.fields import asks
from ._text.generative_task import GenerativeTask, texts_of
from ._text.rows import Row, Rows
from ._text.templates import Template

COLUMNS = {"problem": "problem", "answer": "answer"}
EXTRA = {"solution": "worked solution", "subject": "subject", "level": "level"}
"""Columns that need not be there."""
LIBRARIES = ("math-verify", "latex2sympy2_extended", "sympy", "antlr4-python3-runtime")
filled = Limit("texts that are not empty", bool)


@attrs.frozen(kw_only=True)
class Math500(TextData, GenerativeTask):
    r"""MATH-500 (Lightman et al., 2023), or other problems with the columns `problem` and `answer`.

    `solution`, `subject` and `level` are taken where they are there: the solution is what should follow the prompt (else
    `\boxed{answer}`), and parts get their share of every subject. Right is what math-verify finds equal to the answer:
    `verify(parse(answer), parse(text))`. It runs in processes of its own; an answer that takes longer than `seconds` is wrong.
    """

    train_split: str = option("test", "the data set's split to train on; MATH-500 has only this one")
    prompt: str = option(
        "{problem}\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
        "what is asked; {problem} stands for the problem",
        asks("problem"),
    )
    max_new_tokens: int = option(1024, "tokens of an answer at most", whole)
    stop: tuple[str, ...] = option((), "strings that end an answer, themselves left out", filled)
    seconds: float = option(5.0, "time by the clock for the judgement of one answer", positive)
    by: Literal["none", "level", "subject"] = option("none", "measure accuracy for each of them, too")

    def __attrs_post_init__(self) -> None:
        """Options that contradict each other."""
        TextData.__attrs_post_init__(self)
        self.check_completions()

    @property
    def measures(self) -> tuple[str, ...]:
        """Shares of all texts."""
        return (*self.pass_measures, "boxed", "unparsed", "timed_out")

    @property
    def decoding(self) -> Decoding:
        """How the model is to write."""
        return self.decoding_with(self.stop)

    def origin(self) -> Mapping[str, Any]:
        """What judges: versions of math-verify, and of what reads LaTeX for it."""
        return {"judge": {name: importlib.metadata.version(name) for name in LIBRARIES}}

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault, and where math-verify is missing."""
        if importlib.util.find_spec("math_verify") is None:
            raise UsageError("task math500 needs pip install 'boostlora[math]' (math-verify is missing)")
        found, parts = self.divide(
            self.gather({**COLUMNS, **EXTRA}, self._check),
            lambda row: row["subject"],
            rng,
            asked=lambda row: row["problem"],
        )
        template, rows = Template.parse(self.prompt), found.rows
        problems = Problems(
            prompts=tuple(template.fill(row) for row in rows),
            completions=tuple(row["solution"] or f"\\boxed{{{row['answer']}}}" for row in rows),
            answers=tuple(row["answer"] for row in rows),
            groups=tuple("" if self.by == "none" else f"{self.by}_{name_of(row[self.by])}" for row in rows),
        )
        whole_set = Examples(ids=found.ids, inputs=problems, labels=np.zeros(len(found.ids), dtype=np.int64))
        return Splits(**{part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Right by math-verify; measured are shares of all texts: `boxed`, `unparsed` (nothing was found) and `timed_out`."""
        texts, problems = texts_of(predictions), examples.inputs
        k = len(texts) // max(1, len(examples))
        golds = [gold(answer) for answer in problems.answers for _ in range(k)]
        said = verdicts(list(zip(golds, texts, strict=False)), self.seconds)
        outcome = self.outcome(examples, predictions, [_judged(verdict) for verdict in said])
        words = outcome.verdicts or ("",) * len(texts)
        shares = {
            "boxed": float(np.mean(["\\boxed{" in text for text in texts])),
            "unparsed": float(np.mean([word == "unparsed" for word in words])),
            "timed_out": float(np.mean([word == "timed-out" for word in words])),
        }
        groups = np.array(problems.groups)
        apart = {
            str(name): float(outcome.correct[groups == name].mean())
            for name in np.unique(groups[groups != ""])
        }
        return attrs.evolve(outcome, measures={**outcome.measures, **shares, **apart})

    def _sources(self) -> dict[str, Rows]:
        """The rows, columns that need not be there filled with nothing."""
        return {part: _completed(rows) for part, rows in super()._sources().items()}

    def _check(self, rows: Rows, found: Sequence[Row]) -> None:
        for number, row in enumerate(found, 1):
            if not row["answer"].strip():
                raise UsageError(f'{rows.where}: column "answer" is empty in row {number}')
            if self.by != "none" and not row[self.by]:
                raise UsageError(f'{rows.where}: column "{self.by}" says nothing in row {number} (task.by)')


def gold(answer: str) -> str:
    r"""A right answer in LaTeX, as math-verify wants to have it: in `\boxed{}`, unless it has a place of its own already."""
    if "\\boxed{" in answer or re.fullmatch(r"\$.*[^\\]\$", answer.strip(), re.DOTALL):
        return answer
    return f"\\boxed{{{answer}}}"


def name_of(value: str) -> str:
    """A value as a part of a measure's name: `Counting & Probability` is `counting_probability`."""
    return re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")


def _judged(verdict: Verdict) -> Judgement:
    unread = "" if verdict.answer is not None else "unparsed"
    return Judgement(verdict.right, verdict.answer, verdict.failure or unread)


def _completed(rows: Rows) -> Rows:
    count = len(next(iter(rows.columns.values()), ()))
    extra = {
        name: ["" if value is None else value for value in rows.columns.get(name, [""] * count)]
        for name in EXTRA
    }
    return attrs.evolve(rows, columns={**rows.columns, **extra})


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `math500`."""
    register("math500", Math500)
