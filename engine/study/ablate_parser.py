"""Parser of the `[ablate]` table, with the positions of keys and all faults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ..contracts import PolicyObjective, RegressionObjective
from ..registry import SERVICES, Registry
from ..sdk.metrics import BASIC_METRICS, CLASS_MEASURES, RECALL, VALUE_MEASURES
from ..spec import Spec
from ..spec.document import Document
from ..spec.faults import Fault, did_you_mean, listed
from ..spec.slots import service
from ..spec.spans import Path
from ..spec.structure import show, structure_table
from .ablate import MAX_SEEDS, Ablate, Budget, Case, Condition
from .assignments import Assignment, leaves, overlapping

FIXED = {"ablate", "name", "description", "extends", "plugins", "trackers"}
"""Keys that are the same in every cell."""
MAX_SEED = 2**63


class Reader:
    """Parses the parts of the table and collects all faults."""

    def __init__(self, document: Document, registry: Registry, faults: list[Fault]) -> None:
        self.document, self.registry, self.faults = document, registry, faults
        self._reported = set[Path]()
        table = document.tree.get("ablate", {})
        self.ablate = Ablate()
        if isinstance(table, dict):
            self.ablate = self._read_table(table)
        else:
            self.fault(("ablate",), f"ablate must be a table, got {show(table)}")

    def fault(self, path: Path, message: str, *, at_key: bool = False, **more: Any) -> None:
        """Record a fault at a value of the table, or at its key."""
        mark = self.document.location(path)
        self.faults.append(Fault(message=message, span=mark.key if at_key else mark.value, **more))

    def fault_once(self, path: Path, message: str, *, at_key: bool = True, **more: Any) -> None:
        """Record only the first fault at a position, since many arms may share it."""
        if path not in self._reported:
            self._reported.add(path)
            self.fault(path, message, at_key=at_key, **more)

    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order of the text."""
        value, first = self.ablate.seeds, self.document.tree.get("seed", 0)
        path: Path = ("ablate", "seeds")
        if isinstance(value, int):
            if not 1 <= value <= MAX_SEEDS:
                self.fault(path, f"seeds must be between 1 and {MAX_SEEDS}, or a list")
                return ()
            start = first if isinstance(first, int) else 0
            if start + value > MAX_SEED:
                self.fault(path, f"seeds from {start} on do not fit into 64 bits")
                return ()
            return tuple(range(start, start + value))
        if not value or len(set(value)) < len(value) or min(value) < 0 or len(value) > MAX_SEEDS:
            message = (
                f"seeds must be different whole numbers of at least 0, at least one, at most {MAX_SEEDS}"
            )
            self.fault(path, message)
            return ()
        return value

    def check_metric(self, specs: Sequence[Spec]) -> None:
        """Record a fault for a metric that some cell lacks; if no cell could be loaded, only for likely misspellings.

        Data are not loaded, so the recall of any class is allowed where classes are learnt; `plans_of` sees the data.
        """
        metric, names = self.ablate.metric, [*BASIC_METRICS]
        if specs:
            names += sorted(set.intersection(*(set(possible_measures(spec)) for spec in specs)))
        hint = did_you_mean(metric, names)
        if metric.startswith(RECALL) and set(CLASS_MEASURES) <= set(names):
            return
        if metric not in names and (specs or hint):
            message = (
                f"ablate.metric: expected one of {listed(show(name) for name in names)}, got {show(metric)}"
            )
            self.fault(("ablate", "metric"), message + (f"; {hint}" if hint else ""))

    def assignment(self, table: Any, path: Path) -> Assignment:
        """Keys with one value each."""
        found = Assignment()
        for key, value, place in self._settings(table, path):
            found = found.adding(key, value, place)
        return found

    def lists(self, table: Any, path: Path) -> dict[str, list[Assignment]]:
        """Keys with a list of values each, as one assignment per value."""
        found = dict[str, list[Assignment]]()
        for key, values, place in self._settings(table, path):
            if not isinstance(values, list) or not values:
                self.fault(place, f"{key}: expected a list of values, got {show(values)}")
                continue
            if len({json.dumps(value, sort_keys=True, default=str) for value in values}) < len(values):
                self.fault(place, f"{key}: a value is given twice")
                continue
            rows = [Assignment().adding(key, v, (*place, i)) for i, v in enumerate(values)]
            empty = [i for i, row in enumerate(rows) if not row.values]
            for i in empty:
                self.fault(
                    (*place, i), f"{key}: an empty table sets nothing", hint="write its defaults explicitly"
                )
            if not empty:
                found[key] = rows
        return found

    def zips(self) -> list[list[Assignment]]:
        """Groups of keys that vary together, each as a list of assignments."""
        value = self.ablate.zip
        many = isinstance(value, list)
        tables = value if many else [value] if value else []
        groups = list[list[Assignment]]()
        for number, table in enumerate(tables):
            path: Path = ("ablate", "zip", number) if many else ("ablate", "zip")
            columns = self.lists(table, path)
            lengths = {key: len(column) for key, column in columns.items()}
            if len(set(lengths.values())) > 1:
                message = listed(f"{key}: {length}" for key, length in lengths.items())
                self.fault(path, f"zipped lists differ in length ({message})", at_key=True)
            elif columns:
                groups.append([Assignment.joined(row) for row in zip(*columns.values(), strict=True)])
        return groups

    def cases(self) -> list[tuple[Case, Path]]:
        """The explicit arms."""
        return self._tables("case", Case)

    def conditions(self) -> list[tuple[Condition, Path]]:
        """The conditions, in their order."""
        found = self._tables("when", Condition)
        for when, path in found:
            if not (when.drop or when.set or when.tune):
                self.fault(path, "a condition must drop, set or tune something", at_key=True)
        return found

    def budgets(self) -> list[tuple[Budget, Path]]:
        """The budgets, in their order."""
        return self._tables("budget", Budget)

    def executor(self) -> tuple[str, Any]:
        """The executor's name and plugin; None if there are faults, which are recorded."""
        kind, table = SERVICES["executor"], self.ablate.executor
        path = ("ablate", "executor")
        if not isinstance(table, dict):
            hint = 'such as use = "local"'
            self.fault(path, f"ablate.executor must be a table, got {show(table)}", hint=hint)
            return "", None
        use = table.get("use", kind.default)
        if not isinstance(use, str):
            self.fault((*path, "use"), f"ablate.executor.use: expected a string, got {show(use)}")
            return "", None
        document, faults = self.document, self.faults
        if use not in self.registry.entries("executor"):
            path = (*path, "use")
        options = self._executor_options(use, table)
        found = service(
            kind, use, options, path=path, document=document, registry=self.registry, faults=faults
        )
        return use, found

    def _executor_options(self, use: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """The executor's options, without those of an executor that a higher layer (`--executor`) replaced."""
        fields = {name: _fields(entry.cls) for name, entry in self.registry.entries("executor").items()}
        others = set[str]().union(*fields.values()) - fields.get(use, set())
        path = ("ablate", "executor")
        top = self.document.location((*path, "use")).layer
        return {
            key: value
            for key, value in table.items()
            if key != "use" and not (key in others and self.document.location((*path, key)).layer < top)
        }

    def _read_table(self, table: Mapping[str, Any]) -> Ablate:
        """Parse the table. If some keys are invalid, parse the rest, so that their faults are found too."""
        path, known = ("ablate",), _fields(Ablate)
        whole = structure_table(Ablate, table, path, self.document, self.faults)
        if whole is not None:
            return whole
        alone = [
            structure_table(Ablate, {key: table[key]}, path, self.document, []) and key
            for key in table
            if key in known
        ]
        sound = {key: table[key] for key in alone if key}
        return structure_table(Ablate, sound, path, self.document, []) or Ablate()

    def _tables(self, name: str, cls: type[Any]) -> list[tuple[Any, Path]]:
        value = getattr(self.ablate, name)
        many = isinstance(value, list)
        found = list[tuple[Any, Path]]()
        for number, table in enumerate(value if many else [value] if value else []):
            path: Path = ("ablate", name, number) if many else ("ablate", name)
            if not isinstance(table, dict):
                self.fault(path, f"ablate.{name} must be a table, got {show(table)}")
            elif (read := structure_table(cls, table, path, self.document, self.faults)) is not None:
                found.append((read, path))
        return found

    def _settings(self, table: Any, path: Path) -> Iterator[tuple[str, Any, Path]]:
        if not isinstance(table, dict):
            self.fault(path, f"{'.'.join(map(str, path))} must be a table of keys, got {show(table)}")
            return
        for key, (value, place) in self._unique_keys(table, path).items():
            if key == "seed":
                self.fault(place, "seeds are given by ablate.seeds", at_key=True)
            elif key.partition(".")[0] in FIXED:
                self.fault(place, f'"{key}" cannot vary within a study', at_key=True)
            else:
                yield key, value, place

    def _unique_keys(self, table: Mapping[str, Any], path: Path) -> dict[str, tuple[Any, Path]]:
        """Unique dotted keys. TOML treats `"basis.use"` and `basis.use` as different keys; the one of the higher layer wins."""
        found = dict[str, tuple[Any, Path]]()
        for key, value, place in leaves(table, path):
            other = overlapping(key, found)
            here = self.document.location(place).layer
            there = self.document.location(found[other][1]).layer if other else here
            if other and here == there:
                message = "is given twice" if other == key else f'is given beside "{other}"'
                self.fault(place, f'"{key}" {message}', at_key=True)
            elif here >= there:
                if other:
                    del found[other]
                found[key] = (value, place)
        return found


def key_place(path: Path) -> Path:
    """The path of the key that holds a list item: `("ablate", "grid", "rounds", 0)` without its index."""
    for length, part in enumerate(path):
        if isinstance(part, int) and length > 2:  # an earlier index is that of a zip, a case or a condition
            return path[:length]
    return path


def possible_measures(spec: Spec) -> tuple[str, ...]:
    """Measures that a run may have: its task's own, and those of its kind of objective."""
    own = tuple(getattr(spec.task, "measures", ()))
    if isinstance(spec.objective, PolicyObjective):
        return own
    return (*own, *(VALUE_MEASURES if isinstance(spec.objective, RegressionObjective) else CLASS_MEASURES))


def _fields(cls: type[Any]) -> set[str]:
    return {field.name for field in attrs.fields(cls)}
