"""Functions to be written from a sentence and three tests."""

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
from ._text.fields import asks
from ._text.rows import Row, Rows, read_dataset, read_file
from ._text.templates import Template

COLUMNS = {
    "task_id": "number of the task",
    "text": "what is to be written",
    "code": "solution",
    "test_list": "tests",
    "test_setup_code": "code before the tests",
}
SHOWN = ("2", "3", "4")
"""The tasks that are shown solved, as lm-eval has it."""
PARTS: Mapping[str, range] = {
    "shown": range(1, 11),
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
}
"""The benchmark's own parts, by the number of a task."""
PROMPTS: Mapping[Style, str] = {
    "completion": "You are an expert Python programmer, and here is your task: {text} Your code should pass these tests:\n\n{tests}\n[BEGIN]\n",
    "chat": "You are an expert Python programmer, and here is your task:\n{text}\nYour code should pass these tests:\n{tests}",
}
ANSWERS: Mapping[Style, str] = {"completion": "{code}\n[DONE]", "chat": "\n```python\n{code}\n```"}


def _asking(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    if value:
        asks("text", "tests")(instance, attribute, value)


@attrs.frozen(kw_only=True)
class Mbpp(TextData, ProgramTask):
    """MBPP (Austin et al., 2021), or other exercises in its form: `task_id`, `text`, `code`, `test_list`, `test_setup_code`.

    Asked as lm-eval does: three solved tasks (2, 3 and 4) before each, which is shown with its tests; right is what passes them, in
    the sandbox. A file of the whole benchmark is divided by its numbers: 601-974 train, 511-600 validation, 11-510 test.
    """

    parts: Literal["task-id", "shares"] = option(
        "task-id", "where no parts are given: the benchmark's own, by task_id, or shares"
    )
    sanitized: FilePath = option("", "keep only the tasks of this list: a JSON file of numbers")
    sanitized_column: str = option("", "keep only the rows for which this column is true")
    shots: int = option(3, "solved tasks before every prompt", min=0, max=3)
    shots_path: FilePath = option(
        "", "a file with the tasks that are shown; empty: they are among the others"
    )
    prompt: str = option("", "what is asked, with {text} and {tests}; empty: as lm-eval asks", _asking)
    # Task 123 takes three seconds by itself.
    seconds: float = option(
        10.0, "CPU time of one program, and of its tests; by the clock it is five times that", positive
    )

    def __attrs_post_init__(self) -> None:
        """Options that contradict each other."""
        TextData.__attrs_post_init__(self)
        self.check_programs()
        if self.sanitized and self.sanitized_column:
            raise ValueError('"sanitized" or "sanitized_column", one of them')
        if self.shots_path and not self.shots:
            raise ValueError('"shots_path" has a meaning only with "shots"')

    @property
    def decoding(self) -> Decoding:
        """How the model is to write."""
        return self.decoding_with(self.stop or (("[DONE]",) if self.style == "completion" else ()))

    def load(self, rng: np.random.Generator) -> Splits:
        """Read and split. Raises `UsageError` naming file, column and row at fault, and where programs cannot be confined."""
        self.sandbox.check()
        found, parts = self.divide(
            self.gather(self._columns, _check, self._keep()), lambda _: "", rng, asked=self._asked
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
        return Splits(**{part: whole_set.take(index) for part, index in parts.items()}, classes=())

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Right by the tests; see `ProgramTask.judge_programs`."""
        return self.judge_programs(examples, predictions, self.decoding.cut)

    @property
    def _columns(self) -> dict[str, str]:
        more = {self.sanitized_column: "whether a row is kept"} if self.sanitized_column else {}
        return {**COLUMNS, **more}

    def _keep(self) -> Callable[[Row], bool]:
        """Which rows count: none of those that are shown, and of the others the sanitized, where only they are wanted."""
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
        """Numbers that belong to no part."""
        if self._by_number:
            return {str(number) for number in PARTS["shown"]}
        return set(SHOWN[: self.shots]) if self.shots and not self.shots_path and not self.dataset else set()

    def _sources(self) -> dict[str, Rows]:
        """The rows of every part, the columns as texts; of a data set the benchmark's own parts, where none are named."""
        if not self.dataset:
            return {part: _plain(rows) for part, rows in super()._sources().items()}
        names = {
            "train": self.train_split,
            "validation": self.validation_split or "validation",
            "test": self.test_split or "test",
        }
        return {part: _plain(rows) for part, rows in read_dataset(self.dataset, self.subset, names).items()}

    def _read(self, columns: Mapping[str, str], check: Check) -> tuple[list[Row], list[str]]:
        """All rows, and the part of each: by its number, where that decides."""
        rows, said = super()._read(columns, check)
        if not self._by_number:
            return rows, said
        part_of = {str(number): part for part, numbers in PARTS.items() for number in numbers}
        for number, row in enumerate(rows, 1):
            if row["task_id"] not in part_of:
                raise UsageError(
                    f"{self.where}: row {number}: task_id {row['task_id']} is none of the benchmark's (1 to 974); divide the rows "
                    'another way: task.parts = "shares", a column task.split, or files of their own'
                )
        return rows, [part_of[row["task_id"]] for row in rows]

    def _shown(self) -> str:
        """The solved tasks before every prompt."""
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
                f"{source.where}: task.shots = {self.shots} shows the tasks {', '.join(wanted)}, which are not there; "
                "name a file that has them (task.shots_path), or take task.shots = 0"
            )
        # Line ends as they are in the data: the harness shows them so.
        return "".join(self._asked(rows[n]) + _filled(ANSWERS[self.style], rows[n]) + "\n\n" for n in wanted)

    def _asked(self, row: Row) -> str:
        return Template.parse(self.prompt or PROMPTS[self.style]).fill(
            {"text": row["text"], "tests": row["test_list"]}
        )


def _filled(template: str, row: Row, line_end: str = "") -> str:
    code = row["code"].replace("\r\n", line_end) if line_end else row["code"]
    return Template.parse(template).fill({"code": code})


def _plain(rows: Rows) -> Rows:
    """Lists of tests as lines, and the names of the benchmark's sanitized version as those of the full one."""
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
    """The numbers of a JSON file."""
    try:
        found: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: no readable JSON: {error}") from error
    if not isinstance(found, list) or not found or not all(type(number) is int for number in found):
        raise UsageError(f"{path}: task.sanitized must be a JSON list of task numbers")
    return {str(number) for number in found}


def _check(rows: Rows, found: Sequence[Row]) -> None:
    """Refuse what could not be judged."""
    for number, row in enumerate(found, 1):
        where = f"{rows.where}: row {number}"
        if "assert" not in row["test_list"]:
            raise UsageError(f'{where}: column "test_list" has no assert')
        if entry_point(row["code"], row["test_list"]) is None:
            raise UsageError(f'{where}: the tests call no function that column "code" defines')


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `mbpp`."""
    register("mbpp", Mbpp)
