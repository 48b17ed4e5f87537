"""The toy's blobs on sites wide enough for six rounds, opened without a run, or run in folders of one's own."""

import attrs

from boostlora.engine.boosting.experiment import open_experiment, prepare
from boostlora.engine.boosting.rounds import RoundRunner
from boostlora.engine.foundation.run_context import RunContext, no_report
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec

from ..support.boost_runs import ToyRun, toy_run, weights_sha256
from ..support.record_toys import PLUGIN, Toy, listening, sealed

__all__ = [
    "PLUGIN",
    "StopAfter",
    "Toy",
    "ToyRun",
    "listening",
    "records",
    "sealed",
    "toy_run",
    "weights_sha256",
]

WIDE = ("rounds=6", "task.columns=14", "model.hidden=[13, 12]", "backend.threads=1")
"""Sites of 13 x 14 and 12 x 13: six rounds of two directions."""
DEEP = ("model.hidden=[13, 12, 12]",)
"""A third site of 12 x 12."""
SITES = ("layers.0.weight", "layers.1.weight")
BACKENDS = {
    "reference": ("backend.use=reference",),
    "torch": ("backend.use=torch", "backend.device=cpu", "backend.dtype=float64"),
}


class StopAfter:
    """Ctrl-C at the end of a round."""

    def __init__(self, number):
        self.number = number

    @hookimpl
    def round_finished(self, record):
        if record.round == self.number:
            raise KeyboardInterrupt


def toy(folder, *settings):
    """The wide toy under further settings."""
    return Toy.make(folder, *WIDE, *settings)


def retold(made, *settings):
    """The same folder and cache with other settings."""
    spec = load_spec(made.folder / "toy.toml", made.registry, (*WIDE, *settings))
    return attrs.evolve(made, spec=spec)


def as_run(made, name):
    """A finished run as the ensemble's tests have it."""
    return ToyRun(path=made.path(name), cache=made.cache)


def records(made, name):
    return RunDirectory.open(made.path(name)).records


def opened(made):
    """The experiment with its model, and a player that has seen the base."""
    experiment = open_experiment(prepare(made.spec), RunContext(cache=made.cache))
    runner = RoundRunner(experiment, no_report)
    runner.accept(runner.base())
    return experiment, runner


def went_on(made, name, number):
    """The digest of a run that was interrupted at the end of a round, and gone on with."""
    try:
        with listening(made.registry, StopAfter(number)):
            made.go(name)
    except KeyboardInterrupt:
        assert len(records(made, name)) == number + 1
        return made.go(name).digest
    raise AssertionError("it was to be interrupted")


def settings_of(words):
    """Each `key=value` as the command line takes it."""
    return [word for setting in words for word in ("--set", setting)]
