"""Any sequence of interruptions and leftovers ends as the uninterrupted run."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from boostlora.engine.errors import RunError

from ..support.record_toys import ROUNDS, Interrupter, Toy, check_valid, disk_full, sealed


class InterruptedRun(RuleBasedStateMachine):
    """One run directory, treated badly."""

    whole: Toy

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.toy = attrs.evolve(self.whole, folder=self.folder)
        self.expected = sealed(self.whole.path("whole"))

    @property
    def run_folder(self) -> Path:
        return self.toy.path("run")

    @property
    def rounds_on_disk(self) -> int:
        return check_valid(self.run_folder, self.expected)

    @rule(steps=st.integers(0, 40))
    def play_until_interrupted(self, steps):
        before = self.rounds_on_disk
        try:
            assert self.toy.go("run", Interrupter(steps)).digest == self.expected[-1]["digest"]
        except KeyboardInterrupt:
            assert self.rounds_on_disk >= before

    @rule(writes=st.integers(0, 20))
    def play_until_the_disk_is_full(self, writes):
        left, replace = [writes], os.replace

        def limited(source, target):
            left[0] -= 1
            if left[0] < 0:
                raise disk_full()
            replace(source, target)

        with patch("os.replace", limited), suppress(RunError):
            self.toy.go("run")

    @rule(kind=st.sampled_from(["updates", "outcomes"]), content=st.binary(max_size=40))
    def leave_half_of_the_next_round(self, kind, content):
        path = self.run_folder / kind / f"{self.rounds_on_disk:04d}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    @rule(
        name=st.sampled_from(["rounds.jsonl", "spec.toml", "result.json", "updates/0001.safetensors"]),
        content=st.binary(max_size=40),
    )
    def leave_a_temporary_file(self, name, content):
        path = self.run_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.4242.tmp").write_bytes(content)

    @rule()
    def leave_a_dead_holder(self):
        self.run_folder.mkdir(parents=True, exist_ok=True)
        (self.run_folder / "holder.json").write_text('{"pid": 4242, "host": "gone", "since": "yesterday"}')

    @rule(what=st.sampled_from(["directions", "models", "."]))
    def delete_from_the_cache(self, what):
        shutil.rmtree(self.toy.cache / what, ignore_errors=True)

    @rule(content=st.binary(max_size=40))
    def damage_the_cache(self, content):
        for path in self.toy.cache.rglob("*.*"):
            path.write_bytes(content)

    @rule()
    def lose_the_result(self):
        (self.run_folder / "result.json").unlink(missing_ok=True)

    @invariant()
    def what_is_on_disk_is_a_prefix_of_the_whole_run(self):
        assert 0 <= self.rounds_on_disk <= ROUNDS + 1

    def teardown(self):
        assert self.toy.go("run").digest == self.expected[-1]["digest"]
        assert self.rounds_on_disk == ROUNDS + 1
        assert not list(self.run_folder.rglob("*.tmp"))
        shutil.rmtree(self.folder)


def check(toy: Toy, examples: int) -> None:
    machine = type("Machine", (InterruptedRun,), {"whole": toy})
    profile = settings(
        max_examples=examples,
        stateful_step_count=8,
        deadline=None,  # a step trains a model
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(machine, settings=profile)


def test_disturbed_run_resumes_to_the_same_result(toy):
    check(toy, 20)


@pytest.mark.slow(reason="many sequences of interruptions")
def test_often_disturbed_run_resumes_to_the_same_result(toy):
    check(toy, 100)
