"""Hooks: the registration of plugins, and the events of a run.

To implement a hook, write a function of the same name, mark it with `@hookimpl`, and declare the arguments you need (all of them, or
fewer). Built-in plugins use only these hooks. The protocols that plugins implement are in `contracts/`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .contracts.records import RoundRecord
    from .contracts.run_info import RunInfo, RunResult

PROJECT = "boostlora"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""

Register = Callable[[str, type[Any]], None]
"""`register(name, cls)`: register an attrs class under a name of `[a-z0-9][a-z0-9-]*`; its fields are the plugin's options."""


# -- Registration. Called once, when the registry is built. If two plugins register the same name, the first keeps it and the
#    second is reported as broken. Hooks must not compute or load anything.


@hookspec
def register_tasks(register: Register) -> None:
    """Offer tasks: `load(rng) -> Splits`, `judge(examples, predictions) -> Outcome`."""


@hookspec
def register_models(register: Register) -> None:
    """Offer models: `blueprint(splits) -> Blueprint`, `source(splits, context, rng) -> ModelSource`."""


@hookspec
def register_adapters(register: Register) -> None:
    """Offer adapters: `rank`, `framed`, `parametrise(site, sites, rng) -> LinearCore | FreeFactors | DenseDelta`."""


@hookspec
def register_bases(register: Register) -> None:
    """Offer bases: `exhausted`, `capacity(width)`, `depth(ranks, width)`, `calibration(rank)`, `frames(sites, earlier, rank, oracle, rng)`."""


@hookspec
def register_samplers(register: Register) -> None:
    """Offer samplers: `select(outcome, history, rng) -> Selection`; an empty selection ends the run as converged."""


@hookspec
def register_objectives(register: Register) -> None:
    """Offer objectives: `batches(selection, steps, batch_size, rng) -> [Batch]`.

    Policy objectives, which learn from rewards: `group_size`, `iterations`, `sampling`, `max_new_tokens`, `remembers`, `keeps`,
    `prompts(selection, count, batch_size, rng)`, `batch(answers) -> Batch`.
    """


@hookspec
def register_optimizers(register: Register) -> None:
    """Offer optimisers: `rule`, `steps`, `batch_size`, `rates(round, rounds) -> (steps,)`."""


@hookspec
def register_merges(register: Register) -> None:
    """Offer merge policies: `choose(trial) -> float | Refusal`."""


@hookspec
def register_backends(register: Register) -> None:
    """Offer backends: `architectures`, `rules`, `itemsize`, `check()`, `open(source, sites, report) -> BoostedModel`."""


@hookspec
def register_generators(register: Register) -> None:
    """Offer generators: `check()`, `open(source, sites) -> InferenceEngine`."""


@hookspec
def register_executors(register: Register) -> None:
    """Offer executors: `remote`, `check()`, and `run(jobs)`, or `submit(jobs)`, `poll(study, ids)` and `cancel(study, ids)`."""


@hookspec
def register_trackers(register: Register) -> None:
    """Offer trackers: `check()`, `follow(run) -> TrackedRun`."""


@hookspec
def register_exporters(register: Register) -> None:
    """Offer exporters: `check(ensemble)`, `precision(ensemble)`, `write(ensemble, folder)`, `reload(ensemble, folder)`, `usage(…)`."""


# -- Events of a run, for trackers and displays. Called in order of registration; return values are ignored. A plugin that raises
#    is named in a warning and gets no further events of the run; it never fails the run.


@hookspec
def run_started(run: RunInfo) -> None:
    """Before the first round of this process: a new run, or one that is resumed (`run.resumed_from` rounds are done)."""


@hookspec
def round_finished(run: RunInfo, record: RoundRecord) -> None:
    """After a round is on disk; round 0 is the base model."""


@hookspec
def run_finished(run: RunInfo, result: RunResult) -> None:
    """After the last round: completed, converged, out of patience, exhausted, or failed. Not called when interrupted."""
