"""Analyses made by hand, so that reports can be looked at in every situation a study may be in."""

from __future__ import annotations

from typing import Any

import attrs

from boostlora.engine.analysis.model import (
    Analysis,
    CellView,
    Curve,
    Row,
)
from boostlora.engine.study.record import Arm, Block, CellRecord, StudyRecord
from boostlora.engine.study.states import CellState

from .sample_records import METRICS, candidates_of, comparison_of, estimate, record, value

HOSTILE = (
    "<script>alert('x')</script>",
    "</script><!-- a & b",
    "50 %_of\\{all} $x^2$ #1 ~",
    "quotes \"double\" 'single' `back`",
    "a|b*c*_d_[e](f)",
    "learning rate λ = 0,3 · größer → 学习率 🙂",
    "x" * 80,
)
QUANTITIES = (
    "test.accuracy",
    "test.loss",
    "validation.accuracy",
    "validation.loss",
    "train.accuracy",
    "rank",
    "effective_rank",
    "overlap",
    "lost",
    "failures",
)


@attrs.frozen(kw_only=True)
class Sample:
    """What a study looks like; `analysis()` makes it."""

    arms: tuple[str, ...] = ("fixed", "random", "rotate")
    blocks: tuple[str, ...] = ("",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    rounds: int = 16
    baseline: bool = True
    failed: frozenset[int] = frozenset()
    """Positions of cells that failed."""
    pending: frozenset[int] = frozenset()
    tuned: tuple[float, ...] = ()
    """Learning rates tried; the last is the one chosen."""
    metric: str = "accuracy"
    name: str = "bases"
    description: str = "Does giving every round its own singular directions help?"
    notes: tuple[str, ...] = ()

    def analysis(self) -> Analysis:
        cells = self._cells()
        study = StudyRecord(
            name=self.name,
            description=self.description,
            sha256="5b1f" * 16,
            arms=tuple(
                Arm(label=a, values={"basis.use": a}, solved={"rounds": 4 + i})
                for i, a in enumerate(self.arms)
            ),
            blocks=tuple(Block(label=b, values={"task.angle": b} if b else {}) for b in self.blocks),
            seeds=self.seeds,
            cells=tuple(view.state.cell for view in cells),
            baseline=self.arms[0] if self.baseline else None,
            metric=self.metric,  # pyright: ignore[reportArgumentType] - a test names it as it likes
            notes=("rounds were solved so that every arm trains 256 numbers",),
            created="2025-11-03T09:12:00+00:00",
            provenance={
                "versions": {"python": "3.11.7", "boostlora": "0.1.0", "numpy": "2.1.0"},
                "git": "c0ffee" * 6 + "abcd",
                "command": ["boostlora", "ablate", f"{self.name}.toml"],
            },
        )
        rows = self._rows(cells)
        return Analysis(
            study=study,
            rows=rows,
            curves=self._curves(cells),
            cells=cells,
            notes=self.notes,
            candidates=candidates_of(cells, self.tuned, self.metric),
        )

    def _cells(self) -> tuple[CellView, ...]:
        views = list[CellView]()
        for b, block in enumerate(self.blocks):
            for a, arm in enumerate(self.arms):
                for lr in self.tuned or (None,):
                    for seed in self.seeds:
                        position = len(views)
                        cell = CellRecord(
                            key=f"{position + 0xABCDEF000000:012x}",
                            arm=arm,
                            block=block,
                            seed=seed,
                            tuning={} if lr is None else {"optimizer.lr": lr},
                            folder=f"{self.name}/{position + 0xABCDEF000000:012x}",
                            rounds=self.rounds,
                        )
                        chosen = lr is None or lr == self.tuned[-1]
                        views.append(self._view(cell, a, b, position, chosen))
        return tuple(views)

    def _view(self, cell: CellRecord, a: int, b: int, position: int, chosen: bool) -> CellView:
        if position in self.pending:
            state = CellState(cell=cell, status="pending")
            return CellView(state=state, selected=chosen, records=(), spec={}, provenance={}, result=None)
        records = tuple(record(a, b, cell.seed, r) for r in range(self.rounds + 1))
        spec = {
            "name": self.name,
            "seed": cell.seed,
            "rounds": self.rounds,
            "basis": {"use": cell.arm},
            "task": {"use": "digits", "angle": 90.0 + b},
            "optimizer": {"use": "adam", "lr": cell.tuning.get("optimizer.lr", 0.1), "steps": 40},
            "sites": {"targets": ["layers.0", "layers.1"]},
        }
        provenance = {
            "created": f"2025-11-03T09:{position % 60:02d}:00+00:00",
            "git": "c0ffee" * 6 + "abcd",
            "hashes": {"spec": cell.key + "0" * 52},
            "versions": {"python": "3.11.7", "boostlora": "0.1.0", "numpy": "2.1.0"},
        }
        if position in self.failed:
            cause = f"round 3: loss is not finite at {cell.arm}"
            state = CellState(cell=cell, status="failed", rounds=3, cause=cause)
            return CellView(
                state=state,
                selected=chosen,
                records=records[:4],
                spec=spec,
                provenance=provenance,
                result=None,
            )
        state = CellState(cell=cell, status="finished", rounds=self.rounds, ended="completed")
        result = {"status": "completed", "reason": "all rounds done", "best_round": self.rounds - 1}
        return CellView(
            state=state, selected=chosen, records=records, spec=spec, provenance=provenance, result=result
        )

    def _finished(self, cells: tuple[CellView, ...], arm: str, block: str) -> list[CellView]:
        return [
            view
            for view in cells
            if view.state.cell.arm == arm
            and view.state.cell.block == block
            and view.selected
            and view.state.status == "finished"
        ]

    def _rows(self, cells: tuple[CellView, ...]) -> tuple[Row, ...]:
        return tuple(self._row(cells, arm, block) for block in self.blocks for arm in self.arms)

    def _row(self, cells: tuple[CellView, ...], arm: str, block: str) -> Row:
        views = self._finished(cells, arm, block)
        seeds = tuple(view.state.cell.seed for view in views)
        metrics = {name: estimate([value(v.records, name) for v in views]) for name in METRICS if views}
        base = self.arms[0] if self.baseline else None
        comparison = None
        others = {v.state.cell.seed: v for v in self._finished(cells, self.arms[0], block)}
        paired = [(view, others[s]) for s, view in zip(seeds, views, strict=True) if s in others]
        if base is not None and arm != base and paired:
            comparison = comparison_of(paired, self.metric)
        return Row(
            arm=arm,
            block=block,
            is_baseline=arm == base,
            values={"basis.use": arm, "rounds": self.rounds},
            tuned={"optimizer.lr": self.tuned[-1]} if self.tuned else {},
            seeds=seeds,
            missing=tuple(s for s in self.seeds if s not in seeds),
            cells=tuple(view.state.cell.key for view in views),
            metrics=metrics,
            comparison=comparison,
        )

    def _curves(self, cells: tuple[CellView, ...]) -> tuple[Curve, ...]:
        found = list[Curve]()
        for block in self.blocks:
            for arm in self.arms:
                if views := self._finished(cells, arm, block):
                    found += [self._curve(views, arm, block, quantity) for quantity in QUANTITIES]
        return tuple(found)

    def _curve(self, views: list[CellView], arm: str, block: str, quantity: str) -> Curve:
        points = [
            estimate([value(v.records[: r + 1], quantity) for v in views]) for r in range(self.rounds + 1)
        ]
        steps = tuple(float(r) for r in range(self.rounds + 1))
        return Curve(
            arm=arm,
            block=block,
            quantity=quantity,
            x={
                "round": steps,
                "rank": tuple(max(views[0].records[int(r)].rank.values()) for r in steps),
                "parameters": tuple(16 * r for r in steps),
                "steps": tuple(40 * r for r in steps),
                "seconds": tuple(0.0312 * r for r in steps),
            },
            mean=tuple(p.mean for p in points),
            low=tuple(p.low for p in points),
            high=tuple(p.high for p in points),
        )


def sample(**options: Any) -> Analysis:
    """An analysed study; see `Sample` for what can be said."""
    return Sample(**options).analysis()


SITUATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one arm": {"arms": ("only",), "baseline": False},
    "one seed": {"seeds": (0,), "notes": ("One seed: no interval and no test.",)},
    "no baseline": {"baseline": False},
    "nothing finished": {"seeds": (0, 1), "pending": frozenset(range(6))},
    "failed cells": {"failed": frozenset({1, 2, 11}), "pending": frozenset({4}), "notes": ("3 cells failed.",)},
    "all failed": {"seeds": (0, 1), "failed": frozenset(range(6))},
    "hostile labels": {
        "arms": HOSTILE, "blocks": HOSTILE[:2], "name": "hostile", "seeds": (0, 1), "rounds": 4,
        "description": HOSTILE[0] + HOSTILE[3], "notes": HOSTILE, "failed": frozenset({3}),
    },
    "ten blocks": {"blocks": tuple(f"angle {10 * i}°" for i in range(1, 11)), "rounds": 5, "seeds": (0, 1, 2)},
    "tuned": {"tuned": (0.01, 0.1), "seeds": (0, 1, 2)},
    "tuned in blocks": {
        "tuned": (0.003, 0.01, 0.03), "blocks": ("45°", "90°"), "seeds": tuple(range(8)),
        "arms": ("fixed", "random", "rotate", "d", "e", "f", "g", "h"), "pending": frozenset(range(8)), "rounds": 5,
    },
    "loss": {"metric": "loss"},
}  # fmt: skip
