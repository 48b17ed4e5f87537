"""Lines that come with exports, in a process that cannot import this package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .commands import python

SINGLE = """
import importlib.abc, json, sys, traceback
class Nobody(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "boostlora":
            raise ImportError("boostlora is not to be imported here")
sys.meta_path.insert(0, Nobody())
def numbers(value):
    for step in ("detach", "double", "numpy"):
        value = getattr(value, step, lambda value=value: value)()
    return value.tolist() if hasattr(value, "tolist") else value
found = {}
for name, lines in json.load(open(sys.argv[1], encoding="utf-8")).items():
    told = {}
    try:
        exec(compile(lines, "usage", "exec"), told)
        found[name] = {name: numbers(told[name]) for name in ("texts", "rows", "logits") if name in told}
    except Exception:
        found[name] = {"failure": traceback.format_exc()}
json.dump(found, open(sys.argv[2], "w", encoding="utf-8"))
"""


def run_alone(lines: str, folder: Path) -> dict[str, Any]:
    """`texts`, `rows` and `logits` as the lines leave them; raises AssertionError with what they said, where they fail."""
    return answer_of("usage", run_all_alone({"usage": lines}, folder))


def run_all_alone(usages: Mapping[str, str], folder: Path) -> dict[str, dict[str, Any]]:
    """The same of several, one after the other in one process and each in a namespace of its own; read by `answer_of`.

    Importing torch and transformers takes seconds, and most usages take less.
    """
    asked, answers = folder / "usages.json", folder / "answers.json"
    asked.write_text(json.dumps(usages), encoding="utf-8")
    done = python("-I", "-c", SINGLE, asked, answers, cwd=folder)
    assert done.returncode == 0, f"{usages}\n{done.stderr}"
    return json.loads(answers.read_text(encoding="utf-8"))


def answer_of(name: str, answers: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One of several answers; raises AssertionError with what its lines said, where they failed."""
    answer = answers[name]
    assert "failure" not in answer, answer["failure"]
    return answer
