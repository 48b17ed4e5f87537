"""The numbers for other programs: a line a cell, and a line a round of every cell."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..analysis.model import Analysis, CellView
from ..analysis.quantities import (
    effort,
    gained,
    lost,
    metrics_of_splits,
    parameters,
    seconds,
    shape_of,
    stored,
)
from ..contracts.records import RoundRecord
from ..errors import UsageError
from ..foundation.markup import spreadsheet_text

if TYPE_CHECKING:
    import pandas as pd


COUNTS = ("rounds", "parameters", "stored", "steps", "examples", "memory_bytes")


def counted(view: CellView, at: str) -> int | None:
    """The round whose model counts: the last, or the best on validation; None for a cell that has not finished."""
    if view.state.status != "finished" or not view.records:
        return None
    best = (view.result or {}).get("best_round")
    return (
        best if at == "best" and isinstance(best, int) and best < len(view.records) else len(view.records) - 1
    )


def results(analysis: Analysis) -> pd.DataFrame:
    """A line a cell: what it is, what became of it, and the metrics of the model that counts.

    Shares are in [0, 1], losses in nats, `seconds` are of the whole run. Values by which arms and blocks differ, and tuned
    ones, are columns `arm.KEY`, `block.KEY` and `tuned.KEY`; cells that have not finished have no metrics.
    """
    return _frame([_result(analysis, view) for view in analysis.cells])


def rounds(analysis: Analysis) -> pd.DataFrame:
    """A line a round and cell, unfinished cells included; round 0 is the model before boosting."""
    lines = [
        {**_place(view), "round": record.round, "status": record.status, **_round(record)}
        for view in analysis.cells
        for record in view.records
    ]
    return _frame(lines, columns=["cell", "arm", "block", "seed", "round", "status"])


def rounds_of(records: Sequence[RoundRecord]) -> pd.DataFrame:
    """A line a round of a single run."""
    return _frame([{"round": r.round, "status": r.status, **_round(r)} for r in records], ["round", "status"])


def csv(frame: pd.DataFrame) -> bytes:
    """Comma-separated values in UTF-8, with numbers in full, and no text that a spreadsheet would compute."""
    frame = frame.rename(columns=spreadsheet_text)
    for name in frame.columns:
        if frame[name].dtype.kind not in "biufc":
            frame[name] = [
                spreadsheet_text(value) if isinstance(value, str) else value for value in frame[name]
            ]
    return frame.to_csv(index=False, lineterminator="\n").encode()


def parquet(frame: pd.DataFrame) -> bytes:
    """Parquet. Raises `UsageError` where pyarrow is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("parquet needs pyarrow: pip install 'boostlora[parquet]', or ask for csv")
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, engine="pyarrow")
    return buffer.getvalue()


def _frame(lines: list[dict[str, Any]], columns: list[str] | None = None) -> pd.DataFrame:
    """Lines as a table; a column that mixes types becomes text, which every format can hold."""
    import pandas as pd  # noqa: PLC0415 - not needed by the other formats

    names = list(dict.fromkeys(name for line in lines for name in line)) or columns
    frame = pd.DataFrame(lines, columns=names)
    for name in frame.columns:
        kinds = {type(value) for value in frame[name] if not _is_missing(value)}
        if len(kinds) > 1 and not kinds <= {int, float}:
            frame[name] = [None if _is_missing(value) else str(value) for value in frame[name]]
        elif name in COUNTS:
            frame[name] = frame[name].astype("Int64")  # whole numbers, of which some may be missing
    return frame


def _is_missing(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN, which pandas puts where a line has no value


def _place(view: CellView) -> dict[str, Any]:
    cell = view.state.cell
    return {"cell": cell.key, "arm": cell.arm, "block": cell.block, "seed": cell.seed}


def _result(analysis: Analysis, view: CellView) -> dict[str, Any]:
    study, cell, state = analysis.study, view.state.cell, view.state
    arm = next((a.values for a in study.arms if a.label == cell.arm), {})
    block = next((b.values for b in study.blocks if b.label == cell.block), {})
    line = {
        **_place(view),
        "status": state.status,
        "ended": state.ended,
        "cause": state.cause,
        "selected": view.selected,
        "folder": cell.folder,
    }
    for kind, values in (("arm", arm), ("block", block), ("tuned", cell.tuning)):
        line |= {f"{kind}.{key}": _scalar(value) for key, value in values.items()}
    last = counted(view, study.at)
    if last is None:
        return line
    played = view.records[: last + 1]
    return {
        **line,
        **metrics_of_splits(view.records[last]),
        **{f"base.{name}": value for name, value in metrics_of_splits(view.records[0]).items()},
        **shape_of(view.records[last]),
        "rounds": last,
        "parameters": parameters(played),
        "stored": stored(played),
        **effort(view.spec, last),
        "lost": lost(played),
        "gained": gained(played),
        "seconds": sum(seconds(record) for record in view.records),
        "memory_bytes": max(record.memory_bytes for record in view.records),
    }


def _round(record: RoundRecord) -> dict[str, Any]:
    """`lost` and `gained` are counts of examples here, as a round records them."""
    return {
        **metrics_of_splits(record),
        "failures": record.failures,
        "selected": record.selected,
        "trained_on": record.trained_on,
        "lost": record.lost,
        "gained": record.gained,
        "scale": record.scale,
        "loss_first": record.loss_first,
        "loss_last": record.loss_last,
        "parameters": record.parameters,
        "stored": record.parameters if record.stored is None else record.stored,
        "rank": None,
        "effective_rank": None,
        "overlap": None,
        **shape_of(record),
        "seconds": seconds(record),
        "memory_bytes": record.memory_bytes,
        "reason": record.reason,
    }


def _scalar(value: object) -> object:
    """A value that fits a cell of a spreadsheet."""
    return value if isinstance(value, bool | int | float | str) else str(value)
