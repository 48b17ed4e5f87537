"""Bases that hear rewarded answers under verification: the same answers go to every model."""

import attrs
import pytest

from boostlora.engine.contracts import Products
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.spec import Slot
from boostlora.engine.verification.criterion import Criterion
from boostlora.engine.verification.recorded import Recording
from boostlora.engine.verification.verify import verify

from ..support.rollout_toys import BACKENDS, RolloutToy, write_folder
from . import broken_backends

INFORMED = ("basis.use=gradient", "basis.examples=8", "basis.batches=2", "basis.data=all")


class RolloutsForgotten(broken_backends.Proxy):
    """Gradients are those of the completions that would be right, and not of what was answered."""

    def gradient_products(self, examples, batches, *, right, left) -> dict[str, Products]:
        plain = [attrs.evolve(batch, rollouts=None) for batch in batches]
        return self.right.gradient_products(examples, plain, right=right, left=left)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("heard")
    write_folder(path)
    return path


def verified(writer, folder, fault=broken_backends.Proxy, **more):
    right = writer.spec.backend
    candidate = broken_backends.Candidate(right=right, fault=fault, dtype=getattr(right, "dtype", "float64"))
    slots = {**writer.spec.slots, "backend": Slot(use="candidate", plugin=candidate)}
    spec = attrs.evolve(writer.spec, slots=slots)
    return verify(spec, writer.registry, RunContext(cache=folder / "cache"), **more)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_of_rewarded_answers_are_compared_at_every_site(folder, dtype):
    writer = RolloutToy.make(folder, *BACKENDS["torch"], *INFORMED, f"backend.dtype={dtype}")
    result = verified(writer, folder)
    assert result.passed, result.first
    found = [f for f in result.findings if f.quantity == "gradient products"]
    assert {f.round for f in found} == {1, 2}
    assert len({f.where for f in found}) > 6


def test_gradient_of_other_tokens_than_the_answers_is_detected(folder):
    writer = RolloutToy.make(folder, *BACKENDS["torch"], *INFORMED)
    result = verified(writer, folder, RolloutsForgotten)
    assert (result.first.round, result.first.quantity) == (1, "gradient products")


def test_run_is_replayed_in_its_frames_with_a_note(folder):
    writer = RolloutToy.make(folder, *BACKENDS["torch"], *INFORMED, "objective.keeps=true")
    recording = Recording(directory=writer.go("informed"), criterion=Criterion(dtype="float64"))
    result = verified(writer, folder, recording=recording)
    assert result.passed, result.first
    assert any("the calibration rollouts of its basis were not stored" in note for note in result.notes)
    assert "recorded update" in {row.quantity for row in result.rows()}
