"""Folders of the author's machine, left out of what is published."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ...ensemble.source import RunSource
from ...foundation.options import DatasetPath, FilePath, ModelPath
from ...foundation.redaction import cleaned, without_credentials, without_homes

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble

PATHS = (FilePath, ModelPath, DatasetPath)
ENDS = r"\s/\\'\"`<>|:;,()\[\]{}"
ABSOLUTE = re.compile(
    rf"""(?<![\w/.~)\]}}-])   # nothing that goes on, and no address
    (?:file:/{{2,3}}(?=\w)[^{ENDS}]+(?:/[^{ENDS}]+)*
      |~[\w.-]*(?:/[^{ENDS}]+)+
      |(?:/[^{ENDS}]+){{2,}}
      |[A-Za-z]:[\\/]+[^{ENDS}]+(?:[\\/]+[^{ENDS}]+)*
    )[/\\]?""",
    re.VERBOSE,
)
"""A path from the root or from a home, of at least two parts where nothing else tells it from a word with a stroke."""

QUOTED = re.compile(r"""(['"])((?:file:/)?/[^'"\n]+?/[^'"\n]+?)\1""")
"""The same between quotes, where it may have spaces."""


@attrs.frozen(kw_only=True)
class PathRedactor:
    """The folders and files that an ensemble knows of, the longest path first."""

    known: tuple[str, ...]
    home: str = ""

    @classmethod
    def of(cls, ensemble: Ensemble, *more: Path) -> PathRedactor:
        """Those of the spec's options, of the base, of the run, and where the command was called."""
        origin = ensemble.origin
        paths = {*more, Path.cwd(), origin.context.cache}
        for file in origin.source.files:
            paths |= {file, file.parent}
        if isinstance(origin, RunSource):
            paths.add(origin.directory.path)
        paths |= {Path(value) for _, _, value in path_options(ensemble)}
        told = {str(p.absolute()) for p in paths if p.is_absolute() or p in more}
        known = {path for path in told if path != Path(path).anchor}
        return cls(known=tuple(sorted(known, key=len, reverse=True)), home=_home())

    def text(self, text: str) -> str:
        """The text with every absolute path by its last part, and without credentials."""
        text = without_credentials(text)
        for path in self.known:
            text = re.sub(_whole(path), lambda _, name=Path(path).name: name, text)
        if self.home:
            text = re.sub(_whole(self.home), "~", text)
        text = QUOTED.sub(lambda found: f"{found[1]}{_last(found[2])}{found[1]}", text)
        return ABSOLUTE.sub(lambda found: _last(found[0]), text)

    def word(self, text: str) -> str:
        """The same for a text that is either one path or none, such as a word of a command: a path may have spaces."""
        whole = text.startswith("/") and "/" in text[1:].rstrip("/") and "\n" not in text
        return _last(text) if whole else self.text(text)

    def tree(self, value: Any) -> Any:
        """A tree of TOML with its texts so changed."""
        if isinstance(value, dict):
            inner = cleaned(value)  # what is behind the name of a credential, too
            return {self.text(str(key)): self.tree(item) for key, item in inner.items()}
        if isinstance(value, list | tuple):
            return [self.tree(inner) for inner in value]
        if not isinstance(value, str):
            return value
        return self.word(value) if _exists(value) else self.text(value)


def path_options(ensemble: Ensemble) -> list[tuple[str, Any, str]]:
    """Options of the spec's plugins that name files, folders or ids of a hub: slot, type and value; empty ones left out."""
    return [
        (name, field.type, str(getattr(slot.plugin, field.name)))
        for name, slot in ensemble.spec.slots.items()
        for field in attrs.fields(type(slot.plugin))
        if field.type in PATHS and getattr(slot.plugin, field.name)
    ]


def _whole(path: str) -> str:
    """A path that is no part of another one's name."""
    return rf"(?<![\w/]){re.escape(path)}(?![\w-])"


def _last(path: str) -> str:
    if without_homes(path.rstrip("/\\")) == "~":  # its last part is somebody's name
        return "~"
    parts = [part for part in re.split(r"[\\/]+", path) if part]
    return parts[-1] if len(parts) > 1 or not path.startswith("~") else path


def _exists(text: str) -> bool:
    try:
        return Path(text).is_absolute() and Path(text).exists()
    except (OSError, ValueError):  # too long for a file's name, or NUL in it
        return False


def _home() -> str:
    try:
        home = str(Path.home())
    except RuntimeError:
        return ""
    return "" if home == Path(home).anchor else home
