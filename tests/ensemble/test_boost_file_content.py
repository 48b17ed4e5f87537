"""Invalid headers and contents of boost files: other versions, truncation, size limits, duplicates, unknown dtypes."""

from __future__ import annotations

import itertools
import json
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.export.boost_file import MAX_CONTENT

from ..support.boost_runs import REFUSED, forged, read_raw, reread, written


@pytest.mark.parametrize("version", ["2", "0", "", "1.0", "\x1b[31m"])
def test_boost_file_of_another_version_is_refused(version: str, file: Path, tmp_path: Path) -> None:
    place = forged(file, tmp_path / "x.safetensors", lambda c, a: None, version=version)
    with pytest.raises(UsageError) as caught:
        reread(place)
    told = version.replace("\x1b", r"\x1b")
    assert str(caught.value) == f"{place}: a boost file of version {told}; this release reads version 1"


@pytest.mark.parametrize("key", ["name", "base", "rounds", "apply"])
def test_boost_file_with_a_contradicting_header_is_refused(key: str, file: Path, tmp_path: Path) -> None:
    place = forged(file, tmp_path / "x.safetensors", lambda c, a: None, **{key: "other"})
    with pytest.raises(RunError, match="its header does not match its content"):
        reread(place)


TEXTS = {
    "not JSON": b"{",
    "no object": b"[1, 2]",
    "a number": b"3",
    "nothing": b"",
    "not UTF-8": b'{"name": "\xff"}',
    "deep": b"[" * 200_000,
    "a number of many digits": b'{"best": ' + b"9" * 9999 + b"}",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_boost_file_with_invalid_content_is_refused(kind: str, file: Path, tmp_path: Path) -> None:
    header, _, arrays = read_raw(file)
    with pytest.raises(RunError, match="damaged: its content"):
        reread(written(tmp_path / "x.safetensors", header, TEXTS[kind], arrays))


@pytest.mark.parametrize("kind", ["cut", "followed", "garbage", "missing"])
def test_boost_file_with_truncated_compressed_content_is_refused(
    kind: str, file: Path, tmp_path: Path
) -> None:
    from boostlora.engine.foundation.atomic import write_arrays
    from boostlora.engine.foundation.cache import arrays_sha256

    header, content, arrays = read_raw(file)
    packed = zlib.compress(json.dumps(content).encode())
    changed = {"cut": packed[:-9], "followed": packed + b"more", "garbage": b"garbage", "missing": b""}[kind]
    everything = arrays | {"content": np.frombuffer(changed, dtype=np.uint8)}
    if kind == "missing":
        del everything["content"]
    place = tmp_path / "x.safetensors"
    write_arrays(place, everything, {**header, "sha256": arrays_sha256(everything)})
    with pytest.raises(RunError, match="damaged: its content"):
        reread(place)


def test_boost_file_decompression_bomb_is_refused_immediately(file: Path, tmp_path: Path) -> None:
    from boostlora.engine.foundation.atomic import write_arrays
    from boostlora.engine.foundation.cache import arrays_sha256

    header, _, arrays = read_raw(file)
    packer, block = zlib.compressobj(1), b" " * 2**22
    bomb = b"".join(packer.compress(block) for _ in range(2**29 // len(block))) + packer.flush()
    everything = arrays | {"content": np.frombuffer(bomb, dtype=np.uint8)}
    place = tmp_path / "x.safetensors"
    write_arrays(place, everything, {**header, "sha256": arrays_sha256(everything)})
    began = time.process_time()
    with pytest.raises(RunError, match=f"has more than {MAX_CONTENT:,} bytes"):
        reread(place)
    assert time.process_time() - began < 10


@pytest.mark.parametrize("name", ["sketch", "values/0001", "__metadata__"])
def test_boost_file_with_duplicate_names_is_refused(name: str, file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + length].rstrip()
    entry = json.dumps({name: json.loads(header)[name]})[1:-1].encode()
    doubled = header[:-1] + b"," + entry + b"}"
    place = tmp_path / "x.safetensors"
    place.write_bytes(struct.pack("<Q", len(doubled)) + doubled + data[8 + length :])
    with pytest.raises(RunError):
        reread(place)


def test_boost_file_dtypes_unknown_to_numpy_are_refused(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    for name, kind in itertools.product(("values/0001", "content"), ("F8_E4M3", "F8_E5M2", "BF16", "U16")):
        low, high = header[name]["data_offsets"]
        size = 1 if kind.startswith("F8") else 2
        if (high - low) % size:
            continue
        entry = {"dtype": kind, "shape": [(high - low) // size], "data_offsets": [low, high]}
        changed = json.dumps({**header, name: entry}).encode()
        place = tmp_path / "x.safetensors"
        place.write_bytes(struct.pack("<Q", len(changed)) + changed + data[8 + length :])
        with pytest.raises(REFUSED):
            reread(place)
