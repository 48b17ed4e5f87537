"""The `[ablate]` table: what varies, what is held, what is compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import attrs

from ..options import Limit, option
from ..registry import SERVICES, Registry
from ..spec.document import Document
from ..spec.faults import Fault, listed
from ..spec.resolve import service
from ..spec.spans import Path
from ..spec.structure import show, structure_table
from .assignments import Assignment, leaves

MOST_SEEDS, MOST_CELLS = 1000, 100_000
Quantity = Literal["parameters", "total_parameters", "steps", "examples"]
QUANTITIES: dict[Quantity, str] = {
    "parameters": "numbers trained in a round",
    "total_parameters": "numbers trained in all rounds",
    "steps": "optimiser steps in all rounds",
    "examples": "examples seen in all rounds, each as often as it is seen",
}
inside = Limit("more than 0 and less than 1", lambda x: 0 < x < 1)


@attrs.frozen(kw_only=True)
class Case:
    """`[[ablate.case]]`: an arm of its own, beside those of the grid."""

    name: str = option(attrs.NOTHING, "the arm's label")
    set: Any = option(attrs.Factory(dict), "keys of the spec and their values")
    tune: Any = option(attrs.Factory(dict), "candidates of its own for tuned keys")


@attrs.frozen(kw_only=True)
class When:
    """`[[ablate.when]]`: arms that match are dropped, or adjusted."""

    match: Any = option(attrs.NOTHING, "keys with the value that they must have, or a list of such values")
    drop: bool = option(False, "leave such arms out")
    set: Any = option(attrs.Factory(dict), "keys to set in such arms")
    tune: Any = option(attrs.Factory(dict), "candidates for tuned keys in such arms")


@attrs.frozen(kw_only=True)
class Budget:
    """`[[ablate.budget]]`: a quantity that is the same in every arm, by solving for a key."""

    hold: Quantity = option(attrs.NOTHING, "the quantity that is held")
    by: str = option(attrs.NOTHING, "the key of the spec that follows from it, a whole number")
    at: int = option(0, "its value; 0: that of the baseline", min=0)
    tolerance: float = option(0.0, "largest relative departure that will do", min=0.0, max=0.5)
    match: Any = option(attrs.Factory(dict), "only in arms that match")


@attrs.frozen(kw_only=True)
class Ablate:
    """The table as it is written; what is `Any` is read by `Reader`, which knows the places of its keys."""

    grid: Any = option(attrs.Factory(dict), "lists of values by key: every combination is an arm")
    zip: Any = option(attrs.Factory(dict), "lists of equal length by key, which vary together")
    case: Any = option(attrs.Factory(list), "arms of their own")
    when: Any = option(attrs.Factory(list), "conditions that drop or adjust arms")
    budget: Any = option(attrs.Factory(list), "quantities that are held")
    across: Any = option(attrs.Factory(dict), "lists of values by key: the study is repeated for each")
    tune: Any = option(
        attrs.Factory(dict), "candidates by key: every arm is reported at its best on validation"
    )
    seeds: int | tuple[int, ...] = option(5, "how many seeds, counted from the spec's own, or which")
    baseline: Any = option("", "the arm that others are compared with: its label, or keys that pick it out")
    metric: Literal["accuracy", "loss"] = option("accuracy", "what is compared")
    split: Literal["test", "validation"] = option("test", "on which split")
    at: Literal["last", "best"] = option("last", "after the last round, or at the best round on validation")
    confidence: float = option(0.95, "of every interval", inside)
    executor: Any = option(attrs.Factory(dict), "where cells are run: an executor plugin and its options")


class Reader:
    """Reads the parts of the table, and gathers every fault on the way."""

    def __init__(self, document: Document, registry: Registry, faults: list[Fault]) -> None:
        self.document, self.registry, self.faults = document, registry, faults
        table = document.tree.get("ablate", {})
        self.ablate = Ablate()
        if isinstance(table, dict):
            self.ablate = structure_table(Ablate, table, ("ablate",), document, faults) or Ablate()
        else:
            self.fault(("ablate",), f"ablate must be a table, got {show(table)}")

    def fault(self, path: Path, message: str, *, at_key: bool = False, **more: str) -> None:
        """Take a fault down, at a value of the table or at its key."""
        mark = self.document.mark(path)
        self.faults.append(Fault(message=message, span=mark.key if at_key else mark.value, **more))

    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order in which they are written."""
        given, first = self.ablate.seeds, self.document.tree.get("seed", 0)
        path: Path = ("ablate", "seeds")
        if isinstance(given, int):
            if not 1 <= given <= MOST_SEEDS:
                self.fault(path, f"seeds must be between 1 and {MOST_SEEDS}, or a list")
                return ()
            start = first if isinstance(first, int) else 0
            return tuple(range(start, start + given))
        if not given or len(set(given)) < len(given) or min(given) < 0:
            self.fault(path, "seeds must be different whole numbers of at least 0, at least one")
        return given

    def assignment(self, table: Any, path: Path) -> Assignment:
        """Keys with one value each."""
        found = Assignment()
        for key, value, place in self._leaves(table, path):
            found = found.adding(key, value, place)
        return found

    def lists(self, table: Any, path: Path) -> dict[str, list[Assignment]]:
        """Keys with a list of values each: what every value assigns."""
        found = dict[str, list[Assignment]]()
        for key, values, place in self._leaves(table, path):
            if not isinstance(values, list) or not values:
                self.fault(place, f"{key}: expected a list of values, got {show(values)}")
                continue
            if any(value in values[:i] for i, value in enumerate(values)):
                self.fault(place, f"{key}: a value is given twice")
            found[key] = [Assignment().adding(key, v, (*place, i)) for i, v in enumerate(values)]
        return found

    def zips(self) -> list[list[Assignment]]:
        """Groups of keys that vary together: every group as a list of assignments."""
        given = self.ablate.zip
        many = isinstance(given, list)
        tables = given if many else [given] if given else []
        groups = list[list[Assignment]]()
        for number, table in enumerate(tables):
            path: Path = ("ablate", "zip", number) if many else ("ablate", "zip")
            columns = self.lists(table, path)
            lengths = {key: len(column) for key, column in columns.items()}
            if len(set(lengths.values())) > 1:
                told = listed(f"{key}: {length}" for key, length in lengths.items())
                self.fault(path, f"zipped lists differ in length ({told})", at_key=True)
            elif columns:
                groups.append([Assignment.joined(row) for row in zip(*columns.values(), strict=True)])
        return groups

    def cases(self) -> list[tuple[Case, Path]]:
        """The explicit arms."""
        return self._tables("case", Case)

    def conditions(self) -> list[tuple[When, Path]]:
        """The conditions, in their order."""
        found = self._tables("when", When)
        for when, path in found:
            if not (when.drop or when.set or when.tune):
                self.fault(path, "a condition must drop, set or tune something", at_key=True)
        return found

    def budgets(self) -> list[tuple[Budget, Path]]:
        """The budgets, in their order."""
        return self._tables("budget", Budget)

    def executor(self) -> tuple[str, Any]:
        """The executor's name, and the plugin; None, with the faults added, where there are any."""
        kind, table = SERVICES["executor"], self.ablate.executor
        path = ("ablate", "executor")
        if not isinstance(table, dict):
            self.fault(
                path, f"ablate.executor must be a table, got {show(table)}", hint='such as use = "local"'
            )
            return "", None
        use = table.get("use", kind.default)
        options = {key: value for key, value in table.items() if key != "use"}
        return str(use), service(
            kind,
            str(use),
            options,
            path=path,
            document=self.document,
            registry=self.registry,
            faults=self.faults,
        )

    def _tables(self, name: str, cls: type[Any]) -> list[tuple[Any, Path]]:
        given = getattr(self.ablate, name)
        many = isinstance(given, list)
        found = list[tuple[Any, Path]]()
        for number, table in enumerate(given if many else [given] if given else []):
            path: Path = ("ablate", name, number) if many else ("ablate", name)
            if not isinstance(table, dict):
                self.fault(path, f"ablate.{name} must be a table, got {show(table)}")
            elif (read := structure_table(cls, table, path, self.document, self.faults)) is not None:
                found.append((read, path))
        return found

    def _leaves(self, table: Any, path: Path) -> Iterator[tuple[str, Any, Path]]:
        if not isinstance(table, dict):
            self.fault(path, f"{'.'.join(map(str, path))} must be a table of keys, got {show(table)}")
            return
        for key, value, place in leaves(table, path):
            if key == "seed":
                self.fault(place, "seeds are given by ablate.seeds", at_key=True)
            elif key.partition(".")[0] in {"ablate", "name", "extends", "trackers"}:
                self.fault(place, f'"{key}" cannot vary within a study', at_key=True)
            else:
                yield key, value, place
