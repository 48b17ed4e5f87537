"""A copy of a GGUF file in which only the adapted tensors are replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from gguf import GGUFReader, GGUFValueType
from gguf.quants import dequantize

from ....engine.contracts import Exportable
from ....engine.errors import UsageError
from ...models._hf.model import HfModel
from .files import TYPES, Field, Tensor, Type, cast, file_type, main_type, write
from .names import Names, rounds_note

DESCRIPTION, FILE_TYPE, NAME = "general.description", "general.file_type", "general.name"


def template_of(ensemble: Exportable) -> Path | None:
    """The GGUF file of the base; None if the base has none."""
    model = ensemble.model
    if not isinstance(model, HfModel) or not model.gguf:
        return None
    return model.folder(weights=True).path / model.gguf


@attrs.frozen(kw_only=True, eq=False)
class Template:
    """An open GGUF file and its tensor names by site."""

    path: Path
    reader: GGUFReader
    names: Names
    by_site: Mapping[str, str]

    @classmethod
    def open(cls, path: Path, ensemble: Exportable) -> Template:
        """Read the metadata. Raises `UsageError` for a file whose tensors do not match the run's model."""
        ensemble.report("reading GGUF", 0, 0)  # takes seconds for a large vocabulary
        try:
            reader = GGUFReader(path)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise UsageError(f"{path}: not a readable GGUF file: {error}") from error
        if reader.byte_order != "I":
            raise UsageError(f"{path}: has the other byte order; convert it first (gguf-convert-endian)")
        names = Names.of(_string(reader, "general.architecture"), ensemble.source.blueprint)
        found = {site.name: names.tensor(site.name) for site in ensemble.sites}
        shapes = {t.name: tuple(reversed(t.shape.tolist())) for t in reader.tensors}
        for site in ensemble.sites:
            if shapes.get(found[site.name]) != site.shape:
                raise UsageError(
                    f"{path}: no tensor {found[site.name]} of shape {site.shape}, which the run adapted as {site.name}"
                )
        return cls(path=path, reader=reader, names=names, by_site=found)

    def write(self, ensemble: Exportable, place: Path, dtype: str, *, dequantise: bool) -> None:
        """Write the file with merged rounds: unchanged tensors keep their bytes, adapted ones have `dtype`.

        With `dequantise`, quantised tensors also have `dtype`.
        """
        kind = TYPES[dtype]
        sites = {tensor: site for site, tensor in self.by_site.items() if ensemble.updates(site)}
        old = [_copied(tensor) for tensor in self.reader.tensors]
        kept = [_dequantised(t, kind) for t in old] if dequantise else old
        new = [self._merged(ensemble, sites[t.name], t, kind) if t.name in sites else t for t in kept]
        fields = [_field(self.path, field) for name, field in self.reader.fields.items() if _stored(name)]
        if sites:
            fields = _with_description(fields, ensemble, len(sites), kind)
        if main_type(new) != main_type(old):
            fields = _with(fields, Field(FILE_TYPE, file_type(new), GGUFValueType.UINT32))
        write(place, fields, new, ensemble.report, alignment=int(self.reader.alignment))

    def _merged(self, ensemble: Exportable, site: str, old: Tensor, kind: Type) -> Tensor:
        def read() -> Any:
            return cast(site, self.names.rows(site, ensemble.merged(site)), kind)

        return attrs.evolve(old, type=kind, read=read)


def _copied(tensor: Any) -> Tensor:
    shape = tuple(reversed(tensor.shape.tolist()))
    return Tensor(tensor.name, shape, tensor.tensor_type, lambda: tensor.data)


def _dequantised(tensor: Tensor, kind: Type) -> Tensor:
    if tensor.type in TYPES.values():
        return tensor

    def read() -> Any:
        return cast(tensor.name, dequantize(tensor.read(), tensor.type), kind)

    return attrs.evolve(tensor, type=kind, read=read)


def _stored(name: str) -> bool:
    """Whether a field is stored in the file rather than derived by the reader from its header."""
    return not name.startswith("GGUF.")


def _field(path: Path, field: Any) -> Field:
    """A copy of a field; strings stay raw bytes."""
    kind, *inner = field.types
    if GGUFValueType.ARRAY in inner:
        raise UsageError(f"{path}: {field.name} is a list of lists, which cannot be copied")
    if kind == GGUFValueType.STRING:
        return Field(field.name, bytes(field.parts[-1]), kind)
    if kind != GGUFValueType.ARRAY:
        return Field(field.name, field.contents(), kind)
    # The reader drops the element type of an empty list; it is the field's first part after key and kind.
    sub = inner[0] if inner else GGUFValueType(int(field.parts[3][0]))
    strings = sub == GGUFValueType.STRING
    values = [bytes(field.parts[i]) for i in field.data] if strings else field.contents()
    return Field(field.name, values, kind, sub)


def _with_description(fields: Sequence[Field], ensemble: Exportable, weights: int, kind: Type) -> list[Field]:
    """The fields with an updated name and description."""
    known = {field.key: field.value.decode(errors="replace") for field in fields if _is_text(field)}
    done = rounds_note(ensemble, weights, kind)
    before = known.get(DESCRIPTION)
    fields = _with(fields, Field(NAME, f"{known.get(NAME) or ensemble.name}, boosted", GGUFValueType.STRING))
    text = f"{before.rstrip()} {done}" if before else done
    return _with(fields, Field(DESCRIPTION, text, GGUFValueType.STRING))


def _is_text(field: Field) -> bool:
    return field.key in {NAME, DESCRIPTION} and field.type == GGUFValueType.STRING


def _with(fields: Sequence[Field], field: Field) -> list[Field]:
    """The fields with one replaced, or appended."""
    if any(f.key == field.key for f in fields):
        return [field if f.key == field.key else f for f in fields]
    return [*fields, field]


def _string(reader: GGUFReader, key: str) -> str:
    field = reader.get_field(key)
    return "" if field is None else str(field.contents())
