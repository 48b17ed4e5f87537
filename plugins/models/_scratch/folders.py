"""Atomic folders in the cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ....engine.foundation.atomic import WriteError, write_text
from ....engine.foundation.cache import turn, writing_cache
from ....engine.foundation.durable import settle
from ....engine.foundation.hashes import file_sha256_cached, folder_files
from ....engine.foundation.leftovers import making

MANIFEST = "manifest.json"


def cached_folder(place: Path, cache: Path, make: Callable[[Path], None]) -> Path:
    """The cache folder `place`; if it is missing or damaged, `make(folder)` fills a new one that is moved into place.

    A manifest records the hashes of its files. Of several processes, one makes it and the others wait; on file systems without
    locks, each makes it and the first one stays. Raises `WriteError` if it cannot be written.
    """
    if not _is_intact(place, cache):
        with turn(place):
            if not _is_intact(place, cache):
                _make(place, cache, make)
    return place


def _is_intact(place: Path, cache: Path) -> bool:
    try:
        recorded = json.loads((place / MANIFEST).read_text(encoding="utf-8"))["files"]
        return bool(recorded) and recorded == _hashes(place, cache)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _hashes(folder: Path, cache: Path) -> dict[str, str]:
    return {n: file_sha256_cached(p, cache) for n, p in folder_files(folder).items() if n != MANIFEST}


def _make(place: Path, cache: Path, make: Callable[[Path], None]) -> None:
    with writing_cache(place), making(place) as made:
        make(made)
        write_text(made / MANIFEST, json.dumps({"files": _hashes(made, cache)}, indent=1) + "\n")
        shutil.rmtree(place, ignore_errors=True)  # remove a damaged folder
        with suppress(OSError):  # another process was faster
            settle(made, place)
        if not _is_intact(place, cache):
            raise WriteError(f"{place}: cannot be written; is the disk full, or the folder another user's?")
