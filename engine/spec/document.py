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
from .faults import Fault, Source, Span, SpecError, did_you_mean
from .plugin_list import KEY as PLUGINS
from .plugin_list import PluginFile, joined, read_plugin_list
from .spans import Location, locate
from .spans import Path as KeyPath

MAX_BYTES = 1 << 20
MAX_EXTENDS = 8
SUFFIX = ".toml"
SECRETS_HINT = (
    "leave it out: libraries read credentials from the environment, such as MLflow from MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, and Hugging Face from HF_TOKEN"
)


@attrs.frozen(eq=False)
class Document:
    """A TOML tree, the locations of its keys, and for every slot the plugins that a higher layer replaced."""

    tree: dict[str, Any]
    locations: dict[KeyPath, Location]
    source: Source
    replaced: dict[str, list[str]] = attrs.field(factory=dict)
    detached: Mapping[KeyPath, Location] = attrs.field(factory=dict)
    """Locations of a table that was removed from the tree, and that no layer replaces."""
    plugins: tuple[PluginFile, ...] = ()
    """Plugin files that the specs name; reading a document runs none of them."""

    def location(self, path: KeyPath) -> Location:
        """The location of a path, or of its nearest ancestor; the start of the text if there is none."""
        while path:
            found = self.locations.get(path) or self.detached.get(path)
            if found is not None:
                return found
            path = path[:-1]
        start = Span(self.source, 0, 0)
        return Location(start, start)

    def without(self, table: str) -> Document:
        """The document without a table, whose locations are stored in `detached`.

        Every overlay copies `locations`, so a study's large table would be copied for each of its cells.
        """
        of_table = {path: location for path, location in self.locations.items() if path[0] == table}
        return attrs.evolve(
            self,
            tree={key: value for key, value in self.tree.items() if key != table},
            locations={path: location for path, location in self.locations.items() if path not in of_table},
            detached=of_table,
        )


def shipped_specs() -> dict[str, Path]:
    """The shipped specs by name (`quickstart`, `ablations/bases`).

    Files whose names begin with `_` are shared parts of other specs, not specs.
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
    """The file of a spec, by path or shipped name. Raises `UsageError` with the closest shipped specs."""
    path = (folder or Path()) / name
    if _is(path.is_file):
        return path
    shipped = shipped_specs()
    if name.removesuffix(SUFFIX) in shipped:  # a folder of that name is no spec
        return shipped[name.removesuffix(SUFFIX)]
    if _is(path.is_dir):
        raise UsageError(f"{name}: is a folder, not a spec file")
    beside = path.with_name(path.name + SUFFIX) if path.name else path
    if _is(beside.is_file):
        raise UsageError(f'no spec "{shortened(name, 200)}"; did you mean "{shortened(name, 200)}{SUFFIX}"?')
    hint = _shipped_hint(name.removesuffix(SUFFIX), list(shipped))
    raise UsageError(
        f'no spec "{shortened(name, 200)}": neither a file nor a shipped spec; '
        + (f"{hint} List" if hint else "list")
        + " the shipped ones with: boostlora specs"
    )


def _shipped_hint(name: str, shipped: Sequence[str]) -> str:
    """A hint at the shipped specs whose name ends like the given one, else at the closest; an empty string for none."""
    last = name.rpartition("/")[2]
    same = [f'"{spec}"' for spec in shipped if spec.rpartition("/")[2] == last]
    return f"did you mean {' or '.join(same)}?" if same else did_you_mean(name, shipped)


def _is(predicate: Callable[[], bool]) -> bool:
    try:
        return predicate()
    except (OSError, ValueError):  # too long for a file name, or contains NUL: no such file
        return False


def _fault(where: str, message: str, **more: Any) -> SpecError:
    return SpecError([Fault(where=where, message=message, **more)])


def read_text(path: Path) -> str:
    """The text of a file. Raises `SpecError` if it is too large, unreadable or not UTF-8."""
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
    """One text as a document, without the specs that it extends. Raises `SpecError` for invalid TOML and for credentials."""
    document = _parsed(source)
    _refuse_credentials(document)
    return document


def _parsed(source: Source) -> Document:
    locations = locate(source)
    try:
        tree = tomli.loads(source.text)
    except tomli.TOMLDecodeError as error:
        where = Span(source, error.pos, error.pos + 1)
        message = shortened(error.msg[:1].lower() + error.msg[1:], 200)
        raise SpecError([Fault(message=f"not valid TOML: {message}", span=where)]) from error
    except (RecursionError, ValueError) as error:  # hostile text that passed the scanner
        raise _fault(source.name, f"not valid TOML: {error}") from error
    return Document(tree, locations, source)


def _refuse_credentials(document: Document) -> None:
    """Raises `SpecError` for credentials: a spec is stored and published with its run."""
    faults = [
        Fault(
            message=f"{'.'.join(map(str, path))}: {what}, and specs are stored and published",
            span=document.location(path).value,
            hint=SECRETS_HINT,
            quoted=False,
        )
        for path, what in credentials_in(document.tree)
    ]
    if faults:
        raise SpecError(faults)


def overlay(base: Document, top: Document) -> Document:
    """`top` over `base`: tables are merged key by key, everything else is replaced."""
    layer = 1 + max((location.layer for location in base.locations.values()), default=0)
    replaced = {slot: list(names) for slot, names in base.replaced.items()}
    for slot, table in top.tree.items():
        old = base.tree.get(slot)
        if isinstance(table, dict) and isinstance(old, dict) and {"use"} <= table.keys() & old.keys():
            replaced.setdefault(slot, []).append(str(old["use"]))
        elif isinstance(table, dict) and "use" in table and isinstance(old, dict):
            replaced.setdefault(slot, []).append("")  # the slot's default was replaced
    replaced_paths = set[KeyPath]()
    tree = _merge(base.tree, top.tree, (), replaced_paths)
    lengths = {len(path) for path in replaced_paths}
    locations = {
        path: location
        for path, location in base.locations.items()
        if not any(path[:length] in replaced_paths for length in lengths)
    }
    for path, location in top.locations.items():
        locations[path] = attrs.evolve(location, layer=layer)
    plugins = joined(base.plugins, top.plugins)
    return Document(tree, locations, top.source, replaced, base.detached, plugins)


def _merge(
    base: dict[str, Any], top: dict[str, Any], path: KeyPath, replaced_paths: set[KeyPath]
) -> dict[str, Any]:
    """Both tables merged; paths that the top replaces are added to `replaced_paths`."""
    joined = dict(base)
    for key, value in top.items():
        here = (*path, key)
        old = joined.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            joined[key] = _merge(old, value, here, replaced_paths)
            continue
        replaced_paths.add(here)
        joined[key] = value
    return joined


def load(path: Path, settings: Sequence[str] = ()) -> Document:
    """A spec file over the specs that it extends, with `key=value` settings of the command line on top."""
    document = _load_file(path, ())
    for setting in settings:
        document = overlay(document, _setting(setting))
    return document


def from_settings(settings: Sequence[str]) -> Document:
    """`key=value` settings alone, such as an exporter's options on the command line."""
    document = Document({}, {}, Source("--set", "", Path.cwd()))
    for setting in settings:
        document = overlay(document, _setting(setting))
    return document


def _load_file(path: Path, chain: tuple[Path, ...]) -> Document:
    whole = path.resolve()
    source = Source(_relative(path), read_text(path), whole.parent, quoted=whole.suffix == SUFFIX)
    document = _with_plugins(parse(source))
    extends = document.tree.pop("extends", None)
    if extends is None:
        return document
    span = document.location(("extends",)).value
    if not isinstance(extends, str):
        raise SpecError(
            [Fault(message="extends must be a string", span=span, allowed="a file or a shipped spec")]
        )
    chain = (*chain, path.resolve())
    try:
        parent = find_spec(extends, document.source.folder)
    except UsageError as error:
        raise SpecError([Fault(message=f"extends: {error}", span=span)]) from error
    if parent.resolve().suffix != SUFFIX:  # before it is read: a fault would show its lines
        raise SpecError(
            [Fault(message=f"extends: not the name of a spec, which ends with {SUFFIX}", span=span)]
        )
    if parent.resolve() in chain:
        raise SpecError([Fault(message=f'extends "{extends}", which extends this file in turn', span=span)])
    if len(chain) > MAX_EXTENDS:
        raise SpecError([Fault(message=f"more than {MAX_EXTENDS} specs extend one another", span=span)])
    return overlay(_load_file(parent, chain), document)


def _with_plugins(document: Document) -> Document:
    """The document of one file with its key `plugins` read, and removed from the tree."""
    if PLUGINS not in document.tree:
        return document
    value = document.tree.pop(PLUGINS)
    if not document.source.quoted:  # it could be taken for a shipped spec of that name
        message = f"{PLUGINS}: only in a spec whose name ends with {SUFFIX}"
        raise SpecError([Fault(message=message, span=document.location((PLUGINS,)).key)])
    items = [(PLUGINS, i) for i in range(len(value) if isinstance(value, list) else 0)]
    spans = [document.location(path).value for path in ((PLUGINS,), *items)]
    return attrs.evolve(document, plugins=read_plugin_list(value, spans))


def _relative(path: Path) -> str:
    """A path relative to the working directory, if it lies in it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _setting(setting: str) -> Document:
    """`key=value` of the command line; a value that is not valid TOML is a string, so quotes are optional."""
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
        span = document.location(("extends",)).key
        raise SpecError([Fault(message="extends is a key of files, not of the command line", span=span)])
    if PLUGINS in document.tree:
        span, hint = document.location((PLUGINS,)).key, "on the command line, give --plugin FILE.py"
        raise SpecError(
            [Fault(message=f"{PLUGINS} is a key of files, not of the command line", span=span, hint=hint)]
        )
    return document


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
