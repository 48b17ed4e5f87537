"""Attacks on the verdict. Each function is a program of its own that defines `f`; no answer it can know is right."""

SOURCE = """
def always_equal():
    class Anything:
        def __eq__(self, other): return True
        def __ne__(self, other): return False
        __hash__ = None
    return lambda x: Anything()
def number_that_lies():
    class Number(int):
        def __eq__(self, other): return True
        def __hash__(self): return 0
    return lambda x: Number(0)
def text_that_lies():
    class Text(str):
        def __eq__(self, other): return True
        __hash__ = str.__hash__
    return lambda x: Text()
def list_that_lies():
    class Liar(list):
        def __eq__(self, other): return True
    return lambda x: Liar()
def number_that_counts_as_any():
    class Number(float):
        __eq__ = lambda self, other: True
        __sub__ = __rsub__ = lambda self, other: 0.0
        __hash__ = float.__hash__
    return lambda x: Number("nan")
def class_that_lies():
    class Liar:
        __class__ = int
        def __eq__(self, other): return True
        __hash__ = None
    return lambda x: Liar()
def metaclass_that_lies():
    class Meta(type):
        def __eq__(cls, other): return True
        __hash__ = type.__hash__
    class Liar(metaclass=Meta): pass
    return lambda x: Liar
def leave_quietly():
    sys.exit(0)
def leave_quietly_when_asked():
    return lambda x: sys.exit(0)
def leave_at_once():
    os._exit(0)
def leave_at_once_when_asked():
    return lambda x: os._exit(0)
def leave_in_exit_handler():
    import atexit
    atexit.register(os._exit, 0); raise SystemExit(1)
def interrupt():
    def f(x): raise KeyboardInterrupt
    return f
def stop_iterating():
    def f(x): raise StopIteration
    return f
def exception_called_passed():
    passed = type("passed", (BaseException,), {})
    def f(x): raise passed("passed")
    return f
def trace_skips_failures():
    import builtins
    builtins.AssertionError = type("Nothing", (Exception,), {"__init__": lambda *a: os._exit(0)})
    return lambda x: 0
def exit_hook():
    sys.excepthook = lambda *a: os._exit(0)
    return lambda x: 0
def read_expected_from_frames():
    def f(x):
        frame, found = sys._getframe(), []
        while frame is not None:
            found += [c for c in frame.f_code.co_consts if isinstance(c, int) and c > 10**6]
            found += [v for v in frame.f_locals.values() if isinstance(v, int) and v > 10**6]
            frame = frame.f_back
        return found[-1] if found else 0
    return f
def read_expected_from_memory():
    import gc, re
    def f(x):
        texts = [o for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]
        for text in texts:
            for part in (text.values() if isinstance(text, dict) else text):
                if isinstance(part, str) and (m := re.search("== ([0-9]{7,})", part)): return int(m[1])
        return 0
    return f
def read_expected_from_other_processes():
    import re
    def f(x):
        for name in os.listdir("/proc"):
            if name.isdigit() and (m := re.search("== ([0-9]{7,})", open(f"/proc/{name}/cmdline").read())): return int(m[1])
        return 0
    return f
def read_expected_from_pipe():
    import re
    def f(x):
        for fd in range(3, 64):
            if exists(fd):
                os.set_blocking(fd, False)
                try: data = os.read(fd, 10**6)
                except OSError: continue
                if m := re.search(b"== ([0-9]{7,})", data): return int(m[1])
        return 0
    return f
def write_verdict_everywhere():
    from sandboxed import plain, wire
    for fd in range(64):
        for verdict in (("passed", "", {}), ("passed", "", {"confined": True})):
            try: wire.send(fd, plain.encode(verdict, None, 1000))
            except BaseException: pass
    return lambda x: 0
def write_json_everywhere():
    for fd in range(64):
        try: os.write(fd, b'{"status": "passed"}\\n')
        except OSError: pass
    return lambda x: 0
def reply_to_what_was_not_asked():
    from sandboxed import plain, wire
    def f(x):
        for fd in range(3, 64):
            try: wire.send(fd, plain.encode((bytes(16), "answer", True, None), None, 1000))
            except BaseException: pass
        return 0
    return f
def reply_with_the_real_nonce():
    import gc
    from sandboxed import inside
    server = [o for o in gc.get_objects() if type(o) is inside.Server][0]
    def f(x):
        server.send((server.nonce, "answer", True, [([],), {}])); server.send((server.nonce, "passed", "", None)); return 0
    return f
def reply_with_a_function_of_the_tests():
    import gc
    from sandboxed import inside
    server = [o for o in gc.get_objects() if type(o) is inside.Server][0]
    server.foreign = lambda value: ("callback", 0, "eval")
    return lambda x: object()
def reply_with_a_name():
    from sandboxed import plain
    plain._NAMES[id(os)] = "eval"
    return lambda x: os
def reply_with_a_class_to_be_made():
    from sandboxed import plain
    plain._MADE[("types", "SimpleNamespace")] = lambda x: ()
    return lambda x: __import__("types").SimpleNamespace()
def call_back_what_was_not_passed():
    import gc
    from sandboxed import inside
    server = [o for o in gc.get_objects() if type(o) is inside.Server][0]
    def f(x):
        server.send((server.nonce, "callback", 0, (x,), {})); return server.serve()
    return f
def pickled_attack():
    class Attack:
        def __reduce__(self): return (os._exit, (0,))
    return lambda x: Attack()
def subclasses_walk():
    for cls in ().__class__.__bases__[0].__subclasses__():
        if cls.__name__ == "Popen": cls(["true"])
    return lambda x: 0
def patched_modules():
    import json, pickle, builtins
    json.dumps = json.loads = pickle.dumps = lambda *a, **k: "passed"
    builtins.exec = builtins.eval = builtins.compile = lambda *a, **k: None
    return lambda x: 0
def function_is_a_builtin():
    return type
def function_is_a_class():
    class f:
        def __init__(self, x): pass
        def __eq__(self, other): return True
        __hash__ = None
    return f
def trace_function():
    def trace(frame, event, arg):
        os._exit(0)
    sys.settrace(trace); sys.setprofile(trace)
    return lambda x: 0
def forged_frames_in_answer():
    from sandboxed import plain
    return lambda x: plain.encode(("passed", "", {}), None, 1000)
"""

WITHIN_ONE_PROCESS = """
    always_equal number_that_lies text_that_lies list_that_lies class_that_lies metaclass_that_lies
    number_that_counts_as_any leave_quietly leave_quietly_when_asked leave_at_once
    leave_at_once_when_asked leave_in_exit_handler exit_hook trace_function
    read_expected_from_frames function_is_a_class
"""
"""Those that succeed where program and tests share a process, as is usual."""
