"""Rollouts under verification: what is right passes in every precision, and every fault is caught by its quantity."""

import attrs
import numpy as np
import pytest

from boostlora.engine.contracts import GenerationRequest, Sampling, Tokens
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.spec import Slot
from boostlora.engine.verification.criterion import Criterion
from boostlora.engine.verification.findings import Finding
from boostlora.engine.verification.limits import Limits
from boostlora.engine.verification.rollouts import DrawCheck
from boostlora.engine.verification.verify import Recording, verify

from ..support.rollout_toys import BACKENDS, RolloutToy, write_folder
from . import broken_backends
from . import broken_policies as faults

TORCH = ("backend.use=torch", "backend.device=cpu")
TELLING = (
    "objective.iterations=3",
    "objective.clip_low=0.002",
    "objective.clip_high=0.003",
    "task.stop=['s', '0']",
    "optimizer.steps=7",
    "optimizer.batch_size=6",
)
"""Clips so narrow that they bind, three steps on the same answers, and answers of unequal lengths."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("verify")
    write_folder(path)
    return path


@pytest.fixture
def check(folder):
    """`check(fault, dtype, *settings, limits=…)`: verify torch with a fault."""

    def run(fault, dtype, *settings, limits=None):
        writer = RolloutToy.make(folder, *TORCH, f"backend.dtype={dtype}", *TELLING, *settings)
        right = writer.spec.backend
        candidate = broken_backends.Candidate(right=right, fault=fault, dtype=dtype)
        slot = Slot(use="candidate", plugin=candidate)
        spec = attrs.evolve(writer.spec, slots={**writer.spec.slots, "backend": slot})
        return verify(spec, writer.registry, RunContext(cache=folder / "cache"), limits or Limits())

    return run


MORE = pytest.mark.slow(reason="another precision or kind of spec, two rounds on two backends each")


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=MORE), "bfloat16"])
def test_correct_backend_passes_with_every_step_compared(check, dtype):
    result = check(broken_backends.Proxy, dtype)
    assert result.passed, result.first
    assert result.rounds == 2
    found = {(f.round, f.quantity, f.where): f for f in result.findings}
    for number in (1, 2):
        for where in ("first", "last"):
            assert found[number, "answers", where].compared > 24
            assert found[number, "answers", where].excused == 0 or dtype == "bfloat16"
            assert found[number, "answer log-probabilities", f"{where}, of the start"].compared
    if dtype == "float64":
        # Advantages cancel in the first step's loss; its rounding must not pass for training that went elsewhere.
        assert found[1, "training loss", "batch"].compared == 7
        assert not result.notes


@pytest.mark.parametrize("name", [pytest.param("reference", marks=MORE), "torch"])
@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("objective.top_p=0.8", "objective.temperature=0.9"),
        ("objective.iterations=1", "objective.kl=0.0", "objective.normalise=length", "adapter.use=lora"),
        (
            "adapter.use=lora-xs",
            "adapter.spectrum=paper",
            "adapter.init_std=0.3",
            "objective.normalise=token",
        ),
        ("merge.use=shrinkage", "merge.rate=0.5", "objective.scale_rewards=none", "optimizer.lr=0.5"),
    ],
    ids=["plain", "nucleus", "factors", "not-from-zero", "by-halves"],
)
def test_specs_of_every_kind_pass_on_every_backend(folder, name, settings):
    """Adapters that start away from zero too: the policy is not the model then, and answers are held to the policy."""
    writer = _without_directions(folder, [*BACKENDS[name], *settings])
    result = verify(writer.spec, writer.registry, RunContext(cache=folder / "cache"))
    assert result.passed, result.first
    assert any(f.quantity == "answers" and f.compared for f in result.findings)


def _without_directions(folder, settings):
    """The spec, with options that only tinylora has left out for others."""
    if not any(s.startswith("adapter.use=") for s in settings):
        return RolloutToy.make(folder, *settings)
    other = folder / "other"
    if not other.exists():
        write_folder(other)
        spec = other / "rollouts.toml"
        spec.write_text(spec.read_text().replace("directions = 3\n", ""))
    return RolloutToy.make(other, *settings)


SLOW = pytest.mark.slow(reason="a run for every fault, each of which the other precision shows too")


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=SLOW)])
@pytest.mark.parametrize(
    ("fault", "quantity"),
    [
        (faults.WrongSign, "gradient"),
        (faults.ClipIgnored, "training loss"),
        (faults.DivergenceDropped, "training loss"),
        (faults.OldIgnored, "training loss"),
        (faults.LossAtTemperatureOne, "training loss"),
        (faults.SharesPerToken, "training loss"),
        (faults.OtherDraws, "answers"),
        (faults.Hot, "answers"),
        (faults.Curt, "answers"),
        (faults.StaleWriter, "answers"),
        (faults.Cold, "answer log-probabilities"),
        (faults.AlwaysStart, "answer log-probabilities"),
        (faults.NeverStart, "answer log-probabilities"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_fault_of_policy_training_is_detected_in_the_first_round_by_its_quantity(
    check, fault, quantity, dtype
):
    result = check(fault, dtype, limits=Limits(rounds=1))
    assert not result.passed
    assert (result.first.round, result.first.quantity) == (1, quantity)
    # A fault is no rounding: it stands out by more than what the criterion is uncertain of.
    assert result.first.ratio > 10.0


def test_fewer_steps_answer_fewer_prompts(check):
    result = check(broken_backends.Proxy, "float64", limits=Limits(rounds=1, steps=2, examples=6))
    assert result.passed, result.first
    assert {f.where for f in result.findings if f.quantity == "answers"} == {"first"}


# -- Runs


def replayed(writer, run, name, limits=None):
    directory = writer.go(run)
    criterion = Criterion(dtype="float64")
    recording = Recording(directory=directory, criterion=criterion)
    spec = RolloutToy.make(writer.folder, *BACKENDS[name]).spec
    return verify(spec, writer.registry, RunContext(cache=writer.folder / "cache"), limits, recording)


@pytest.mark.parametrize("name", BACKENDS)
def test_recorded_run_passes_on_every_backend(folder, name):
    writer = RolloutToy.make(folder, *BACKENDS["torch"])
    result = replayed(writer, "recorded", name)
    assert result.passed, result.first
    quantities = {f.quantity for f in result.findings if f.compared}
    assert {"answer log-probabilities", "gradient", "recorded update", "recorded loss"} <= quantities


@pytest.mark.parametrize(
    "fault",
    [
        faults.WrongSign,
        *(pytest.param(f, marks=MORE) for f in (faults.ClipIgnored, faults.DivergenceDropped)),
    ],
)
def test_run_of_a_faulty_backend_is_detected_by_its_record(folder, fault, monkeypatch):
    """The candidate of the replay is right; what the run's own backend made is not."""
    writer = RolloutToy.make(
        folder, *BACKENDS["torch"], "objective.clip_low=0.002", "objective.clip_high=0.003"
    )
    kind = type(writer.spec.backend)
    opened = kind.open
    with monkeypatch.context() as patch:
        patch.setattr(kind, "open", lambda self, *given: fault(opened(self, *given)))
        directory = writer.go(f"broken-{fault.__name__}")
    recording = Recording(directory=directory, criterion=Criterion(dtype="float64"))
    result = verify(writer.spec, writer.registry, RunContext(cache=folder / "cache"), recording=recording)
    assert (result.first.round, result.first.quantity) == (1, "recorded update")
    assert result.first.ratio > 10.0


def test_run_without_stored_answers_cannot_replay_them(folder):
    writer = RolloutToy.make(folder, *BACKENDS["torch"], "objective.keeps=false")
    directory = writer.go("bare")
    recording = Recording(directory=directory, criterion=Criterion(dtype="float64"))
    result = verify(writer.spec, writer.registry, RunContext(cache=folder / "cache"), recording=recording)
    assert result.passed, result.first
    assert result.notes == (
        "rounds 1, 2: its rollouts were not stored (objective.keeps), so its training cannot be replayed",
    )


def test_command_verifies_a_spec_of_rollouts(boostlora, tmp_path):
    write_folder(tmp_path)
    said = boostlora("verify", "rollouts.toml", "--rounds", "1", *[w for s in TORCH for w in ("--set", s)])
    assert said.returncode == 0, said.stdout + said.stderr
    assert "answer log-probabilities" in said.stdout


# -- Answers and their draws

WHERE = Finding(round=1, quantity="answers", where="first", error=0.0, allowed=0.0)
Z = np.log(np.array([[0.1, 0.4, 0.3, 0.2]]))
"""Cumulated 0.1, 0.5, 0.8, 1; of the nucleus of 0.6, tokens 1 and 2: 4/7 and 1."""


def held(token, draw, *, top_p=1.0, slack=1e-9):
    request = GenerationRequest(
        max_new_tokens=1, end_tokens=(), sampling=Sampling(top_p=top_p), draws=np.array([[draw]])
    )
    found = DrawCheck(request=request, tokens=Tokens.join([[9, token]], [1]))
    found.add(0, Z, slack)
    return found.wrong, found.excused


@pytest.mark.parametrize(
    ("token", "draw", "top_p", "expected"),
    [
        (1, 0.1001, 1.0, (0, 0)),
        (1, 0.4999, 1.0, (0, 0)),
        (2, 0.4999, 1.0, (1, 0)),
        (1, 0.5 + 1e-9, 1.0, (0, 1)),
        (2, 0.5 - 1e-9, 1.0, (0, 1)),
        (0, 0.0, 1.0, (0, 0)),
        (3, 0.9999999, 1.0, (0, 0)),
        (1, 0.5, 0.6, (0, 0)),
        (2, 0.6, 0.6, (0, 0)),
        (3, 0.9, 0.6, (1, 0)),
        (0, 0.05, 0.6, (1, 0)),
        (3, 0.9, 0.7, (0, 1)),  # the nucleus has its border where rounding decides
    ],
)
def test_token_must_match_its_draw(token, draw, top_p, expected):
    assert held(token, draw, top_p=top_p) == expected


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ([1, 0], 0),
        ([0], 0),
        ([1, 1, 1], 0),
        ([1], 1),
        ([1, 1], 1),
        ([0, 1, 0], 1),
        ([2], 0),
        ([1, 1, 1, 1], 1),
    ],
)
def test_answer_ends_at_its_end_token(answer, wrong):
    """End token 0; three tokens at most; a token 2 finishes."""
    request = GenerationRequest(max_new_tokens=3, end_tokens=(0,), finished=lambda tokens: tokens[-1] == 2)
    z = np.zeros((len(answer), 4))
    found = DrawCheck(request=request, tokens=Tokens.join([[9, *answer]], [1]))
    found.add(0, z, 1e-9)
    assert found.wrong == wrong
    assert found.finding(WHERE).compared == len(answer)
