"""A tiny Qwen2 that learns from rewards: the vowel that it writes last should be the right one."""

import json
from pathlib import Path

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

from boostlora.engine.boosting.experiment import open_experiment, prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.boosting.rounds import RoundRunner
from boostlora.engine.contracts import Selection
from boostlora.engine.foundation.locks import locked
from boostlora.engine.foundation.run_context import RunContext, no_report
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec import Spec
from boostlora.engine.spec.resolve import load_spec

from . import hf_toys

SPEC = """
name = "rollouts"
rounds = 2

[task]
use = "language-modelling"
path = "rows.jsonl"
correct = "greedy"
extract = "[aeiou]"
max_new_tokens = 6

[model]
use = "hf-causal-lm"
path = "model"

[objective]
use = "grpo"
group_size = 4
iterations = 2
kl = 0.05
temperature = 1.2

[adapter]
use = "tinylora"
rank = 2
u = 3

[sampler]
use = "all"

[optimizer]
lr = 0.05
steps = 5
batch_size = 4

[backend]
use = "reference"
"""
BACKENDS = {
    "reference": ("backend.use=reference",),
    "torch": ("backend.use=torch", "backend.device=cpu", "backend.dtype=float64"),
}
PROMPTS = ("the cat", "a dog ran", "good", "what is 3", "bad weather, bad", "the sum")


def write_folder(folder: Path) -> Path:
    """Model, rows and spec, as a user would have them; returns the spec's path."""
    folder.mkdir(parents=True, exist_ok=True)
    hf_toys.causal(folder / "model")
    rows = [{"prompt": f"{PROMPTS[i % 6]} {i}", "completion": " " + "aeiou"[i % 5]} for i in range(24)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rollouts.toml").write_text(SPEC)
    return folder / "rollouts.toml"


@attrs.frozen
class RolloutToy:
    """One spec that can be run in several folders."""

    folder: Path
    registry: Registry
    spec: Spec

    @classmethod
    def make(cls, folder, *settings):
        """In a folder that `write_folder` has filled."""
        registry = Registry.load()
        return cls(folder, registry, load_spec(folder / "rollouts.toml", registry, settings))

    def path(self, name):
        return self.folder / "runs" / name

    def go(self, name, report=no_report):
        """Run what is missing, as the command line does; returns the directory."""
        prepared = prepare(self.spec)
        with locked(self.path(name)):
            directory = RunDirectory.create(self.path(name), self.spec)
            boost(prepared, directory, self.registry, RunContext(cache=self.folder / "cache", report=report))
        return RunDirectory.open(self.path(name))


def opened(folder, *settings):
    """An experiment on torch in a folder that `write_folder` has filled, without a run."""
    writer = RolloutToy.make(folder, *BACKENDS["torch"], *settings)
    return open_experiment(prepare(writer.spec), RunContext(cache=folder / "cache"))


def trained(experiment, number=1):
    """Rollouts of a round on all examples, and what came of training on them."""
    runner = RoundRunner(experiment, no_report)
    plan = runner.plan(number)
    rollout = runner.batches(plan, Selection.equal(np.arange(len(experiment.splits.train))))
    return rollout, experiment.model.train(runner.request(plan, rollout))


def with_plugin(experiment, slot, plugin):
    """The experiment with another plugin in a slot, under the name of the one that was there."""
    spec = experiment.spec
    slots = {**spec.slots, slot: attrs.evolve(spec.slots[slot], plugin=plugin)}
    return attrs.evolve(experiment, spec=attrs.evolve(spec, slots=slots))
