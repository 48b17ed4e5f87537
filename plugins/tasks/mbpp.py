"""MBPP: Python functions from a description and three tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from ...engine.contracts import Decoding, Examples, Outcome, Predictions, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import FilePath, option, positive
from ...engine.hookspecs import hookimpl
from ._code.exercises import Exercises
from ._code.extract import entry_point
from ._code.programs import ProgramTask, Style
from ._text.data import Check, TextData
from ._text.rows import Row, Rows, read_dataset, read_file
from ._text.templates import Template, requires_fields

COLUMNS = {
    "task_id": "number of the task",
    "text": "task description",
    "code": "solution",
    "test_list": "tests",
    "test_setup_code": "code before the tests",
}
SHOWN = ("2", "3", "4")
"""The few-shot tasks of lm-eval."""
PARTS: Mapping[str, range] = {
    "shown": range(1, 11),
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
}
"""The benchmark's splits, by task number."""
PROMPTS: Mapping[Style, str] = {
    "completion": "You are an expert Python programmer, and here is your task: {text} Your code should pass these tests:\n\n{tests}\n[BEGIN]\n",
    "chat": "You are an expert Python programmer, and here is your task:\n{text}\nYour code should pass these tests:\n{tests}",
}
ANSWERS: Mapping[Style, str] = {"completion": "{code}\n[DONE]", "chat": "\n```python\n{code}\n```"}


def _prompt_template(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    if value:
        requires_fields("text", "tests")(instance, attribute, value)


@attrs.frozen(kw_only=True)
class Mbpp(TextData, ProgramTask):
    """MBPP (Austin et al., 2021), or exercises in its format: `task_id`, `text`, `code`, `test_list`, `test_setup_code`.

    Prompts follow lm-eval: three few-shot tasks (2, 3 and 4), then the task with its tests. A program is correct if it passes them
    in the sandbox. A file of the whole benchmark is split by task number: 601-974 train, 511-600 validation, 11-510 test.
    """

    parts: Literal["task-id", "shares"] = option(
        "task-id", "if no splits are given: the benchmark's, by task_id, or random shares"
    )
    sanitized: FilePath = option("", "use only the tasks in this JSON list of numbers")
    sanitized_column: str = option("", "use only the rows for which this column is true")
    shots: int = option(3, "few-shot tasks before every prompt", min=0, max=3)
    shots_path: FilePath = option("", "a file with the few-shot tasks; empty: they are in the main file")
    prompt: str = option("", "prompt template with {text} and {tests}; empty: lm-eval's", _prompt_template)
    # Task 123's solution alone takes three seconds.
    seconds: float = option(
        10.0,
        "CPU seconds for a program, and for its tests; the wall-clock limit is five times that",
        positive,
    )

    def __attrs_post_init__(self) -> None:
        """Reject contradictory options."""
        TextData.__attrs_post_init__(self)
        self.check_programs()
        if self.sanitized and self.sanitized_column:
            raise ValueError('"sanitized" or "sanitized_column", one of them')
        if self.shots_path and not self.shots:
            raise ValueError('"shots_path" has a meaning only with "shots"')

    @property
    def decoding(self) -> Decoding:
        """Decoding settings."""
        return self.decoding_with(self.stop or (("[DONE]",) if self.style == "completion" else ()))

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault, or if programs cannot be sandboxed."""
        self.sandbox.check()
        found, parts = self.split_rows(
            self.read_rows(self._columns, _check, self._keep()), lambda _: "", rng, key=self._asked
        )
        rows, shown = found.rows, self._shown()
        exercises = Exercises(
            prompts=tuple(shown + self._asked(row) for row in rows),
            completions=tuple(_filled(ANSWERS[self.style], row, "\n") for row in rows),
            openings=("",) * len(rows),
            tests=tuple(row["test_list"] for row in rows),
            setups=tuple(row["test_setup_code"] for row in rows),
            entry_points=tuple(entry_point(row["code"], row["test_list"]) or "" for row in rows),
        )
        whole_set = Examples(ids=found.ids, inputs=exercises, labels=np.zeros(len(found.ids), dtype=np.int64))
        return Splits.of({part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the tests pass; see `ProgramTask.judge_programs`."""
        return self.judge_programs(examples, predictions, self.decoding.cut)

    @property
    def _columns(self) -> dict[str, str]:
        more = {self.sanitized_column: "whether a row is kept"} if self.sanitized_column else {}
        return {**COLUMNS, **more}

    def _keep(self) -> Callable[[Row], bool]:
        """A row filter: excludes few-shot tasks and, if a sanitized list is given, all tasks outside it."""
        wanted = _numbers(self.sanitized) if self.sanitized else None

        def keep(row: Row) -> bool:
            if row["task_id"] in self._set_aside or (wanted is not None and row["task_id"] not in wanted):
                return False
            return not self.sanitized_column or row[self.sanitized_column].lower() in {"true", "1", "yes"}

        return keep

    @property
    def _by_number(self) -> bool:
        given = (self.dataset, self.validation_path, self.test_path, self.split)
        return self.parts == "task-id" and not any(given)

    @property
    def _set_aside(self) -> set[str]:
        """Task numbers that belong to no split."""
        if self._by_number:
            return {str(number) for number in PARTS["shown"]}
        return set(SHOWN[: self.shots]) if self.shots and not self.shots_path and not self.dataset else set()

    def _sources(self) -> dict[str, Rows]:
        """The rows of every split; a data set without named splits uses the benchmark's names."""
        if not self.dataset:
            return {part: _plain(rows) for part, rows in super()._sources().items()}
        names = {
            "train": self.train_split,
            "validation": self.validation_split or "validation",
            "test": self.test_split or "test",
        }
        return {part: _plain(rows) for part, rows in read_dataset(self.dataset, self.subset, names).items()}

    def _read(self, columns: Mapping[str, str], check: Check) -> tuple[list[Row], list[str]]:
        """All rows and the split of each, by task number unless splits are given."""
        rows, assigned = super()._read(columns, check)
        if not self._by_number:
            return rows, assigned
        part_of = {str(number): part for part, numbers in PARTS.items() for number in numbers}
        for number, row in enumerate(rows, 1):
            if row["task_id"] not in part_of:
                raise UsageError(
                    f"{self.where}: row {number}: task_id {row['task_id']} is not in the benchmark (1 to 974); split the rows "
                    'another way: task.parts = "shares", a column task.split, or separate files'
                )
        return rows, [part_of[row["task_id"]] for row in rows]

    def _shown(self) -> str:
        """The few-shot prefix of every prompt."""
        if not self.shots:
            return ""
        if self.shots_path:
            source = read_file(self.shots_path)
        elif self.dataset:
            source = read_dataset(self.dataset, self.subset, {"prompt": "prompt"})["prompt"]
        else:
            source = read_file(self.path)
        rows = {row["task_id"]: row for row in _plain(source).of(COLUMNS)}
        wanted = SHOWN[: self.shots]
        if not rows.keys() >= set(wanted):
            raise UsageError(
                f"{source.where}: task.shots = {self.shots} needs the tasks {', '.join(wanted)}, which are missing; "
                "give a file that has them (task.shots_path), or set task.shots = 0"
            )
        # Line endings as in the data, as in lm-eval.
        return "".join(self._asked(rows[n]) + _filled(ANSWERS[self.style], rows[n]) + "\n\n" for n in wanted)

    def _asked(self, row: Row) -> str:
        return Template.parse(self.prompt or PROMPTS[self.style]).fill(
            {"text": row["text"], "tests": row["test_list"]}
        )


def _filled(template: str, row: Row, line_end: str = "") -> str:
    code = row["code"].replace("\r\n", line_end) if line_end else row["code"]
    return Template.parse(template).fill({"code": code})


def _plain(rows: Rows) -> Rows:
    """Join lists of tests to lines, and rename the columns of the sanitized version to those of the full one."""
    columns = dict(rows.columns)
    if "text" not in columns and "prompt" in columns:
        columns["text"] = columns["prompt"]
    if "test_setup_code" not in columns:
        columns["test_setup_code"] = columns.get("test_imports", [""] * len(next(iter(columns.values()), ())))
    for name in {"test_list", "test_setup_code"} & columns.keys():
        columns[name] = [_lines(value) for value in columns[name]]
    return attrs.evolve(rows, columns=columns)


def _lines(value: Any) -> Any:
    if isinstance(value, str) or value is None:
        return value
    return "\n".join(map(str, value))


def _numbers(path: str) -> set[str]:
    """The task numbers of a JSON file. Raises `UsageError`."""
    try:
        found: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: no readable JSON: {error}") from error
    if not isinstance(found, list) or not found or not all(type(number) is int for number in found):
        raise UsageError(f"{path}: task.sanitized must be a JSON list of task numbers")
    return {str(number) for number in found}


def _check(rows: Rows, found: Sequence[Row]) -> None:
    """Raise `UsageError` for a row that cannot be evaluated."""
    for number, row in enumerate(found, 1):
        where = f"{rows.where}: row {number}"
        if "assert" not in row["test_list"]:
            raise UsageError(f'{where}: column "test_list" has no assert')
        if entry_point(row["code"], row["test_list"]) is None:
            raise UsageError(f'{where}: the tests call no function that column "code" defines')


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `mbpp`."""
    register("mbpp", Mbpp)
