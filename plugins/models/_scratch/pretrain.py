"""Pretraining with AdamW on one CPU thread, for bit-reproducible weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....engine.contracts import Tokens
from ....engine.errors import NonFiniteError
from ....engine.foundation.run_context import Report

Index = NDArray[np.int64]
Schedule = Literal["constant", "cosine"]

WARMUP = 0.02
"""Share of the steps with linear warm-up."""
POOL = 16
"""Batches whose sequences are sorted by length together, to reduce padding."""
REPORT_EVERY = 10
"""Steps between progress reports."""


@attrs.frozen(kw_only=True, eq=False)
class Pretrained:
    """Weights by name, and measures."""

    arrays: Mapping[str, NDArray[Any]]
    measured: Mapping[str, float]


@attrs.frozen(kw_only=True)
class Pretraining:
    """Training options: `steps` of AdamW with learning rate `lr`, `batch` sequences each, gradients clipped to norm `clip`."""

    steps: int
    lr: float
    schedule: Schedule
    batch: int
    clip: float
    decay: float

    def rate(self, step: int) -> float:
        """The learning rate of step k, from 0: linear warm-up, times `(1 + cos(pi k / steps)) / 2` for `cosine`."""
        warm = min(1.0, (step + 1) / max(1, round(WARMUP * self.steps)))
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.schedule == "cosine" else 1.0
        return self.lr * warm * fall

    def run(
        self,
        module: nn.Module,
        batches: Iterator[Index],
        loss_of: Callable[[Index], Tensor],
        report: Report,
        done: Callable[[int], bool] = lambda _: False,
    ) -> int:
        """Train the module in place until `done(steps so far)`; returns the number of steps.

        Raises `NonFiniteError` if a gradient is NaN or Inf.
        """
        optimizer = torch.optim.AdamW(
            module.parameters(), lr=self.lr, weight_decay=self.decay, betas=(0.9, 0.98)
        )
        module.train()
        for step in range(self.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.rate(step)
            loss = loss_of(next(batches))
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(module.parameters(), self.clip)
            if not torch.isfinite(norm):
                raise NonFiniteError(
                    f"pretraining diverged at step {step + 1} of {self.steps}; lower model.pretrain_lr = {self.lr:g}"
                )
            optimizer.step()
            if (step + 1) % REPORT_EVERY == 0 or step + 1 == self.steps:
                report("pretraining", step + 1, self.steps)
            if done(step + 1):
                return step + 1
        return self.steps


def shuffled_batches(lengths: Index, batch: int, rng: np.random.Generator) -> Iterator[Index]:
    """Indices of batches, shuffled in every epoch; sequences of similar length share a batch."""
    while True:
        order = rng.permutation(len(lengths))
        pools = [order[i : i + POOL * batch] for i in range(0, len(order), POOL * batch)]
        found = list[Index]()
        for pool in pools:
            by_length = pool[np.argsort(lengths[pool], kind="stable")]
            found += [by_length[i : i + batch] for i in range(0, len(by_length), batch)]
        yield from (found[i] for i in rng.permutation(len(found)))


def padded(tokens: Tokens, padding: int) -> tuple[Tensor, Tensor]:
    """Right-padded token ids `(n, longest)` int64, and the mask of real tokens."""
    seen = np.arange(int(tokens.lengths.max())) < tokens.lengths[:, None]
    ids = np.full(seen.shape, padding, dtype=np.int64)
    ids[seen] = tokens.ids
    return torch.from_numpy(ids), torch.from_numpy(seen)


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """A context with torch's generator seeded, one thread and gradients enabled; restores the previous state."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def arrays_of(module: nn.Module) -> dict[str, NDArray[Any]]:
    """A module's parameters and buffers by name; tied ones only under their first name."""
    first = dict[int, str]()
    for name, parameter in module.named_parameters(remove_duplicate=False):
        first.setdefault(id(parameter), name)
    tied = {n for n, p in module.named_parameters(remove_duplicate=False) if first[id(p)] != n}
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items() if name not in tied}
