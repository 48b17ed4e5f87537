"""Damaged files of runs and studies give a one-sentence error and a documented exit code, never a traceback."""

import random
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from ..support.commands import Answer, boostlora
from .whole import ALL, Whole, times

DOCUMENTED = {0, 2, 3, 4}
COUNT = times("BOOSTLORA_DAMAGES", 40)
"""How many damaged folders are tried."""

Damage = Callable[[random.Random, list[Path]], str]


def flip(rng: random.Random, files: list[Path]) -> str:
    path = rng.choice(files)
    data = bytearray(path.read_bytes() or b"?")
    for _ in range(rng.choice([1, 1, 3])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"bits flipped in {path}"


def truncate(rng: random.Random, files: list[Path]) -> str:
    path = rng.choice(files)
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])
    return f"{path} truncated"


def garble(rng: random.Random, files: list[Path]) -> str:
    path = rng.choice(files)
    path.write_bytes(
        rng.choice([b"", b"[]", b"{}", b"null", b"[" * 5000, b"\xff\xfe", b"x = 1\n", b"0" * 5000])
    )
    return f"{path} replaced"


def digit(rng: random.Random, files: list[Path]) -> str:
    path = rng.choice([f for f in files if f.suffix in {".json", ".jsonl", ".toml"}])
    data = bytearray(path.read_bytes())
    places = [at for at, byte in enumerate(data) if chr(byte).isdigit()]
    if places:
        data[rng.choice(places)] = ord(str(rng.randrange(10)))
    path.write_bytes(data)
    return f"a digit of {path} changed"


def remove(rng: random.Random, files: list[Path]) -> str:
    path = rng.choice([*files, *(f.parent for f in files if f.parent.name in {"updates", "outcomes"})])
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return f"{path} removed"


def swap(rng: random.Random, files: list[Path]) -> str:
    one, two = rng.sample(files, 2)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    return f"{one} and {two} swapped"


def fold(rng: random.Random, files: list[Path]) -> str:
    path = rng.choice(files)
    path.unlink()
    path.mkdir() if rng.random() < 0.5 else path.symlink_to(path.name)
    return f"{path} is a folder or a link to itself"


DAMAGES: tuple[Damage, ...] = (flip, flip, truncate, garble, digit, digit, remove, swap, fold)


def commands(run: Path) -> list[tuple[str, ...]]:
    """What is asked of a damaged folder; the cheap ones more often."""
    path = str(run)
    cheap = [
        ("show", path),
        ("show", path, "--json"),
        ("show",),
        ("show", path, "--samples"),
        ("compare", f"{path}@best", f"{path}@1", "--examples", "0"),
        ("rollback", path, "--to", "1"),
        ("status", "tiny", "--cells"),
        ("status", "tiny", "--json"),
        ("collect", "tiny"),
        ("runs",),
        ("runs", "--csv"),
    ]
    dear = [
        ("resume", path),
        ("run", f"{path}/spec.toml", "-q"),
        ("evaluate", path, "--staged"),
        ("export", path, "--to", "safetensors", *ALL, "--out", "other", "-q"),
        ("apply", "x.boost.safetensors", "x.boost.safetensors"),
        ("report", "tiny", "--format", "md"),
        ("report", path, "--format", "html"),
        ("ablate", "runs/tiny/study/study.toml", "-q"),
        ("run", "quickstart", "--from", f"{path}@1", "--set", "rounds=2", "--set", "optimizer.steps=2", "-q"),
    ]
    return [*cheap, *cheap, *cheap, *dear]


def check(answer: Answer, what: str) -> None:
    """One sentence on standard error, after warnings, and a documented exit code."""
    assert answer.returncode in DOCUMENTED, (what, answer)
    assert "Traceback" not in answer.stderr + answer.stdout, (what, answer)
    if answer.returncode:
        told = [line for line in answer.stderr.splitlines() if line.startswith(("error: ", "failed: "))]
        assert len(told) == 1, (what, answer)


@pytest.mark.slow(reason="a copy and a command for each damage")
def test_damaged_folder_is_refused_with_a_one_sentence_error(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("BOOSTLORA_CACHE", str(whole.cache))
    _try(whole, tmp_path, range(COUNT))


def test_few_damaged_folders_are_refused_with_a_one_sentence_error(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("BOOSTLORA_CACHE", str(whole.cache))
    _try(whole, tmp_path, range(10_000, 10_006))


def _try(whole: Whole, folder: Path, seeds: range) -> None:
    failures = list[str]()
    for seed in seeds:
        rng = random.Random(seed)  # noqa: S311 - damage, not secrets
        copy = whole.copy(folder / str(seed), without=("ex",))
        files = sorted(p for p in copy.folder.rglob("*") if p.is_file() and p.name != "tiny.toml")
        if rng.random() < 0.7:
            files = [p for p in files if p.is_relative_to(copy.folder / copy.run)]
        what = rng.choice(DAMAGES)(rng, files)
        command = rng.choice(commands(whole.run))
        said = f"seed {seed}: {what}: boostlora {' '.join(command)}"
        try:
            check(boostlora(*command, cwd=copy.folder), said)
        except AssertionError as error:
            failures.append(str(error))
        except Exception:
            failures.append(f"{said}\n{traceback.format_exc()[-1500:]}")
        shutil.rmtree(copy.folder)
    assert not failures, f"{len(failures)} of {len(seeds)}:\n" + "\n".join(failures)
