"""Extraction of programs from generated text, and of function names from code."""

from __future__ import annotations

import ast
import re
import warnings

FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?P<language>[\w+.-]*)[^\n]*\n(?P<code>.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE
)
"""A fenced Markdown block; an unclosed one extends to the end."""


def fenced(text: str) -> str | None:
    """The first block fenced as Python, else the first fenced block; None if there is none."""
    blocks = list(FENCE.finditer(text))
    of_python = [block for block in blocks if block["language"].lower() in {"python", "python3", "py"}]
    first = next(iter(of_python or blocks), None)
    return None if first is None else first["code"]


def before(code: str, name: str) -> str:
    """The code before the function `name`: imports and helpers."""
    head = re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", code, re.MULTILINE)
    return code if head is None else code[: head.start()]


def defines(code: str, name: str) -> bool:
    """Whether an unindented line of `code` starts the function `name` (the code need not parse)."""
    return before(code, name) != code


def entry_point(code: str, tests: str) -> str | None:
    """The first function of `code` that `tests` call; None if there is none, or if either does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes such as "\w"
            program, called = ast.parse(code), ast.parse(tests)
    except (SyntaxError, ValueError, RecursionError):
        return None
    defined = {node.name for node in program.body if isinstance(node, ast.FunctionDef)}
    calls = [node.func for node in ast.walk(called) if isinstance(node, ast.Call)]
    names = [(call.lineno, call.col_offset, call.id) for call in calls if isinstance(call, ast.Name)]
    return next((name for *_, name in sorted(names) if name in defined), None)
