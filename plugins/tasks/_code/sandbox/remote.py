"""Proxies through which the tests call a program's functions and use its objects in the other process."""

from __future__ import annotations

import builtins
import os

from .plain import MalformedError, Unsupported, decode, encode
from .wire import FloodedError, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

MOST_REQUEST = 1 << 28


class ProgramError(Exception):
    """The program raised an exception of its own."""


class ProgramStopped(BaseException):
    """The program raised a `BaseException` that is no `Exception`, such as `SystemExit`."""


class Disturbed(BaseException):
    """The program wrote to the pipe itself."""


class Conversation:
    """Requests to the program's process, each with a nonce that its reply must repeat."""

    def __init__(self, replies: int, requests: int, most: int) -> None:
        self.replies, self.requests, self.most = replies, requests, most
        self.functions: list[Callable[..., Any]] = []
        self.raised: dict[int, tuple[BaseException, str]] = {}
        """Exceptions of the program by `id`, with their messages."""
        self.last = ""

    def ask(self, verb: str, *arguments: Any) -> Any:
        """The program's answer. Its exceptions are raised as the builtin of that name, if there is one.

        Raises `Unsupported` for an answer that cannot be serialised, `Disturbed` for a reply without a request, `ClosedError` if
        the process has ended.
        """
        nonce = os.urandom(16)
        self.tell(nonce, verb, *arguments)
        while True:
            kind, rest = self.reply(nonce)
            if kind == "callback":
                self.call_back(nonce, *rest)
            elif kind == "answer":
                value, changed = rest
                if changed is not None:
                    _give_back(list(arguments[1:]), changed)
                return value
            elif kind == "unsupported":
                raise Unsupported(str(rest[0])[:300])
            else:
                raise self.error(rest[0], rest[1])

    def tell(self, nonce: bytes, verb: str, *arguments: Any) -> None:
        """Send one request."""
        send(self.requests, encode((nonce, verb, *arguments), self.foreign, MOST_REQUEST))

    def reply(self, nonce: bytes) -> tuple[str, list[Any]]:
        """Kind and content of the next reply."""
        lengths = {"callback": 3, "answer": 2, "unsupported": 1, "raised": 3}
        try:
            found = decode(receive(self.replies, self.most + 4096), self.native)
        except FloodedError:
            raise Unsupported(f"the answer takes more than {self.most} bytes") from None
        except MalformedError as error:
            raise Disturbed(str(error)) from None
        if (
            not isinstance(found, tuple)
            or len(found) < 2
            or found[0] != nonce
            or lengths.get(found[1]) != len(found) - 2
        ):
            raise Disturbed("a reply without a request")
        return found[1], list(found[2:])

    def call_back(self, nonce: bytes, number: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Call a function that was passed as an argument, and send its result or exception."""
        try:
            value = self.functions[number](*arguments, **named)
        except Exception as error:
            self.tell(nonce, "threw", type(error).__name__, str(error)[:300])
        else:
            self.tell(nonce, "returned", value)

    def error(self, names: list[str], message: str) -> BaseException:
        """The local exception for one of the program, recorded to tell it from exceptions of the tests."""
        name, message = str(names[0])[:60] if names else "Exception", str(message)[:300]
        error: BaseException
        if "Exception" not in names:
            error = ProgramStopped(f"{name}: {message}")
        else:
            known = (getattr(builtins, str(x), None) for x in names)
            cls = next(c for c in known if isinstance(c, type) and issubclass(c, Exception))
            if cls is Exception and name != "Exception":
                error = ProgramError(f"{name}: {message}")
            else:
                try:
                    error = cls(message)
                except TypeError:  # UnicodeDecodeError, ExceptionGroup: they need more than a message
                    error = ProgramError(f"{name}: {message}")
        self.raised[id(error)] = error, f"{name}: {message}" if message else name
        return error

    def foreign(self, value: Any) -> tuple[str, int, str]:
        """Kind, number and name of an argument that is not plain data: an object of the program, or a function to call back."""
        if isinstance(value, Remote):
            return "object", Remote.number_of(value), ""
        if type(value).__name__ not in {"function", "method", "builtin_function_or_method", "partial"}:
            raise Unsupported(f"an argument is of class {type(value).__name__}, which cannot be sent")
        if value not in self.functions:
            self.functions.append(value)
        return "callback", self.functions.index(value), getattr(value, "__name__", "callback")

    def native(self, kind: str, number: int, name: str) -> Any:
        """The proxy for an object of the program."""
        if kind == "callback":
            return self.functions[number]
        return (RemoteIterator if kind == "iterator" else Remote)(self, number, kind, name[:60])


class Remote:
    """A proxy for an object of the program: it can be called, its attributes can be read and set, and it can be an argument.

    Everything else that could decide a test, such as a comparison, raises `Unsupported`, since the program must not judge itself.
    """

    __slots__ = ("__name__", "_ask", "_kind", "_number")

    def __init__(self, conversation: Conversation, number: int, kind: str, name: str) -> None:
        for slot, value in (
            ("_ask", conversation.ask),
            ("_number", number),
            ("_kind", kind),
            ("__name__", name),
        ):
            object.__setattr__(self, slot, value)

    @staticmethod
    def number_of(remote: Remote) -> int:
        """The object's number in the other process."""
        return object.__getattribute__(remote, "_number")

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the object in the other process."""
        return self._ask("call", self, arguments, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("set", self, name, value)

    def __repr__(self) -> str:
        return f"<{self.__name__} of the program>"


class RemoteIterator(Remote):
    """A proxy for an iterator of the program; items are sent one by one."""

    __slots__ = ()

    def __iter__(self) -> RemoteIterator:
        return self

    def __len__(self) -> int:
        # `list` asks for a length first, and treats this as none.
        raise TypeError("an iterator has no length")

    def __next__(self) -> Any:
        return self._ask("next", self)


def _undecided(name: str) -> Callable[..., NoReturn]:
    def method(self: Remote, *_: Any) -> NoReturn:
        raise Unsupported(f"an object of the program's class {self.__name__} cannot be sent ({name})")

    return method


_UNDECIDED = """
    eq ne lt le gt ge hash bool len iter getitem setitem delitem contains add radd sub rsub mul rmul truediv rtruediv floordiv
    rfloordiv mod rmod pow rpow and rand or ror xor rxor neg pos abs invert int float complex index round str format bytes
    reversed reduce_ex enter exit instancecheck subclasscheck
"""
for _name in _UNDECIDED.split():
    setattr(Remote, f"__{_name}__", _undecided(_name))


def _give_back(old: Any, new: Any) -> None:
    """Update mutable arguments in place with the changes that the program made."""
    if type(old) is not type(new):
        return
    if isinstance(old, list | tuple):
        merged = [_merged(a, b) for a, b in zip(old, new, strict=False)] + list(new[len(old) :])
        if isinstance(old, list):
            old[:] = merged
    elif isinstance(old, dict):
        merged = {key: _merged(old[key], value) if key in old else value for key, value in new.items()}
        old.clear()
        old.update(merged)
    elif isinstance(old, set):
        old.intersection_update(new)
        old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new


def _merged(old: Any, new: Any) -> Any:
    """The old object, updated in place if it is mutable; else the new one."""
    if type(old) is not type(new) or not isinstance(old, list | tuple | dict | set | bytearray):
        return new
    _give_back(old, new)
    return new if isinstance(old, tuple) and len(old) != len(new) else old
