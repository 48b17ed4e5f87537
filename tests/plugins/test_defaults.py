"""Defaults of the plugins that decide what a round learns: a change alters the results of every spec that leaves them out."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from boostlora.engine.registry import Registry

DEFAULTS: dict[tuple[str, str], dict[str, Any]] = {
    ("sampler", "all"): {},
    ("sampler", "failures"): {"replay": 0.5, "cap": 0},
    ("sampler", "hardest"): {"share": 0.2, "replay": 0.5},
    ("sampler", "random"): {},
    ("sampler", "weighted"): {"eta": 2.0, "decay": 0.5},
    ("basis", "activation"): {
        "data": "chosen",
        "examples": 256,
        "batches": 8,
        "oversample": 8,
        "project": "both",
        "exhausted": "error",
        "sweeps": 2,
    },
    ("basis", "fixed"): {},
    ("basis", "gradient"): {
        "data": "chosen",
        "examples": 256,
        "batches": 8,
        "oversample": 8,
        "project": "both",
        "exhausted": "error",
    },
    ("basis", "mixed"): {
        "data": "chosen",
        "examples": 256,
        "batches": 8,
        "oversample": 8,
        "project": "both",
        "exhausted": "error",
        "share": 0.5,
    },
    ("basis", "probe"): {
        "data": "chosen",
        "examples": 256,
        "batches": 8,
        "oversample": 8,
        "project": "both",
        "exhausted": "error",
        "steps": 8,
        "lr": 0.01,
    },
    ("basis", "random"): {},
    ("basis", "refresh"): {},
    ("basis", "rotate"): {"exhausted": "error"},
    ("basis", "tail"): {"exhausted": "error"},
    ("adapter", "diagonal"): {"rank": 4, "spectrum": "flat", "tie": "none"},
    ("adapter", "full"): {},
    ("adapter", "lora"): {"rank": 4, "alpha": 8.0},
    ("adapter", "lora-xs"): {"rank": 4, "spectrum": "flat", "tie": "none", "init_std": 0.0},
    ("adapter", "tinylora"): {"rank": 4, "u": 8, "spectrum": "flat", "tie": "none"},
    ("merge", "full"): {},
    ("merge", "gate"): {"metric": "loss", "margin": 0.0},
    ("merge", "line-search"): {"scales": (0.25, 0.5, 0.75, 1.0, 1.25), "metric": "loss"},
    ("merge", "shrinkage"): {"rate": 0.5},
    ("optimizer", "adam"): {
        "lr": 0.03,
        "steps": 40,
        "batch_size": 64,
        "over_steps": "constant",
        "over_rounds": "constant",
        "floor": 0.0,
        "warmup": 0,
        "clip": 0.0,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "weight_decay": 0.0,
    },
    ("optimizer", "sgd"): {
        "lr": 0.03,
        "steps": 40,
        "batch_size": 64,
        "over_steps": "constant",
        "over_rounds": "constant",
        "floor": 0.0,
        "warmup": 0,
        "clip": 0.0,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0,
    },
    ("objective", "cross-entropy"): {"class_weights": "none"},
    ("objective", "grpo"): {
        "group_size": 8,
        "iterations": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_new_tokens": 0,
        "scale_rewards": "group",
        "normalise": "sequence",
        "clip_low": 0.2,
        "clip_high": 0.2,
        "kl": 0.0,
        "eps": 0.0001,
        "mask_unended": False,
        "keeps": True,
    },
    ("objective", "huber"): {"delta": 1.0},
    ("objective", "mse"): {},
}


@pytest.mark.parametrize(("slot", "name"), DEFAULTS)
def test_defaults_are_those_that_the_documents_results_have(slot: str, name: str) -> None:
    fields = attrs.fields(Registry.load().entries(slot)[name].cls)
    assert {f.name: f.default for f in fields if f.default is not attrs.NOTHING} == DEFAULTS[slot, name]


def test_every_built_in_plugin_of_a_round_is_listed() -> None:
    registry = Registry.load()
    slots = {slot for slot, _ in DEFAULTS}
    assert {(slot, name) for slot in slots for name in registry.entries(slot)} == set(DEFAULTS)


@pytest.mark.parametrize(
    ("slot", "name", "values"),
    [
        ("sampler", "hardest", {"share": 1.01}),
        ("sampler", "hardest", {"replay": 0.96}),
        ("sampler", "failures", {"replay": 0.96}),
        ("sampler", "weighted", {"decay": 1.01}),
        ("basis", "mixed", {"share": 1.01}),
        ("merge", "shrinkage", {"rate": -0.01}),
        ("objective", "grpo", {"group_size": 1}),
        ("objective", "huber", {"delta": 0.0}),
    ],
)
def test_values_beyond_a_limit_are_refused(slot: str, name: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Registry.load().entries(slot)[name].cls(**values)
