"""The trusted process that runs the tests, with the same time limit. Only it knows the expected values and decides the verdict."""

from __future__ import annotations

import _ast
import builtins
import os
import sys

from .confinement import limit
from .kernel import end_with
from .plain import MalformedError, Unsupported, decode, encode
from .remote import Conversation, Disturbed
from .wire import ClosedError, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MESSAGE = 400


def main() -> None:
    """Entry point; arguments: the descriptors of replies, requests and verdict, and the parent's process id. The job is read from stdin.

    The verdict is `(status, message, confinement in force)`. Additional statuses: `ended` (the program's process has ended), `refused`
    (it could not be confined) and `broken` (the tests do not compile).
    """
    replies, requests, verdicts, parent = map(int, sys.argv[1:5])
    end_with(parent)
    job = decode(receive(0, 1 << 28), _nothing)
    limit(job["plan"]["seconds"], 4 * job["plan"]["memory_mb"])
    state: Any = None
    try:
        send(requests, encode(job["plan"], _nothing, 1 << 24))
        state = decode(receive(replies, 1 << 16), _nothing)
        if isinstance(state, dict) and state["confined"] != job["plan"]["unconfined"]:
            verdict = judge(job, Conversation(replies, requests, job["plan"]["answer_bytes"]))
        else:
            verdict = "refused", str(state)
    except ClosedError:
        verdict = "ended", ""
    except MalformedError as error:
        verdict = "refused", str(error)
    status, message = verdict
    send(verdicts, encode((status, message[:MESSAGE], state), _nothing, 1 << 20))
    os._exit(0)


def judge(job: dict[str, Any], program: Conversation) -> tuple[str, str]:
    """Load the program, bind its names, run setup and tests. Raises `ClosedError` if its process has ended."""
    lines: list[str] = job["tests"].splitlines()
    try:
        setup, tests = (compile(job[part], f"<{part}>", "exec") for part in ("setup", "tests"))
    except (SyntaxError, ValueError) as error:
        return "broken", f"the tests do not compile: {error}"
    if "random" in job["tests"] + job["setup"]:
        import random  # noqa: PLC0415 - rarely needed

        random.seed(0)
    entry: str = job["entry_point"]
    try:
        program.ask("load", job["source"])
        world: dict[str, Any] = {"__name__": "tests", **bound(job, program)}
        function = world.get(entry)
        if not callable(function):
            return "error", f"the program defines no function {entry}"
        exec(setup, world)  # noqa: S102 - trusted
        world[entry] = function
        exec(tests, world)  # noqa: S102 - trusted
        if "check" in world and entry != "check":
            world["check"](function)
    except ClosedError:
        raise
    except Unsupported as error:
        return "unsupported", str(error)
    except Disturbed as error:
        return "error", f"the program corrupted the pipe: {error}"
    except BaseException as error:  # any exception of the tests or of the program decides
        return decided(error, program, lines)
    return "passed", ""


def decided(error: BaseException, program: Conversation, lines: list[str]) -> tuple[str, str]:
    """Status and message of an exception: `error` if the program raised it, else `failed` with the line of the tests."""
    if id(error) in program.raised:
        said = program.raised[id(error)][1]
        return ("killed", "out of memory") if said.startswith("MemoryError") else ("error", said)
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<tests>" and 0 < trace.tb_lineno <= len(lines):
            line = lines[trace.tb_lineno - 1].strip()
        trace = trace.tb_next
    try:
        said = str(error)[:MESSAGE]
    except BaseException:  # __str__ raised
        said = ""
    kind = "" if isinstance(error, AssertionError) else type(error).__name__
    return "failed", ": ".join(part for part in (line[:MESSAGE], kind, said) if part)


def bound(job: dict[str, Any], program: Conversation) -> dict[str, Any]:
    """Names used by setup and tests that the program defines, and standard modules used without an import.

    The entry point is always the program's; for all other names, builtins and standard modules take precedence over the program's.
    """
    entry: str = job["entry_point"]
    defined, used = set[str](), set[str]()
    for node in _nodes(compile(job["setup"], "<setup>", "exec", _ast.PyCF_ONLY_AST)):
        if isinstance(node, _ast.FunctionDef | _ast.ClassDef):
            defined.add(node.name)
    for part in ("setup", "tests"):
        for node in _nodes(compile(job[part], f"<{part}>", "exec", _ast.PyCF_ONLY_AST)):
            if isinstance(node, _ast.Name):
                used.add(node.id)
    world: dict[str, Any] = {}
    for name in {entry} | used - defined - {"check"}:
        if name != entry and hasattr(builtins, name):
            continue
        if name != entry and name in sys.stdlib_module_names:
            world[name] = __import__(name)
            continue
        try:
            world[name] = program.ask("name", name)
        except KeyError:
            continue
    return world


def _nodes(tree: Any) -> Iterator[Any]:
    if isinstance(tree, list):
        for item in tree:
            yield from _nodes(item)
    elif isinstance(tree, _ast.AST):
        yield tree
        for field in tree._fields:
            yield from _nodes(getattr(tree, field, None))


def _nothing(*_: Any) -> Any:
    raise MalformedError("only plain data here")
