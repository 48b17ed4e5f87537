"""The program of a worker process: compares answers with math-verify, one after the other, until its pipe closes.

It is run as a file, not imported: it needs nothing of the project, starts in half a second, and a hostile answer finds nothing to
break but this process. A request is `{"gold", "text", "seconds"}`, a reply `{"right", "answer"}`, each one JSON message.
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
"""Seconds beyond its limit after which a worker that nobody has ended ends itself: its master may be gone."""


def confine(memory: int) -> None:
    """At most `memory` bytes, no core file; deaf to Ctrl-C, which is for the master."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):  # macOS has no limit on addresses
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def end_with_master(descriptor: int) -> None:
    """End this process as soon as the other end of its line is closed, also in the middle of a comparison."""

    def watch() -> None:
        look = select.poll()
        look.register(descriptor, select.POLLHUP)
        while not any(event & select.POLLHUP for _, event in look.poll()):
            continue
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def comparison() -> Callable[[str, str], dict[str, Any]]:
    """What answers a request: `verify(parse(gold), parse(text))`, and what the text's answer is."""
    from math_verify import parse, verify  # noqa: PLC0415 - confined first

    @lru_cache(maxsize=4096)
    def parsed(gold: str) -> Any:
        return parse(gold, parsing_timeout=0)

    def compare(gold: str, text: str) -> dict[str, Any]:
        # Without math-verify's own limits: they are alarms, which a long multiplication does not hear. The master keeps time.
        found: list[Any] = parse(text, parsing_timeout=0)
        right = bool(verify(parsed(gold), found, timeout_seconds=0))
        # The last of what was found is the answer as it was written, before it was read as mathematics.
        return {"right": right, "answer": str(found[-1]) if found else None}

    return compare


def serve(connection: Connection) -> None:
    """Say `{"ready": true}`, or what is wrong; then answer requests until there are no more."""
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
        except (Exception, MemoryError, RecursionError):  # what math-verify cannot take is no answer
            reply = {"right": False, "answer": None}
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        connection.send_bytes(json.dumps(reply).encode())


if __name__ == "__main__":
    confine(int(sys.argv[2]))
    end_with_master(int(sys.argv[1]))
    with Connection(int(sys.argv[1])) as line:
        serve(line)
    os._exit(0)
