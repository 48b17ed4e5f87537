"""Workload of a language model's run: tokens, floating-point operations, memory traffic, and an estimate of seconds per accelerator.

With N weights, a forward pass takes 2 N operations per token. Training takes 4 N with frozen weights (forward, and backward through
activations), 6 N where whole weights are trained, and 2 N more with activation checkpointing. Attention scores are left out (Kaplan et
al., 2020, section 2.1). Generation is bound by memory: every decoding step of a batch reads all weights and the batch's KV cache once. So

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
"""Share of peak operations that training reaches (model FLOPs utilisation)."""
BANDWIDTH_SHARE = 0.6
"""Share of peak memory bandwidth that decoding reaches."""
SERVED_BATCH = 256
"""Sequences that an inference engine outside the backend decodes at once."""


@attrs.frozen(kw_only=True)
class Accelerator:
    """Data-sheet figures: dense bfloat16 operations per second, bytes per second, and bytes of memory."""

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
    """Totals over all rounds. An upper bound: no early stop, and every generated text has the maximum length."""

    read: int
    """Tokens of forward passes alone: evaluations, prompts, log-probabilities."""
    generated: int
    """Tokens decoded one by one."""
    trained: int
    """Tokens of training batches, with repetitions."""
    calibrated: int
    """Tokens of forward and backward passes over calibration examples, with repetitions."""
    operations: float
    moved_bytes: float
    """Bytes of weights and KV cache that decoding reads."""
    activation_bytes: int
    """Peak memory of activations or KV cache, over training steps and evaluations."""

    def seconds_of(self, gpu: str) -> float:
        """Estimated seconds on one accelerator of `ACCELERATORS`, by the module's equation."""
        accelerator = ACCELERATORS[gpu]
        compute = self.operations / (PEAK_SHARE * accelerator.flops)
        return compute + self.moved_bytes / (BANDWIDTH_SHARE * accelerator.bandwidth)


@attrs.frozen(kw_only=True)
class _Sizes:
    """Dimensions of a transformer, from its Hugging Face configuration."""

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

    def kv_cache(self, tokens: float) -> float:
        """Bytes of the KV cache: keys and values of every layer."""
        return 2.0 * self.layers * self.kv * self.itemsize * tokens

    def activations(self, tokens: int, targets: int, *, checkpointing: bool) -> int:
        """Bytes of activations that a backward pass keeps: norms, queries, keys, values and gates of every block, and the logits.

        With checkpointing, the input of every block and all activations of one block.
        """
        block = (6 * self.hidden + 2 * self.kv + 3 * self.inner) * self.itemsize
        layers = self.layers * self.hidden * self.itemsize + block if checkpointing else self.layers * block
        return tokens * layers + self.logits(targets)

    def logits(self, targets: int) -> int:
        """Bytes of logits `(targets, vocabulary)`: once in the model's precision, and twice in float32 (log-softmax and its gradient)."""
        return targets * self.vocabulary * (self.itemsize + 8)


def workload_of(
    spec: Spec, blueprint: Blueprint, encoded: Splits, parametrisations: list[Parametrisation], rounds: int
) -> Workload | None:
    """The workload of a run; None for a model without tokens."""
    if not isinstance(encoded.train.inputs, Tokens) or "hf" not in blueprint.config:
        return None
    sizes = _Sizes.of(blueprint, spec.backend.itemsize)
    tally = _Tally(spec=spec, sizes=sizes)
    tally.evaluate(encoded, rounds + 1)
    tally.train(encoded.train.inputs, rounds)
    calibrated = tally.calibrate(encoded.train.inputs, spec.boosting.fresh_in(rounds))
    dense = any(isinstance(p, DenseDelta) for p in parametrisations)
    # A calibration pass has no dense weight gradient: 2 N forward, 2 N backward, 2 N for recomputed activations.
    per_trained, per_calibrated = 4 + 2 * dense + 2 * tally.checkpointing, 4 + 2 * tally.checkpointing
    return Workload(
        read=tally.read,
        generated=tally.generated,
        trained=tally.trained,
        calibrated=calibrated,
        operations=float(sizes.weights)
        * (2 * (tally.read + tally.generated) + per_trained * tally.trained + per_calibrated * calibrated),
        moved_bytes=tally.moved,
        activation_bytes=tally.most,
    )


@attrs.define(kw_only=True)
class _Tally:
    """Running totals of a `Workload`."""

    spec: Spec
    sizes: _Sizes
    read: int = 0
    generated: int = 0
    trained: int = 0
    moved: float = 0.0
    most: int = 0

    @property
    def checkpointing(self) -> bool:
        return bool(getattr(self.spec.backend, "checkpointing", False))

    @property
    def budget(self) -> int:
        """Tokens per evaluation batch."""
        return int(getattr(self.spec.backend, "eval_tokens", 512))

    def evaluate(self, encoded: Splits, times: int) -> None:
        """Evaluations of every split: the loss of the reference answers, and generation where the task judges texts."""
        decoding = decoding_of(self.spec)
        for split in SPLITS:
            tokens: Tokens = getattr(encoded, split).inputs
            self.read += times * int(tokens.lengths.sum())
            share = float(tokens.targets.sum()) / max(1, int(tokens.lengths.sum()))
            longest = max(self.budget, int(tokens.lengths.max(initial=0)))
            self.most = max(self.most, self.sizes.logits(int(longest * share)))
            if decoding is not None:
                prompt = float(np.mean(tokens.starts))
                self.generate(times * len(tokens) * decoding.samples, prompt, decoding.max_new_tokens)

    def generate(self, sequences: int, prompt: float, length: int) -> None:
        """Generation of full-length sequences, in batches as large as the token budget allows."""
        native = self.spec.slots["generator"].use == "native"
        batch = max(1, int(self.budget // (prompt + length))) if native else SERVED_BATCH
        passes = -(-sequences // batch) * length
        self.read += int(sequences * prompt)
        self.generated += sequences * length
        weights = self.sizes.weights * self.sizes.itemsize
        # The cache grows from `prompt` to `prompt + length` tokens: half of `length` on average.
        cache = self.sizes.kv_cache(min(batch, sequences) * (prompt + length / 2))
        self.moved += passes * (weights + cache)
        self.most = max(self.most, int(self.sizes.kv_cache(min(batch, sequences) * (prompt + length))))

    def calibrate(self, tokens: Tokens, rounds: int) -> int:
        """Tokens of calibration passes, over reference answers or sampled ones."""
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
            self.generate(rounds * rows, prompt, int(targets))
        micro_batch = min(
            getattr(self.spec.backend, "micro_batch", 0) or rows, -(-rows // calibration.batches)
        )
        activations = self.sizes.activations(
            int(micro_batch * length), int(micro_batch * targets), checkpointing=self.checkpointing
        )
        self.most = max(self.most, activations)
        return int(rounds * calibration.passes * rows * length)

    def train(self, tokens: Tokens, rounds: int) -> None:
        """Training steps on reference answers or sampled ones."""
        optimizer, objective = self.spec.optimizer, self.spec.objective
        steps = [plan_round(self.spec, number).steps for number in range(1, rounds + 1)]
        rows, length = optimizer.batch_size, float(np.mean(tokens.lengths))
        targets = float(np.mean(tokens.targets))
        decoding = decoding_of(self.spec)
        if isinstance(objective, PolicyObjective) and decoding is not None:
            targets = objective.max_new_tokens or decoding.max_new_tokens
            prompt, rows = float(np.mean(tokens.starts)), rows * objective.group_size
            length = prompt + targets
            answers = sum(-(-n // objective.iterations) for n in steps) * rows
            self.generate(answers, prompt, int(targets))
            self.read += int(sum(objective.remembers) * answers * length)
        self.trained += int(sum(steps) * rows * length)
        micro_batch = min(getattr(self.spec.backend, "micro_batch", 0) or rows, rows)
        activations = self.sizes.activations(
            int(micro_batch * length), int(micro_batch * targets), checkpointing=self.checkpointing
        )
        self.most = max(self.most, activations)
