"""Plugins that misbehave are named, and trackers that do never fail a run."""

import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.errors import PluginError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec


class _Broken:
    """Stands in for one plugin and misbehaves."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *_, **__):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("slot", "verb", "answer", "message"),
    [
        (
            "sampler",
            "select",
            KeyError("x"),
            "sampler plugin \"failures\": raised KeyError: 'x' (test_culprits.py:23, in __call__)",
        ),
        ("sampler", "select", [1, 2], 'sampler plugin "failures": returned list, not a Selection'),
        ("basis", "frame", None, 'basis plugin "rotate": returned NoneType for layers.0.weight, not a Frame'),
        (
            "merge",
            "choose",
            float("nan"),
            'merge plugin "full": choose() returned nan, neither a finite scale nor a Refusal',
        ),
        ("objective", "batches", [], 'objective plugin "cross-entropy": returned 0 batches for 10 steps'),
        (
            "task",
            "judge",
            None,
            'task plugin "digits": judge() must return an Outcome with one entry per example',
        ),
    ],
)
def test_plugin_that_misbehaves_is_named(run_cell, registry, monkeypatch, slot, verb, answer, message):  # noqa: PLR0917
    name = {
        "sampler": "failures",
        "basis": "rotate",
        "merge": "full",
        "objective": "cross-entropy",
        "task": "digits",
    }[slot]
    cls = registry.entries(slot)[name].cls
    monkeypatch.setattr(cls, verb, _Broken(answer))
    with pytest.raises(PluginError) as caught:
        run_cell()
    assert str(caught.value) == message


def test_tracker_that_raises_is_named_in_a_warning_and_never_fails_the_run(small, tmp_path):
    class Tracker:
        @hookimpl
        def round_finished(self, record):
            raise RuntimeError("disk on fire")

    registry = Registry.load()
    registry.manager.register(Tracker(), name="tracker")
    spec = load_spec("paper/digits", registry, small)
    prepared, directory = prepare(spec), RunDirectory.create(tmp_path, spec)
    with pytest.warns(
        RuntimeWarning, match="plugin tracker raised RuntimeError in round_finished: disk on fire"
    ):
        result = boost(prepared, directory, registry, RunContext())
    assert result.status == "completed"
