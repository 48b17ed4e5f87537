"""Score rows of a table with the exported model in this folder: `python score.py rows.csv`.

It needs NumPy, pandas and safetensors, and no pickle: `preprocessing.json` holds words and settings, the `.safetensors` files hold arrays.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from safetensors.numpy import load_file

MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Cells of a column of numbers that count as missing."""
TRUE, FALSE = frozenset({"true", "yes", "t", "y", "1"}), frozenset({"false", "no", "f", "n", "0"})
LARGEST = 1e150
"""Numbers beyond overflow when they are squared."""
UNITS, SPACES = "%$€£¥", "\u00a0\u202f'"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a CSV cell that a spreadsheet would compute."""
CHUNK = 1000


def _number_pattern(group: str, point: str) -> re.Pattern[str]:
    grouped = rf"[1-9]\d{{0,2}}(?:[{group}{SPACES}]\d{{3}})+"
    return re.compile(
        rf"[{UNITS}]?\s*(?P<number>[-+]?(?:{grouped}|\d+)(?:{point}\d+)?)\s*[{UNITS}]?", re.UNICODE
    )


NUMBERS = {".": _number_pattern(",", r"\."), ",": _number_pattern(r"\.", ",")}
"""Numbers by their decimal sign: `1,234.5`, `1.234,5`, `12 %`, `$7`."""
DECIMAL_COMMA = re.compile(r"\D*(?:\d{1,3}(?:\.\d{3})+|\d+),\d+\D*")


class Model:
    """The exported model: `predict` takes a CSV file, a dict of one row, a list of dicts, or a data frame."""

    def __init__(self, folder: str | Path = Path(__file__).parent) -> None:
        folder = Path(folder)
        self.settings: dict[str, Any] = json.loads(
            (folder / "preprocessing.json").read_text(encoding="utf-8")
        )
        self.example: dict[str, Any] = self.settings["example"]
        self._arrays = load_file(folder / "preprocessing.safetensors")
        if self.settings["model"]["dtype"] == "bfloat16":
            import_module("ml_dtypes")  # NumPy then reads bfloat16
        self._weights: dict[str, Any] = {}
        for name in self.settings["model"]["files"]:
            self._weights |= {k: w.astype(np.float64) for k, w in load_file(folder / name).items()}

    def predict(self, rows: Any) -> pd.DataFrame:
        """One line a row: `prediction`, and for classes their probabilities `p_<class>`."""
        logits, target = self.logits(self.encode(rows)), self.settings["target"]
        if "classes" not in target:
            return pd.DataFrame({"prediction": target["mean"] + target["std"] * logits[:, 0]})
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = odds / odds.sum(axis=1, keepdims=True)
        names = target["classes"]
        found: dict[str, Any] = {"prediction": [names[i] for i in p.argmax(axis=1)]}
        return pd.DataFrame(found | {f"p_{name}": p[:, i] for i, name in enumerate(names)})

    def encode(self, rows: Any) -> Any:
        """Rows as inputs `(n, d)`. Raises `ValueError` naming the column and the row at fault."""
        frame, sign = self._frame(rows)
        used = [(i, column) for i, column in enumerate(self.settings["columns"]) if column["kind"] != "drop"]
        for _, column in used:
            if column["name"] not in frame.columns:
                raise ValueError(f'no column "{column["name"]}"; there are: {", ".join(frame.columns)}')
        return np.column_stack([self._inputs(i, column, frame, sign) for i, column in used])

    def logits(self, inputs: Any) -> Any:
        """Logits of the classes `(n, classes)`, or the standardised value `(n, 1)`."""
        w, settings = self._weights, self.settings["model"]
        for i in range(settings["hidden"]):
            z = inputs @ w[f"layers.{i}.weight"].T + w[f"layers.{i}.bias"]
            inputs = np.maximum(z, 0) if settings["activation"] == "relu" else np.tanh(z)
        return inputs @ w["head.weight"].T + w["head.bias"]

    def _frame(self, rows: Any) -> tuple[pd.DataFrame, str]:
        """The rows as a data frame with names as text, and the decimal sign of their texts."""
        dialect = self.settings["dialect"]
        if isinstance(rows, (str, Path)):
            frame, separator = read_csv(str(rows), dialect["separator"], dialect["encoding"])
            return frame, dialect["decimal"] or self._decimal_sign(frame, separator)
        frame = pd.DataFrame([rows]) if isinstance(rows, Mapping) else pd.DataFrame(rows)
        frame = frame.rename(columns=str).reset_index(drop=True)
        return frame, dialect["decimal"] or "."

    def _decimal_sign(self, frame: pd.DataFrame, separator: str) -> str:
        """A comma if a column of numbers has one, else a point."""
        names = [c["name"] for c in self.settings["columns"] if c["numeric"] and c["name"] in frame.columns]
        cells = (cell for name in names for cell in frame[name] if "," in cell)
        return "," if any(_is_decimal_comma(cell, separator) for cell in cells) else "."

    def _inputs(self, place: int, column: Mapping[str, Any], frame: pd.DataFrame, sign: str) -> Any:
        """The inputs of one column `(n, width)`."""
        name, kind = column["name"], column["kind"]
        cells = plain_cells(frame[name])
        if kind in {"number", "boolean"}:
            return self._scaled(
                place, column, _numbers(name, cells, sign, boolean=kind == "boolean")[:, None]
            )
        if column["numeric"]:  # the training rows held numbers: 1.0 and "1" are one category
            cells = [_number_text(cell, sign) if isinstance(cell, str) else cell for cell in cells]
        texts = ["" if cell is None else _text(cell) for cell in cells]
        if kind == "date":
            return self._scaled(place, column, _date_parts(name, texts, column["format"]))
        return _one_hot(texts, column) if kind == "category" else self._components(place, texts, column)

    def _scaled(self, place: int, column: Mapping[str, Any], values: Any) -> Any:
        """`(x - shift) / scale`, with the median for a gap, and an input that says so if training rows had some."""
        median, shift, scale = (self._arrays[f"{place}.{part}"] for part in ("median", "shift", "scale"))
        gaps = np.isnan(values)
        filled = np.where(gaps, median, values)
        if column["has_gaps"]:
            filled = np.column_stack([filled, gaps.any(axis=1)])
        return (filled - shift) / scale

    def _components(self, place: int, texts: Sequence[str], column: Mapping[str, Any]) -> Any:
        """Components of the TF-IDF matrix of character n-grams `(n, width)`."""
        if not column["words"]:
            return np.zeros((len(texts), 1))
        words = {word: i for i, word in enumerate(column["words"])}
        idf, components = self._arrays[f"{place}.idf"], self._arrays.get(f"{place}.components")
        parts: list[Any] = []
        for start in range(0, len(texts), CHUNK):
            counts = tf_idf(texts[start : start + CHUNK], words, idf)
            parts.append(counts[:, :1] if components is None else counts @ components.T)
        return np.vstack(parts) if parts else np.zeros((0, 1 if components is None else len(components)))


def tf_idf(texts: Sequence[str], words: Mapping[str, int], idf: Any) -> Any:
    """Counts of n-grams times `idf`, of Euclidean length 1 in each row `(n, words)`."""
    counts = np.zeros((len(texts), len(words)))
    for row, text in enumerate(texts):
        for gram in n_grams(text):
            if gram in words:
                counts[row, words[gram]] += 1.0
    counts *= idf
    length = np.sqrt((counts * counts).sum(axis=1, keepdims=True))
    return counts / np.where(length == 0.0, 1.0, length)


def n_grams(text: str) -> list[str]:
    """Runs of 2 to 4 characters within the words of a text in lower case, with a space before and after each word."""
    found: list[str] = []
    for word in text.lower().split():
        padded = f" {word} "
        for n in (2, 3, 4):
            found += [padded[i : i + n] for i in range(max(1, len(padded) - n + 1))]
            if len(padded) <= n:  # longer runs would be the same
                break
    return found


def _one_hot(texts: Sequence[str], column: Mapping[str, Any]) -> Any:
    """An input for each known value, and one for all others if training rows had rare values."""
    place = {value: i for i, value in enumerate(column["values"])}
    inputs = np.zeros((len(texts), len(place) + 1))
    inputs[np.arange(len(texts)), [place.get(text, len(place)) for text in texts]] = 1.0
    return inputs[:, : len(place) + column["rare"]]


def _date_parts(name: str, texts: Sequence[str], form: str) -> Any:
    """Year, month, day, weekday (0 is Monday), hour, and days since 1970 `(n, 6)`; NaN for a gap."""
    known = pd.Series([text or None for text in texts], dtype=object)
    known = known.str.replace(r"\s*(?:UTC|GMT)$", "", regex=True)
    read = pd.to_datetime(known, format=form, errors="coerce", utc=True)
    for row, (text, date) in enumerate(zip(texts, read, strict=True)):
        if text and date is pd.NaT:
            raise ValueError(
                f'column "{name}" is "{text[:40]}" in row {row + 1}, no date as in the training rows'
            )
    days = (read - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    parts = (read.dt.year, read.dt.month, read.dt.day, read.dt.day_of_week, read.dt.hour, days)
    return np.column_stack([part.astype("float64") for part in parts])


def _numbers(name: str, cells: Sequence[Any], sign: str, *, boolean: bool) -> Any:
    """Cells as float64 `(n,)`, NaN for gaps."""
    found = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if cell is None or (isinstance(cell, str) and cell.strip() in MISSING):
            continue
        if not isinstance(cell, str):
            value = float(cell)
        elif boolean:
            text = cell.strip().lower()
            value = 1.0 if text in TRUE else 0.0 if text in FALSE else np.nan
        else:
            value = _number(cell, sign)
        if np.isnan(value) or abs(value) > LARGEST:
            what = "neither true nor false" if boolean else "no number" if np.isnan(value) else "too large"
            raise ValueError(f'column "{name}" is "{str(cell)[:40]}" in row {row + 1}, {what}')
        found[row] = value
    return found


def _number(cell: str, sign: str) -> float:
    """A cell as a number, NaN if it is none with this decimal sign."""
    match = NUMBERS[sign].fullmatch(cell.strip())
    if match is not None:
        grouping = SPACES + ("," if sign == "." else ".")
        digits = match["number"].translate(str.maketrans(dict.fromkeys(grouping)))
        return float(digits.replace(",", "."))
    try:
        return float(cell) if sign == "." and "_" not in cell else np.nan
    except ValueError:
        return np.nan


def _number_text(cell: str, sign: str) -> str | None:
    """A number in its shortest form; None for a gap, and another text as it is."""
    if cell.strip() in MISSING:
        return None
    try:
        return str(int(cell))
    except ValueError:
        number = _number(cell, sign)
        return cell if np.isnan(number) else _text(number)


def _is_decimal_comma(cell: str, separator: str) -> bool:
    """Whether a cell is a number with a decimal comma, and none with grouped thousands such as `1,234`."""
    text = cell.strip()
    if not NUMBERS[","].fullmatch(text) or not DECIMAL_COMMA.fullmatch(text):
        return False
    return separator == ";" or not NUMBERS["."].fullmatch(text)


def _text(value: Any) -> str:
    """A value as text; 1.0 is "1"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def plain_cells(column: Any) -> list[Any]:
    """Cells as numbers, or as texts; None for missing ones."""
    cells = [None if gap else cell for cell, gap in zip(column.tolist(), column.isna(), strict=True)]
    if is_numeric_dtype(column) or all(cell is None or type(cell) in {int, float} for cell in cells):
        return cells
    return [None if cell is None else _text(cell) for cell in cells]


def read_csv(path: str, separator: str, encoding: str) -> tuple[pd.DataFrame, str]:
    """A CSV or TSV file with every cell as it is written, and its separator."""
    tabs = path.lower().endswith(".tsv")
    with Path(path).open(encoding=_encoding(path, encoding), newline="") as file:
        separator = "\t" if tabs else {"tab": "\t", "\\t": "\t"}.get(separator, separator)
        separator = separator or _separator(file)
        file.seek(0)
        csv.field_size_limit(2**31 - 1)
        quoting = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
        rows = csv.reader(file, delimiter=separator, quoting=quoting)
        header, *cells = [row for row in rows if len(row) > 1 or (row and row[0].strip())] or [[]]
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(header)]
    if len(set(names)) < len(names) or not cells:
        raise ValueError(f"{path}: it has no row, or two columns of one name")
    for number, row in enumerate(cells, 1):
        if len(row) != len(names):
            raise ValueError(f"{path}: row {number} has {len(row)} fields, the header has {len(names)}")
    return pd.DataFrame(cells, columns=names, dtype=object), separator


def _encoding(path: str, encoding: str) -> str:
    with Path(path).open("rb") as file:
        if file.read(2) in {b"\xff\xfe", b"\xfe\xff"}:
            return "utf-16"
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding


def _separator(file: Iterable[str]) -> str:
    """The sign that occurs most often in the first line outside quotes."""
    first = re.sub(r'"[^"]*"', "", next((line for line in file if line.strip()), ""))
    return max(",;\t|", key=first.count)  # the first, on a tie


def _cell(value: Any) -> Any:
    """A number with nine digits; a text behind an apostrophe if a spreadsheet would compute it."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    if not str(value).startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return f"'{text}" if str(value)[:1].isspace() else text


def main() -> None:
    """Print the predictions for a file as CSV."""
    if len(sys.argv) != 2:
        sys.exit("usage: python score.py rows.csv > predictions.csv")
    try:
        found = Model().predict(sys.argv[1])
    except (OSError, ValueError, csv.Error) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    sys.stdout.reconfigure(encoding="utf-8")  # pyright: ignore[reportAttributeAccessIssue] - a text file
    sheet = csv.writer(sys.stdout, lineterminator="\n")
    sheet.writerow([_cell(title) for title in ("row", *found.columns)])
    sheet.writerows(
        [i, *map(_cell, row)] for i, row in enumerate(found.itertuples(index=False, name=None), 1)
    )


if __name__ == "__main__":
    main()
