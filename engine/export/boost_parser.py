"""Boost files as they are read: strict in form, and held to their own digest and content."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, cast

import attrs
import cattrs

from ..errors import RunError, UsageError
from ..foundation.cache import arrays_sha256
from ..foundation.options import shortened
from .boost_file import FORMAT, MOST, VERSION, Arrays, BoostFile, header_of
from .boost_validation import faults

_converter = cattrs.Converter()
_converter.register_structure_hook(Any, lambda value, _: value)
_converter.register_structure_hook(
    BoostFile,
    cattrs.gen.make_dict_structure_fn(BoostFile, _converter, arrays=cattrs.gen.override(omit=True)),
)


def read(path: Path) -> BoostFile:
    """A file, whole. Raises `UsageError` for another kind of file, `RunError` for a damaged or cut one."""
    header, arrays = _opened(path)
    if header.get("format") != FORMAT:
        raise UsageError(f"{path}: not a boost file; boostlora export RUN --to boost writes one")
    if header.get("version") != str(VERSION):
        raise UsageError(
            f"{path}: a boost file of version {shortened(str(header.get('version')))}; this release reads version {VERSION}"
        )
    if header.get("sha256") != arrays_sha256(arrays):
        raise RunError(f"{path}: damaged or altered: its content does not match its digest")
    found = _structured(path, arrays)
    if header != found.header(arrays):
        raise RunError(f"{path}: damaged or altered: its header does not match its content")
    if fault := next(faults(found), None):
        raise RunError(f"{path}: damaged: {fault}")
    return found


def _structured(path: Path, arrays: Arrays) -> BoostFile:
    """The content with its arrays. Raises `RunError` for what is not that of a boost file, or would be read as something else."""
    rest = {name: array for name, array in arrays.items() if name != "content"}
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(arrays["content"].tobytes(), MOST)
        if not unpacking.eof or unpacking.unused_data:
            raise RunError(f"{path}: damaged: its content does not end, or has more than {MOST:,} bytes")
        content = json.loads(text)
        found = attrs.evolve(_converter.structure(content, BoostFile), arrays=rest)
    except (
        zlib.error,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise RunError(f"{path}: damaged: its content cannot be read ({type(error).__name__})") from error
    except cattrs.BaseValidationError as error:
        raise RunError(f"{path}: damaged: its content is not that of a boost file") from error
    if not _within(content, json.loads(json.dumps(found.content()))):
        raise RunError(f"{path}: damaged: its content is not that of a boost file")
    return found


def _within(given: Any, read: Any) -> bool:
    """Whether all that was given was read as it is: cattrs takes 2.9 for 2, and leaves out what it does not know."""
    if isinstance(given, dict) and isinstance(read, dict):
        return all(key in read and _within(value, read[key]) for key, value in given.items())
    if isinstance(given, list) and isinstance(read, list):
        return len(given) == len(read) and all(map(_within, given, read))
    return given == read or (given != given and read != read)  # noqa: PLR0124 - NaN, a loss may be


def _opened(path: Path) -> tuple[dict[str, str], Arrays]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    if path.is_dir():
        raise UsageError(f"{path}: is a folder, not a boost file")
    try:
        with safe_open(path, framework="np") as file:
            header = cast("dict[str, str]", file.metadata() or {})
            if header.get("format") != FORMAT:
                return header, {}
            header_of(path)  # refuses names that are there twice
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise RunError(
            f"{path}: not a readable safetensors file, or one that was cut off: {error}"
        ) from error
