"""Folders in the cache that are there whole, or not at all."""

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


def kept_folder(place: Path, cache: Path, make: Callable[[Path], None]) -> Path:
    """The folder `place` of the cache; where it is missing or damaged, `make(folder)` fills a new one that takes its name.

    A manifest in it holds the hashes of its files. Of several processes that want it at once, one makes it and the others
    wait; where the file system has no locks, each makes it and the first one stays. Raises `WriteError` where it cannot be written.
    """
    if not _whole(place, cache):
        with turn(place):
            if not _whole(place, cache):
                _make(place, cache, make)
    return place


def _whole(place: Path, cache: Path) -> bool:
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
        shutil.rmtree(place, ignore_errors=True)  # what is there is damaged
        with suppress(OSError):  # another process was faster
            settle(made, place)
        if not _whole(place, cache):
            raise WriteError(f"{place}: cannot be written; is the disk full, or the folder another user's?")
