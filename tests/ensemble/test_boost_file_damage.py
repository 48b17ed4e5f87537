"""Boost files with bytes changed or cut off, and files of another kind: each is refused in words, and nothing is written."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from boostlora.engine.cli.apply import command as apply

from ..support.boost_runs import PLUGIN, REFUSED, ToyRun, reread


@pytest.fixture
def run(toy: ToyRun) -> ToyRun:
    """The run that the file comes from."""
    return toy


def _mutants(data: bytes, rng: random.Random) -> list[bytes]:
    """Single bits and bytes, runs of zeros, doubled and swapped blocks, cuts at every kind of place."""
    found = list[bytes]()
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(300):
        place = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(header)
        found.append(data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :])
        found.append(data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :])
    for _ in range(60):
        start, length = rng.randrange(len(data)), rng.randrange(1, 64)
        found.append(data[:start] + bytes(length) + data[start + length :])
        found.append(data[:start] + data[start + length :])
        found.append(data[:start] + data[start : start + length] + data[start:])
    cuts = {0, 1, 7, 8, 9, header - 1, header, header + 1, len(data) - 1}
    found += [data[:cut] for cut in cuts | {rng.randrange(len(data)) for _ in range(60)}]
    return [*found, data + b"\0", data * 2]


@pytest.mark.parametrize("kind", ["file", "with_factors"])
def test_boost_file_with_any_byte_changed_is_refused(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    original: Path = request.getfixturevalue(kind)
    data, place, padding = original.read_bytes(), tmp_path / "mutant.boost.safetensors", 0
    whole = reread(original)
    for mutant in _mutants(data, random.Random(7)):  # noqa: S311 - no secrets
        if mutant == data:
            continue
        place.write_bytes(mutant)
        try:
            found = reread(place)
        except REFUSED:
            continue
        # A space between two words of JSON says nothing; the same file came out.
        assert found == whole
        assert found.arrays.keys() == whole.arrays.keys()
        assert all(np.array_equal(found.arrays[name], whole.arrays[name]) for name in whole.arrays)
        padding += 1
    assert padding < 20


def test_damaged_boost_file_leaves_no_partial_output(
    file: Path, run: ToyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mutant = tmp_path / "mutant.boost.safetensors"
    data = file.read_bytes()
    for place in (3, 40, len(data) // 2, len(data) - 3):
        mutant.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        answer = CliRunner().invoke(apply, [str(run.base), str(mutant), "--plugin", str(PLUGIN)])
        assert isinstance(answer.exception, REFUSED), answer.exception
        assert answer.exception.exit_code in {2, 3}
        assert [path.name for path in tmp_path.iterdir()] == [mutant.name]


def _foreign(folder: Path, kind: str) -> Path:
    place = folder / "x.boost.safetensors"
    match kind:
        case "text":
            place.write_text("These are the rounds: 1, 2, 3.\n" * 9)
        case "empty":
            place.write_bytes(b"")
        case "folder":
            place.mkdir()
        case "foreign":
            save_file({"w": np.zeros(3)}, place, metadata={"format": "pt"})
        case "bare":
            save_file({"w": np.zeros(3)}, place)
        case _:
            return folder / "nowhere"
    return place


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("text", 3, "not a readable safetensors file, or truncated"),
        ("empty", 3, "not a readable safetensors file, or truncated"),
        ("folder", 2, "a folder, not a boost file"),
        ("missing", 2, "no such file"),
        ("foreign", 2, "not a boost file; boostlora export RUN --to boost writes one"),
        ("bare", 2, "not a boost file; boostlora export RUN --to boost writes one"),
    ],
)
def test_file_of_another_kind_is_recognised(kind: str, code: int, message: str, tmp_path: Path) -> None:
    place = _foreign(tmp_path, kind)
    with pytest.raises(REFUSED) as caught:
        reread(place)
    assert caught.value.exit_code == code
    assert str(caught.value).startswith(f"{place}: {message}")
