"""Workload of a language model's run: tokens, floating-point operations, memory traffic, and an estimate of seconds per accelerator.

With N weights, a forward pass takes 2 N operations per token. Training takes 4 N with frozen weights (forward, and backward through
activations), 6 N where whole weights are trained, and 2 N more with activation checkpointing. Attention scores are left out (Kaplan et
al., 2020, section 2.1). Generation is bound by memory: every decoding step of a batch reads all weights and the batch's KV cache once. So

    seconds = operations / (PEAK_SHARE * peak) + bytes / (BANDWIDTH_SHARE * bandwidth).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Blueprint, FreeFactors, Parametrisation, PolicyObjective, Splits, Tokens
from ..contracts.cores import DenseDelta
from ..spec import Spec
from .activation_memory import Dimensions, Group, KeptInputs
from .generation import decoding_of
from .round_plan import calibration_at, plan_round
from .tokens import SPLITS

Index = NDArray[np.int64]
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
    """Peak memory of activations or KV cache, padding included, over training steps, calibration passes, evaluations and generation."""

    def seconds_of(self, gpu: str) -> float:
        """Estimated seconds on one accelerator of `ACCELERATORS`, by the module's equation."""
        accelerator = ACCELERATORS[gpu]
        compute = self.operations / (PEAK_SHARE * accelerator.flops)
        return compute + self.moved_bytes / (BANDWIDTH_SHARE * accelerator.bandwidth)


def workload_of(
    spec: Spec,
    blueprint: Blueprint,
    encoded: Splits,
    parametrisations: list[Parametrisation],
    rounds: int,
    *,
    first_adapted: int = 0,
) -> Workload | None:
    """The workload of a run whose first block with a site is `first_adapted`; None for a model without tokens."""
    if not isinstance(encoded.train.inputs, Tokens) or "hf" not in blueprint.config:
        return None
    sizes = Dimensions.of(blueprint, spec.backend.itemsize, first_adapted)
    tally = _Tally(spec=spec, sizes=sizes)
    tally.evaluate(encoded, rounds + 1)
    whole = any(isinstance(p, DenseDelta | FreeFactors) for p in parametrisations)
    tally.train(encoded.train.inputs, rounds, "shared" if whole else "none")
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
    sizes: Dimensions
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
            group = self.group(len(tokens), tokens.lengths, int(self.budget * share), self.budget)
            self.hold(self.sizes.forward(group))
            if decoding is not None:
                count = times * len(tokens) * decoding.samples
                self.generate(count, tokens, decoding.max_new_tokens, len(tokens) * decoding.samples)

    def hold(self, size: int) -> None:
        """Note bytes that a pass takes."""
        self.most = max(self.most, size)

    def generate(self, sequences: int, prompts: Tokens, length: int, at_once: int) -> None:
        """Generation of full-length sequences, in batches as large as the token budget allows, of at most `at_once` each."""
        prompt, longest = float(np.mean(prompts.starts)), int(prompts.starts.max(initial=1)) + length
        native = self.spec.slots["generator"].use == "native"
        batch = max(1, int(self.budget // (prompt + length))) if native else SERVED_BATCH
        passes = -(-sequences // batch) * length
        self.read += int(sequences * prompt)
        self.generated += sequences * length
        weights = self.sizes.weights * self.sizes.itemsize
        # The cache grows from `prompt` to `prompt + length` tokens: half of `length` on average.
        cache = self.sizes.kv_cache(min(batch, sequences) * (prompt + length / 2))
        self.moved += passes * (weights + cache)
        if native:
            rows = min(max(1, self.budget // longest), at_once)
            most = longest - length
            group = Group(tokens=rows * most, longest=most, targets=rows, uneven=True)
            self.hold(self.sizes.generation(group, length))

    def calibrate(self, tokens: Tokens, rounds: int) -> int:
        """Tokens of calibration passes, over reference answers or sampled ones."""
        calibration, objective = (
            calibration_at(self.spec, max(self.spec.ranks.counted(rounds), default=0)),
            self.spec.objective,
        )
        if calibration is None:
            return 0
        rows = min(calibration.examples or len(tokens), len(tokens))
        lengths, targets, decoding = tokens.lengths, tokens.targets, decoding_of(self.spec)
        if isinstance(objective, PolicyObjective) and decoding is not None:
            rows = (calibration.examples or len(tokens)) * objective.group_size
            most = objective.max_new_tokens or decoding.max_new_tokens
            lengths, targets = tokens.starts + most, np.full(rows, most)
            self.generate(rounds * rows, tokens, most, -(-rows // calibration.batches))
        together = self.micro_batch(-(-rows // calibration.batches))
        group = self.group(together, lengths, _most(targets, together), self.budget)
        self.hold(self.sizes.backward(group, "each", checkpointing=self.checkpointing))
        return int(rounds * calibration.passes * rows * float(np.mean(lengths)))

    def micro_batch(self, rows: int) -> int:
        """Examples per forward and backward pass, of a batch of `rows`."""
        return min(getattr(self.spec.backend, "micro_batch", 0) or rows, rows)

    def train(self, tokens: Tokens, rounds: int, inputs: KeptInputs) -> None:
        """Training steps on reference answers or sampled ones."""
        optimizer, objective = self.spec.optimizer, self.spec.objective
        steps = [plan_round(self.spec, number).steps for number in range(1, rounds + 1)]
        rows, lengths, targets = optimizer.batch_size, tokens.lengths, tokens.targets
        decoding = decoding_of(self.spec)
        if isinstance(objective, PolicyObjective) and decoding is not None:
            most = objective.max_new_tokens or decoding.max_new_tokens
            rows = rows * objective.group_size
            lengths, targets = tokens.starts + most, np.full(rows, most)
            answers = sum(-(-n // objective.iterations) for n in steps) * rows
            self.generate(answers, tokens, most, rows)
            self.read += int(sum(objective.remembers) * answers * float(np.mean(lengths)))
        self.trained += int(sum(steps) * rows * float(np.mean(lengths)))
        together = self.micro_batch(rows)
        group = self.group(together, lengths, _most(targets, together))
        self.hold(self.sizes.backward(group, inputs, checkpointing=self.checkpointing))

    def group(self, rows: int, lengths: Index, targets: int, budget: int | None = None) -> Group:
        """The largest pass over `rows` texts, padded to the longest of all; of at most `budget` tokens, or of one text."""
        longest = int(lengths.max(initial=1))
        tokens = rows * longest if budget is None else min(rows * longest, max(budget, longest))
        return Group(
            tokens=tokens,
            longest=longest,
            targets=min(targets, tokens),
            uneven=longest > lengths.min(initial=longest),
        )


def _most(targets: Index, rows: int) -> int:
    """Targets of the `rows` examples that have most."""
    return int(np.sort(targets)[-rows:].sum())
