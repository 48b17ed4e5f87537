"""Rows of text from files and Hugging Face data sets, with verbatim values."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from ....engine.errors import UsageError
from ....engine.foundation.options import shortened
from ....engine.sdk.libraries import require_libraries
from .._files import cells, excel, json_lines, kind_of, parquet, readable
from .._frames import text_of

Row = dict[str, str]


@attrs.frozen(kw_only=True)
class Rows:
    """Raw columns of a file or of a data set's split."""

    where: str
    columns: Mapping[str, Sequence[Any]]

    def of(self, names: Mapping[str, str], first: int = 0) -> list[Row]:
        """The columns `names` (name to purpose) as rows of text; `first` rows of the file are before them.

        Raises `UsageError` for a missing column, and for a value that is missing or not text, naming the row.
        """
        for name, purpose in names.items():
            if name not in self.columns:
                there = shortened(", ".join(map(str, self.columns)), 400)
                raise UsageError(f'{self.where}: no column "{name}" ({purpose}); there are: {there}')
        read = {
            name: [self._text(name, i, v) for i, v in enumerate(self.columns[name], first)] for name in names
        }
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
        # Integers may be stored as floats in one file and not in another.
        return text_of(value)


def read_file(path: str) -> Rows:
    """A CSV, TSV, Excel, Parquet or JSON lines file; in CSV and TSV everything is text ("NA" and "007")."""
    with readable(path):
        match kind_of(path, "file"):
            case "jsonl":
                records = json_lines(path)
                names = list(dict.fromkeys(name for record in records for name in record))
                return Rows(where=path, columns={n: [record.get(n) for record in records] for n in names})
            case "parquet":
                return Rows(where=path, columns=columns_of(parquet(path)))
            case "excel":
                return Rows(where=path, columns=columns_of(excel(path)))
            case _:
                return Rows(where=path, columns=columns_of(cells(path)))


def read_dataset(path: str, subset: str, splits: Mapping[str, str]) -> dict[str, Rows]:
    """The named `splits` (values) of a data set, by our split (keys); `path` is a folder or a Hugging Face id.

    Class labels are returned as names. Raises `UsageError` for a missing data set or split.
    """
    require_libraries("task.dataset", "hf", "datasets")
    import datasets  # noqa: PLC0415 - seconds to import

    with _quiet(f'task.dataset: "{path}" is not a readable data set, locally or on the Hugging Face Hub'):
        saved = any((Path(path) / name).is_file() for name in ("dataset_dict.json", "state.json"))
        found: Any = datasets.load_from_disk(path) if saved else _loaded(path, subset)
    if isinstance(found, datasets.Dataset):
        found = {"train": found}
    for part, name in splits.items():
        if name not in found:
            raise UsageError(f'{path}: no split "{name}" ({part}); there are: {", ".join(found)}')
    return {part: _rows(f"{path} ({name})", found[name]) for part, name in splits.items()}


def _loaded(path: str, subset: str) -> Any:
    """The splits of a data set from its source files; CSV and TSV cells are verbatim text."""
    import datasets  # noqa: PLC0415

    builder: Any = datasets.load_dataset_builder(path, name=subset or None)
    named = any(type(feature).__name__ == "ClassLabel" for feature in (builder.info.features or {}).values())
    if not any(cls.__name__ == "Csv" for cls in type(builder).__mro__) or named:
        return datasets.load_dataset(path, name=subset or None)
    files: Mapping[str, Sequence[str]] = builder.config.data_files
    if all(_is_plain(file, builder.config.sep) for names in files.values() for file in names):
        return {str(split): _concatenated(names) for split, names in files.items()}
    return _as_text(path, subset)


def _is_plain(file: str, separator: str) -> bool:
    """Whether it is a local file that `read_file` parses with the data set's separator."""
    plain = {".csv": ",", ".tsv": "\t"}.get(Path(file.lower().removesuffix(".gz")).suffix)
    return plain == separator and Path(file).is_file()


def _concatenated(files: Sequence[str]) -> Rows:
    """The concatenated rows of files with the same columns."""
    read = [read_file(file) for file in files]
    for other in read[1:]:
        if set(other.columns) != set(read[0].columns):
            raise UsageError(f"{other.where}: its columns differ from those of {read[0].where}")
    columns = {name: [v for rows in read for v in rows.columns[name]] for name in read[0].columns}
    return Rows(where=read[0].where, columns=columns)


def _as_text(path: str, subset: str) -> Any:
    """CSV files on the Hub or in another dialect, read a second time as text once the column names are known."""
    import datasets  # noqa: PLC0415

    found: Any = datasets.load_dataset(path, name=subset or None)
    names = dict.fromkeys(name for split in found.values() for name in split.column_names)
    texts = datasets.Features({name: datasets.Value("string") for name in names})
    return datasets.load_dataset(path, name=subset or None, features=texts, na_filter=False)


def _rows(where: str, split: Any) -> Rows:
    if isinstance(split, Rows):
        return attrs.evolve(split, where=where)
    columns = columns_of(split.to_pandas())
    for name, feature in split.features.items():
        if type(feature).__name__ == "ClassLabel":
            # Data sets mark withheld labels by -1.
            columns[name] = [
                feature.int2str(int(v)) if v is not None and v >= 0 else None for v in columns[name]
            ]
    return Rows(where=where, columns=columns)


def columns_of(frame: Any) -> dict[str, list[Any]]:
    """The columns of a data frame, with None for missing values."""
    return {
        str(name): [None if gap else value for value, gap in zip(column.tolist(), _gaps(column), strict=True)]
        for name, column in frame.items()
    }


def _gaps(column: Any) -> list[bool]:
    return column.isna().tolist()


@contextmanager
def _quiet(what: str) -> Generator[None]:
    """A context without progress bars; errors become a one-line `UsageError`."""
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
