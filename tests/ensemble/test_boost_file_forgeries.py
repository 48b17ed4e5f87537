"""Boost files forged with consistent digests: every change is refused with a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boostlora.engine.api import save
from boostlora.engine.errors import BoostLoraError, RunError

from ..support.boost_runs import Forger, ToyRun, adapter_text, forged, origin_of, reread, toy_run

SITE = "layers.0.weight"


@pytest.fixture(scope="module")
def loads(toy: ToyRun) -> Any:
    """Reads a file and makes its rounds on the right base."""
    base = toy.base

    def load(path: Path) -> None:
        ensemble = toy.load(path, toy.cache, base)
        assert origin_of(ensemble).merged is not None

    return load


def test_boost_file_rewritten_without_a_change_is_read(file: Path, loads: Any, tmp_path: Path) -> None:
    loads(forged(file, tmp_path / "x.safetensors", lambda c, a: None))


def _set(*path: Any) -> Forger:
    """Put the last of `path` at the place that the others name."""
    *way, last, value = path

    def forge(content: Any, arrays: Any) -> None:
        for step in way:
            content = content[step]
        content[last] = value

    return forge


def _drop(*path: Any) -> Forger:
    *way, last = path

    def forge(content: Any, arrays: Any) -> None:
        for step in way:
            content = content[step]
        del content[last]

    return forge


def _array(name: str, change: Any) -> Forger:
    def forge(content: Any, arrays: Any) -> None:
        arrays[name] = change(arrays[name])

    return forge


def _nan(array: Any) -> Any:
    found = array.copy()
    found.flat[0] = np.nan
    return found


def _swap(content: Any, arrays: Any) -> None:
    content["rounds"][0], content["rounds"][1] = content["rounds"][1], content["rounds"][0]


def _twice(content: Any, arrays: Any) -> None:
    content["rounds"].insert(0, content["rounds"][0])


def _longer(content: Any, arrays: Any) -> None:
    arrays["values/0001"] = np.append(arrays["values/0001"], np.float32(1))


def _shifted(content: Any, arrays: Any) -> None:
    """Lengths that add up, and are not those of the groups."""
    groups = content["rounds"][0]["groups"]
    first, second = list(groups)[:2]
    groups[first] += 1
    groups[second] -= 1


def _renamed(content: Any, arrays: Any) -> None:
    groups = content["rounds"][0]["groups"]
    groups["nowhere"] = groups.pop(next(iter(groups)))


FORGERIES: dict[str, Forger] = {
    "lengths do not add up": _longer,
    "lengths of other groups": _shifted,
    "a negative length": lambda c, a: c["rounds"][0]["groups"].update(dict(zip(list(c["rounds"][0]["groups"])[:2], [-1, 7], strict=True))),
    "a group that is not there": _renamed,
    "no group": _set("rounds", 0, "groups", {}),
    "a site that does not exist": lambda c, a: c.update(spec=c["spec"].replace('targets = "all-linear"', 'targets = ["nowhere"]')),
    "a table twice": lambda c, a: c.update(spec=c["spec"] + "\n[sites]\n"),
    "fewer sites": lambda c, a: c.update(spec=c["spec"].replace('targets = "all-linear"', f'targets = ["{SITE}"]')),
    "rounds out of order": _swap,
    "a round twice": _twice,
    "a round that was not merged": _set("records", 2, "scale", 0.0),
    "a round left out": _drop("rounds", 1),
    "another scale": _set("rounds", 0, "scale", 2.0),
    "a scale of NaN": _set("rounds", 0, "scale", float("nan")),
    "an infinite scale": lambda c, a: (_set("rounds", 0, "scale", 1e999)(c, a), _set("records", 1, "scale", 1e999)(c, a)),
    "weights of rounds that are not there": _set("merged", "weights", "9", 1.0),
    "a weight of round 0": _set("merged", "weights", "0", 1.0),
    "a weight of NaN": _set("merged", "weights", "1", float("nan")),
    "a weight of 0": _set("merged", "weights", "1", 0.0),
    "a weight that is a word": _set("merged", "weights", "1", "all"),
    "a round that is a word": _set("merged", "weights", "one", 1.0),
    "a norm of NaN": _set("merged", "norm", float("nan")),
    "a number that is a fraction": _set("rounds", 0, "number", 1.5),
    "a number that is a word": _set("rounds", 0, "number", "1"),
    "factors that are missing": _set("rounds", 0, "factors", True),
    "factors that are a word": _set("rounds", 0, "factors", "no"),
    "a best round that is not there": _set("best", 9),
    "a negative best round": _set("best", -1),
    "no records": _set("records", []),
    "records out of order": lambda c, a: c["records"].reverse(),
    "records that are none": _set("records", 1, {"round": 1, "scale": 1.0}),
    "records of words": _set("records", 1, "one"),
    "a name that leads elsewhere": _set("name", "../../elsewhere"),
    "an empty name": _set("name", ""),
    "no spec": _drop("spec"),
    "a spec that is no TOML": _set("spec", "rounds = = 3"),
    "a spec of a bomb": _set("spec", "a" + ".a" * 30000 + " = 1"),
    "a spec without a model": _set("spec", 'name = "toy"\n'),
    "a spec of wrong kinds": _set("spec", 'name = "toy"\nmodel = 3\nadapter = "x"\n'),
    "a spec of unknown plugins": lambda c, a: c.update(spec=c["spec"].replace("tinylora", "gigantic")),
    "another rank": lambda c, a: c.update(spec=c["spec"].replace("rank = 2", "rank = 3")),
    "more rank than there is": lambda c, a: c.update(spec=c["spec"].replace("rank = 2", "rank = 50")),
    "another basis": lambda c, a: c.update(spec=c["spec"].replace('use = "rotate"', 'use = "random"')),
    "another seed": lambda c, a: c.update(spec=c["spec"].replace("seed = 0", "seed = 1")),
    "a key that nobody knows": _set("colour", "red"),
    "no base": _set("base", "files", []),
    "a base of words": _set("base", "mine"),
    "a weight of another shape": _set("blueprint", "weights", 0, "shape", [11, 10]),
    "a negative shape": _set("blueprint", "weights", 0, "shape", [-11, 9]),
    "a matrix of one side": _set("blueprint", "weights", 0, "shape", [99]),
    "a weight twice": lambda c, a: c["blueprint"]["weights"].append(c["blueprint"]["weights"][0]),
    "a weight that no file has": _set("blueprint", "weights", 0, "name", "layers.7.weight"),
    "no weights": _set("blueprint", "weights", []),
    "values of NaN": _array("values/0001", _nan),
    "values of huge numbers": _array("values/0001", lambda x: np.full(x.shape, 1e300)),
    "values of whole numbers": _array("values/0001", lambda x: x.astype(np.int64)),
    "values in a square": _array("values/0001", lambda x: x.reshape(2, -1)),
    "other values": _array("values/0001", lambda x: -x),
    "no values": lambda c, a: a.pop("values/0001"),
    "values of nobody": lambda c, a: a.update({"values/0009": np.zeros(2)}),
    "no sketches": lambda c, a: a.pop("sketch"),
    "sketches of NaN": _array("sketch", _nan),
    "fewer sketches": _array("sketch", lambda x: x[:1]),
    "short sketches": _array("sketch", lambda x: np.ascontiguousarray(x[:, :1])),
    "other sketches": _array("sketch", lambda x: -x),
    "a fitted weight of nobody": lambda c, a: a.update({"fitted/head.weight": np.zeros((3, 10))}),
    "a fitted weight that is missing": _set("base", "fitted", ["head.weight"]),
    "a fitted weight of another shape": lambda c, a: (
        _set("base", "fitted", ["head.weight"])(c, a),
        a.update({"fitted/head.weight": np.zeros((2, 2))}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORGERIES)
def test_forged_boost_file_is_refused_with_a_message(
    kind: str, file: Path, loads: Any, tmp_path: Path
) -> None:
    with pytest.raises(BoostLoraError) as caught:
        loads(forged(file, tmp_path / "x.safetensors", FORGERIES[kind]))
    assert caught.value.exit_code in {2, 3, 4}
    assert "raised" not in str(caught.value), "a plugin was given what is none"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("lengths do not add up", "damaged: round 1 has 7 values, but its groups have 6"),
        ("rounds out of order", "damaged: its rounds are not in order"),
        ("a round that was not merged", "damaged: its rounds differ from the merged rounds of its records"),
        ("weights of rounds that are not there", "damaged: there are weights of missing rounds; it has 4"),
        ("values of NaN", "damaged: values/0001 holds values that are not finite numbers"),
        ("values of nobody", "damaged: unknown array values/0009"),
        ("a name that leads elsewhere", 'damaged: "../../elsewhere" is not a valid name of a run'),
        ("a number that is a fraction", "damaged: its content is not that of a boost file"),
    ],
)  # fmt: skip
def test_forged_boost_file_message_names_the_fault(
    kind: str, message: str, file: Path, tmp_path: Path
) -> None:
    header = {"name": "../../elsewhere"} if "name" in kind else {}
    place = forged(file, tmp_path / "x.safetensors", FORGERIES[kind], **header)
    with pytest.raises(RunError) as caught:
        reread(place)
    assert str(caught.value) == f"{place}: {message}"


F = f"factors/0001/{SITE}/"
FACTORS: dict[str, Forger] = {
    "of a site that does not exist": lambda c, a: a.update({"factors/0001/nowhere/delta": np.zeros((2, 2))}),
    "of a weight that is no site": lambda c, a: a.update({"factors/0001/head.weight/delta": np.zeros((3, 10))}),
    "of a bias": lambda c, a: a.update({"factors/0001/layers.0.bias/delta": np.zeros(11)}),
    "without a core": lambda c, a: a.pop(F + "core"),
    "of another rank": _array(F + "core", lambda x: np.zeros((3, 3))),
    "of another width": _array(F + "U", lambda x: np.zeros((5, 2))),
    "of NaN": _array(F + "V", _nan),
    "of no form": _array(F + "form", lambda x: x[:1]),
    "both ways": lambda c, a: a.update({F + "delta": np.zeros((11, 9))}),
    "with a part of nobody": lambda c, a: a.update({F + "W": np.zeros((2, 2))}),
    "of a round without": lambda c, a: a.update({"factors/0009/x/delta": np.zeros((2, 2))}),
    "that say something else": _array(F + "core", lambda x: -x),
    "of another exponent": _array(F + "form", lambda x: np.array([-900.0, -900.0, 1.0])),
}  # fmt: skip


@pytest.mark.parametrize("kind", FACTORS)
def test_forged_factors_are_refused(kind: str, with_factors: Path, loads: Any, tmp_path: Path) -> None:
    with pytest.raises(BoostLoraError) as caught:
        loads(forged(with_factors, tmp_path / "x.safetensors", FACTORS[kind]))
    assert caught.value.exit_code in {3, 4}


def test_forged_full_updates_are_refused(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "full", "backend.threads=1", text=adapter_text("full"))
    file = save(run.ensemble(), tmp_path / "full.boost.safetensors")

    def shorter(content: Any, arrays: Any) -> None:
        groups = content["rounds"][0]["groups"]
        groups[SITE] -= 1
        arrays["values/0001"] = arrays["values/0001"][:-1]

    with pytest.raises(RunError, match=rf"round 1: \d+ values of {SITE}, but its spec trains 99"):
        origin_of(run.load(forged(file, tmp_path / "x.safetensors", shorter), run.cache)).merged  # noqa: B018
