"""How many tokens a run of a language model reads, writes and trains on, and what that takes on an accelerator of a named class.

With N weights that a token is multiplied with, reading a token takes 2 N floating-point operations and training on it 4 N with frozen
weights (forward, and backward through activations), 6 N where whole weights are trained, and 2 N more where activations are
computed twice; attention's own operations are left out (Kaplan et al., 2020, section 2.1). Writing is bound by memory: every token of a
group of sequences reads all weights and the group's keys and values once. So

    seconds = operations / (PEAK_SHARE * peak) + bytes / (BANDWIDTH_SHARE * bandwidth).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from ..contracts import Blueprint, Parametrisation, PolicyObjective, Splits, Tokens
from ..contracts.cores import DenseDelta
from ..spec import Spec
from .generation import decoding_of
from .round_plan import calibration_at, plan_round
from .tokens import SPLITS

PEAK_SHARE = 0.35
BANDWIDTH_SHARE = 0.6
SERVED_TOGETHER = 256
"""Sequences that a generator beside the backend writes at once."""


@attrs.frozen(kw_only=True)
class Accelerator:
    """Figures of the makers: dense bfloat16 operations and bytes a second, and memory."""

    flops: float
    bandwidth: float
    memory_bytes: float


ACCELERATORS: Mapping[str, Accelerator] = {
    "h100": Accelerator(flops=989e12, bandwidth=3.35e12, memory_bytes=80e9),
    "a100": Accelerator(flops=312e12, bandwidth=2.04e12, memory_bytes=80e9),
    "l40s": Accelerator(flops=362e12, bandwidth=0.864e12, memory_bytes=48e9),
    "l4": Accelerator(flops=121e12, bandwidth=0.3e12, memory_bytes=24e9),
    "rtx4090": Accelerator(flops=165e12, bandwidth=1.01e12, memory_bytes=24e9),
}


@attrs.frozen(kw_only=True)
class Workload:
    """Sums over all rounds, if none is stopped early and every text is as long as it may be."""

    read: int
    """Tokens of one forward pass: evaluations, prompts, log-probabilities."""
    written: int
    trained: int
    """Tokens of batches, each as often as it is in one."""
    asked: int
    """Tokens that a basis hears, forward and back, each as often as it hears it."""
    operations: float
    moved_bytes: float
    """Weights, keys and values that writing reads."""
    activation_bytes: int
    """The largest that are held at once: of a training step, or of an evaluation."""

    def seconds_of(self, gpu: str) -> float:
        """On one accelerator of a class in `ACCELERATORS`."""
        accelerator = ACCELERATORS[gpu]
        compute = self.operations / (PEAK_SHARE * accelerator.flops)
        return compute + self.moved_bytes / (BANDWIDTH_SHARE * accelerator.bandwidth)


@attrs.frozen(kw_only=True)
class _Sizes:
    """What the estimate needs of a model."""

    weights: int
    layers: int
    hidden: int
    inner: int
    kv: int
    vocabulary: int
    itemsize: int

    @classmethod
    def of(cls, blueprint: Blueprint, itemsize: int) -> _Sizes:
        config: Mapping[str, Any] = blueprint.config["hf"]
        hidden = int(config.get("hidden_size") or 0)
        heads = int(config.get("num_attention_heads") or 1)
        head = int(config.get("head_dim") or hidden // heads)
        return cls(
            weights=sum(w.size for w in blueprint.weights),
            layers=int(config.get("num_hidden_layers") or 0),
            hidden=hidden,
            inner=int(config.get("intermediate_size") or 4 * hidden),
            kv=head * int(config.get("num_key_value_heads") or heads),
            vocabulary=int(config.get("vocab_size") or 0) if "causal" in blueprint.architecture else 0,
            itemsize=itemsize,
        )

    def cached(self, tokens: float) -> float:
        """Bytes of keys and values."""
        return 2.0 * self.layers * self.kv * self.itemsize * tokens

    def held(self, tokens: int, targets: int, *, checkpointing: bool) -> int:
        """Bytes of activations that a backward pass needs: a block's norms, queries, keys, values and gates, and the logits thrice."""
        block = (6 * self.hidden + 2 * self.kv + 3 * self.inner) * self.itemsize
        layers = self.layers * self.hidden * self.itemsize + block if checkpointing else self.layers * block
        return tokens * layers + self.logits(targets)

    def logits(self, targets: int) -> int:
        """In their own precision, and twice in float32."""
        return targets * self.vocabulary * (self.itemsize + 8)


def workload_of(
    spec: Spec, blueprint: Blueprint, encoded: Splits, parametrisations: list[Parametrisation], rounds: int
) -> Workload | None:
    """The work of a run; None for a model that does not read tokens."""
    if not isinstance(encoded.train.inputs, Tokens) or "hf" not in blueprint.config:
        return None
    sizes = _Sizes.of(blueprint, spec.backend.itemsize)
    tally = _Tally(spec=spec, sizes=sizes)
    tally.evaluate(encoded, rounds + 1)
    tally.train(encoded.train.inputs, rounds)
    asked = tally.ask(encoded.train.inputs, spec.boosting.fresh_in(rounds))
    dense = any(isinstance(p, DenseDelta) for p in parametrisations)
    each, answered = 4 + 2 * dense + 2 * tally.checkpointing, 4 + 2 * tally.checkpointing
    return Workload(
        read=tally.read,
        written=tally.written,
        trained=tally.trained,
        asked=asked,
        operations=float(sizes.weights)
        * (2 * (tally.read + tally.written) + each * tally.trained + answered * asked),
        moved_bytes=tally.moved,
        activation_bytes=tally.most,
    )


@attrs.define(kw_only=True)
class _Tally:
    """The sums in the making."""

    spec: Spec
    sizes: _Sizes
    read: int = 0
    written: int = 0
    trained: int = 0
    moved: float = 0.0
    most: int = 0

    @property
    def checkpointing(self) -> bool:
        return bool(getattr(self.spec.backend, "checkpointing", False))

    @property
    def budget(self) -> int:
        """Tokens that are evaluated at once."""
        return int(getattr(self.spec.backend, "eval_tokens", 512))

    def evaluate(self, encoded: Splits, times: int) -> None:
        """Every split's right answers, and what the model writes itself."""
        decoding = decoding_of(self.spec)
        for split in SPLITS:
            tokens: Tokens = getattr(encoded, split).inputs
            self.read += times * int(tokens.lengths.sum())
            share = float(tokens.targets.sum()) / max(1, int(tokens.lengths.sum()))
            longest = max(self.budget, int(tokens.lengths.max(initial=0)))
            self.most = max(self.most, self.sizes.logits(int(longest * share)))
            if decoding is not None:
                prompt = float(np.mean(tokens.starts))
                self.write(times * len(tokens) * decoding.samples, prompt, decoding.max_new_tokens)

    def write(self, sequences: int, prompt: float, length: int) -> None:
        """Sequences of the longest length, side by side as far as the budget goes."""
        native = self.spec.slots["generator"].use == "native"
        side = max(1, int(self.budget // (prompt + length))) if native else SERVED_TOGETHER
        passes = -(-sequences // side) * length
        self.read += int(sequences * prompt)
        self.written += sequences * length
        weights = self.sizes.weights * self.sizes.itemsize
        cache = self.sizes.cached(min(side, sequences) * (prompt + length / 2))
        self.moved += passes * (weights + cache)
        self.most = max(self.most, int(self.sizes.cached(min(side, sequences) * (prompt + length))))

    def ask(self, tokens: Tokens, rounds: int) -> int:
        """Tokens that a basis hears of right answers, or of the policy's own."""
        calibration, objective = (
            calibration_at(self.spec, max(self.spec.ranks.counted(rounds), default=0)),
            self.spec.objective,
        )
        if calibration is None:
            return 0
        rows = min(calibration.examples or len(tokens), len(tokens))
        length, targets = float(np.mean(tokens.lengths)), float(np.mean(tokens.targets))
        decoding = decoding_of(self.spec)
        if isinstance(objective, PolicyObjective) and decoding is not None:
            rows = (calibration.examples or len(tokens)) * objective.group_size
            targets = objective.max_new_tokens or decoding.max_new_tokens
            prompt = float(np.mean(tokens.starts))
            length = prompt + targets
            self.write(rounds * rows, prompt, int(targets))
        together = min(getattr(self.spec.backend, "micro_batch", 0) or rows, -(-rows // calibration.batches))
        held = self.sizes.held(
            int(together * length), int(together * targets), checkpointing=self.checkpointing
        )
        self.most = max(self.most, held)
        return int(rounds * calibration.passes * rows * length)

    def train(self, tokens: Tokens, rounds: int) -> None:
        """Batches of right answers, or of the policy's own."""
        optimizer, objective = self.spec.optimizer, self.spec.objective
        steps = [plan_round(self.spec, number).steps for number in range(1, rounds + 1)]
        rows, length = optimizer.batch_size, float(np.mean(tokens.lengths))
        targets = float(np.mean(tokens.targets))
        decoding = decoding_of(self.spec)
        if isinstance(objective, PolicyObjective) and decoding is not None:
            targets = objective.max_new_tokens or decoding.max_new_tokens
            prompt, rows = float(np.mean(tokens.starts)), rows * objective.group_size
            length = prompt + targets
            asked = sum(-(-n // objective.iterations) for n in steps) * rows
            self.write(asked, prompt, int(targets))
            self.read += int(sum(objective.remembers) * asked * length)
        self.trained += int(sum(steps) * rows * length)
        together = min(getattr(self.spec.backend, "micro_batch", 0) or rows, rows)
        held = self.sizes.held(
            int(together * length), int(together * targets), checkpointing=self.checkpointing
        )
        self.most = max(self.most, held)
