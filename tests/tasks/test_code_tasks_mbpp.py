"""`mbpp`: its suite, prompts as the harness has them, parts by number, and what it refuses."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boostlora.engine.contracts import Decoding, Examples
from boostlora.engine.testing import TaskContract
from boostlora.plugins.tasks.mbpp import Mbpp

from .code_cases import MBPP, answers, beside, lines, linux, sentences
from .text_cases import PARTS, Write, everything, load, message

pytestmark = linux

WHOLE = [*range(1, 16), *range(511, 518), *range(601, 625)]
"""Numbers of all the benchmark's parts."""


class Contract(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, write: Write) -> None:
        self.path = write(lines(sentences(WHOLE)), "sentences.jsonl")


class TestByNumber(Contract):
    def make(self):
        return Mbpp(path=self.path, limit=20)


class TestShares(Contract):
    def make(self):
        return Mbpp(path=self.path, parts="shares", style="chat", shots=1)


@pytest.fixture
def path(write: Write) -> str:
    return write(lines(sentences(WHOLE)), "sentences.jsonl")


def numbers(examples: Examples) -> list[int]:
    return sorted(int(name.removeprefix("add_")) for name in examples.inputs.entry_points)


def test_mbpp_file_is_split_by_task_number_without_the_prompt_tasks(path: str) -> None:
    splits = load(Mbpp(path=path))
    assert numbers(splits.train) == list(range(601, 625))
    assert numbers(splits.validation) == list(range(511, 518))
    assert numbers(splits.test) == list(range(11, 16))


def test_mbpp_shares_omit_only_the_prompt_tasks(path: str) -> None:
    for shots, left_out in ((3, {2, 3, 4}), (1, {2}), (0, set[int]())):
        splits = load(Mbpp(path=path, parts="shares", shots=shots))
        there = {n for part in PARTS for n in numbers(getattr(splits, part))}
        assert there == set(WHOLE) - left_out


def test_mbpp_prompt_equals_the_harness_with_three_solved_tasks(path: str) -> None:
    splits = load(Mbpp(path=path))
    place = splits.test.inputs.entry_points.index("add_12")
    assert splits.test.inputs.prompts[place] == "".join(
        f"You are an expert Python programmer, and here is your task: Write a function to add {n}. Your code should pass these tests:\n\n"
        f"assert add_{n}(0) == {n}\nassert add_{n}(1) == {n + 1}\nassert add_{n}(5) == {n + 5}\n[BEGIN]\n"
        + (f"import math\r\ndef add_{n}(x):\r\n    return math.floor(x) + {n}\n[DONE]\n\n" if n < 5 else "")
        for n in (2, 3, 4, 12)
    )
    assert (
        splits.test.inputs.completions[place]
        == "import math\ndef add_12(x):\n    return math.floor(x) + 12\n[DONE]"
    )


@beside
def test_mbpp_prompts_of_real_data_equal_those_of_the_harness() -> None:
    """Built from the harness's own task file and its own three examples."""
    found = find_spec("lm_eval")
    if found is None or found.origin is None:
        pytest.skip("differential tests need lm-eval")
    import ast

    import jinja2
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    folder = Path(found.origin).parent / "tasks" / "mbpp"
    settings = yaml.load((folder / "mbpp.yaml").read_text(), Loader)  # noqa: S506 - a safe one
    # Importing the file would load its metric from the internet: its examples are read as data.
    tree = ast.parse((folder / "utils.py").read_text())
    function = next(
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "list_fewshot_samples"
    )
    shown: list[dict[str, Any]] = ast.literal_eval(function.body[0].value)
    templates = jinja2.Environment(keep_trailing_newline=True)  # noqa: S701 - no web page

    def fill(text: str, row: dict[str, Any]) -> str:
        return templates.from_string(text).render(**row)

    before = "".join(
        fill(settings["doc_to_text"], row) + fill(settings["doc_to_target"], row) + "\n\n" for row in shown
    )
    rows = [json.loads(line) for line in MBPP.read_text().splitlines()]
    expected = {before + fill(settings["doc_to_text"], row) for row in rows if 11 <= row["task_id"] <= 510}
    task = Mbpp(path=str(MBPP))
    splits = load(task)
    assert set(splits.test.inputs.prompts) == expected
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (374, 90, 500)
    assert list(task.decoding.stop) == settings["generation_kwargs"]["until"]


def test_mbpp_setup_code_is_run_before_the_tests(path: str) -> None:
    task = Mbpp(path=path)
    splits = load(task)
    place = splits.test.inputs.entry_points.index("add_15")
    assert splits.test.inputs.setups[place] == "base = 0"
    examples = splits.test.take(np.array([place]))
    assert task.judge(examples, answers(["def add_15(x): return x + 15"])).accuracy == 1.0


def test_mbpp_answer_counts_up_to_the_stop_and_in_a_chat_its_first_block(path: str) -> None:
    for style, texts in (
        ("completion", ["def add_601(x): return x + 601\n[DONE]\nnonsense here", "def add_601(x): return x + 601\nnonsense here"]),
        ("chat", ["So:\n```python\ndef add_601(x): return x + 601\n```\nand so on", "def add_601(x): return x\n```python\n```"]),
    ):  # fmt: skip
        task = Mbpp(path=path, style=style, samples=2, temperature=1.0)
        train = load(task).train
        examples = train.take(np.array([train.inputs.entry_points.index("add_601")]))
        assert task.judge(examples, answers(texts, 1)).reward.tolist() == [0.5]


def test_mbpp_decoding_follows_style_and_options(path: str) -> None:
    assert Mbpp(path=path).decoding == Decoding(max_new_tokens=512, stop=("[DONE]",))
    assert Mbpp(path=path, style="chat").decoding == Decoding(max_new_tokens=512)
    own = Mbpp(path=path, prompt="{text}\n{tests}\n", shots=0)
    assert load(own).train.inputs.prompts[0].startswith("Write a function to add 6")


def test_mbpp_sanitized_keeps_only_those_tasks(write: Write, path: str) -> None:
    kept = [2, 12, 14, 511, 512, 601, 602, 605]
    listed = Mbpp(path=path, sanitized=write(json.dumps(kept), "ids.json"))
    there = {n for part in PARTS for n in numbers(getattr(load(listed), part))}
    assert there == set(kept) - {2}
    marked = load(Mbpp(path=path, sanitized_column="good"))
    assert {n for part in PARTS for n in numbers(getattr(marked, part))} == {
        n for n in WHOLE if n > 10 and n % 2 == 0
    }


def test_mbpp_split_column_and_separate_files_set_the_splits(write: Write) -> None:
    rows = [{**row, "part": PARTS[i % 3]} for i, row in enumerate(sentences(range(2000, 2030)))]
    shown = write(lines(sentences(range(1, 5))), "shown.jsonl")
    splits = load(Mbpp(path=write(lines(rows), "rows.jsonl"), split="part", shots_path=shown))
    assert numbers(splits.validation) == list(range(2001, 2030, 3))
    assert splits.train.inputs.prompts[0].count("[DONE]") == 3
    apart = Mbpp(
        path=write(lines(rows[:10]), "a.jsonl"),
        validation_path=write(lines(rows[10:20]), "b.jsonl"),
        test_path=write(lines(rows[20:]), "c.jsonl"),
        shots=0,
    )
    assert numbers(load(apart).test) == list(range(2020, 2030))


def test_mbpp_data_set_has_the_benchmarks_parts(tmp_path: Path, write: Write, path: str) -> None:
    datasets = pytest.importorskip("datasets", reason="data sets need the extra hf")
    rows = sentences(WHOLE)
    parts = {
        "prompt": range(1, 11),
        "test": range(11, 16),
        "validation": range(511, 518),
        "train": range(601, 625),
    }
    made = datasets.DatasetDict(
        {
            name: datasets.Dataset.from_list([row for row in rows if row["task_id"] in ns])
            for name, ns in parts.items()
        }
    )
    made.save_to_disk(tmp_path / "mbpp")
    assert everything(load(Mbpp(dataset=str(tmp_path / "mbpp")))) == everything(load(Mbpp(path=path)))


def test_mbpp_sanitized_versions_names_of_columns_are_understood(write: Write) -> None:
    rows = [
        {"task_id": r["task_id"], "prompt": r["text"], "code": r["code"], "test_list": r["test_list"], "test_imports": ["import math", "base = 0"]}
        for r in sentences(WHOLE)
    ]  # fmt: skip
    splits = load(Mbpp(path=write(lines(rows), "sanitized.jsonl")))
    assert splits.test.inputs.setups[0] == "import math\nbase = 0"


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"task_id": 2000}, {}, "row 3: task_id 2000 is not in the benchmark (1 to 974)"),
        ({"test_list": []}, {}, 'row 3: column "test_list" has no assert'),
        (
            {"test_list": ["assert other(1) == 2"]},
            {},
            'row 3: the tests call no function that column "code" defines',
        ),
        ({"code": "def add_3(x:"}, {}, 'row 3: the tests call no function that column "code" defines'),
        ({"task_id": 20}, {}, "task.shots = 3 needs the tasks 2, 3, 4, which are missing"),
        ({"text": None}, {}, 'column "text" is empty in row 3'),
        ({}, {"sanitized_column": "absent"}, 'no column "absent" (whether a row is kept)'),
    ],
)
def test_mbpp_invalid_rows_are_refused(
    write: Write, change: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    rows = sentences(WHOLE)
    rows[2] |= change
    path = write(lines(rows), "rows.jsonl")
    assert said in message(lambda: Mbpp(path=path, **options))


@pytest.mark.parametrize("content", ["{}", "[]", '["1"]', "[true]", "no"])
def test_mbpp_invalid_sanitized_list_is_refused(write: Write, path: str, content: str) -> None:
    ids = write(content, "ids.json")
    told = message(lambda: Mbpp(path=path, sanitized=ids))
    assert told.startswith(ids)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sanitized": "a.json", "sanitized_column": "b"}, '"sanitized" or "sanitized_column", one of them'),
        ({"shots": 0, "shots_path": "a.jsonl"}, '"shots_path" has a meaning only with "shots"'),
        ({"prompt": "Do {text}"}, "must hold {text}, {tests}"),
        ({"shots": 4}, '"shots" must be at most 3'),
    ],
)
def test_mbpp_options_that_contradict_each_other_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r".*") as told:
        Mbpp(path="x.jsonl", **options)
    assert said in str(told.value)


@beside
@pytest.mark.slow(reason="97 programs")
def test_mbpp_real_solutions_are_right() -> None:
    """Every tenth; all of them are judged in the tests of the sandbox."""
    task = Mbpp(path=str(MBPP), seconds=15.0)
    splits = load(task)
    for part in PARTS:
        examples = getattr(splits, part).take(np.arange(0, len(getattr(splits, part)), 10))
        assert task.judge(examples, answers(examples.inputs.completions)).accuracy == 1.0


@beside
def test_mbpp_real_sanitized_tasks_are_those_of_the_list() -> None:
    ids = MBPP.with_name("sanitized_task_ids.json")
    splits = load(Mbpp(path=str(MBPP), sanitized=str(ids)))
    kept = {n for n in json.loads(ids.read_text()) if n > 10}
    assert sum(len(getattr(splits, part)) for part in PARTS) == len(kept)
