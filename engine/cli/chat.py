"""`boostlora chat`."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .common import plugin_option, runs_option
from .ensembles import best_rounds_option, open_used_run, with_sampling
from .progress_display import late_progress
from .terminal import echo

if TYPE_CHECKING:
    from ..ensemble.choice import Choice
    from ..ensemble.ensemble import Ensemble


@click.command("chat")
@click.argument("run")
@best_rounds_option
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@with_sampling
@plugin_option
@runs_option
def command(
    run: str,
    rounds: str,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
) -> None:
    """Talk to RUN's language model, in the chat template of its tokenizer; the model sees the whole conversation.

    /reset forgets it; /exit, Ctrl-D or Ctrl-C end. Rounds 0 are the base, to compare with.

    \b
    boostlora chat helper
    boostlora chat helper --rounds 0 --temperature 0.7 --top-p 0.9
    """  # noqa: D301 - click reads the backspace
    from ..ensemble.completions import decoding
    from ..ensemble.inputs import conversation_of
    from .execution import plain_warnings

    decoding(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, samples=1, stop=())
    with plain_warnings():
        with late_progress() as report:
            ensemble, choice = open_used_run(run, rounds, runs_folder, plugin_files, report)
            conversation_of([_message("user", "Hello")], ensemble.spec)  # refuses a model without a template
        options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
        }
        with suppress(EOFError, KeyboardInterrupt):
            _converse(ensemble, choice, options, seed)
    if sys.stdin.isatty():
        echo()


def _converse(ensemble: Ensemble, choice: Choice, options: dict[str, Any], seed: int) -> None:
    """Read messages and print answers until the end. Raises `EOFError` at the end of the input."""
    messages = list[dict[str, str]]()
    while True:
        text = _read().strip()
        if text == "/exit":
            return
        if text == "/reset":
            messages.clear()
            echo("a new conversation begins", err=True)
            continue
        if not text:
            continue
        messages.append(_message("user", text))
        turn = len(messages)
        try:
            answer = ensemble.reply(messages, choice, **options, seed=(seed, turn))
        except UsageError as error:  # the conversation has become too long
            messages.pop()
            echo(f"error: {error}; /reset starts a new conversation", err=True)
            continue
        messages.append(_message("assistant", answer))
        echo(answer)
        sys.stdout.flush()


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _read() -> str:
    """The next line, with a prompt and line editing on a terminal. Raises `EOFError` at the end."""
    if sys.stdin.isatty():
        with suppress(ImportError):  # not on every system
            importlib.import_module("readline")  # gives input() line editing
        return input("> ")
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
