"""Every verdict has its cause, and no cause is taken for another."""

from __future__ import annotations

import sys

import pytest

from boostlora.engine.errors import RunError
from boostlora.plugins.tasks._code.sandbox import Limits, Program, Sandbox, Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only")

TESTS = "assert f(1) == 2\nassert f(2) == 3"
TIGHT = Limits(seconds=0.5, wall_seconds=3.0, memory_mb=256, answer_bytes=10_000)


def verdict_of(source: str, tests: str = TESTS, setup: str = "", limits: Limits = TIGHT) -> Verdict:
    return Sandbox(limits=limits).judge(Program(source=source, tests=tests, entry_point="f", setup=setup))


@pytest.mark.parametrize(
    ("source", "status", "message"),
    [
        ("def f(x): return x + 1", "passed", ""),
        ("def f(x):\n    print('a' * 10**6)\n    return x + 1", "passed", ""),
        ("def f(x): return 2", "failed", "assert f(2) == 3"),
        ("def f(x): return None", "failed", "assert f(1) == 2"),
        ("def f(x): return f", "unsupported", "class f cannot be sent"),
        ("def f(x): return 'a' * 10**5", "unsupported", "more than 10000 bytes"),
        ("def f(x): return object()", "unsupported", "class object cannot be sent"),
        ("def f(x): 1 / 0", "error", "ZeroDivisionError: division by zero"),
        ("def f(x): assert False, 'mine'", "error", "AssertionError: mine"),
        ("def f(x): raise SystemExit(0)", "error", "SystemExit: 0"),
        ("def f(:", "error", "SyntaxError: invalid syntax (<program>, line 1)"),
        ("f = 3", "error", "the program defines no function f"),
        ("def g(x): return x + 1", "error", "the program defines no function f"),
        ("import numpy", "error", "ModuleNotFoundError: No module named 'numpy'"),
        ("def f(): return 2", "error", "TypeError: f() takes 0 positional arguments but 1 was given"),
        ("import os\ndef f(x): os._exit(0)", "error", "ended its process (exit code 0)"),
        ("import os\ndef f(x): os.abort()", "killed", "ended its process (SIGABRT)"),
        ("def f(x): return bytearray(10**10)", "killed", "out of memory"),
        ("def f(x):\n    while True: pass", "timed-out", "the program ran for more than 0.5 s"),
        ("import time\ndef f(x): time.sleep(60)", "timed-out", "no verdict after 3 s of wall-clock time"),
    ],
)
def test_verdict_has_status_and_message(source: str, status: str, message: str) -> None:
    verdict = verdict_of(source)
    assert verdict.status == status
    assert message in verdict.message


def test_verdict_of_tests_that_an_answer_keeps_busy_is_timed_out() -> None:
    verdict = verdict_of("def f(x): return range(10**15)", "assert sum(f(1)) == 2")
    assert (verdict.status, verdict.message) == (
        "timed-out",
        "the tests ran for more than 0.5 s on its answers",
    )


def test_verdict_of_tests_that_raise_on_an_answer_is_failed() -> None:
    verdict = verdict_of("def f(x): return None", "assert len(f(1)) == 2")
    assert verdict.status == "failed"
    assert verdict.message == "assert len(f(1)) == 2: TypeError: object of type 'NoneType' has no len()"


def test_tests_that_do_not_compile_are_an_error_of_the_run() -> None:
    with pytest.raises(RunError, match="the tests do not compile: '\\(' was never closed"):
        verdict_of("def f(x): return x", "assert (f(1)")


def test_check_function_receives_the_entry_point() -> None:
    tests = "def check(candidate):\n    assert candidate(1) == f(1) == 2"
    assert verdict_of("def f(x): return x + 1", tests).passed
    assert verdict_of("def f(x): return x", tests).status == "failed"


def test_setup_defines_helpers_that_the_program_cannot_replace() -> None:
    setup = "def twice(x):\n    return 2 * x\n\ndef f(x):\n    pass\n"
    program = "def twice(x): return 7\ndef f(x): return {}"
    assert verdict_of(program.format("2 * x"), "assert f(3) == twice(3)", setup).passed
    assert verdict_of(program.format("twice(x)"), "assert f(3) == twice(3)", setup).status == "failed"


def test_expected_exceptions_are_raised_as_the_builtin_ones() -> None:
    tests = """
for number, expected in ((0, ZeroDivisionError), (1, ValueError), (2, KeyError), (3, UnicodeDecodeError)):
    try:
        f(number)
    except Exception as error:
        assert isinstance(error, expected if number < 3 else Exception), error
    else:
        raise AssertionError("nothing was raised")
"""
    source = """
class Mine(ValueError): pass
def f(x):
    if x == 0: return 1 / 0
    if x == 1: raise Mine("no")
    if x == 2: return {}[x]
    return b"\\xff".decode()
"""
    assert verdict_of(source, tests).passed


def test_unsupported_answer_is_not_caught_by_tests_that_expect_exceptions() -> None:
    tests = "try:\n    f(1) == 2\nexcept Exception:\n    pass"
    assert verdict_of("def f(x): return object()", tests).status == "unsupported"


def test_arguments_changed_by_the_program_are_changed_in_the_tests() -> None:
    tests = """
inner = [3, 1, 2]
outer = {"a": inner, "b": {1}}
f(outer)
assert outer == {"a": [1, 2, 3], "b": {1, 5}, "c": 0}
assert outer["a"] is inner
"""
    source = "def f(x):\n    x['a'].sort()\n    x['b'].add(5)\n    x['c'] = 0"
    assert verdict_of(source, tests).passed
    assert verdict_of("def f(x): x['a'] = sorted(x['a'])", tests).status == "failed"


def test_functions_that_are_arguments_are_called_outside() -> None:
    tests = """
seen = []
def note(x):
    seen.append(x)
    if x > 2:
        raise ValueError("enough")
    return x * 10
assert f(note) == [0, 10, 20, "enough"]
assert seen == [0, 1, 2, 3]
assert f(lambda x: note(x) + f(note)[1]) == [10, 20, 30, "enough"]
"""
    source = """
def f(g):
    found = []
    for i in range(9):
        try: found.append(g(i))
        except ValueError as error: return found + [str(error)]
"""
    assert verdict_of(source, tests).passed


def test_objects_of_the_program_can_be_created_changed_and_passed_back() -> None:
    source = """
class Node:
    def __init__(self, data): self.data, self.left = data, None
    def double(self): return 2 * self.data
def f(node): return 0 if node is None else 1 + f(node.left)
"""
    setup = "root = Node(1)\nroot.left = Node(2)\nroot.left.left = Node(3)"
    assert verdict_of(
        source,
        "assert f(root) == 3\nassert root.left.double() == 4\nassert root.left.left.left is None",
        setup,
    ).passed
    assert verdict_of(source, "assert root.left == root", setup).status == "unsupported"
    assert verdict_of(source, "assert root.left.nothing", setup).status == "error"


def test_iterators_are_lazy_and_no_lists() -> None:
    source = "def f(x):\n    while True:\n        yield x\n        x += 1"
    assert verdict_of(
        source, "from itertools import islice\nassert list(islice(f(1), 3)) == [1, 2, 3]"
    ).passed
    assert verdict_of("def f(x): return iter([1])", "assert list(f(1)) == [1]").passed
    assert verdict_of("def f(x): return iter([1])", "assert f(1) == [1]").status == "unsupported"


def test_standard_modules_and_builtins_in_tests_are_not_the_programs() -> None:
    source = "import math as sys\nabs = max = lambda *a: 0\ndef f(x): return x"
    assert verdict_of(source, "assert sys.getsizeof(()) > 0\nassert abs(f(-1)) == 1").passed


def test_verdict_is_reproducible_with_random_numbers_and_sets() -> None:
    source = "import random\ndef f(x): return [random.random(), list(set('abcdefgh'))]"
    told = {verdict_of(source, "assert False, f(1)").message for _ in range(3)}
    assert len(told) == 1
    assert "0.8444218515250481" in told.pop()  # random.Random(0).random()


def test_main_block_of_a_program_is_not_run() -> None:
    assert verdict_of("def f(x): return x + 1\nif __name__ == '__main__': raise SystemExit(input())").passed


def test_reply_without_the_nonce_is_refused() -> None:
    source = """
import os, stat
from sandboxed import plain, wire
def f(x):
    for fd in range(3, 32):
        try: wire.send(fd, plain.encode((bytes(16), "answer", x + 1, None), None, 1000))
        except BaseException: pass
    return x + 1
"""
    verdict = verdict_of(source)
    assert (verdict.status, verdict.message) == (
        "error",
        "the program corrupted the pipe: a reply without a request",
    )
