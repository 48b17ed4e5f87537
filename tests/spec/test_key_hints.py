"""An unknown key that PEFT, TRL or Transformers use for an option is answered with that option."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from boostlora.engine.registry import KINDS, SERVICES, Registry
from boostlora.engine.sdk.sites import SiteChoice
from boostlora.engine.spec import Spec, SpecError, StopRules
from boostlora.engine.spec.key_hints import SYNONYMS

Read = Callable[[str], Spec]

# The table, the option that is accepted, and a key that is refused with a hint at the option.
PAIRS = {
    "LoRA's rank": ('adapter.use = "lora"', "adapter.rank = 4", "adapter.r = 4", "rank"),
    "LoRA's alpha": ('adapter.use = "lora"', "adapter.alpha = 4.0", "adapter.lora_alpha = 4.0", "alpha"),
    "adapted modules": ("", 'sites.targets = "all-linear"', 'sites.target_modules = "all-linear"', "targets"),
    "learning rate": ("", "optimizer.lr = 0.1", "optimizer.learning_rate = 0.1", "lr"),
    "epochs of pretraining": ("", "model.epochs = 3", "model.num_train_epochs = 3", "epochs"),
    "batch": ("", "optimizer.batch_size = 8", "optimizer.per_device_train_batch_size = 8", "batch_size"),
    "micro-batch": (
        'backend.use = "torch"',
        "backend.micro_batch = 8",
        "backend.per_device_train_batch_size = 8",
        "micro_batch",
    ),
    "KL weight of GRPO": ('objective.use = "grpo"', "objective.kl = 0.1", "objective.beta = 0.1", "kl"),
    "Adam's beta is none of GRPO's": ("", "optimizer.beta2 = 0.8", "optimizer.beta = 0.8", "beta2"),
    "clip range of GRPO": (
        'objective.use = "grpo"',
        "objective.clip_low = 0.1",
        "objective.epsilon = 0.1",
        "clip_low",
    ),
    "patience": ("", "stop.patience = 2", "stop.early_stopping_patience = 2", "patience"),
}


@pytest.mark.parametrize(("table", "accepted", "refused", "hint"), PAIRS.values(), ids=PAIRS)
def test_key_of_another_library_is_answered_with_the_option(
    read: Read, table: str, accepted: str, refused: str, hint: str
) -> None:
    needed = 'task.use = "digits"\nmodel.use = "mlp"\n'
    read(f"{table}\n{accepted}\n{needed}")
    with pytest.raises(SpecError) as caught:
        read(f"{table}\n{refused}\n{needed}")
    (fault,) = caught.value.faults
    assert (fault.message, fault.hint) == (
        f'unknown key "{refused.split(" ", maxsplit=1)[0].split(".")[1]}"',
        f'did you mean "{hint}"?',
    )


@pytest.mark.parametrize(
    "key",
    ["sampler.r = 4", "optimizer.lora_dropout = 0.1", "stop.warmup_steps = 3", "adapter.directions = 4"],
)
def test_key_without_an_option_of_its_meaning_has_no_hint(read: Read, key: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(f'{key}\ntask.use = "digits"\nmodel.use = "mlp"\n')
    assert [fault.hint for fault in caught.value.faults] == [""]


def test_every_suggested_option_exists_and_no_synonym_is_an_option(registry: Registry) -> None:
    classes = [e.cls for kind in (*KINDS, *SERVICES) for e in registry.entries(kind).values()]
    options = {field.name for cls in (*classes, SiteChoice, StopRules) for field in attrs.fields(cls)}
    assert {name for names in SYNONYMS.values() for name in names} <= options
    assert not SYNONYMS.keys() & options
