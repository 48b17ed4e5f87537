"""Tiny transformers with random weights for the reference backend, made without any library that could be wrong with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from boostlora.backends.reference.backend import Reference
from boostlora.backends.reference.nets import make_net
from boostlora.engine.contracts import (
    Batch,
    Blueprint,
    DenseDelta,
    Examples,
    FreeFactors,
    LinearCore,
    ModelSource,
    Site,
    Tokens,
    TrainingRequest,
    WeightInfo,
)
from boostlora.engine.testing.requests import GradientDescent

WORDS, CLASSES = 13, 3
BATCH = Batch(indices=np.array([3, 0, 5, 3]), weights=np.array([1.0, -0.5, 2.0, 0.3]))

DECODER: Mapping[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "intermediate_size": 10,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_theta": 100.0, "rope_type": "default"},
}
BERT: Mapping[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 12,
    "intermediate_size": 10,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "hidden_act": "gelu",
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-5,
}
ESM: Mapping[str, Any] = {
    **{key: value for key, value in BERT.items() if key != "type_vocab_size"},
    "position_embedding_type": "rotary",
    "pad_token_id": 1,
    "mask_token_id": 4,
    "token_dropout": True,
    "emb_layer_norm_before": True,
}

NETS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "llama": ("causal-lm/llama", {"hf": {**DECODER, "attention_bias": True, "mlp_bias": True}}),
    "llama-tied": ("causal-lm/llama", {"hf": {**DECODER, "tie_word_embeddings": True, "head_dim": 2}}),
    "qwen2": ("causal-lm/qwen2", {"hf": {**DECODER, "num_key_value_heads": 4}}),
    "classifier-llama": ("classifier/llama", {"hf": DECODER, "pooling": "last", "classes": CLASSES}),
    "classifier-qwen2": ("classifier/qwen2", {"hf": DECODER, "pooling": "mean", "classes": CLASSES}),
    "bert": ("classifier/bert", {"hf": BERT, "pooling": "mean", "classes": CLASSES}),
    "bert-max": (
        "classifier/bert",
        {"hf": {**BERT, "hidden_act": "gelu_new"}, "pooling": "max", "classes": CLASSES},
    ),
    "esm": ("classifier/esm", {"hf": ESM, "pooling": "cls", "classes": CLASSES}),
    "esm-absolute": (
        "classifier/esm",
        {
            "hf": {**ESM, "position_embedding_type": "absolute", "emb_layer_norm_before": False},
            "pooling": "mean",
            "classes": CLASSES,
        },
    ),
}


def shape_of(name: str, hf: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of a parameter, from its name and the configuration."""
    d, wide = hf["hidden_size"], hf["intermediate_size"]
    heads, head = hf["num_attention_heads"], hf.get("head_dim") or d // hf["num_attention_heads"]
    shared = hf.get("num_key_value_heads", heads)
    module, _, kind = name.rpartition(".")
    shapes = {
        "embed_tokens": (WORDS, d),
        "lm_head": (WORDS, d),
        "word_embeddings": (WORDS, d),
        "position_embeddings": (hf["max_position_embeddings"], d),
        "token_type_embeddings": (2, d),
        "head": (CLASSES, d),
        "q_proj": (heads * head, d),
        "k_proj": (shared * head, d),
        "v_proj": (shared * head, d),
        "o_proj": (d, heads * head),
        "gate_proj": (wide, d),
        "up_proj": (wide, d),
        "down_proj": (d, wide),
        "query": (d, d),
        "key": (d, d),
        "value": (d, d),
        "attention.output.dense": (d, d),
        "intermediate.dense": (wide, d),
        "output.dense": (d, wide),
    }
    shape = next((shape for end, shape in shapes.items() if f".{module}".endswith(f".{end}")), (d,))
    return shape[:1] if kind == "bias" else shape


def source_of(folder: Path, architecture: str, config: dict[str, Any], seed: int = 0) -> ModelSource:
    """A model of random weights; gains of norms are near 1, everything else is of a size at which no term is lost."""
    rng = np.random.default_rng(seed)
    names = sorted(make_net(Blueprint(architecture=architecture, config=config, weights=()), ()).parameters)
    gains = {name for name in names if "norm" in name.lower() and name.endswith("weight")}
    tensors = {
        name: (name in gains) + 0.4 * rng.standard_normal(shape_of(name, config["hf"])) for name in names
    }
    file = folder / f"{architecture.replace('/', '-')}.safetensors"
    save_file(tensors, file)
    weights = tuple(WeightInfo(name=name, shape=x.shape, dtype="float64") for name, x in tensors.items())
    blueprint = Blueprint(architecture=architecture, config=config, weights=weights)
    return ModelSource(blueprint=blueprint, files=(file,), sha256="")


def sites_of(source: ModelSource) -> list[Site]:
    """Every linear weight as a site."""
    linears = make_net(source.blueprint, ()).linears
    return [Site(name=w.name, shape=w.matrix) for w in source.blueprint.weights if w.name in linears]


def open_net(folder: Path, kind: str, backend: Reference | None = None):
    """One of `NETS`, opened with every linear weight as a site."""
    source = source_of(folder, *NETS[kind])
    return (backend or Reference()).open(source, sites_of(source))


def examples_for(kind: str, n: int = 7, seed: int = 3) -> Examples:
    """Sequences of 1 to 9 tokens, masks and padding tokens among them; of pairs, where the model knows types."""
    rng, completes = np.random.default_rng(seed), kind in {"llama", "llama-tied", "qwen2"}
    lengths = rng.integers(2, 10, n) if completes else np.r_[1, rng.integers(2, 10, n - 1)]
    sequences = [rng.integers(0, WORDS, length).tolist() for length in lengths]
    sequences = [[5, *rest] for _, *rest in sequences]  # none is nothing but masks
    starts = [int(rng.integers(1, length)) for length in lengths] if completes else None
    types = [np.sort(rng.integers(0, 2, length)).tolist() for length in lengths] if "bert" in kind else None
    labels = np.zeros(n, dtype=np.int64) if completes else rng.integers(0, CLASSES, n)
    inputs = Tokens.join(sequences, starts, types=types)
    return Examples(ids=np.arange(n, dtype=np.int64), inputs=inputs, labels=labels)


def request_of(model, sites, examples, steps=1, trace=None):
    """Every kind of parametrisation at once, away from zero, the linear cores tied across layers of different shapes."""
    rng, kinds = np.random.default_rng(2), dict[str, object]()
    P = rng.standard_normal((3, 2, 2))
    for i, site in enumerate(sites):
        match i % 3:
            case 0:
                kinds[site.name] = LinearCore(
                    rank=2, group="v", projections=P, init=np.full(3, 0.2), exponents=(0.5, 0.5)
                )
            case 1:
                A = rng.standard_normal((2, site.shape[1]))
                kinds[site.name] = FreeFactors(rank=2, scale=1.5, A=A)
            case _:
                kinds[site.name] = DenseDelta()
    return TrainingRequest(
        parametrisations=kinds,
        frames={site.name: model.directions(site.name, 2) for site in sites},
        examples=examples,
        batches=[BATCH] * steps,
        learning_rates=np.full(steps, 0.01),
        optimizer=GradientDescent(),
        trace=trace,
    )
