"""Hugging Face's libraries: imported late, kept quiet, their failures told as faults of the user's request."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any

from ....engine.errors import UsageError
from ....engine.foundation.options import shortened


def require(model: str) -> None:
    """Refuse to go on without the libraries. Raises `UsageError` saying what to install."""
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"model {model} needs pip install 'boostlora[hf]' ({', '.join(missing)} is missing)")
    # Its own threads would be left behind, with a warning, by every later fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@contextmanager
def quiet() -> Generator[None]:
    """Without progress bars and reports of loading: what matters of them is checked, and raised."""
    from transformers.utils import logging  # noqa: PLC0415

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


class SameDay(datetime):
    """A clock that stands still on the day that Llama's templates fall back on where they cannot ask for one."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> SameDay:
        """Always the same moment."""
        return cls(2024, 7, 26, tzinfo=tz)


@contextmanager
def same_day() -> Generator[None]:
    """Inside, chat templates that ask for the date are told the same one whenever it is."""
    module: Any = importlib.import_module("transformers.utils.chat_template_utils")
    before = getattr(module, "datetime", None)
    if before is None:  # another version; that the tokens are those of before is checked by their hash
        yield
        return
    module.datetime = SameDay
    try:
        yield
    finally:
        module.datetime = before


@contextmanager
def told(what: str) -> Generator[None]:
    """Turn a library's complaint about files or names into a `UsageError` of one line that begins with `what`."""
    try:
        with quiet():
            yield
    except (OSError, ValueError, ImportError, KeyError, TypeError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        if "trust_remote_code" in str(error):
            reason = "it comes with Python code of its own, which is never run"
        raise UsageError(f"{what}: {shortened(reason, 300)}") from error
