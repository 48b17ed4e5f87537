"""Functions to be written from their heads and docstrings."""

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
from ._text.fields import asks
from ._text.rows import Row, Rows
from ._text.templates import Template

COLUMNS = {
    "prompt": "head and docstring",
    "canonical_solution": "body that is right",
    "test": "code that defines check(candidate)",
    "entry_point": "name of the function",
}
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
CHAT = "Write a solution to the following problem and make sure that it passes the tests:\n```python\n{prompt}\n```\n"


@attrs.frozen(kw_only=True)
class HumanEval(TextData, ProgramTask):
    """HumanEval (Chen et al., 2021), or other exercises in its form: `prompt`, `canonical_solution`, `test`, `entry_point`.

    The program is the prompt and what the model goes on to write, up to the first of the stop strings; in a chat, its first fenced block
    behind the imports and helpers of the prompt. Right is what passes `check`, in the sandbox; helpers that the tests use are the prompt's
    own. The benchmark has one split of 164: all parts are shares of it.
    """

    train_split: str = option("test", "the data set's split to train on; HumanEval has only this one")
    prompt: str = option(CHAT, "chat: what is asked; {prompt} stands for head and docstring", asks("prompt"))

    def __attrs_post_init__(self) -> None:
        """Options that contradict each other."""
        TextData.__attrs_post_init__(self)
        self.check_programs()
        if self.prompt != CHAT and self.style != "chat":
            raise ValueError(
                '"prompt" has a meaning only with style = "chat"; a completion is asked for by the code itself'
            )

    @property
    def decoding(self) -> Decoding:
        """How the model is to write."""
        return self.decoding_with(self.stop or (STOPS if self.style == "completion" else ()))

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault, and where programs cannot be confined."""
        self.sandbox.check()
        found, parts = self.divide(
            self.gather(COLUMNS, _check), lambda _: "", rng, asked=lambda row: row["prompt"]
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
        return Splits(**{part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Right by the tests; see `ProgramTask.judge_programs`."""
        return self.judge_programs(examples, predictions, self.decoding.cut)


def _solution(row: Row) -> str:
    """The whole function, as a chat model would give it."""
    return f"```python\n{row['prompt']}{row['canonical_solution'].rstrip()}\n```"


def _check(rows: Rows, found: Sequence[Row]) -> None:
    """Refuse what could not be judged."""
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
    """Offer `humaneval`."""
    register("humaneval", HumanEval)
