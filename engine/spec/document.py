"""A spec's text as a tree with positions: one file, the files it extends, and `--set` on top."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import tomli

from ..errors import UsageError
from ..foundation.options import shortened
from ..foundation.redaction import credentials_in
from .faults import Fault, Source, Span, SpecError, did_you_mean, listed
from .spans import Mark, locate
from .spans import Path as KeyPath

MAX_BYTES = 1 << 20
MAX_EXTENDS = 8
SUFFIX = ".toml"
SECRETS = (
    "leave it out: what is secret comes from the environment, where a library reads it itself, such as MLflow its "
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, and Hugging Face its HF_TOKEN"
)


@attrs.frozen(eq=False)
class Document:
    """A TOML tree, the marks of its keys, and for every slot the plugins that a higher layer has replaced."""

    tree: dict[str, Any]
    marks: dict[KeyPath, Mark]
    source: Source
    replaced: dict[str, list[str]] = attrs.field(factory=dict)
    aside: Mapping[KeyPath, Mark] = attrs.field(factory=dict)
    """Marks of a table that was taken out of the tree, and that no layer replaces."""

    def mark(self, path: KeyPath) -> Mark:
        """The mark of a path, or of the nearest key above it; the start of the text where there is none."""
        while path:
            found = self.marks.get(path) or self.aside.get(path)
            if found is not None:
                return found
            path = path[:-1]
        start = Span(self.source, 0, 0)
        return Mark(start, start)

    def without(self, table: str) -> Document:
        """The document without a table, whose marks are kept aside: every layer over it copies the others."""
        of_table = {path: mark for path, mark in self.marks.items() if path[0] == table}
        return attrs.evolve(
            self,
            tree={key: value for key, value in self.tree.items() if key != table},
            marks={path: mark for path, mark in self.marks.items() if path not in of_table},
            aside=of_table,
        )


def shipped_specs() -> dict[str, Path]:
    """The specs that come with the package, by the name that stands for them (`quickstart`, `ablations/bases`).

    Files whose names begin with `_` are what others have in common, and no specs of their own.
    """
    # importlib.resources cannot read a package without __init__.py in an editable install; its path can be.
    roots = [
        Path(path) for path in importlib.import_module("boostlora.specs").__path__ if Path(path).is_dir()
    ]
    return {
        str(p.relative_to(root).with_suffix("")): p
        for root in roots
        for p in sorted(root.rglob("*" + SUFFIX), key=lambda p: (len(p.parts), p))
        if not p.name.startswith("_")
    }


def find_spec(name: str, folder: Path | None = None) -> Path:
    """The file a name stands for: a path, or a shipped spec. Raises `UsageError` listing what there is."""
    path = (folder or Path()) / name
    if _is(path.is_file):
        return path
    shipped = shipped_specs()
    if name.removesuffix(SUFFIX) in shipped:  # a folder of that name is no spec
        return shipped[name.removesuffix(SUFFIX)]
    if _is(path.is_dir):
        raise UsageError(f"{name}: is a folder, not a spec file")
    hint = did_you_mean(name, list(shipped))
    raise UsageError(
        f'no spec "{shortened(name, 200)}": neither a file nor one of {listed(shipped)}'
        + (f"; {hint}" if hint else "")
    )


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except (OSError, ValueError):  # too long for a file's name, or NUL in it: there is no such file
        return False


def _fault(where: str, message: str, **more: Any) -> SpecError:
    return SpecError([Fault(where=where, message=message, **more)])


def read_text(path: Path) -> str:
    """A file's text. Raises `SpecError` for what cannot be a spec: too large, unreadable, not UTF-8."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _fault(str(path), f"{size:,} bytes; a spec has at most {MAX_BYTES:,}")
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise _fault(str(path), f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise _fault(
            str(path), f"not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from error


def parse(source: Source) -> Document:
    """One text as a document, without what it extends. Raises `SpecError` for what is no TOML, and for credentials."""
    document = _parsed(source)
    _refuse_credentials(document)
    return document


def _parsed(source: Source) -> Document:
    marks = locate(source)
    try:
        tree = tomli.loads(source.text)
    except tomli.TOMLDecodeError as error:
        where = Span(source, error.pos, error.pos + 1)
        message = shortened(error.msg[:1].lower() + error.msg[1:], 200)
        raise SpecError([Fault(message=f"not valid TOML: {message}", span=where)]) from error
    except (RecursionError, ValueError) as error:  # hostile text that the scanner did not foresee
        raise _fault(source.name, f"not valid TOML: {error}") from error
    return Document(tree, marks, source)


def _refuse_credentials(document: Document) -> None:
    """A spec is kept and published with its run: what is secret is not written in one. Raises `SpecError`."""
    faults = [
        Fault(
            message=f"{'.'.join(map(str, path))}: {what}, and specs are kept and published",
            span=document.mark(path).value,
            hint=SECRETS,
            quoted=False,
        )
        for path, what in credentials_in(document.tree)
    ]
    if faults:
        raise SpecError(faults)


def overlay(base: Document, top: Document) -> Document:
    """`top` over `base`: tables are joined key by key, everything else is replaced."""
    layer = 1 + max((mark.layer for mark in base.marks.values()), default=0)
    replaced = {slot: list(names) for slot, names in base.replaced.items()}
    for slot, table in top.tree.items():
        old = base.tree.get(slot)
        if isinstance(table, dict) and isinstance(old, dict) and {"use"} <= table.keys() & old.keys():
            replaced.setdefault(slot, []).append(str(old["use"]))
        elif isinstance(table, dict) and "use" in table and isinstance(old, dict):
            replaced.setdefault(slot, []).append("")  # the slot's default was replaced
    gone = set[KeyPath]()
    tree = _join(base.tree, top.tree, (), gone)
    lengths = {len(path) for path in gone}
    marks = {
        path: mark
        for path, mark in base.marks.items()
        if not any(path[:length] in gone for length in lengths)
    }
    for path, mark in top.marks.items():
        marks[path] = attrs.evolve(mark, layer=layer)
    return Document(tree, marks, top.source, replaced, base.aside)


def _join(base: dict[str, Any], top: dict[str, Any], path: KeyPath, gone: set[KeyPath]) -> dict[str, Any]:
    """Both tables as one; `gone` takes down what the top replaces."""
    joined = dict(base)
    for key, value in top.items():
        here = (*path, key)
        old = joined.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            joined[key] = _join(old, value, here, gone)
            continue
        gone.add(here)
        joined[key] = value
    return joined


def load(path: Path, settings: Sequence[str] = ()) -> Document:
    """A spec file over everything it extends, under the `key=value` settings of the command line."""
    document = _load_file(path, ())
    for setting in settings:
        document = overlay(document, _setting(setting))
    return document


def from_settings(settings: Sequence[str]) -> Document:
    """`key=value` settings by themselves, such as those of an exporter on the command line."""
    document = Document({}, {}, Source("--set", "", Path.cwd()))
    for setting in settings:
        document = overlay(document, _setting(setting))
    return document


def _load_file(path: Path, chain: tuple[Path, ...]) -> Document:
    whole = path.resolve()
    document = parse(Source(_short(path), read_text(path), whole.parent, quoted=whole.suffix == SUFFIX))
    extends = document.tree.pop("extends", None)
    if extends is None:
        return document
    span = document.mark(("extends",)).value
    if not isinstance(extends, str):
        raise SpecError(
            [Fault(message="extends must be a string", span=span, allowed="a file or a shipped spec")]
        )
    chain = (*chain, path.resolve())
    try:
        parent = find_spec(extends, document.source.folder)
    except UsageError as error:
        raise SpecError([Fault(message=f"extends: {error}", span=span)]) from error
    if parent.resolve().suffix != SUFFIX:  # before it is read: what is wrong in it would be told
        raise SpecError(
            [Fault(message=f"extends: not the name of a spec, which ends with {SUFFIX}", span=span)]
        )
    if parent.resolve() in chain:
        raise SpecError([Fault(message=f'extends "{extends}", which extends this file in turn', span=span)])
    if len(chain) > MAX_EXTENDS:
        raise SpecError([Fault(message=f"more than {MAX_EXTENDS} specs extend one another", span=span)])
    return overlay(_load_file(parent, chain), document)


def _short(path: Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _setting(setting: str) -> Document:
    """`key=value` of the command line; a value that is no TOML is taken as a string, so quotes can be left out."""
    key, equals, value = setting.partition("=")
    source = Source("--set", setting, Path.cwd())
    if not equals or not key.strip():
        span = Span(source, 0, len(setting))
        raise SpecError(
            [Fault(message="not of the form key=value", span=span, allowed="such as --set basis.use=random")]
        )
    try:
        document = _parsed(source)
    except SpecError:
        document = _parsed(attrs.evolve(source, text=f"{key}={_quoted(value.strip())}"))
    _refuse_credentials(document)
    if "extends" in document.tree:
        span = document.mark(("extends",)).key
        raise SpecError([Fault(message="extends is a key of files, not of the command line", span=span)])
    return document


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
