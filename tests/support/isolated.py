"""Lines that come with an export, in a process of their own that cannot import this package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .commands import python

SINGLE = """
import importlib.abc, json, sys
class Nobody(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "boostlora":
            raise ImportError("boostlora is not to be imported here")
sys.meta_path.insert(0, Nobody())
told = {}
exec(compile(open(sys.argv[1], encoding="utf-8").read(), "usage", "exec"), told)
def numbers(value):
    for step in ("detach", "double", "numpy"):
        value = getattr(value, step, lambda value=value: value)()
    return value.tolist() if hasattr(value, "tolist") else value
found = {name: numbers(told[name]) for name in ("texts", "rows", "logits") if name in told}
json.dump(found, open(sys.argv[2], "w", encoding="utf-8"))
"""


def run_alone(lines: str, folder: Path) -> dict[str, Any]:
    """`texts`, `rows` and `logits` as the lines leave them; raises AssertionError with what they said, where they fail."""
    usage, answer = folder / "usage.py", folder / "usage.json"
    usage.write_text(lines, encoding="utf-8")
    done = python("-I", "-c", SINGLE, usage, answer, cwd=folder)
    assert done.returncode == 0, f"{lines}\n{done.stderr}"
    return json.loads(answer.read_text(encoding="utf-8"))
