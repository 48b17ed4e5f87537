"""Files of rows that every reader takes or refuses alike: tables, texts, sources."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import Splits
from boostlora.engine.errors import UsageError
from boostlora.plugins.tasks._files import cells
from boostlora.plugins.tasks._frames import read
from boostlora.plugins.tasks._text.rows import read_file
from boostlora.plugins.tasks.language_modelling import LanguageModelling
from boostlora.plugins.tasks.table import Table
from boostlora.plugins.tasks.text_classification import TextClassification

from .text_cases import Write, everything, load, reviews, sums

READERS = [pytest.param(read, id="table"), pytest.param(read_file, id="text")]
LEAK = 'two columns are called "{}"; rename one of them, or leave it out'


def refused(reader: Any, path: str) -> str:
    with pytest.raises(UsageError) as caught:
        reader(path)
    return str(caught.value).removeprefix(f"{path}: ")


def columns(reader: Any, path: str) -> dict[str, list[Any]]:
    found = reader(path)
    return {n: list(v) for n, v in (found.columns if reader is read_file else found).items()}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("header", "twice"),
    [("x,y,y", "y"), ("y,y,x", "y"), ("a,a,a.1", "a"), ("x,y, y ", "y"), ('x,"y",y', "y"), (",Unnamed: 0,y", "Unnamed: 0")],
)  # fmt: skip
def test_file_with_duplicate_column_names_is_refused(
    write: Write, reader: Any, header: str, twice: str
) -> None:
    for name in ("r.csv", "r.csv.gz", "R.CSV", "r.tsv", "r.tsv.gz"):
        text = f"{header}\n1,0,0\n2,1,1\n".replace("\ufeff", "")
        if ".tsv" in name:
            text = text.replace(",", "\t").replace('"', "")
        assert refused(reader, write(text, name)) == LEAK.format(twice)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("empty", ["", "  ", "\t "], ids=["nothing", "spaces", "a tab"])
def test_blank_lines_are_not_rows(write: Write, reader: Any, empty: str) -> None:
    plain = write("x,y\n1,a\n2,b\n", "plain.csv")
    spaced = write(f"{empty}\nx,y\n{empty}\n1,a\n{empty}\n2,b\n{empty}\n", "spaced.csv")
    assert columns(reader, spaced) == columns(reader, plain)
    single = write(f"x\n1\n{empty}\n2\n", "single.csv")
    assert len(columns(reader, single)["x"]) == 2


@pytest.mark.parametrize("reader", READERS)
def test_json_line_with_a_duplicate_key_is_refused(write: Write, reader: Any) -> None:
    for name in ("r.jsonl", "r.ndjson", "r.jsonl.gz"):
        path = write('{"x": 1, "y": 2}\n{"x": 1, "y": 2, "y": 3}\n', name)
        assert refused(reader, path) == 'line 2 has two values of "y"'


@pytest.mark.parametrize("reader", READERS)
def test_parquet_with_duplicate_column_names_is_refused(write: Write, reader: Any, tmp_path: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = str(tmp_path / "twice.parquet")
    parquet.write_table(pa.table([pa.array([1]), pa.array([2])], names=["y", "y"]), path)
    assert refused(reader, path) == LEAK.format("y")
    frame = pd.DataFrame({"x": [1], "y": [2]}, index=pd.Index([2], name="y"))
    assert refused(reader, write(frame, "index.parquet")) == LEAK.format("y")


def test_source_and_splits_with_duplicate_column_names_are_refused(write: Write, frame: pd.DataFrame) -> None:
    path, twice = write(frame), write("age,income,town,bought,bought\n1,2,a,yes,yes\n", "twice.csv")
    texts, words = write(reviews(), "texts.csv"), write("text,label,label\na,b,b\n", "words.csv")
    for task, fault in (
        (Table(path=path, label="bought", source=twice), f"{twice}: {LEAK.format('bought')}"),
        (TextClassification(path=texts, source=words), f"{words}: {LEAK.format('label')}"),
        (TextClassification(path=texts, test_path=words), f"{words}: {LEAK.format('label')}"),
        (LanguageModelling(path=words, prompt="text", completion="label"), f"{words}: {LEAK.format('label')}"),
    ):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            load(task)
        assert str(caught.value) == fault


@pytest.mark.parametrize("reader", READERS)
def test_column_names_that_look_mangled_are_kept(write: Write, reader: Any) -> None:
    assert list(columns(reader, write("a,a.1,,b \n1,2,3,4\n"))) == ["a", "a.1", "Unnamed: 2", "b"]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_file_is_the_same_with_any_line_ends_and_a_byte_order_mark(
    write: Write, reader: Any, end: str, mark: str
) -> None:
    expected = {"x y": ["a\nb", 'c "d"'], "z": ["u", "v"]}
    for name in ("r.csv", "r.csv.gz"):
        text = mark + end + end.join(['"x y", z', '"a\nb",u', "", '"c ""d""",v', ""])
        assert columns(reader, write(text, name)) == expected


@pytest.mark.parametrize("reader", READERS)
def test_tab_separated_file_has_no_quoting(write: Write, reader: Any) -> None:
    text = 'text\tlabel\nfine\tA\n"Hi, he said\tB\nok\tA\nand left"\tB\n""\t"C"\n'
    expected = {"text": ["fine", '"Hi, he said', "ok", 'and left"', '""'], "label": ["A", "B", "A", "B", '"C"']}  # fmt: skip
    for name in ("r.tsv", "r.tsv.gz"):
        assert columns(reader, write(text, name)) == expected
        single = write('"text\tlabel\n"Hi, he said\tB\nok\t"A\n', name)
        assert columns(reader, single) == {'"text': ['"Hi, he said', "ok"], "label": ["B", '"A']}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x,y,z\n1,2,3\n\n1,2\n", "not a readable table: the row that ends in line 4 has fewer fields than the header (2 of 3)"),
        ('x,y,z\n"1\n2",2\n', "not a readable table: the row that ends in line 3 has fewer fields than the header (2 of 3)"),
        ("x,y\n1,2,3\n4,5,6\n", "not a readable table: rows have more fields than the header"),
    ],
)  # fmt: skip
def test_file_with_rows_of_unequal_fields_is_refused(
    write: Write, reader: Any, text: str, fault: str
) -> None:
    assert refused(reader, write(text)) == fault


@pytest.mark.parametrize("reader", READERS)
def test_field_of_any_length_is_read(write: Write, reader: Any) -> None:
    long = "w" * 200_000
    assert columns(reader, write(f"x,y\n{long},b\n"))["x"] == [long]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (r'{"x": "so \ud83d", "y": "b"}', r'column "x" holds half a character (\ud83d, a lone surrogate) in row 2'),
        (r'{"x": "a", "y": ["\uDE00 b"]}', r'column "y" holds half a character (\ude00, a lone surrogate) in row 2'),
        (r'{"x": "a", "y\ud83d": 1}', r'column "y\ud83d" holds half a character (\ud83d, a lone surrogate) in row 2'),
    ],
)  # fmt: skip
def test_lone_surrogate_is_refused_with_its_row(write: Write, reader: Any, line: str, fault: str) -> None:
    good = r'{"x": "\ud83d\ude00", "y": "b"}'
    for name in ("r.jsonl", "r.jsonl.gz"):
        assert refused(reader, write(f"{good}\n\n{line}\n", name)) == fault
    assert columns(reader, write(f"{good}\n", "good.jsonl"))["x"] == ["\U0001f600"]


@pytest.mark.parametrize("reader", READERS)
def test_broken_archive_is_refused(write: Write, reader: Any) -> None:
    for name, text in (("r.csv.gz", b"x,y\n1,2\n" * 99), ("r.jsonl.gz", b'{"x": 1}\n' * 99)):
        for content in (text, gzip.compress(text)[:-12]):
            assert refused(reader, write(content, name)).startswith("not a readable table: ")
    assert "unknown kind" in refused(reader, write(b"", "r.parquet.gz"))


@pytest.mark.parametrize("reader", READERS)
def test_parquet_index_with_a_name_is_a_column(write: Write, reader: Any) -> None:
    frame = pd.DataFrame({"x": [1, 2], "y": ["a", "b"], "z": [3, 4]})
    assert columns(reader, write(frame.set_index("y"), "one.parquet")) == {"y": ["a", "b"], "x": [1, 2], "z": [3, 4]}  # fmt: skip
    both = columns(reader, write(frame.set_index(["y", "x"]), "two.parquet"))
    assert list(both.items()) == [("y", ["a", "b"]), ("x", [1, 2]), ("z", [3, 4])]
    unnamed = frame.set_index(pd.Index([5, 6]))
    assert list(columns(reader, write(unnamed, "none.parquet"))) == ["x", "y", "z"]


def test_text_labels_that_are_whole_numbers_are_the_same_in_path_and_source(write: Write) -> None:
    numbers = np.arange(60) % 3
    ints, floats = reviews().assign(label=numbers), reviews().assign(label=numbers.astype(float))
    for one, two in ((ints, floats), (floats, ints)):
        splits = load(TextClassification(path=write(one, "path.csv"), source=write(two, "source.csv")))
        assert splits.classes == ("0", "1", "2")
        assert splits.source is not None
        assert np.bincount(splits.source.labels).tolist() == [20, 20, 20]
    apart = load(TextClassification(path=write(reviews().assign(label=["1.0", "01"] * 30))))
    assert apart.classes == ("01", "1.0")


def gathered(splits: Splits) -> list[Any]:
    return sorted(everything(splits).values())


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.tsv.gz", "rows.jsonl.gz"])
def test_gzipped_files_are_the_same_data(write: Write, name: str) -> None:
    plain = sums().to_json(orient="records", lines=True) if "jsonl" in name else sums().to_csv(index=False, sep="\t" if "tsv" in name else ",")  # fmt: skip
    one = load(LanguageModelling(path=write(plain, name)))
    two = load(LanguageModelling(path=write(plain, name.removesuffix(".gz"))))
    assert gathered(one) == gathered(two)
    assert len(gathered(one)) == 50


def test_field_limit_of_the_csv_module_is_restored(write: Write) -> None:
    import csv

    before = csv.field_size_limit()
    cells(write("x,y\n1,2\n"))
    assert csv.field_size_limit() == before
