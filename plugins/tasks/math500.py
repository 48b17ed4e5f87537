"""MATH-500: competition mathematics, with answers compared symbolically."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Prompts, Splits
from ...engine.contracts.sequences import pack_texts
from ...engine.errors import UsageError
from ...engine.foundation.options import Limit, option, positive, whole
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import Judgement
from ...engine.sdk.libraries import require_libraries
from ._math.pool import Verdict, verdicts
from ._text.data import TextData
from ._text.generative_task import GenerativeTask, texts_of
from ._text.rows import Row, Rows
from ._text.templates import Template, requires_fields

COLUMNS = {"problem": "problem", "answer": "answer"}
EXTRA = {"solution": "worked solution", "subject": "subject", "level": "level"}
"""Optional columns."""
LIBRARIES = ("math-verify", "latex2sympy2_extended", "sympy", "antlr4-python3-runtime")
filled = Limit("non-empty strings", bool)


@attrs.frozen(eq=False)
class Problems(Prompts):
    """Prompts and solutions with reference `answers`, and `groups` whose accuracies are measured separately."""

    answers: tuple[str, ...]
    groups: tuple[str, ...]

    def __getitem__(self, indices: NDArray[np.int64]) -> Problems:
        columns = (self.prompts, self.completions, self.answers, self.groups)
        return Problems(*(tuple(column[i] for i in indices) for column in columns))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The content as arrays, for hashing."""
        return pack_texts([*self.prompts, *self.completions, *self.answers, *self.groups])


@attrs.frozen(kw_only=True)
class Math500(TextData, GenerativeTask):
    r"""MATH-500 (Lightman et al., 2023), or other problems with the columns `problem` and `answer`.

    `solution`, `subject` and `level` are optional: the completion is the solution (else `\boxed{answer}`), and splits are
    stratified by subject. An answer is correct if math-verify finds it equal: `verify(parse(answer), parse(text))`. It runs in
    separate processes; an answer that takes longer than `seconds` is wrong.
    """

    train_split: str = option("test", "the data set's split to train on; MATH-500 has only this one")
    prompt: str = option(
        "{problem}\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
        "prompt template with {problem}",
        requires_fields("problem"),
    )
    max_new_tokens: int = option(1024, "maximum tokens of an answer", whole)
    stop: tuple[str, ...] = option((), "stop strings, excluded from the answer", filled)
    seconds: float = option(5.0, "wall-clock limit for verifying one answer, in seconds", positive)
    by: Literal["none", "level", "subject"] = option("none", "also measure accuracy per level or subject")

    def __attrs_post_init__(self) -> None:
        """Reject contradictory options."""
        TextData.__attrs_post_init__(self)
        self.check_completions()

    @property
    def measures(self) -> tuple[str, ...]:
        """pass@k, and shares of all texts."""
        return (*self.pass_measures, "boxed", "unparsed", "timed_out")

    @property
    def decoding(self) -> Decoding:
        """Decoding settings."""
        return self.decoding_with(self.stop)

    def origin(self) -> Mapping[str, Any]:
        """Provenance: the versions of math-verify and its parsers."""
        return {"judge": {name: importlib.metadata.version(name) for name in LIBRARIES}}

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault, or if math-verify is missing."""
        require_libraries("task math500", "math", "math_verify")
        found, parts = self.split_rows(
            self.read_rows({**COLUMNS, **EXTRA}, self._check),
            lambda row: row["subject"],
            rng,
            key=lambda row: row["problem"],
        )
        template, rows = Template.parse(self.prompt), found.rows
        problems = Problems(
            prompts=tuple(template.fill(row) for row in rows),
            completions=tuple(row["solution"] or f"\\boxed{{{row['answer']}}}" for row in rows),
            answers=tuple(row["answer"] for row in rows),
            groups=tuple("" if self.by == "none" else f"{self.by}_{name_of(row[self.by])}" for row in rows),
        )
        whole_set = Examples(ids=found.ids, inputs=problems, labels=np.zeros(len(found.ids), dtype=np.int64))
        return Splits.of({part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct by math-verify; measures the shares of texts that are `boxed`, `unparsed` (no answer found) and `timed_out`."""
        texts, problems = texts_of(predictions), examples.inputs
        k = len(texts) // max(1, len(examples))
        golds = [gold(answer) for answer in problems.answers for _ in range(k)]
        results = verdicts(list(zip(golds, texts, strict=False)), self.seconds)
        outcome = self.outcome(examples, predictions, [_judged(verdict) for verdict in results])
        words = outcome.verdicts or ("",) * len(texts)
        shares = {
            "boxed": float(np.mean(["\\boxed{" in text for text in texts])),
            "unparsed": float(np.mean([word == "unparsed" for word in words])),
            "timed_out": float(np.mean([word == "timed-out" for word in words])),
        }
        groups = np.array(problems.groups)
        by_group = {
            str(name): float(outcome.correct[groups == name].mean())
            for name in np.unique(groups[groups != ""])
        }
        return attrs.evolve(outcome, measures={**outcome.measures, **shares, **by_group})

    def _sources(self) -> dict[str, Rows]:
        """The rows, with empty text in missing optional columns."""
        return {part: _completed(rows) for part, rows in super()._sources().items()}

    def _check(self, rows: Rows, found: Sequence[Row]) -> None:
        for number, row in enumerate(found, 1):
            if not row["answer"].strip():
                raise UsageError(f'{rows.where}: column "answer" is empty in row {number}')
            if self.by != "none" and not row[self.by]:
                raise UsageError(f'{rows.where}: column "{self.by}" is empty in row {number} (task.by)')


def gold(answer: str) -> str:
    r"""A reference answer in the format of math-verify: in `\boxed{}`, unless it is boxed or in `$…$` already."""
    if "\\boxed{" in answer or re.fullmatch(r"\$.*[^\\]\$", answer.strip(), re.DOTALL):
        return answer
    return f"\\boxed{{{answer}}}"


def name_of(value: str) -> str:
    """A value as part of a measure's name: `Counting & Probability` becomes `counting_probability`."""
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
    """Register `math500`."""
    register("math500", Math500)
