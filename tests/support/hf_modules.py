"""Tiny Hugging Face models of random weights, saved to a folder, as sources that every backend can open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from boostlora.engine.contracts import Blueprint, Examples, ModelSource, Tokens
from boostlora.engine.foundation.atomic import file_sha256
from boostlora.engine.sdk.modules import weights_of

torch = pytest.importorskip("torch", reason="needs PyTorch")
transformers = pytest.importorskip("transformers", reason="needs transformers")

VOCABULARY = 61
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
DECODERS: dict[str, Callable[[], Any]] = {
    "qwen2": lambda: transformers.Qwen2Config(**SMALL, num_key_value_heads=2, tie_word_embeddings=True),
    "llama": lambda: transformers.LlamaConfig(**SMALL, num_key_value_heads=4, tie_word_embeddings=False),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0
    ),
}
ENCODERS: dict[str, Callable[[], Any]] = {
    "bert": lambda: transformers.BertConfig(**SMALL),
    "esm": lambda: transformers.EsmConfig(
        **SMALL, position_embedding_type="rotary", token_dropout=True, mask_token_id=60
    ),
}


def randomised(module: Any, seed: int) -> Any:
    """Every parameter drawn anew, norms and biases too, so that none of them is invisible."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.3
            parameter.copy_(noise + (1.0 if parameter.ndim == 1 and "bias" not in name else 0.0))
    return module.eval()


class Classifier(torch.nn.Module):
    """An encoder, the mean of its tokens, and a linear head."""

    def __init__(self, model: Any, width: int, classes: int) -> None:
        super().__init__()
        self.model, self.head = model, torch.nn.Linear(width, classes)

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, **more).last_hidden_state
        mask = attention_mask[..., None].to(hidden.dtype)
        return self.head((hidden * mask).sum(1) / mask.sum(1))


def make(kind: str, folder: Path, seed: int = 0) -> ModelSource:
    """A source of the kind `qwen2`, `llama`, `gpt2`, `bert` or `esm`, its weights in one safetensors file."""
    causal = kind in DECODERS
    config = (DECODERS | ENCODERS)[kind]()

    def module() -> Any:
        if causal:
            return transformers.AutoModelForCausalLM.from_config(config)
        return Classifier(transformers.AutoModel.from_config(config, add_pooling_layer=False), 24, 3)

    made, path = randomised(module(), seed), folder / f"{kind}-{seed}.safetensors"
    save_file({name: p.detach().numpy() for name, p in made.named_parameters()}, path)
    found = weights_of(
        made,
        linear=(torch.nn.Linear,),
        transposed=(transformers.pytorch_utils.Conv1D,),
        head="lm_head.weight" if causal else "head.weight",
    )

    def build(blueprint: Blueprint, compute: Any) -> Any:
        del blueprint
        fresh = module()
        fresh.load_state_dict({n: torch.from_numpy(x) for n, x in load_file(path).items()}, strict=False)
        return fresh.to(compute).eval()

    more = {} if causal else {"pooling": "mean", "classes": 3}
    blueprint = Blueprint(
        architecture=f"{'causal-lm' if causal else 'classifier'}/{kind}",
        config={"hf": config.to_dict(), **more},
        weights=tuple(
            w for w in found if "contact_head" not in w.name
        ),  # of ESM, and of no use to a classifier
    )
    return ModelSource(blueprint=blueprint, files=(path,), sha256=file_sha256(path), build=build)


def texts(kind: str, count: int = 7, seed: int = 1) -> Examples:
    """Random token sequences of different lengths; for decoders with completions, for BERT in pairs."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 12, count)
    ids = [rng.integers(4, VOCABULARY - 1, n).tolist() for n in lengths]
    types = [(np.arange(n) >= n // 2).astype(int).tolist() for n in lengths] if kind == "bert" else None
    starts = rng.integers(1, lengths).tolist() if kind in DECODERS else None
    labels = np.zeros(count, dtype=np.int64) if kind in DECODERS else rng.integers(0, 3, count)
    return Examples(ids=np.arange(count), inputs=Tokens.join(ids, starts, types=types), labels=labels)
