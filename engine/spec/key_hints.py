"""Suggestions for unknown keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .faults import did_you_mean

SYNONYMS: Mapping[str, Sequence[str]] = {
    "r": ["rank"],
    "lora_r": ["rank"],
    "lora_alpha": ["alpha"],
    "weight_tying": ["tie"],
    "target_modules": ["targets"],
    "exclude_modules": ["exclude"],
    "layers_to_transform": ["layers"],
    "learning_rate": ["lr"],
    "max_steps": ["steps"],
    "num_epochs": ["epochs"],
    "num_train_epochs": ["epochs"],
    "train_batch_size": ["batch_size"],
    "per_device_train_batch_size": ["micro_batch", "batch_size"],
    "warmup_steps": ["warmup"],
    "max_grad_norm": ["clip"],
    "adam_beta1": ["beta1"],
    "adam_beta2": ["beta2"],
    "adam_epsilon": ["eps"],
    "gradient_checkpointing": ["checkpointing"],
    "torch_dtype": ["dtype"],
    "num_generations": ["group_size"],
    "num_iterations": ["iterations"],
    "beta": ["kl"],
    "epsilon": ["clip_low", "eps"],
    "epsilon_high": ["clip_high"],
    "loss_type": ["normalise"],
    "max_completion_length": ["max_new_tokens"],
    "mask_truncated_completions": ["mask_unended"],
    "model_name_or_path": ["path"],
    "dataset_name": ["dataset"],
    "dataset_config": ["subset"],
    "max_seq_length": ["max_length"],
    "early_stopping_patience": ["patience"],
    "early_stopping_threshold": ["min_delta"],
    "metric_for_best_model": ["metric"],
}
"""Names that PEFT, TRL and Transformers have for options named differently here. The first that a table has is suggested."""


def key_hint(key: str, known: Sequence[str]) -> str:
    """`did you mean "x"?` for the known key of the same meaning in `SYNONYMS`, else for the closest one."""
    same = next((name for name in SYNONYMS.get(key, ()) if name in known), None)
    return f'did you mean "{same}"?' if same else did_you_mean(key, known)
