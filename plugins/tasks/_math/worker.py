"""The worker program: compares answers with math-verify until its connection closes.

It is run as a file, not imported: it needs nothing of the project, starts in half a second, and a hostile answer can break only this
process. A request is `{"gold", "text", "seconds"}`, a reply `{"right", "answer"}`, each one JSON message.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

SPARE = 2.0
"""Seconds after its deadline at which a worker ends itself, in case the parent is gone."""


def confine(memory: int) -> None:
    """Limit memory to `memory` bytes, disable core files, and ignore Ctrl-C, which the parent handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):  # macOS has no RLIMIT_AS
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def exit_with_parent(descriptor: int) -> None:
    """Exit as soon as the other end of the connection is closed, even during a comparison."""

    def watch() -> None:
        look = select.poll()
        look.register(descriptor, select.POLLHUP)
        while not any(event & select.POLLHUP for _, event in look.poll()):
            continue
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def comparison() -> Callable[[str, str], dict[str, Any]]:
    """The function that handles a request: `verify(parse(gold), parse(text))`, and the text's answer."""
    from math_verify import parse, verify  # noqa: PLC0415 - confined first

    @lru_cache(maxsize=4096)
    def parsed(gold: str) -> Any:
        return parse(gold, parsing_timeout=0)

    def compare(gold: str, text: str) -> dict[str, Any]:
        # math-verify's own limits are signals, which a long integer multiplication blocks. The parent keeps time.
        found: list[Any] = parse(text, parsing_timeout=0)
        right = bool(verify(parsed(gold), found, timeout_seconds=0))
        # The last element is the verbatim answer.
        return {"right": right, "answer": str(found[-1]) if found else None}

    return compare


def serve(connection: Connection) -> None:
    """Send `{"ready": true}` or an error; then handle requests until the connection closes."""
    try:
        compare = comparison()
    except Exception as error:
        connection.send_bytes(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return
    connection.send_bytes(json.dumps({"ready": True}).encode())
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, request["seconds"] + SPARE)
        try:
            reply = compare(request["gold"], request["text"])
        except (Exception, MemoryError, RecursionError):  # math-verify failed: count it as no answer
            reply = {"right": False, "answer": None}
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        connection.send_bytes(json.dumps(reply).encode())


if __name__ == "__main__":
    confine(int(sys.argv[2]))
    exit_with_parent(int(sys.argv[1]))
    with Connection(int(sys.argv[1])) as line:
        serve(line)
    os._exit(0)
