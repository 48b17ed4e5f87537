"""JSON files of a run that carry a hash of their own content, so that a change is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from ..errors import RunError
from .atomic import write_text

SEAL = "seal"


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its seal, atomically."""
    write_text(path, json.dumps({**content, SEAL: seal_of(content)}, indent=2) + "\n")


def seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content as it is read back: keys in order, tuples as lists."""
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_sealed(path: Path, keys: Collection[str]) -> dict[str, Any] | None:
    """A file's object without its seal; None where there is no file.

    Raises `RunError` for a file that cannot be read, lacks one of `keys`, or has another content than was sealed.
    """
    try:
        content: object = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged: {error}") from error
    if not isinstance(content, dict) or not all(key in content for key in keys):
        raise RunError(f"{path}: damaged: not an object with {', '.join(keys)}")
    found = cast("dict[str, Any]", content)
    if SEAL not in found:
        raise RunError(f"{path}: damaged or altered: it has no seal")
    recorded = found.pop(SEAL)
    if recorded != seal_of(found):
        raise RunError(f"{path}: damaged or altered: its seal does not match its content")
    return found
