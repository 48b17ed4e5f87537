"""A row of a table's inputs as the texts that it came from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import ReversiblePreprocessing
from boostlora.plugins.tasks._table.columns import KINDS, column_uses
from boostlora.plugins.tasks._table.encoder import TableEncoder

ROWS = pd.DataFrame(
    {
        "age": [31.0, np.nan, 1234567.0, -0.125],
        "job": pd.Series(["smith", "nurse", "smith", None], dtype=object),
        "member": pd.Series(["yes", "no", "no", "yes"], dtype=object),
        "since": pd.Series(["2021-03-04", "1999-12-31", "2000-02-29", "2021-03-05"], dtype=object),
        "note": pd.Series(["a few words", "other words", "more of them", "and some"], dtype=object),
    }
)
SAID = {"job": "category", "since": "date", "note": "text"}


def encoder(scale: str) -> TableEncoder:
    uses = column_uses(ROWS, SAID, "rows.csv")
    return TableEncoder.fit(ROWS, uses, scale)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
def test_decoded_rows_are_those_of_the_table(scale: str):
    made = encoder(scale)
    assert isinstance(made, ReversiblePreprocessing)
    found = [dict(made.decode(row)) for row in made.encode(ROWS)]
    assert [row["age"] for row in found] == ["31", "missing", "1234567", "-0.125"]
    assert [row["job"] for row in found] == ["smith", "nurse", "smith", "missing"]
    assert [row["member"] for row in found] == ["true", "false", "false", "true"]
    assert [row["since"] for row in found] == ["2021-03-04", "1999-12-31", "2000-02-29", "2021-03-05"]
    assert {row["note"] for row in found} == {"free text"}


def test_decoded_category_that_training_did_not_have_is_named_unknown():
    made = encoder("standard")
    new = ROWS.assign(job=pd.Series(["baker"] * 4, dtype=object))
    assert made.decode(made.encode(new)[0])["job"] == "a value unknown in training"


def test_decoded_rare_category_is_named_rare():
    rows = pd.DataFrame({"job": pd.Series([f"job {i % 60}" for i in range(180)], dtype=object)})
    uses = column_uses(rows, {"job": KINDS["categories"]}, "rows.csv")
    made = TableEncoder.fit(rows, uses, "none")
    found = [made.decode(row)["job"] for row in made.encode(rows)]
    assert "a rare value" in found
    assert found[0] in {"job 0", "a rare value"}
