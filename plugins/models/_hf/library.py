"""Hugging Face libraries: lazy imports, quiet logging, and their errors as `UsageError`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any

from ....engine.errors import UsageError
from ....engine.foundation.options import shortened
from ....engine.sdk.libraries import require_libraries


def require(model: str) -> None:
    """Raise `UsageError` if a library is missing, saying what to install."""
    require_libraries(f"model {model}", "hf", "torch", "transformers")
    # Its threads do not survive later forks, which causes warnings.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@contextmanager
def quiet() -> Generator[None]:
    """A context without progress bars and loading messages; what matters is checked by the callers."""
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


class FixedDate(datetime):
    """A clock fixed to 26 July 2024, the default date in Llama's chat templates."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> FixedDate:
        """The fixed date."""
        return cls(2024, 7, 26, tzinfo=tz)


@contextmanager
def fixed_date() -> Generator[None]:
    """A context in which chat templates see the fixed date, so that prompts do not change from day to day."""
    module: Any = importlib.import_module("transformers.utils.chat_template_utils")
    before = getattr(module, "datetime", None)
    if before is None:  # another version of transformers; the hash of the tokens detects changes
        yield
        return
    module.datetime = FixedDate
    try:
        yield
    finally:
        module.datetime = before


@contextmanager
def as_usage_error(what: str) -> Generator[None]:
    """Turn a library's error about files or names into a one-line `UsageError` that starts with `what`."""
    try:
        with quiet():
            yield
    except (OSError, ValueError, ImportError, KeyError, TypeError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        if "trust_remote_code" in str(error):
            reason = "it needs custom Python code, which is never run"
        raise UsageError(f"{what}: {shortened(reason, 300)}") from error
