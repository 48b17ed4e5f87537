"""Redaction of paths of the author's machine in published texts."""

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
DELIMITERS = r"\s/\\'\"`<>|:;,()\[\]{}"
ABSOLUTE = re.compile(
    rf"""(?<![\w/.~)\]}}-])   # not within a word or an address
    (?:file:/{{2,3}}(?=\w)[^{DELIMITERS}]+(?:/[^{DELIMITERS}]+)*
      |~[\w.-]*(?:/[^{DELIMITERS}]+)+
      |(?:/[^{DELIMITERS}]+){{2,}}
      |[A-Za-z]:[\\/]+[^{DELIMITERS}]+(?:[\\/]+[^{DELIMITERS}]+)*
    )[/\\]?""",
    re.VERBOSE,
)
"""An absolute or home path; it needs at least two parts unless its form is unambiguous."""

QUOTED = re.compile(r"""(['"])((?:file:/)?/[^'"\n]+?/[^'"\n]+?)\1""")
"""The same in quotes, where spaces are allowed."""


@attrs.frozen(kw_only=True)
class PathRedactor:
    """Redacts paths; `known` are the paths of an ensemble, longest first."""

    known: tuple[str, ...]
    home: str = ""

    @classmethod
    def of(cls, ensemble: Ensemble, *more: Path) -> PathRedactor:
        """Collect the paths of the spec's options, the base, the run, and the current folder."""
        origin = ensemble.origin
        paths = {*more, Path.cwd(), origin.context.cache}
        for file in origin.source.files:
            paths |= {file, file.parent}
        if isinstance(origin, RunSource):
            paths.add(origin.directory.path)
        paths |= {Path(value) for _, _, value in path_options(ensemble)}
        absolute = {str(p.absolute()) for p in paths if p.is_absolute() or p in more}
        known = {path for path in absolute if path != Path(path).anchor}
        return cls(known=tuple(sorted(known, key=len, reverse=True)), home=_home())

    def text(self, text: str) -> str:
        """The text with absolute paths reduced to their last part, and without credentials."""
        text = without_credentials(text)
        for path in self.known:
            text = re.sub(_path_pattern(path), lambda _, name=Path(path).name: name, text)
        if self.home:
            text = re.sub(_path_pattern(self.home), "~", text)
        text = QUOTED.sub(lambda found: f"{found[1]}{_last_part(found[2])}{found[1]}", text)
        return ABSOLUTE.sub(lambda found: _last_part(found[0]), text)

    def word(self, text: str) -> str:
        """The same for a text that may be a single path, such as a command's argument, which may contain spaces."""
        whole = text.startswith("/") and "/" in text[1:].rstrip("/") and "\n" not in text
        return _last_part(text) if whole else self.text(text)

    def tree(self, value: Any) -> Any:
        """A TOML tree with redacted texts."""
        if isinstance(value, dict):
            inner = cleaned(value)  # also removes values of credential keys
            return {self.text(str(key)): self.tree(item) for key, item in inner.items()}
        if isinstance(value, list | tuple):
            return [self.tree(inner) for inner in value]
        if not isinstance(value, str):
            return value
        return self.word(value) if _exists(value) else self.text(value)


def path_options(ensemble: Ensemble) -> list[tuple[str, Any, str]]:
    """Non-empty options of the spec's plugins that name files, folders or hub ids: slot, type and value."""
    return [
        (name, field.type, str(getattr(slot.plugin, field.name)))
        for name, slot in ensemble.spec.slots.items()
        for field in attrs.fields(type(slot.plugin))
        if field.type in PATHS and getattr(slot.plugin, field.name)
    ]


def _path_pattern(path: str) -> str:
    """A pattern for a path that is not part of a longer name."""
    return rf"(?<![\w/]){re.escape(path)}(?![\w-])"


def _last_part(path: str) -> str:
    if without_homes(path.rstrip("/\\")) == "~":  # its last part is a user name
        return "~"
    parts = [part for part in re.split(r"[\\/]+", path) if part]
    return parts[-1] if len(parts) > 1 or not path.startswith("~") else path


def _exists(text: str) -> bool:
    try:
        return Path(text).is_absolute() and Path(text).exists()
    except (OSError, ValueError):  # too long, or with NUL
        return False


def _home() -> str:
    try:
        home = str(Path.home())
    except RuntimeError:
        return ""
    return "" if home == Path(home).anchor else home
