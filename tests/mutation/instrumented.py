"""Writes a copy of the packages that has all mutants in it, each behind a question to the probe."""

from __future__ import annotations

import ast
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from .sites import FUNCTIONS, Function, Mutant, Site, Source, defined

PACKAGES = ("engine", "backends", "plugins", "specs")
ISOLATED = ("plugins/tasks/_code/sandbox/", "plugins/tasks/_math/worker.py")
"""Run as files by processes that can import nothing of ours: these get no import of the probe."""

Edit = tuple[int, int, str]
"""What is written between two places, in bytes."""


def write(files: dict[str, Source], mutants: list[Mutant], sites: dict[int, Site], into: Path) -> None:
    """Write the copy below `into/boostlora`, and the probe and the plugin beside it."""
    shutil.rmtree(into / "boostlora", ignore_errors=True)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, into / "boostlora" / package, ignore=ignored)
    for name in ("probe.py", "plugin.py"):
        shutil.copyfile(Path(__file__).with_name(name), into / f"mutation_{name}")
    edits = marks(files, mutants, sites)
    for mutant in mutants:
        if site := sites.get(mutant["number"]):
            edits[mutant["path"]].append(calibration(files[mutant["path"]], site, mutant["number"]))
    for path, found in edits.items():
        text = edited(files[path].text, [probed(files[path]), *found])
        compile(text, path, "exec")
        (into / "boostlora" / path).write_bytes(text)


def calibration(source: Source, site: Site, number: int) -> Edit:
    """The expression with its mutant; the original stays as it is written, line for line."""
    start, end = source.span(site.node)
    ask = "on" if site.early is None else "active"
    original = source.text[start:end].decode()
    return start, end, f"(({site.mutated}) if _mutation.{ask}({number}) else ({original}))"


def probed(source: Source) -> Edit:
    """The import of the probe, on the line of the docstring or of the last import that must come first."""
    last = 0
    for statement in source.tree.body:
        match statement:
            case ast.ImportFrom(module="__future__") | ast.Expr(value=ast.Constant(value=str())):
                last = source.span(statement)[1]
            case _:
                break
    return (
        last,
        last,
        "; import mutation_probe as _mutation" if last else "import mutation_probe as _mutation\n",
    )


def edited(text: bytes, edits: list[Edit]) -> bytes:
    """The text with all edits. Raises ValueError where two of them overlap."""
    parts: list[bytes] = []
    done = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if start < done:
            raise ValueError(f"two mutants overlap at byte {start}: {new}")
        parts += [text[done:start], new.encode()]
        done = end
    return b"".join([*parts, text[done:]])


def marks(files: dict[str, Source], mutants: list[Mutant], sites: dict[int, Site]) -> dict[str, list[Edit]]:
    """For mutants that an import evaluates, notes at the beginning of the functions that a test must reach to see them."""
    everywhere: dict[str, set[int]] = defaultdict(set)
    found: dict[str, list[Edit]] = defaultdict(list)
    for mutant in mutants:
        number, path = mutant["number"], mutant["path"]
        early = sites[number].early if number in sites else None
        if isinstance(early, frozenset):
            for other in {path, *mentioning(files, path, early)}:
                everywhere[other].add(number)
        elif early is not None:
            found[path].append(mark(files[path], early, {number}))
    for path, numbers in everywhere.items():
        if not path.startswith(ISOLATED):
            found[path] += [mark(files[path], function, numbers) for function in functions(files[path].tree)]
    return found


def mentioning(files: dict[str, Source], path: str, names: frozenset[str]) -> list[str]:
    """The files that mention a name, or one of the module's constants and classes that are made of it."""
    known = set(names)
    for statement in files[path].tree.body:
        inner = statement.body if isinstance(statement, ast.ClassDef) else [statement]
        nodes = (n for s in inner if not isinstance(s, FUNCTIONS) for n in ast.walk(s))
        if known & {n.id for n in nodes if isinstance(n, ast.Name)}:
            known |= defined(statement)
    public = "|".join(name for name in sorted(known) if not name.startswith("_"))
    return [p for p, s in files.items() if public and re.search(rf"\b({public})\b".encode(), s.text)]


def functions(node: ast.AST) -> Iterator[Function]:
    """The functions and methods, without those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            yield child
        elif isinstance(child, ast.stmt):
            yield from functions(child)


def mark(source: Source, function: Function, numbers: set[int]) -> Edit:
    """A note at the beginning of a function: after its docstring, or before its first statement."""
    call = f"_mutation.touch({', '.join(map(str, sorted(numbers)))})"
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        end = source.span(first)[1]
        return end, end, f"; {call}"
    start = min(source.span(node)[0] for node in (first, *getattr(first, "decorator_list", ())))
    line = source.text[source.text.rfind(b"\n", 0, start) + 1 : start].decode()
    indent = line.rstrip("@")
    return (
        start - (len(line) - len(indent)),
        start - (len(line) - len(indent)),
        call + ("; " if indent.strip() else f"\n{indent}"),
    )
