"""Finds the expressions of the sources that can be changed, and each again in another commit.

Changed are comparisons, arithmetic, `and` and `or`, `not`, signs, numbers, truth values and conditions; not what only type checkers
read, decorators, patterns, f-strings and the messages of asserts.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

Key = tuple[str, str, str, str]
Mutant = dict[str, Any]
"""A line of the sample: number, path, line, column, original, mutated, kind; scope, occurrence and of, by which it is found again."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef

BOTH_WAYS = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div)),
)
SWAPS: dict[type[ast.AST], type[Any]] = {
    ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult,
    **dict(BOTH_WAYS),
    **{right: left for left, right in BOTH_WAYS},
}
"""What an operator becomes."""
EXACT = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
TYPING = {"Literal", "Annotated", "Callable", "Generator", "Iterator"}
LEFT_ALONE = {"decorator_list", "returns", "annotation", "type_params", "bases", "msg", "pattern"}


@dataclass(frozen=True)
class Site:
    """An expression and one change of it.

    `early` is None where it is evaluated at run time. Otherwise importing the module evaluates it, and `early` says what a test must
    reach to see the change: the function whose default it is, or functions of files that mention one of these names.
    """

    node: ast.expr
    scope: str
    kind: str
    mutated: str
    early: Function | frozenset[str] | None

    @cached_property
    def key(self) -> Key:
        return self.scope, self.kind, ast.unparse(self.node), self.mutated


class Source:
    """A file of the packages, with its tree and all that can be changed in it."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_bytes()
        self.tree = ast.parse(self.text)
        self.starts = [0, *accumulate(map(len, self.text.splitlines(keepends=True)))]
        found = (walk(statement, "", frozenset(defined(statement))) for statement in self.tree.body)
        self.sites = [site for sites in found for site in sites]

    def span(self, node: Any) -> tuple[int, int]:
        """Where it begins and ends, in bytes."""
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[
            node.end_lineno - 1
        ] + node.end_col_offset


def defined(statement: ast.stmt) -> set[str]:
    """The names a statement of a module defines."""
    if isinstance(statement, (ast.ClassDef, *FUNCTIONS)):
        return {statement.name}
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def left_alone(node: ast.AST) -> bool:
    """Whether nothing inside is changed: f-strings, what only type checkers read, `__all__` and `__slots__`."""
    match node:
        case ast.JoinedStr() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "__slots__" | "TYPE_CHECKING")]):
            return True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")) | ast.Subscript(value=ast.Name(id="type")):
            return True
        case ast.Subscript(value=ast.Name(id=name)):
            return name in TYPING
        case _:
            return type(node).__name__ in {"TypeAlias", "TemplateStr"}


def walk(node: ast.AST, scope: str, early: Function | frozenset[str] | None) -> Iterator[Site]:
    """Everything that can be changed in a node."""
    if left_alone(node):
        return
    if isinstance(node, ast.expr):
        yield from (Site(node, scope, kind, ast.unparse(new), early) for kind, new in changes(node))
    for test in tests(node):
        yield Site(test, scope, "test", ast.unparse(ast.UnaryOp(ast.Not(), test)), early)
    if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
        scope = f"{scope}.{node.name}".lstrip(".")
    for name, value in ast.iter_fields(node):
        when = early
        if isinstance(node, FUNCTIONS) and early is not None:
            when = None if name == "body" else node
        elif isinstance(node, ast.Lambda) and name == "body":
            when = None
        children = value if isinstance(value, list) else [value]
        for child in children if name not in LEFT_ALONE else ():
            if isinstance(child, ast.AST):
                yield from walk(child, scope, when)


def changes(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The kinds of change of an expression, and what they make of it."""
    match node:
        case ast.Compare(left, ops, right):
            for i, op in enumerate(ops):
                yield "compare", ast.Compare(left, [*ops[:i], SWAPS[type(op)](), *ops[i + 1 :]], right)
        case ast.BinOp(left, op, right) if type(op) in SWAPS and not is_text(node):
            yield "arithmetic", ast.BinOp(left, SWAPS[type(op)](), right)
        case ast.BoolOp(op, values):
            yield "bool operator", ast.BoolOp(SWAPS[type(op)](), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield "not", operand
        case ast.UnaryOp(ast.USub(), operand):
            yield "minus", operand
        case ast.Constant(bool(value)):
            yield "bool", ast.Constant(not value)
        case ast.Constant(int(value)):
            yield "int", ast.Constant(value + 1)
        case ast.Constant(float(value)):
            yield "float", ast.Constant(2 * value or 1.0)


def tests(node: ast.AST) -> Iterator[ast.expr]:
    """The conditions of a node that are negated: none whose other changes say the same."""
    found = [node.test] if isinstance(node, (ast.If, ast.While, ast.IfExp)) else []
    for test in node.ifs if isinstance(node, ast.comprehension) else found:
        match test:
            case ast.Constant() | ast.UnaryOp(op=ast.Not()) | ast.Name(id="TYPE_CHECKING"):
                pass
            case ast.Compare(ops=[op]) if isinstance(op, EXACT):
                pass
            case _:
                yield test


def is_text(node: ast.expr) -> bool:
    """Whether the operation is one on text, by a literal in it."""
    if isinstance(node, ast.BinOp):
        return is_text(node.left) or is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def sources(folders: Iterable[str]) -> dict[str, Source]:
    """The Python files in folders of this checkout, by path."""
    return {str(path): Source(path) for folder in folders for path in sorted(Path(folder).rglob("*.py"))}


def numbered(source: Source) -> Iterator[tuple[Site, int, int]]:
    """The sites of a file: each with which it is among those of its key, and how many these are."""
    total, seen = Counter(site.key for site in source.sites), Counter[Key]()
    for site in source.sites:
        yield site, seen[site.key], total[site.key]
        seen[site.key] += 1


def located(mutants: list[Mutant], files: dict[str, Source]) -> dict[int, Site]:
    """The sites of mutants in these files; a mutant that is not found gets a reason, `lost`, and one that is its new line."""
    found: dict[int, Site] = {}
    for mutant in mutants:
        source, wanted = (
            files.get(mutant["path"]),
            tuple(mutant[k] for k in ("scope", "kind", "original", "mutated")),
        )
        same = [site for site, _, _ in numbered(source) if site.key == wanted] if source else []
        if source is None or not same:
            mutant["lost"] = "no such expression" if source else "no such file"
        elif len(same) != mutant["of"]:
            mutant["lost"] = f"{len(same)} such expressions instead of {mutant['of']}"
        else:
            site = found[mutant["number"]] = same[mutant["occurrence"]]
            mutant["line"], mutant["column"] = site.node.lineno, site.node.col_offset + 1
    return found
