"""The solutions that come with HumanEval and MBPP pass, and broken ones do not."""

from __future__ import annotations

import ast
import gzip
import json
import sys
import warnings
from functools import cache
from typing import Any

import pytest

from boostlora.plugins.tasks._code.sandbox import Limits, Program, Sandbox, Verdict

from ..support.places import SHARED_DATA

HUMANEVAL, MBPP = SHARED_DATA / "humaneval" / "HumanEval.jsonl.gz", SHARED_DATA / "mbpp" / "mbpp.jsonl"

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only"),
    pytest.mark.skipif(
        not (HUMANEVAL.is_file() and MBPP.is_file()),
        reason="HumanEval and MBPP are not beside the repository",
    ),
]
# Task 123 of MBPP takes three seconds by itself.
SANDBOX = Sandbox(limits=Limits(seconds=15.0))


@cache
def humaneval(completion: str | None = None) -> dict[str, Program]:
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in gzip.decompress(HUMANEVAL.read_bytes()).splitlines()
    ]
    return {
        row["task_id"]: Program(
            source=row["prompt"] + (row["canonical_solution"] if completion is None else completion),
            tests=row["test"],
            entry_point=row["entry_point"],
            setup=row["prompt"],
        )
        for row in rows
    }


def parsed(source: str) -> list[ast.AST]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some solutions write "\\w"
        return list(ast.walk(ast.parse(source)))


@cache
def mbpp() -> dict[int, Program]:
    found = {}
    for row in map(json.loads, MBPP.read_text().splitlines()):
        defined = {node.name for node in parsed(row["code"]) if isinstance(node, ast.FunctionDef)}
        calls = [node.func for node in parsed(row["test_list"][0]) if isinstance(node, ast.Call)]
        found[row["task_id"]] = Program(
            source=row["code"],
            tests="\n".join([*row["test_list"], *row["challenge_test_list"]]),
            entry_point=next(call.id for call in calls if isinstance(call, ast.Name) and call.id in defined),
            setup=row["test_setup_code"],
        )
    return found


def judged(programs: dict[Any, Program]) -> dict[Any, Verdict]:
    return dict(zip(programs, SANDBOX.judge_all(list(programs.values())), strict=True))


@pytest.mark.parametrize("number", [32, 33, 38, 50, 115, 162])
def test_humaneval_task_with_helpers_passes(number: int) -> None:
    assert SANDBOX.judge(humaneval()[f"HumanEval/{number}"]).passed


@pytest.mark.parametrize(
    "number",
    [
        40,
        pytest.param(123, marks=pytest.mark.slow(reason="seconds of arithmetic")),
        124,
        367,
        533,
        596,
        601,
        653,
        927,
    ],
)
def test_mbpp_task_with_odd_values_passes(number: int) -> None:
    assert SANDBOX.judge(mbpp()[number]).passed


@pytest.mark.slow(reason="164 programs")
def test_humaneval_broken_solutions_fail() -> None:
    """That its own solutions pass is tested through the task."""
    assert len(humaneval()) == 164
    assert {v.status for v in judged(humaneval("    return None\n")).values()} == {"failed"}


@pytest.mark.slow(reason="974 programs")
def test_mbpp_solutions_pass() -> None:
    verdicts = judged(mbpp())
    assert {name: v for name, v in verdicts.items() if not v.passed} == {}
    assert len(verdicts) == 974
