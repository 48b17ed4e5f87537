"""Tiny configurations of the architectures of the installed transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from transformers import CONFIG_MAPPING

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
PER_LAYER = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64}
INKLING = {
    "unpadded_vocab_size": 64,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "swa_head_dim": 8,
    "d_rel": 4,
    "rel_extent": 16,
    "layer_types": ["hybrid_sliding", "hybrid"] * 2,
    "n_layers_per_attn_res_block": 2,
}
DOTS3 = {
    **LATENT,
    "layer_types": ["indexed_attention", "sliding_attention"] * 2,
    "head_dim": 16,
    "index_topk": 8,
    "index_head_dim": 8,
    "index_n_heads": 16,
    **dict.fromkeys(("swa_num_attention_heads", "swa_num_key_value_heads"), 4),
    **dict.fromkeys(("swa_q_lora_rank", "swa_kv_lora_rank", "swa_head_dim"), 16),
    **dict.fromkeys(("swa_qk_nope_head_dim", "swa_v_head_dim"), 8),
}
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32"), LATENT),
    "bailing_hybrid": {**LATENT, "layer_types": ["linear_attention", "full_attention"] * 2},
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
    "beam": {"n_group": 1, "topk_group": 1},
    "blt": {
        "encoder_hash_byte_group_vocab": 50,
        "encoder_config": {"hidden_size_global": 32},
        "decoder_config": {"hidden_size_global": 32},
    },
    "cohere_compass_text": {
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
        }
    },
    "cpmant": {"dim_head": 8, "dim_ff": 48, "prompt_length": 4},
    "dbrx": {
        "attn_config": {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8.0},
        "ffn_config": {"moe_top_k": 2},
    },
    "dots1": {"n_shared_experts": 1, "layer_types": ["full_attention", "sliding_attention"] * 2},
    "dots3_note_text": DOTS3,
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 64},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "laurel_rank": 4,
        **PER_LAYER,
    },
    "gemma4_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "global_head_dim": 16,
        "num_kv_shared_layers": 2,
        **PER_LAYER,
    },
    "gemma4_assistant": {
        "text_config": {
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": 0,
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 4,
        },
        "backbone_hidden_size": 32,
        "num_centroids": 8,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {**MAMBA, "layer_types": ["mamba", "attention"] * 2},
    **dict.fromkeys(("inkling2_text", "inkling2_loop_text"), INKLING),
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 4,
    },
    "kimi_linear": {
        **LATENT,
        "linear_head_dim": 8,
        "linear_num_heads": 4,
        "layer_types": ["linear_attention", "full_attention"] * 2,
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "phi4_multimodal_audio": {
        "ext_pw_out_channel": 16,
        "depthwise_separable_out_channel": 16,
        "nemo_conv_channels": 16,
    },
    "qwen4_exp_text": {
        "layer_types": ["linear_attention", "indexed_attention"] * 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "hc_lowrank": 8,
        "ple_layer_ids": [1],
        "heads_per_ngram": 2,
        "ngram_vocab_size_base": 50,
        "make_ngram_vocab_size_divisible_by": 8,
        "split_ngram_parts": 2,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 8,
        "indexer_compress_ratio": 2,
    },
    "xlstm": {"hidden_size": 64, "num_heads": 4, "qk_dim_factor": 1.0},
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
    "emu3": {"vocabulary_map": {"<image>": 5, "<|extra_200|>": 6}},
    "funnel": {
        "architectures": ["FunnelModel"],
        "block_sizes": [2, 2],
        "block_repeats": [1, 1],
        "d_head": 8,
        "d_inner": 48,
    },
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "lilt": {"hidden_size": 48},
    "llama4_vision_model": {"vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "reformer": {
        "axial_pos_embds_dim": [16, 16],
        "axial_pos_shape": [8, 16],
        "attn_layers": ["local", "lsh"] * 2,
        "attention_head_size": 8,
        "feed_forward_size": 48,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
        "num_buckets": 4,
        "hash_seed": 0,
    },
    "roc_bert": {
        "pronunciation_embed_dim": 8,
        "pronunciation_vocab_size": 64,
        "shape_embed_dim": 8,
        "shape_vocab_size": 64,
    },
    "squeezebert": {"embedding_size": 32},
    "xmod": {"default_language": "en_XX"},
    "emu3_vqgan": {"codebook_size": 16, "base_channels": 32, "channel_multiplier": [1, 1]},
    "dots3_note_audio_encoder": {
        "adapter_input_size": 32,
        "adapter_out_dim": 32,
        "downsample_hidden_size": 8,
    },
    "dots3_note_vision_encoder": {
        "mlp_layer_types": ["dense", "sparse"] * 2,
        "adapter_in_dim": 32,
        "adapter_out_dim": 32,
    },
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
}
"""What some families need beside, so that layers of each of their kinds are there."""
WITHOUT = ((), ("head_dim",), ("num_key_value_heads",), ("head_dim", "num_key_value_heads"))
"""Options that are left to the family where the model cannot be made with them."""


def configs_of(family: str) -> Iterator[Any]:
    """Tiny configurations, those first that say most; what a family refuses is left out."""
    cls = CONFIG_MAPPING[family]
    for left_out in WITHOUT:
        with suppress(Exception):
            yield cls(**options(cls, left_out))


def options(cls: Any, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """What of `SMALL` a configuration takes, what it needs beside, and the same of those inside it, as one for texts and one for images."""
    known = _made(cls)
    found = {key: value for key, value in SMALL.items() if key not in left_out and _takes(cls, known, key)}
    parts = {name: part for name in cls.sub_configs if (part := getattr(known, name, None)) is not None}
    inner = {name: options(type(part), left_out) for name, part in parts.items()}
    return _joined({**found, **inner}, OWN.get(cls.model_type, {}))


def _made(cls: Any) -> Any:
    """The configuration as its family has it, with what it cannot be made without."""
    try:
        return cls()
    except Exception:
        return cls(**OWN[cls.model_type])


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both, the other's where they differ; what is inside is joined likewise."""
    inner = {
        key: _joined(one[key], value)
        for key, value in other.items()
        if isinstance(value, dict) and isinstance(one.get(key), dict)
    }
    return {**one, **other, **inner}


def _takes(cls: Any, known: Any, key: str) -> bool:
    if isinstance(getattr(cls, key, None), property):
        return False
    try:
        return hasattr(known, key) or key in cls.attribute_map
    except Exception:  # what differs from layer to layer has no one value
        return True
