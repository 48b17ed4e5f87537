"""Every causal architecture of the installed transformers, tiny and random: what is right with it, and what is refused.

`python -m tests.support.architectures` prints the table of docs/architectures.md.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from boostlora.backends.torch.backend import Torch
from boostlora.engine.boosting.first_step import PlainDescent
from boostlora.engine.contracts import (
    Batch,
    Blueprint,
    DenseDelta,
    Examples,
    GenerationRequest,
    ModelSource,
    Site,
    Tokens,
    TrainingRequest,
)
from boostlora.engine.errors import UsageError
from boostlora.plugins.models._hf.nets import check_kind, weights

MOST = 3_000_000
"""Parameters of a model that counts as tiny."""
NEW = 8
"""Tokens that are written."""
LENGTHS, STARTS = (9, 5, 12, 3, 3), (4, 3, 6, 2, 2)
TOLERANCE = 1e-3
"""Relative error in float32; what is wrong is off by the size of the numbers."""
SMALL: dict[str, Any] = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "decoder_layers", "encoder_layers"), 4),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "lru_width", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_attention_heads", "n_head", "attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "ffn_hidden_size", "decoder_ffn_dim"), 48),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "rotary_dim", "head_dim"), 8),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), 128),
    "vocab_size": 64,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "state_size": 8,
    "chunk_size": 8,
    "mamba_chunk_size": 8,
    "conv_kernel": 4,
    "time_step_rank": 4,
    "attention_window": 8,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_n_groups": 1}
LATENT = {"num_key_value_heads": 4, "n_group": 1, "topk_group": 1}
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32"), LATENT),
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 64},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {**MAMBA, "layer_types": ["mamba", "attention"] * 2},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 4,
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "zamba": {
        "num_hidden_layers": 6,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 4,
        "n_mamba_heads": 2,
        "use_mamba_kernels": False,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "num_key_value_heads": 4,
    },
    "zamba2": {
        "layer_types": ["mamba", "hybrid"] * 2,
        "mamba_d_state": 4,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "mamba_ngroups": 1,
        "use_mamba_kernels": False,
        "num_key_value_heads": 4,
        "num_mem_blocks": 1,
        "hybrid_layer_ids": [1, 3],
        "adapter_rank": 4,
    },
}
"""What some families need beside, so that layers of each of their kinds are there."""
WITHOUT = ((), ("head_dim",), ("num_key_value_heads",), ("head_dim", "num_key_value_heads"))
"""Options that are left to the family where the model cannot be made with them."""


@attrs.frozen(kw_only=True)
class Found:
    """What came of a family."""

    family: str
    status: str
    """`right`, `refused` with its reason, `not tried` where no tiny model of it is known, or `WRONG` with what is."""
    sites: int = 0
    summed: int = 0
    """Sites that train on the sum of weight and update."""
    writes: str = ""
    """How answers are written: from a cache, or anew for each token."""


def families() -> list[str]:
    """All that transformers registers as causal language models."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def configs_of(family: str) -> Iterator[Any]:
    """Tiny configurations, those first that say most; what a family refuses is left out."""
    cls = CONFIG_MAPPING[family]
    known = cls()
    wanted = {k: v for k, v in SMALL.items() if hasattr(known, k) or k in cls.attribute_map}
    for left_out in WITHOUT:
        with suppress(Exception):
            yield cls(**{k: v for k, v in wanted.items() if k not in left_out} | OWN.get(family, {}))


def module_of(family: str) -> Any:
    """The tiny model, every matrix drawn at random. Raises ValueError where there is none that is tiny and computes anything."""
    for config in configs_of(family):
        check_kind(config, "causal", family)
        with suppress(Exception):
            with torch.device("meta"):
                size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
            if size > MOST:
                continue
            torch.manual_seed(0)
            module = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
            randomise(module)
            with torch.no_grad():
                module(input_ids=torch.arange(4, 12)[None])
            return module
    raise ValueError(family)


def randomise(module: torch.nn.Module) -> None:
    """Every matrix drawn anew, so that none is 0 and none hides behind another."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def examine(family: str) -> Found:
    """Try everything that the engine asks of a causal language model."""
    logging.disable(logging.ERROR)
    transformers.logging.set_verbosity_error()
    try:
        module = module_of(family)
    except UsageError as error:
        return Found(family=family, status=f"refused: {str(error).partition(': ')[2]}")
    except Exception:
        return Found(family=family, status="not tried")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _examined(family, module, Path(folder))


def _examined(family: str, module: Any, folder: Path) -> Found:
    infos, file = weights(module), folder / "weights.safetensors"
    save_file({name: p.detach().clone().contiguous() for name, p in module.named_parameters()}, file)
    blueprint = Blueprint(architecture=f"causal-lm/{family}", config={}, weights=infos)
    sites = [Site(name=w.name, shape=w.matrix) for w in infos if w.role == "linear"]
    if not sites:
        return Found(family=family, status="refused: it has no linear layer to adapt")
    source = ModelSource(blueprint=blueprint, files=(file,), sha256="", build=lambda *_: module)
    try:
        model = Torch(device="cpu", dtype="float32", threads=1).open(source, sites)
        unreached = model.unreached_sites(examples())
    except UsageError as error:
        return Found(family=family, status=f"refused: {error}", sites=len(sites))
    except Exception as error:
        return Found(
            family=family, status=f"WRONG: opening: {type(error).__name__}: {error}", sites=len(sites)
        )
    found = Found(
        family=family,
        status="right" + (f", {len(unreached)} sites without a gradient" if unreached else ""),
        sites=len(sites),
        summed=sum(not layer.low_rank for layer in model._layers.values()),  # type: ignore[attr-defined]
    )
    for what, check in (("gradients", gradients_are_right), ("answers", answers_are_right)):
        try:
            if not check(model, sites):
                return attrs.evolve(found, status=f"WRONG: {what}")
        except Exception as error:
            return attrs.evolve(found, status=f"WRONG: {what}: {type(error).__name__}: {error}")
    way = model.net.way  # type: ignore[attr-defined]
    return attrs.evolve(found, writes="from a cache" if way.cached else "anew for each token")


def examples() -> Examples:
    """Random tokens; the last two prompts are equal."""
    rng = np.random.default_rng(1)
    rows = [rng.integers(4, 60, n).tolist() for n in LENGTHS]
    rows[-1] = list(rows[-2])
    return Examples(
        ids=np.arange(len(rows)), inputs=Tokens.join(rows, STARTS), labels=np.zeros(len(rows), dtype=np.int64)
    )


def gradients_are_right(model: Any, sites: list[Site]) -> bool:
    """One step of every dense update is the gradient of the weight itself, and both see all texts at once as one by one."""
    batch = Batch(indices=np.arange(len(LENGTHS)), weights=np.array([1.0, 0.5, 2.0, 1.0, 1.5]))
    request = TrainingRequest(
        parametrisations={site.name: DenseDelta() for site in sites},
        frames={},
        examples=examples(),
        batches=[batch],
        learning_rates=np.ones(1),
        optimizer=PlainDescent(),
    )
    steps = model.train(request).values
    parts = [batch.take(np.array([i])) for i in range(len(batch))]
    for site in sites:
        G = model.gradient(site.name, examples(), batch)
        alone = sum(model.gradient(site.name, examples(), part) for part in parts) / len(parts)
        scale = TOLERANCE * max(float(np.linalg.norm(G)), 1e-6)
        if max(np.linalg.norm(-steps[site.name] - G), np.linalg.norm(alone - G)) > scale:
            return False
    return True


def answers_are_right(model: Any, sites: list[Site]) -> bool:
    """Greedy answers are those of the likeliest token of the whole text, one token at a time."""
    del sites
    request = GenerationRequest(max_new_tokens=NEW, end_tokens=())
    found = [w.tokens.tolist() for w in model.generate(examples(), request)]
    return found == [_slowly(model, i) for i in range(len(LENGTHS))]


def _slowly(model: Any, index: int) -> list[int]:
    sequence = examples().inputs.sequence(index)[: STARTS[index]].tolist()
    for _ in range(NEW):
        asked = Tokens.join([[*sequence, 5]], [len(sequence)])
        logits = model.logits(
            Examples(ids=np.zeros(1, dtype=np.int64), inputs=asked, labels=np.zeros(1, dtype=np.int64))
        )
        sequence.append(int(logits[0].argmax()))
    return sequence[STARTS[index] :]


def row(found: Found) -> str:
    """A row of the table."""
    cells = [f"`{found.family}`", found.status, str(found.sites or ""), str(found.summed or ""), found.writes]
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or families():
        print(row(examine(name)), flush=True)  # noqa: T201 - it is a table
