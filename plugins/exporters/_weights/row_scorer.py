"""The preprocessing of a table beside an MLP's weights, and the program that scores raw rows with both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ....engine.contracts import Exportable, ExportablePreprocessing, PortablePreprocessing
from ....engine.errors import RunError, UsageError
from ....engine.foundation.atomic import write_bytes, write_text

SETTINGS, ARRAYS, PROGRAM = "preprocessing.json", PortablePreprocessing.ARRAYS, "score.py"
SHOWN_COLUMNS = 12
"""Columns of an example row that the card shows."""


@attrs.frozen(kw_only=True, eq=False)
class RowScorer:
    """What a raw row needs besides the weights."""

    preprocessing: PortablePreprocessing
    settings: dict[str, Any]
    """The content of `preprocessing.json`."""

    @classmethod
    def of(cls, ensemble: Exportable, files: list[str], dtype: str) -> RowScorer | None:
        """For an MLP on a table, with weights in `files`; None for other models and data, and where the data are not available."""
        blueprint = ensemble.source.blueprint
        if blueprint.architecture != "mlp" or ensemble.splits is None:
            return None
        try:
            splits = ensemble.splits()
        except UsageError:
            return None
        if not isinstance(splits.preprocessing, ExportablePreprocessing):
            return None
        found, values = splits.preprocessing.portable(), splits.train.values
        settings: dict[str, Any] = {
            **found.settings,
            "target": {"classes": list(splits.classes)}
            if values is None
            else {"mean": values.mean, "std": values.std},
            "model": {
                "hidden": len(blueprint.config["hidden"]),
                "activation": blueprint.config["activation"],
                "dtype": dtype,
                "files": files,
            },
            "example": dict(found.example),
        }
        return cls(preprocessing=found, settings=settings)

    def write(self, folder: Path) -> None:
        """Write settings, arrays and program, then read them back."""
        from safetensors.numpy import save  # noqa: PLC0415 - only exports need it

        write_text(folder / SETTINGS, self._json)
        write_bytes(folder / ARRAYS, save(dict(self.preprocessing.arrays)))
        write_text(folder / PROGRAM, self.preprocessing.program)
        self.check(folder)

    def check(self, folder: Path) -> None:
        """Raise `RunError` if a file does not hold what was written."""
        from safetensors.numpy import load_file  # noqa: PLC0415

        arrays, expected = load_file(folder / ARRAYS), self.preprocessing.arrays
        same = arrays.keys() == expected.keys() and all(
            np.array_equal(arrays[name], array) for name, array in expected.items()
        )
        texts = {SETTINGS: self._json, PROGRAM: self.preprocessing.program}
        wrong = [name for name, text in texts.items() if (folder / name).read_text(encoding="utf-8") != text]
        wrong += [] if same else [ARRAYS]
        if wrong:
            raise RunError(f"{folder / wrong[0]}: not as it was written; export again")

    @property
    def _json(self) -> str:
        return json.dumps(self.settings, indent=1) + "\n"

    def usage(self, place: str) -> str:
        """Python code that scores an example row by the program."""
        example = self.settings["example"]
        cells = "".join(f"    {name!r}: {cell!r},\n" for name, cell in example.items())
        row = f"{{\n{cells}}}" if len(example) <= SHOWN_COLUMNS else "model.example  # a dict of a row"
        return f"""\
import sys

sys.path.insert(0, {place!r})  # score.py needs NumPy, pandas and safetensors
from score import Model

model = Model({place!r})
row = {row}
print(model.predict(row))  # or "new.csv", a list of rows, or a data frame
rows = model.encode(row)
logits = model.logits(rows)
# On a command line: python {json.dumps(f"{place}/{PROGRAM}")} new.csv > predictions.csv
"""
