"""Attacks on time, memory and pipes. Each function is a program of its own that defines `f`. Never to be run unconfined."""

SOURCE = """
def loop():
    while True: pass
def loop_when_asked():
    def f(x):
        while True: pass
    return f
def loop_ignoring_signals():
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    while True: pass
def loop_that_catches_everything():
    def f(x):
        while True:
            try:
                while True: pass
            except BaseException: pass
    return f
def sleep():
    import time
    return lambda x: time.sleep(1000)
def sleep_ignoring_signals():
    import time
    for number in range(1, 65):
        try: signal.signal(number, lambda *a: None)
        except (OSError, ValueError): pass
    while True: time.sleep(1000)
def wait_for_signal():
    return lambda x: signal.pause()
def wait_for_input():
    return lambda x: sys.stdin.read() or input()
def slow_expression():
    import re
    return lambda x: re.match("(a+)+$", "a" * 50 + "b")
def slow_number():
    return lambda x: 7 ** (10 ** 9)
def memory_list():
    return lambda x: [0] * (10 ** 10)
def memory_bytes():
    return lambda x: bytearray(10 ** 12)
def memory_slowly():
    def f(x):
        kept = []
        while True: kept.append(bytearray(10 ** 6))
    return f
def memory_text():
    return lambda x: "a" * (10 ** 10)
def memory_mapped():
    import mmap
    return lambda x: mmap.mmap(-1, 10 ** 10)
def flood_output():
    def f(x):
        while True: sys.stdout.write("a" * 10 ** 5)
    return f
def flood_errors():
    def f(x):
        while True: os.write(2, b"a" * 10 ** 5)
    return f
def flood_every_descriptor():
    def f(x):
        while True:
            for fd in range(64):
                try: os.write(fd, b"\\x00\\x00\\x00\\x10" + b"a" * 16)
                except OSError: pass
    return f
def flood_of_frames():
    def f(x):
        while True:
            for fd in range(3, 64):
                try: os.write(fd, b"\\x7f\\xff\\xff\\xff" + b"a" * 10 ** 5)
                except OSError: pass
    return f
def huge_answer():
    return lambda x: "a" * 10 ** 8
def huge_list():
    return lambda x: list(range(10 ** 6))
def deep_answer():
    def f(x):
        value = []
        for _ in range(10 ** 5): value = [value]
        return value
    return f
def answer_that_contains_itself():
    def f(x):
        value = []; value.append(value); return value
    return f
def endless_iterator():
    import itertools
    return lambda x: itertools.count()
def colliding_hashes():
    return lambda x: {i * (2 ** 61 - 1) for i in range(1, 10 ** 5)}
def many_objects():
    return lambda x: [object() for _ in range(10 ** 6)]
def endless_recursion():
    def f(x): return f(x)
    return f
def crash_by_recursion():
    sys.setrecursionlimit(10 ** 9)
    def f(x):
        value = []
        for _ in range(10 ** 6): value = [value]
        return repr(value)
    return f
def crash_by_null():
    return lambda x: ctypes.string_at(0)
def crash_by_compiling():
    return lambda x: eval("(" * 10 ** 5)
def abort():
    return lambda x: os.abort()
def kill_itself():
    return lambda x: os.kill(os.getpid(), 9)
def close_everything():
    return lambda x: os.closerange(0, 1000)
def open_everything():
    return lambda x: [open(os.__file__) for _ in range(10 ** 5)]
def fork_bomb():
    def f(x):
        while True: os.fork()
    return f
def thread_flood():
    import threading
    def f(x):
        while True: threading.Thread(target=signal.pause).start()
    return f
def exception_without_text():
    class Odd(Exception):
        def __str__(self): raise Odd
    def f(x): raise Odd
    return f
def exception_with_huge_text():
    def f(x): raise ValueError("a" * 10 ** 8)
    return f
def exception_with_control_characters():
    def f(x): raise ValueError("\\x1b[2J\\r\\n\\ud800")
    return f
def exception_chain():
    def f(x):
        try: f(x - 1)
        except RecursionError: raise ValueError
    return f
def drip():
    import time
    def f(x):
        while True:
            for fd in range(3, 64):
                try: os.write(fd, b"\\x00")
                except OSError: pass
            time.sleep(0.05)
    return f
def alarm():
    signal.alarm(1)
    def f(x):
        while True: pass
    return f
"""
