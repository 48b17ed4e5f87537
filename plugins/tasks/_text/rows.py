"""Rows of texts from files and from Hugging Face data sets: every value as it was written."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from ....engine.errors import UsageError
from ....engine.foundation.options import shortened
from .._files import cells, json_lines, kind_of, parquet, readable
from .._frames import text_of

Row = dict[str, str]


@attrs.frozen(kw_only=True)
class Rows:
    """Columns of one file or one split of a data set, before any is looked at."""

    where: str
    columns: Mapping[str, Sequence[Any]]

    def of(self, names: Mapping[str, str]) -> list[Row]:
        """The columns `names`, each with what it is for, as texts row by row.

        Raises `UsageError` for a column that is not there, and for a value that is missing or no text, naming the row.
        """
        for name, purpose in names.items():
            if name not in self.columns:
                there = shortened(", ".join(map(str, self.columns)), 400)
                raise UsageError(f'{self.where}: no column "{name}" ({purpose}); there are: {there}')
        read = {name: [self._text(name, i, v) for i, v in enumerate(self.columns[name])] for name in names}
        return [dict(zip(read, values, strict=True)) for values in zip(*read.values(), strict=True)]

    def _text(self, name: str, index: int, value: Any) -> str:
        if isinstance(value, str):
            return value
        if value is None or value != value:  # noqa: PLR0124 - NaN
            raise UsageError(f'{self.where}: column "{name}" is empty in row {index + 1}')
        if isinstance(value, list | dict | tuple | set | bytes) or hasattr(value, "__array_interface__"):
            raise UsageError(
                f'{self.where}: column "{name}" holds a {type(value).__name__} in row {index + 1}, no text'
            )
        # One file may keep whole numbers as floats that another does not.
        return text_of(value)


def read_file(path: str) -> Rows:
    """A CSV, TSV, Parquet or JSON lines file, all but Parquet gzipped, too; in the first two, everything is text ("NA" and "007")."""
    with readable(path):
        match kind_of(path, "file"):
            case "jsonl":
                records = json_lines(path)
                names = list(dict.fromkeys(name for record in records for name in record))
                return Rows(where=path, columns={n: [record.get(n) for record in records] for n in names})
            case "parquet":
                return Rows(where=path, columns=_columns(parquet(path)))
            case _:
                return Rows(where=path, columns=_columns(cells(path, dtype=str, na_filter=False)))


def read_dataset(path: str, subset: str, splits: Mapping[str, str]) -> dict[str, Rows]:
    """The named `splits` (values) of a data set, by their part (keys): a folder, saved or plain, or a Hugging Face id.

    Class labels are told by name. Raises `UsageError` for a data set or a split that is not there.
    """
    if importlib.util.find_spec("datasets") is None:
        raise UsageError("task.dataset needs pip install 'boostlora[hf]' (datasets is missing)")
    import datasets  # noqa: PLC0415 - seconds to import

    with _quiet(f'task.dataset: "{path}" is no data set that can be read, here or on the Hugging Face hub'):
        saved = any((Path(path) / name).is_file() for name in ("dataset_dict.json", "state.json"))
        found: Any = datasets.load_from_disk(path) if saved else _loaded(path, subset)
    if isinstance(found, datasets.Dataset):
        found = {"train": found}
    for part, name in splits.items():
        if name not in found:
            raise UsageError(f'{path}: no split "{name}" ({part}); there are: {", ".join(found)}')
    return {part: _rows(f"{path} ({name})", found[name]) for part, name in splits.items()}


def _loaded(path: str, subset: str) -> Any:
    """The splits of a data set that is not saved; of comma- and tab-separated files every cell is the text that it was."""
    import datasets  # noqa: PLC0415

    builder: Any = datasets.load_dataset_builder(path, name=subset or None)
    named = any(type(feature).__name__ == "ClassLabel" for feature in (builder.info.features or {}).values())
    if not any(cls.__name__ == "Csv" for cls in type(builder).__mro__) or named:
        return datasets.load_dataset(path, name=subset or None)
    files: Mapping[str, Sequence[str]] = builder.config.data_files
    if all(_is_plain(file, builder.config.sep) for names in files.values() for file in names):
        return {str(split): _together(names) for split, names in files.items()}
    return _as_text(path, subset)


def _is_plain(file: str, separator: str) -> bool:
    """Whether it is a file on this machine that `read_file` reads as its data set's configuration says."""
    plain = {".csv": ",", ".tsv": "\t"}.get(Path(file.lower().removesuffix(".gz")).suffix)
    return plain == separator and Path(file).is_file()


def _together(files: Sequence[str]) -> Rows:
    """The rows of several files of the same columns."""
    read = [read_file(file) for file in files]
    for other in read[1:]:
        if set(other.columns) != set(read[0].columns):
            raise UsageError(f"{other.where}: its columns are not those of {read[0].where}")
    columns = {name: [v for rows in read for v in rows.columns[name]] for name in read[0].columns}
    return Rows(where=read[0].where, columns=columns)


def _as_text(path: str, subset: str) -> Any:
    """Comma- or tab-separated files on the hub, or of another form, read once more when the names of the columns are known."""
    import datasets  # noqa: PLC0415

    found: Any = datasets.load_dataset(path, name=subset or None)
    names = dict.fromkeys(name for split in found.values() for name in split.column_names)
    texts = datasets.Features({name: datasets.Value("string") for name in names})
    return datasets.load_dataset(path, name=subset or None, features=texts, na_filter=False)


def _rows(where: str, split: Any) -> Rows:
    if isinstance(split, Rows):
        return attrs.evolve(split, where=where)
    columns = _columns(split.to_pandas())
    for name, feature in split.features.items():
        if type(feature).__name__ == "ClassLabel":
            # -1 is how data sets mark an example whose label is kept secret.
            columns[name] = [
                feature.int2str(int(v)) if v is not None and v >= 0 else None for v in columns[name]
            ]
    return Rows(where=where, columns=columns)


def _columns(frame: Any) -> dict[str, list[Any]]:
    return {
        str(name): [None if gap else value for value, gap in zip(column.tolist(), _gaps(column), strict=True)]
        for name, column in frame.items()
    }


def _gaps(column: Any) -> list[bool]:
    return column.isna().tolist()


@contextmanager
def _quiet(what: str) -> Generator[None]:
    """Without progress bars; a failure is told in one line."""
    import datasets  # noqa: PLC0415
    from datasets.exceptions import DatasetsError  # noqa: PLC0415

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(f"{what}: {shortened(reason, 300)}") from error
    finally:
        if shown:
            datasets.enable_progress_bars()
