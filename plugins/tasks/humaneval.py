"""HumanEval: Python functions from signature and docstring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ._code.exercises import Exercises
from ._code.extract import defines
from ._code.programs import ProgramTask
from ._text.data import TextData
from ._text.rows import Row, Rows
from ._text.templates import Template, requires_fields

COLUMNS = {
    "prompt": "signature and docstring",
    "canonical_solution": "correct body",
    "test": "code that defines check(candidate)",
    "entry_point": "name of the function",
}
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
CHAT = "Write a solution to the following problem and make sure that it passes the tests:\n```python\n{prompt}\n```\n"


@attrs.frozen(kw_only=True)
class HumanEval(TextData, ProgramTask):
    """HumanEval (Chen et al., 2021), or exercises in its format: `prompt`, `canonical_solution`, `test`, `entry_point`.

    The program is the prompt plus the completion up to the first stop string; in chat style, the first fenced block after the
    prompt's imports and helpers. It is correct if it passes `check` in the sandbox; the tests use the prompt's own helpers. The
    benchmark has one split of 164 problems, and all splits are shares of it.
    """

    train_split: str = option("test", "the data set's split to train on; HumanEval has only this one")
    prompt: str = option(
        CHAT, "chat: prompt template; {prompt} is the signature and docstring", requires_fields("prompt")
    )

    def __attrs_post_init__(self) -> None:
        """Reject contradictory options."""
        TextData.__attrs_post_init__(self)
        self.check_programs()
        if self.prompt != CHAT and self.style != "chat":
            raise ValueError(
                '"prompt" has a meaning only with style = "chat"; for completions the code itself is the prompt'
            )

    @property
    def decoding(self) -> Decoding:
        """Decoding settings."""
        return self.decoding_with(self.stop or (STOPS if self.style == "completion" else ()))

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault, or if programs cannot be sandboxed."""
        self.sandbox.check()
        found, parts = self.split_rows(
            self.read_rows(COLUMNS, _check), lambda _: "", rng, key=lambda row: row["prompt"]
        )
        rows, template = found.rows, Template.parse(self.prompt)
        chat = self.style == "chat"
        exercises = Exercises(
            prompts=tuple(template.fill(row) if chat else row["prompt"] for row in rows),
            completions=tuple(_solution(row) if chat else row["canonical_solution"] for row in rows),
            openings=tuple(row["prompt"] for row in rows),
            tests=tuple(row["test"] for row in rows),
            setups=tuple(row["prompt"] for row in rows),
            entry_points=tuple(row["entry_point"] for row in rows),
        )
        whole_set = Examples(ids=found.ids, inputs=exercises, labels=np.zeros(len(found.ids), dtype=np.int64))
        return Splits.of({part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the tests pass; see `ProgramTask.judge_programs`."""
        return self.judge_programs(examples, predictions, self.decoding.cut)


def _solution(row: Row) -> str:
    """The whole function in a fenced block, as a chat model would write it."""
    return f"```python\n{row['prompt']}{row['canonical_solution'].rstrip()}\n```"


def _check(rows: Rows, found: Sequence[Row]) -> None:
    """Raise `UsageError` for a row that cannot be evaluated."""
    for number, row in enumerate(found, 1):
        where = f"{rows.where}: row {number}"
        if not row["canonical_solution"].strip():
            raise UsageError(f'{where}: column "canonical_solution" is empty')
        if not defines(row["prompt"], row["entry_point"]):
            raise UsageError(
                f'{where}: column "prompt" does not begin the function {row["entry_point"]} of "entry_point"'
            )
        if "def check(" not in row["test"]:
            raise UsageError(f'{where}: column "test" defines no check(candidate)')
        for name, code in {"prompt": row["prompt"], "test": row["test"]}.items():
            try:
                compile(code, name, "exec")
            except (SyntaxError, ValueError) as error:
                raise UsageError(f'{where}: column "{name}" is no Python: {error}') from error


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `humaneval`."""
    register("humaneval", HumanEval)
