"""What a run's folder holds, as its report needs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import tomli_w

from ...contracts.records import RoundRecord
from ...records.run_result import best_of
from ...runs.directory import RunDirectory
from ...runs.samples import SampleAnswer, Samples
from ...sdk.metrics import is_regression


@attrs.frozen(kw_only=True, eq=False)
class RunView:
    """A run, finished or not."""

    path: str
    spec: dict[str, Any]
    """The spec as a tree."""
    records: tuple[RoundRecord, ...]
    result: dict[str, Any] | None
    """None while the run is unfinished."""
    provenance: dict[str, Any]
    metric: str
    """By which rounds are compared on validation; empty without rounds."""
    samples: Samples | None
    answers: tuple[tuple[SampleAnswer, ...], ...]
    """The answers to every sample, by round."""

    @classmethod
    def read(cls, path: Path) -> RunView:
        """Read a run. Raises `RunError` where it is damaged."""
        directory = RunDirectory.open(path)
        result, samples = directory.result(), directory.samples()
        return cls(
            path=str(path),
            spec=directory.spec_tree(),
            records=tuple(directory.records),
            result=result,
            provenance=directory.provenance() or {},
            metric=directory.metric,
            samples=samples,
            answers=tuple(map(tuple, directory.sample_answers(samples))) if samples else (),
        )

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.spec.get("name", ""))

    @property
    def best(self) -> int:
        """The best round on validation; so far, in an unfinished run."""
        if self.result is not None:
            return int(self.result["best_round"])
        stop = self.table("stop")
        return best_of(self.records, str(stop.get("metric", "")), float(stop.get("min_delta", 0.0)))

    @property
    def is_regression(self) -> bool:
        """Whether values are predicted."""
        return bool(self.records) and is_regression(self.records[0].validation)

    @property
    def headline(self) -> str:
        """The metric of the answer: the compared one; in a regression the RMSE instead of the loss, which orders rounds alike."""
        return "rmse" if self.is_regression and self.metric == "loss" else self.metric

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, and not by a failure."""
        return self.result is not None and self.result["status"] != "failed"

    @property
    def planned(self) -> int:
        """Rounds that the spec asks for."""
        return int(self.spec.get("rounds", 0))

    @property
    def spec_toml(self) -> str:
        """The spec as TOML."""
        return tomli_w.dumps(self.spec)

    def table(self, name: str) -> Mapping[str, Any]:
        """A table of the spec; empty where it has none."""
        found = self.spec.get(name, {})
        return found if isinstance(found, dict) else {}
