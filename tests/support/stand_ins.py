"""What the shipped specs of the paper take from a hub, as local files: stand-ins of its models and data, and the settings that name them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

"""The real data, where a checkout has them beside it."""
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
MBPP_PARTS = (range(11, 511), range(511, 601), range(601, 975))
LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))

QWEN: Mapping[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Qwen2.5-3B-Instruct's shape; the special tokens are those of the stand-in's alphabet."""
SMOL: Mapping[str, Any] = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rope_theta": 1e5,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""SmolLM2-135M-Instruct's."""
ESM: Mapping[str, Any] = {
    "vocab_size": 33,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 33,
    "num_attention_heads": 20,
    "max_position_embeddings": 1026,
    "position_embedding_type": "rotary",
    "token_dropout": True,
    "emb_layer_norm_before": False,
    "layer_norm_eps": 1e-5,
    "mask_token_id": 32,
    "pad_token_id": 1,
}
"""ESM2-650M's."""
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

_HUB = ("dataset=", "subset=")
_NOTHING_NAMED = {  # keys that name parts of a data set, which files do not have
    "gsm8k": (*_HUB, "test_split="),
    "math500": ("dataset=",),
    "mbpp": (*_HUB, "validation_split=", "test_split="),
    "humaneval": ("dataset=",),
    "protein-binding": (),
}
FILES = {
    "gsm8k": {"path": "gsm8k/train.jsonl", "test_path": "gsm8k/test.jsonl"},
    "math500": {"path": "math500/test.jsonl"},
    "mbpp": {"path": "mbpp/mbpp.jsonl"},
    "humaneval": {"path": "humaneval/HumanEval.jsonl"},
    "protein-binding": {"path": "skempi/binding.csv"},
}
_MODELS = {"protein-binding": "esm", "protein-binding-small": ""}
PAPER = tuple(f"paper/{task}{size}" for task in FILES for size in ("", "-small"))
"""The paper's experiments and their small twins."""
BRINGING = ("boosting/peptides", "boosting/protein-binding", "boosting/smollm2", "boosting/table")
"""Studies of boosting that take a model of a hub, or a file of the user's: `test_boosting_specs.py` has their settings."""
HUB = (*PAPER, "smollm2", *BRINGING)
"""The specs that name a model or data of a hub, or a file of the user's."""


def settings(spec: str, data: Path, model: Path | None) -> list[str]:
    """`--set` for a shipped spec: data of the folder `data`, and a `model`'s folder; nothing for specs that need neither."""
    if spec == "smollm2" and model is not None:
        return ["--set", f"model.path={model}"]
    if spec not in PAPER:
        return []
    task = spec.removeprefix("paper/").removesuffix("-small")
    pairs = [f"task.{key}" for key in _NOTHING_NAMED[task]]
    pairs += [f"task.{key}={data / name}" for key, name in FILES[task].items()]
    pairs += [] if model is None else [f"model.path={model}"]
    return [word for pair in pairs for word in ("--set", pair)]


def model_of(spec: str) -> str:
    """Which stand-in a shipped spec takes: `qwen`, `smol` or `esm`; empty where it makes its own model."""
    if spec == "smollm2":
        return "smol"
    if spec not in PAPER:
        return ""
    return _MODELS.get(spec.removeprefix("paper/"), "smol" if spec.endswith("-small") else "qwen")


def write_model(kind: str, folder: Path, cache: Path) -> Path:
    """A folder with a real configuration, a tokenizer, and a weight file whose header is real and whose body is a hole.

    `cache` is told the file's hash beforehand, since hashing gigabytes of nothing takes minutes.
    """
    from transformers import EsmConfig, LlamaConfig, Qwen2Config

    cls, shape, architecture = {
        "qwen": (Qwen2Config, QWEN, "Qwen2ForCausalLM"),
        "smol": (LlamaConfig, SMOL, "LlamaForCausalLM"),
        "esm": (EsmConfig, ESM, "EsmModel"),
    }[kind]
    config = cls(**shape)
    config.architectures, config.dtype = [architecture], "float32" if kind == "esm" else "bfloat16"
    config.save_pretrained(folder)
    _write_tokenizer(kind, folder)
    _write_hollow(_shapes(config, kind), config.dtype, folder / "model.safetensors", cache)
    return folder


def _write_tokenizer(kind: str, folder: Path) -> None:
    """A byte a token and a chat template; of proteins, ESM-2's own alphabet."""
    from boostlora.plugins.models._scratch.skeletons import causal_tokenizer, esm_tokenizer

    if kind == "esm":
        esm_tokenizer(folder, ESM["max_position_embeddings"] - 2).save_pretrained(folder)
        return
    tokenizer = causal_tokenizer((QWEN if kind == "qwen" else SMOL)["max_position_embeddings"])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


def _shapes(config: Any, kind: str) -> dict[str, tuple[int, ...]]:
    """Of every parameter, by name; those that are tied are one."""
    import torch
    from transformers import AutoModelForCausalLM, EsmModel

    with torch.device("meta"):
        if kind == "esm":
            module = EsmModel(config, add_pooling_layer=False)
        else:
            module = AutoModelForCausalLM.from_config(config)
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def _write_hollow(shapes: Mapping[str, tuple[int, ...]], dtype: Any, path: Path, cache: Path) -> None:
    size, word = (4, "F32") if str(dtype).endswith("float32") else (2, "BF16")
    header, end = dict[str, Any](), 0
    for name, shape in shapes.items():
        start, end = end, end + size * int(np.prod(shape))
        header[name] = {"dtype": word, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    _remember(path.resolve(), hashlib.sha256(text).hexdigest(), cache)


def _remember(path: Path, sha256: str, cache: Path) -> None:
    """Leave a note as `boostlora.engine.foundation.hashes` leaves it; were it not taken, the file would be hashed, slowly."""
    stat = path.stat()
    notes = cache / "hashes"
    notes.mkdir(parents=True, exist_ok=True)
    note = {
        "path": str(path),
        "stamp": [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns],
        "sha256": sha256,
    }
    (notes / f"{hashlib.sha256(str(path).encode()).hexdigest()}.json").write_text(json.dumps(note))


def write_data(folder: Path) -> Path:
    """Small files with the columns of the real ones, and their places."""
    code = {"code": "def f(a):\n    return a", "test_setup_code": "", "test_list": ["assert f(1) == 1"]}
    gsm = [{"question": f"What is {i} + 1?", "answer": f"It is {i + 1}.\n#### {i + 1}"} for i in range(60)]
    tables = {
        "gsm8k/train.jsonl": gsm,
        "gsm8k/test.jsonl": [{**row, "question": f"Say: {row['question']}"} for row in gsm],
        "math500/test.jsonl": [
            {"problem": f"What is {i} + 1?", "answer": f"{i + 1}", "solution": f"$\\boxed{{{i + 1}}}$"}
            | {"subject": ("Algebra", "Geometry")[i % 2], "level": 1 + i % 5}
            for i in range(60)
        ],
        "mbpp/mbpp.jsonl": [
            {"task_id": i, "text": f"Write a function that returns its argument ({i})."} | code
            for i in (*range(1, 31), *range(511, 531), *range(601, 641))
        ],
        "humaneval/HumanEval.jsonl": [
            {"task_id": f"HumanEval/{i}", "prompt": f'def f{i}(a):\n    """Return a."""\n'}
            | {"entry_point": f"f{i}", "canonical_solution": "    return a\n"}
            | {"test": "def check(candidate):\n    assert candidate(1) == 1\n"}
            for i in range(164)
        ],
    }
    for name, rows in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "skempi").mkdir()
    (folder / "skempi" / "binding.csv").write_text("\n".join(_complexes()) + "\n")
    return folder


def _complexes() -> list[str]:
    rng = np.random.default_rng(0)
    rows = ["mutations,ligand_seq,receptor_seq,pkd,group"]
    for group in range(40):
        for variant in range(2):
            ligand, receptor = ("".join(rng.choice(LETTERS, 30)) for _ in range(2))
            rows.append(f"{'CA1W' * variant},{ligand},{receptor},{6 + 3 * ((group + variant) % 2)},{group}")
    return rows
