"""Right backends pass, on every kind of adapter, basis and rule; what is not defined is not compared."""

import attrs
import pytest

from boostlora.engine.verification.findings import Finding, Verification
from boostlora.engine.verification.limits import Limits

from .broken_backends import Candidate, Proxy

EVERY = (
    "singular values",
    "directions",
    "frames",
    "logits",
    "loss",
    "predictions",
    "chosen examples",
    "training loss",
    "gradient",
    "core",
    "update",
    "trial loss",
    "merged weight",
    "logits after",
    "predictions after",
)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("adapter.use=lora-xs", "adapter.rank=2"),
        ("adapter.tie=all", "model.activation=tanh"),
        ("optimizer.use=sgd", "optimizer.momentum=0.9", "optimizer.lr=0.1"),
        ("basis.use=tail",),
        ("sampler.use=weighted",),
        ("merge.use=line-search",),
    ],
    ids=lambda settings: settings[0] if settings else "as shipped",
)
def test_correct_backend_passes_with_every_quantity_compared(check, right, settings):
    result = check(right, *settings)
    assert result.passed, result.first
    assert tuple(row.quantity for row in result.rows()) == EVERY


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_adapter_without_frames_passes_without_directions(check, right, adapter):
    result = check(right, f"adapter.use={adapter}", "optimizer.lr=0.001")
    assert result.passed, result.first
    assert tuple(row.quantity for row in result.rows()) == EVERY[3:]


@pytest.mark.parametrize("basis", ["refresh", "random"])
def test_basis_without_base_directions_passes_by_its_frames(check, right, basis):
    result = check(right, f"basis.use={basis}")
    assert result.passed, result.first
    assert tuple(row.quantity for row in result.rows()) == EVERY[2:]


def test_reference_against_itself_is_exact(check, registry):
    result = check(registry.entries("backend")["reference"].cls())
    exact = {row.quantity: row.worst.error for row in result.rows()}
    # Subspaces are not compared entry by entry: I - Y Y' of the same Y is rounding. An update is made a second time here.
    assert {q for q, error in exact.items() if error > 0.0} <= {"directions", "update"}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_passes_and_reports_undefined_quantities(check, registry, dtype):
    pytest.importorskip("torch", reason="only torch computes in low precision")
    backend = registry.entries("backend")["torch"].cls(dtype=dtype, device="cpu")
    result = check(backend, limits=Limits(rounds=1))
    assert result.passed, result.first
    assert next(row for row in result.rows() if row.quantity == "frames").undefined > 0


def test_float32_declared_as_float64_deviates(check, registry):
    single = registry.entries("backend")["reference"].cls(dtype="float32")
    result = check(Candidate(right=single, fault=Proxy, dtype="float64"))
    assert result.first.quantity == "logits"
    assert result.first.ratio > 1e3  # 2^-24 against 3e-14


def test_limits_are_applied_and_reported(check, right):
    result = check(right, limits=Limits(rounds=1, examples=30, steps=2))
    assert result.passed
    assert result.rounds == 1
    assert {f.compared for f in result.findings if f.quantity == "predictions"} == {30}
    assert {f.compared for f in result.findings if f.quantity == "gradient"} == {2}
    assert result.limits == (
        "at most 1 round",
        "30 examples of every split, spread evenly over the order of their ids",
        "at most 2 optimiser steps per round",
    )


def test_run_out_of_directions_or_failures_ends_early_with_a_note(check, registry):
    reference = registry.entries("backend")["reference"].cls()
    out = check(reference, "rounds=20", 'basis.exhausted="stop"', "model.hidden=[4, 4]", "optimizer.steps=1")
    assert out.rounds == 2
    assert out.notes == ("round 2: unused directions ran out after it",)


def test_refused_update_omits_the_merge(check, registry):
    reference = registry.entries("backend")["reference"].cls()
    result = check(reference, "merge.use=line-search", "optimizer.lr=50.0")
    assert result.passed
    assert result.notes == ("rounds 1, 2: the merge policy refused the update",)
    assert "merged weight" not in {row.quantity for row in result.rows()}


def test_first_deviation_is_the_first_of_the_computation():
    good = Finding(round=1, quantity="logits", where="train", error=1.0, allowed=2.0)
    late = attrs.evolve(good, quantity="gradient", step=2, error=3.0)
    early = attrs.evolve(good, quantity="core", step=1, error=3.0)
    result = Verification(
        subject="x", candidate="y", criteria=(), rounds=1, limits=(), notes=(), findings=(late, early, good)
    )
    assert result.first is early
    assert not result.passed
    assert [row.quantity for row in result.rows()] == ["logits", "gradient", "core"]


def test_verification_without_comparisons_does_not_pass():
    nothing = Verification(
        subject="x", candidate="y", criteria=(), rounds=0, limits=(), notes=(), findings=()
    )
    assert not nothing.passed
