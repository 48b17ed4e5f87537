"""A run that was interrupted, however often, ends as one that was not."""

import pytest

from boostlora.engine.hookspecs import hookimpl

from ..support.record_toys import ROUNDS, Interrupter, Toy, check_valid, listening, sealed

WIDE = ("model.hidden=[37, 29]", "task.columns=23", "rounds=3", "adapter.rank=3")
"""Shapes on which sums over rows and over columns differ in their last bit."""


class StopEveryNewRound:
    """Ctrl-C at the end of each round, the first time that it is told of it."""

    def __init__(self):
        self.seen = set()

    @hookimpl
    def round_finished(self, record):
        if record.round not in self.seen:
            self.seen.add(record.round)
            raise KeyboardInterrupt


class StopAtEvent:
    """Ctrl-C in one of the events, once."""

    def __init__(self, event):
        self.event, self.told = event, False

    def _tell(self, event):
        if event == self.event and not self.told:
            self.told = True
            raise KeyboardInterrupt

    @hookimpl
    def run_started(self):
        self._tell("run_started")

    @hookimpl
    def round_finished(self, record):
        self._tell(f"round_finished {record.round}")

    @hookimpl
    def run_finished(self):
        self._tell("run_finished")


def count_steps(toy: Toy) -> int:
    counter = Interrupter()
    toy.go("counted", counter)
    return counter.calls


@pytest.mark.parametrize(
    "stride", [3, pytest.param(1, marks=pytest.mark.slow(reason="two runs for every step"))]
)
def test_resume_interrupted_at_any_step_gives_the_same_rounds(toy, stride):
    whole = sealed(toy.path("whole"))
    steps = count_steps(toy)
    assert steps > 3 * ROUNDS
    for step in range(0, steps, stride):
        name = f"step-{step}"
        with pytest.raises(KeyboardInterrupt):
            toy.go(name, Interrupter(step))
        assert check_valid(toy.path(name), whole) <= ROUNDS + 1
        assert toy.go(name).digest == whole[-1]["digest"]
        assert sealed(toy.path(name)) == whole


@pytest.mark.parametrize(
    ("event", "rounds"),
    [
        ("run_started", 0),
        *((f"round_finished {t}", t + 1) for t in range(ROUNDS + 1)),
        ("run_finished", ROUNDS + 1),
    ],
)
def test_resume_interrupted_in_an_event_gives_the_same_rounds(toy, event, rounds):
    whole, name = sealed(toy.path("whole")), event.replace(" ", "-")
    listener = StopAtEvent(event)
    with listening(toy.registry, listener), pytest.raises(KeyboardInterrupt):
        toy.go(name)
    assert listener.told
    assert check_valid(toy.path(name), whole) == rounds
    assert toy.go(name).digest == whole[-1]["digest"]
    assert sealed(toy.path(name)) == whole


VARIANTS = {
    "rotate": (),
    "random": ("basis.use=random",),
    "tail": ("basis.use=tail",),
    "refresh": ("basis.use=refresh",),
    "xs-paper": ("adapter.use=lora-xs", "adapter.spectrum=paper"),
    "lora": ("adapter.use=lora",),
    "line-search": ("merge.use=line-search",),
    "gate": ("merge.use=gate",),
    "shrinkage": ("merge.use=shrinkage", "sampler.use=weighted"),
    "patience": ("stop.patience=1", "optimizer.lr=0.001"),
    "skip": ("optimizer.lr=1e300", "model.activation=relu", "stop.on_nonfinite=skip"),
    "no-rounds": ("rounds=0",),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_resume_after_every_round_gives_the_same_rounds(variant, tmp_path):
    check_every_round(Toy.make(tmp_path, *WIDE, *VARIANTS[variant]))


def test_resume_of_dense_updates_gives_the_same_rounds(tmp_path):
    check_every_round(Toy.make(tmp_path, *WIDE[:-1], "adapter={use='full'}"))


def check_every_round(toy: Toy) -> None:
    result = toy.go("whole")
    listener, interruptions, again = StopEveryNewRound(), 0, None
    with listening(toy.registry, listener):
        while again is None:
            try:
                again = toy.go("pieces")
            except KeyboardInterrupt:
                interruptions += 1
    assert interruptions == result.rounds + 1
    assert sealed(toy.path("pieces")) == sealed(toy.path("whole"))
    assert again == result
