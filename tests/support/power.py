"""What a disk may show after a loss of power, from what a command has asked of the file system.

Little is promised: a file's bytes are on disk once the file was forced out, a name once its folder was. Until then a file may be
empty, torn, full of zeros or whole, and each change of names is there or is not, whatever came before it or after it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

ROOT = 0
NAMING = ("rename", "replace", "mkdir", "unlink", "remove", "rmdir", "link")
"""Functions of `os` that change names; what they are called for is looked at before and after."""

Name = tuple[int, str]
"""A folder's number and a name in it."""
Change = Mapping[Name, int | None]
"""Names that come to mean another file or folder, or nothing, in one step."""


@attrs.frozen(eq=False, kw_only=True)
class Moment:
    """A moment at which the power may go; files and folders have numbers, whatever they are called."""

    after: str
    """What was asked of the system last."""
    notes: frozenset[str]
    """What had been acknowledged by then."""
    names: Mapping[Name, int]
    """Names that are on disk."""
    pending: tuple[Change, ...]
    """Changes of names that were not forced out, in order."""
    forced: Mapping[int, bytes]
    """Bytes of files as they were forced out last."""
    written: Mapping[int, bytes]
    """Bytes of files as the process sees them."""

    def left(self, place: Path, rng: random.Random) -> None:
        """Make a new folder that shows what the disk may show."""
        names = dict(self.names)
        for change in _kept(self.pending, rng):
            for name, meant in change.items():
                if meant is None:
                    names.pop(name, None)
                else:
                    names[name] = meant
        harm = rng.choice([0.0, 0.5, 1.0])
        contents = {n: self._bytes(n, rng, harm) for n in sorted(self.written)}
        place.mkdir(parents=True)
        _fill(place, ROOT, names, contents)

    def _bytes(self, number: int, rng: random.Random, harm: float) -> bytes:
        written, forced = self.written[number], self.forced.get(number)
        if written == forced or rng.random() >= harm:
            return written
        torn = written[: rng.randrange(len(written) + 1)]
        zeros = bytes(len(written))
        return rng.choice([forced or b"", torn, zeros, torn + zeros[len(torn) :]])


def _kept(changes: tuple[Change, ...], rng: random.Random) -> list[Change]:
    """None of them, all, those before a moment, or any."""
    cut, chance = rng.choice([(0, 1.0), (None, 1.0), (rng.randrange(len(changes) + 1), 1.0), (None, 0.5)])
    return [change for change in changes[:cut] if rng.random() < chance]


def _fill(
    place: Path, folder: int, names: Mapping[Name, int], contents: Mapping[int, bytes], depth: int = 0
) -> None:
    assert depth < 20, f"{place}: folders in a circle"
    for (within, name), number in names.items():
        if within == folder and number in contents:
            (place / name).write_bytes(contents[number])
        elif within == folder:
            (place / name).mkdir()
            _fill(place / name, number, names, contents, depth + 1)


class Disk:
    """Looks on while commands work below a folder, whose present content is on disk, and keeps every moment."""

    def __init__(self, root: Path) -> None:
        self.root, self.moments = root, list[Moment]()
        self._numbers, self._stamps = {root.stat().st_ino: ROOT}, dict[int, tuple[int, ...]]()
        self._seen, self._names = dict[Name, int](), dict[Name, int]()
        self._pending, self._notes = list[Change](), set[str]()
        self._written, self._forced = dict[int, bytes](), dict[int, bytes]()
        self._last = ROOT
        self._look("begin")
        self._names, self._pending, self._forced = dict(self._seen), [], dict(self._written)
        self.moments.clear()

    @contextmanager
    def looking(self) -> Generator[None]:
        """Look on meanwhile."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", self._force)
            for name in NAMING:
                patch.setattr(os, name, self._looked_at(name, getattr(os, name)))
            yield
        self._look("end")

    def note(self, what: str) -> None:
        """Something is acknowledged to the user: from now on it must not be lost."""
        self._look("note")
        self._notes.add(what)
        self._keep(f"acknowledged {what}")

    def _looked_at(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any, **options: Any) -> Any:
            self._look(f"before {name}")
            try:
                return real(*arguments, **options)
            finally:
                self._look(
                    f"{name} {' '.join(str(a) for a in arguments if isinstance(a, str | os.PathLike))}"
                )

        return asked

    def _force(self, descriptor: int) -> None:
        self._look("before fsync")
        number = self._numbers.get(os.fstat(descriptor).st_ino)
        if number is None:
            return
        if number in self._written:
            self._forced[number] = self._written[number]
        else:
            self._force_names(number)
        self._keep(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink()}")

    def _force_names(self, folder: int) -> None:
        left = list[Change]()
        for change in self._pending:
            for name, meant in change.items():
                if name[0] == folder and meant is None:
                    self._names.pop(name, None)
                elif name[0] == folder and meant is not None:
                    self._names[name] = meant
            if others := {name: meant for name, meant in change.items() if name[0] != folder}:
                left.append(others)
        self._pending = left

    def _look(self, after: str) -> None:
        """Notice what has changed since the last look."""
        names, numbers, before = dict[Name, int](), {self.root.stat().st_ino: ROOT}, dict(self._written)
        self._walk(self.root, ROOT, names, numbers)
        groups = dict[int, dict[Name, int | None]]()
        for name in {**self._seen, **names}:
            was, now = self._seen.get(name), names.get(name)
            if was != now:
                moved = now if now is not None else was
                assert moved is not None
                groups.setdefault(moved, {})[name] = now
        self._seen, self._numbers = names, numbers
        self._pending += [groups[number] for number in sorted(groups)]
        if groups or before != self._written:
            self._keep(after)

    def _walk(self, path: Path | str, folder: int, names: dict[Name, int], numbers: dict[int, int]) -> None:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            stat = entry.stat(follow_symlinks=False)
            number = self._numbers.get(stat.st_ino, numbers.get(stat.st_ino))
            if number is None:
                number = self._last = self._last + 1
            numbers[stat.st_ino] = names[folder, entry.name] = number
            if entry.is_dir(follow_symlinks=False):
                self._walk(entry.path, number, names, numbers)
                continue
            stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            if self._stamps.get(number) != stamp or self._forced.get(number) != self._written.get(number):
                self._stamps[number] = stamp
                self._written[number] = Path(entry.path).read_bytes()

    def _keep(self, after: str) -> None:
        self.moments.append(
            Moment(
                after=after.replace(f"{self.root}/", ""),
                notes=frozenset(self._notes),
                names=dict(self._names),
                pending=tuple(self._pending),
                forced=dict(self._forced),
                written=dict(self._written),
            )
        )
