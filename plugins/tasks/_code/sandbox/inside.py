"""The confined process: it confines itself, receives the program, and serves calls of its functions."""

from __future__ import annotations

import os
import sys
import types

from .confinement import ConfinementError, confine
from .kernel import end_with
from .plain import MalformedError, Unsupported, decode, encode
from .wire import ClosedError, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOST_OBJECTS = 100_000
MESSAGE = 300


def main() -> None:
    """Entry point; arguments: the descriptors of requests and of replies, and the parent's process id."""
    requests, replies, parent = map(int, sys.argv[1:4])
    end_with(parent)
    for fd in range(3, 64):
        if fd not in {requests, replies}:
            _close(fd)
    plan = decode(receive(requests, 1 << 24), _nothing)
    try:
        state: Any = confine(plan)
    except ConfinementError as refusal:
        state = str(refusal)
    send(replies, encode(state, _nothing, 1 << 20))
    if isinstance(state, dict):
        sys.argv[:] = ["program"]
        try:
            Server(requests, replies, plan["answer_bytes"]).serve()
        except ClosedError:
            pass
        finally:
            # A normal exit would run the program's exit handlers.
            os._exit(0)


class Server:
    """Serves requests `(nonce, verb, …)`, one at a time, until the pipe is closed."""

    def __init__(self, requests: int, replies: int, most: int) -> None:
        self.requests, self.replies, self.most = requests, replies, most
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.callbacks: dict[int, Any] = {}
        self.program = types.ModuleType("program")
        self.verbs: dict[str, Callable[..., Any]] = {
            "load": self.load,
            "name": lambda name: self.program.__dict__[name],
            "call": self.call,
            "get": getattr,
            "set": setattr,
            "next": next,
        }

    def serve(self) -> Any:
        """Serve requests until `returned` or `threw`, the result of the pending callback."""
        while True:
            nonce, verb, *arguments = decode(receive(self.requests, 1 << 28), self.native)
            if verb == "returned":
                return arguments[0]
            if verb == "threw":
                raise _builtin_error(arguments[0], arguments[1])
            self.nonce = nonce
            before = self.encoded(arguments[1:]) if verb == "call" else b""
            reply = self.work(verb, arguments)
            try:
                changed = arguments[1:] if before and self.encoded(arguments[1:]) != before else None
                self.send((nonce, *reply, changed))
            except Unsupported as error:
                self.send((nonce, "unsupported", str(error)[:MESSAGE]))

    def work(self, verb: str, arguments: list[Any]) -> tuple[Any, ...]:
        """`("answer", value)`, `("raised", class names, message)` or `("unsupported", message)`."""
        try:
            return "answer", self.verbs[verb](*arguments)
        except ClosedError:
            raise
        except Unsupported as error:
            return "unsupported", str(error)[:MESSAGE]
        except BaseException as error:  # SystemExit and KeyboardInterrupt too
            return "raised", *_described(error)

    def send(self, reply: tuple[Any, ...]) -> None:
        """Send one reply."""
        send(self.replies, self.encoded(reply))

    def encoded(self, value: Any) -> bytes:
        """A value as bytes, with the program's own objects as numbers. Raises `Unsupported`."""
        return encode(value, self.foreign, self.most)

    def load(self, source: str) -> None:
        """Compile and run the program as the module `program`, not as `__main__`."""
        sys.modules["program"] = self.program
        if "random" in source:
            import random  # noqa: PLC0415 - rarely needed

            random.seed(0)
        exec(compile(source, "<program>", "exec", dont_inherit=True), self.program.__dict__)  # noqa: S102 - confined

    def call(self, function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a function of the program."""
        return function(*arguments, **named)

    def foreign(self, value: Any) -> tuple[str, int, str]:
        """Kind, number and class name of an object that stays in this process; it is kept alive, so its number stays unique."""
        for number, callback in self.callbacks.items():
            if callback is value:
                return "callback", number, ""
        number = self.numbers.get(id(value))
        if number is None:
            if len(self.objects) >= MOST_OBJECTS:
                raise Unsupported(f"more than {MOST_OBJECTS} objects of the program's own")
            number = self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        cls = type(value)
        kind = "iterator" if hasattr(cls, "__next__") else "class" if isinstance(value, type) else "object"
        name = value.__name__ if isinstance(value, type | types.FunctionType) else cls.__name__
        return kind, number, str(name)[:MESSAGE]

    def native(self, kind: str, number: int, name: str) -> Any:
        """The object with a number, or a function that calls back."""
        if kind != "callback":
            return self.objects[number]
        if number not in self.callbacks:

            def callback(*arguments: Any, **named: Any) -> Any:
                nonce = self.nonce
                self.send((nonce, "callback", number, arguments, named))
                value = self.serve()
                self.nonce = nonce
                return value

            callback.__name__ = name
            self.callbacks[number] = callback
        return self.callbacks[number]


def _described(error: BaseException) -> tuple[list[str], str]:
    names = [cls.__name__ for cls in type(error).__mro__]
    try:
        return names, str(error)[:MESSAGE]
    except BaseException:  # __str__ raised
        return names, ""


def _builtin_error(name: str, message: str) -> BaseException:
    cls = getattr(__builtins__, name, None) if not isinstance(__builtins__, dict) else __builtins__.get(name)
    return cls(message) if isinstance(cls, type) and issubclass(cls, Exception) else RuntimeError(message)


def _nothing(*_: Any) -> Any:
    raise MalformedError("only plain data here")


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return
