"""What cannot be learnt from is refused, and who breaks the contract of rollouts is named."""

import attrs
import numpy as np
import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.rollouts import rollout_of
from boostlora.engine.boosting.round_plan import plan_round
from boostlora.engine.contracts import Selection
from boostlora.engine.errors import PluginError, UsageError
from boostlora.engine.foundation.run_context import no_report
from boostlora.plugins.objectives.grpo import Grpo

from ..support.rollout_toys import RolloutToy, opened, trained, with_plugin, write_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rollouts")
    write_folder(path)
    return path


@attrs.frozen
class Unsure:
    """A task whose rewards are not numbers."""

    right: object

    def __getattr__(self, name):
        return getattr(self.right, name)

    def judge(self, examples, predictions):
        outcome = self.right.judge(examples, predictions)
        return attrs.evolve(outcome, reward=np.where(np.arange(len(outcome)) == 1, np.nan, outcome.reward))


def test_nan_reward_is_an_error_of_the_task(folder):
    experiment = opened(folder)
    broken = with_plugin(experiment, "task", Unsure(experiment.spec.task))
    with pytest.raises(PluginError, match=r'task plugin "language-modelling": .*reward that is NaN'):
        trained(broken)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda o: attrs.evolve(o, indices=o.indices[:-1]), "one sequence and one weight per index"),
        (lambda o: attrs.evolve(o, rollouts=None), "one sequence and one weight per index"),
        (
            lambda o: attrs.evolve(o, rollouts=attrs.evolve(o.rollouts, shares=o.rollouts.shares[1:])),
            "finite values, one per target token",
        ),
        (
            lambda o: attrs.evolve(o, rollouts=attrs.evolve(o.rollouts, start=None)),
            "beta needs log-probabilities under the starting model",
        ),
        (
            lambda o: attrs.evolve(o, rollouts=attrs.evolve(o.rollouts, counts=0 * o.counts)),
            "counts must be integers >= 1, one per sequence",
        ),
        (
            lambda o: attrs.evolve(o, rollouts=attrs.evolve(o.rollouts, counts=o.counts[1:])),
            "counts must be integers >= 1, one per sequence",
        ),
        (lambda o: "no batch", "returned str, not Batch"),
    ],
)
def test_invalid_policy_batch_is_an_error_of_the_objective(folder, change, problem):
    @attrs.frozen(kw_only=True)
    class Broken(Grpo):
        def batch(self, answers):
            batch = super().batch(answers)
            return change(batch) if len(batch) else batch

    experiment = opened(folder, "optimizer.batch_size=16")
    objective = Broken(**attrs.asdict(experiment.spec.objective))
    broken = with_plugin(experiment, "objective", objective)
    with pytest.raises(PluginError, match=f'objective plugin "grpo": .*{problem}'):
        trained(broken)


def test_too_few_prompts_are_an_error_of_the_objective(folder):
    @attrs.frozen(kw_only=True)
    class Lazy(Grpo):
        def prompts(self, selection, count, batch_size, rng):
            return super().prompts(selection, count, batch_size, rng)[1:]

    experiment = opened(folder)
    broken = with_plugin(experiment, "objective", Lazy())
    plan = plan_round(broken.spec, 1)
    with pytest.raises(PluginError, match="returned 4 batches of prompts, expected 5"):
        rollout_of(broken, plan, Selection.equal(np.arange(4)), no_report)


@pytest.mark.parametrize(
    "settings", [("task.correct=forced", "task.extract="), ("task.correct=loss", "task.extract=")]
)
def test_task_without_generated_answers_is_refused_before_any_work(folder, settings):
    with pytest.raises(UsageError) as caught:
        prepare(RolloutToy.make(folder, *settings).spec)
    assert str(caught.value) == (
        "objective grpo learns from generated answers, and task language-modelling generates none with these options; use a task "
        "that judges answers, such as gsm8k or arithmetic"
    )


def test_command_runs_grpo_and_refuses_tasks_without_answers(boostlora, tmp_path):
    write_folder(tmp_path)
    done = boostlora("run", "rollouts.toml", "--set", "rounds=1")
    assert done.returncode == 0, done.stderr
    refused = boostlora("run", "paper/digits", "--set", "objective.use=grpo")
    assert refused.returncode == 2
    assert (
        "learns from generated answers, and task digits generates none with these options" in refused.stderr
    )
    assert not list((tmp_path / "runs").glob("paper-digits*/*")), "something was begun"
