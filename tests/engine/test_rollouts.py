"""Rollouts in a run: what is asked, how it is judged, what is trained on, and what is refused."""

from itertools import pairwise

import attrs
import numpy as np
import pytest

from boostlora.engine.boosting.generation import request_for, texts_of
from boostlora.engine.boosting.rollouts import continued
from boostlora.engine.boosting.rounds import RoundRunner
from boostlora.engine.contracts import Completion, Decoding, Sampling, Tokens
from boostlora.engine.foundation.rng import Streams
from boostlora.engine.foundation.run_context import no_report
from boostlora.engine.testing import assert_close

from ..support.rollout_toys import BACKENDS, RolloutToy, opened, trained, write_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rollouts")
    write_folder(path)
    return path


@pytest.fixture(scope="module")
def runs(folder):
    """The same spec on every backend."""
    return {name: RolloutToy.make(folder, *settings).go(name) for name, settings in BACKENDS.items()}


def test_backends_agree_on_rollouts_and_updates(runs):
    one, two = runs["reference"], runs["torch"]
    assert len(one.records) == 3
    for a, b in zip(one.records, two.records, strict=True):
        assert (a.status, a.trained_on) == (b.status, b.trained_on)
        if a.rollouts is None:
            continue
        # Counts and rewards are the same to the bit, since every token is.
        assert a.rollouts == b.rollouts
        for split in ("train", "validation", "test"):
            mine, theirs = getattr(a, split), getattr(b, split)
            assert mine.accuracy == theirs.accuracy
            assert_close(mine.loss, theirs.loss, atol=1e-11, what=f"{split} loss")
        assert_close(a.loss_last, b.loss_last, atol=1e-12, what="training loss")
        for x, y in zip(one.rollouts(a.round), two.rollouts(a.round), strict=True):
            np.testing.assert_array_equal(x.indices, y.indices)
            np.testing.assert_array_equal(x.weights, y.weights)
            if x.rollouts is not None:
                np.testing.assert_array_equal(x.rollouts.tokens.ids, y.rollouts.tokens.ids)
                assert_close(x.rollouts.old, y.rollouts.old, atol=1e-11, what="old log-probabilities")
                assert_close(x.rollouts.start, y.rollouts.start, atol=1e-11, what="the start's")
    assert any(len(batch) for batch in one.rollouts(1)), "every group was silent; the test shows nothing"


def test_round_record_has_the_rollout_statistics(runs):
    directory = runs["torch"]
    base, *rounds = directory.records
    assert base.rollouts is None
    for record in rounds:
        facts, batches = record.rollouts, directory.rollouts(record.round)
        assert facts.answers == 3 * 4 * 4  # five steps of two iterations want three batches of four prompts
        assert facts.groups == 12
        assert 0 < facts.zero_variance < 12
        kept = {id(b): b for b in batches}.values()
        assert (
            0 < sum(len(b) for b in kept) <= 4 * (facts.groups - facts.zero_variance)
        )  # equal answers are one
        assert facts.skipped == sum(len(b) == 0 for b in batches)
        assert 0.0 < facts.reward < 1.0
        assert facts.tokens >= facts.answers
        assert record.trained_on == len({int(i) for b in batches for i in b.indices})
        assert len(batches) == 5


def test_steps_on_the_same_answers_share_a_batch_and_its_old_log_probabilities(runs):
    batches = runs["torch"].rollouts(1)
    assert [a is b for a, b in pairwise(batches)] == [True, False, True, False]
    first = next(b for b in batches if b.rollouts is not None)
    r = first.rollouts
    if first is batches[0]:  # the round's start is the old policy of its first answers
        np.testing.assert_array_equal(r.old, r.start)
    later = next(b for b in batches[2:] if b.rollouts is not None)
    assert np.abs(later.rollouts.old - later.rollouts.start).max() > 1e-6, "training moved nothing"
    assert (r.temperature, r.clip, r.beta) == (1.2, (0.2, 0.2), 0.05)


def test_rewards_are_the_tasks_judgements_of_the_answers(folder):
    experiment = opened(folder)
    rollout, _ = trained(experiment)
    task, model = experiment.spec.task, experiment.spec.model
    for answers in rollout.answers:
        wanted = [experiment.splits.train.inputs.completions[i] for i in answers.indices.tolist()]
        for g, completion in enumerate(wanted):
            for k in range(4):
                tokens = answers.tokens.completion(4 * g + k)
                text = model.decode(
                    np.array([t for t in tokens if t not in model.end_tokens], dtype=np.int32)
                )
                right = task._answer(text) is not None and task._answer(text) == task._answer(completion)
                assert answers.rewards[g, k] == float(right)
    assert sum(a.rewards.sum() for a in rollout.answers) > 0


def test_answers_follow_their_prompts_and_end_at_stop_tokens(folder):
    rollout, _ = trained(opened(folder))
    train = rollout.experiment.encoded.train.inputs
    ends = rollout.experiment.spec.model.end_tokens
    for answers in rollout.answers:
        assert answers.longest == 6
        assert int(answers.tokens.targets.max()) <= answers.longest, "longer than the longest"
        for row, index in enumerate(np.repeat(answers.indices, 4).tolist()):
            prompt = train.sequence(index)[: train.starts[index]]
            start = int(answers.tokens.starts[row])
            np.testing.assert_array_equal(answers.tokens.sequence(row)[:start], prompt)
            last = int(answers.tokens.sequence(row)[-1])
            assert answers.ended.ravel()[row] == (last in ends)


def test_answers_of_a_later_step_are_sampled_from_the_current_policy(folder):
    """At rate 0 the policy stays, and the same draws give other answers than where it moved."""
    moved, _ = trained(opened(folder, "optimizer.lr=2.0"))
    stayed, _ = trained(opened(folder, "optimizer.lr=1e-9"))
    np.testing.assert_array_equal(moved.answers[0].tokens.ids, stayed.answers[0].tokens.ids)
    assert moved.answers[2].tokens.ids.tolist() != stayed.answers[2].tokens.ids.tolist()


def test_rollouts_are_reproducible(folder):
    experiment = opened(folder)
    rollout, first = trained(experiment)
    tokens = [a.tokens.ids.tolist() for a in rollout.answers]
    runner = RoundRunner(experiment, no_report)
    again = experiment.model.train(runner.request(runner.plan(1), rollout))
    assert [a.tokens.ids.tolist() for a in rollout.answers] == tokens
    np.testing.assert_array_equal(again.losses, first.losses)
    other, _ = trained(experiment, number=2)
    assert [a.tokens.ids.tolist() for a in other.answers] != tokens, "every round has draws of its own"
    draws = [r.draws for r in (*rollout.requests, *other.requests)]
    assert len({d.tobytes() for d in draws}) == 6, "and so has every batch"


def test_options_of_the_objective_reach_the_request(folder):
    settings = (
        "objective.max_new_tokens=3",
        "objective.top_p=0.9",
        "objective.iterations=1",
        "objective.kl=0.0",
    )
    rollout, _ = trained(opened(folder, *settings))
    assert rollout.requests[0].max_new_tokens == 3
    assert rollout.requests[0].sampling == Sampling(temperature=1.2, top_p=0.9)
    assert rollout.requests[0].draws.shape == (16, 3)
    assert len(rollout.answers) == 5
    assert all(a.old is None and a.start is None for a in rollout.answers)
    assert all(a.longest == 3 for a in rollout.answers)


@pytest.mark.parametrize("settings", [(), ("backend.checkpointing=true",), ("backend.micro_batch=3",)])
def test_backend_options_do_not_change_the_answers(folder, settings):
    plain, one = trained(opened(folder))
    other, two = trained(opened(folder, *settings))
    for a, b in zip(plain.answers, other.answers, strict=True):
        np.testing.assert_array_equal(a.tokens.ids, b.tokens.ids)
    assert_close(one.losses, two.losses, atol=1e-12, what="losses")


# -- Pieces


def test_continued_prompts_contain_only_tokens_and_end():
    prompts = Tokens.join([[4, 5, 6, 9, 9], [7, 9]], [3, 1])
    written = [Completion(np.array([1, 2], dtype=np.int32), 0), Completion(np.array([3], dtype=np.int32))]
    found = continued(prompts, written)
    assert [s.tolist() for s in found] == [[4, 5, 6, 1, 2, 0], [7, 3]]
    np.testing.assert_array_equal(found.starts, [3, 1])
    np.testing.assert_array_equal(found.targets, [3, 1])


def test_request_draws_from_its_own_stream_and_the_limit_is_the_objectives(folder):
    experiment = opened(folder)
    decoding = Decoding(max_new_tokens=6, sampling=Sampling(), stop=("e",))
    one, two, other = (
        request_for(experiment.spec, decoding, 3, Streams(0)("rollouts", 1, place))
        for place in ("0", "0", "1")
    )
    np.testing.assert_array_equal(one.draws, two.draws)
    assert np.abs(one.draws - other.draws).max() > 0.1
    assert request_for(experiment.spec, decoding, 3, Streams(0)("x"), most=2).draws.shape == (3, 2)
    greedy = request_for(experiment.spec, attrs.evolve(decoding, sampling=None), 3, Streams(0)("x"))
    assert (greedy.draws, greedy.sampling) == (None, None)


def test_texts_are_cut_at_stop_strings_which_end_the_answer(folder):
    experiment = opened(folder, "task.stop=['s']", "task.max_new_tokens=6")
    rollout, _ = trained(experiment)
    model = experiment.spec.model
    stopped = 0
    for answers in rollout.answers:
        for i in range(len(answers.tokens)):
            tokens = answers.tokens.completion(i)
            text = model.decode(np.array([t for t in tokens if t not in model.end_tokens], dtype=np.int32))
            stopped += "s" in text
            short = len(tokens) < 6 or int(tokens[-1]) in model.end_tokens
            assert answers.ended.ravel()[i] == (short or "s" in text)
    assert stopped, "nothing stopped; the test shows less than it should"
    decoding = Decoding(max_new_tokens=6, stop=("s",))
    prompts = experiment.encoded.train.inputs[np.array([0])]
    tokens = np.array(prompts.sequence(0))
    (found,) = texts_of(experiment.spec, decoding, prompts, [Completion(tokens)])
    assert found == model.decode(tokens).partition("s")[0]


def test_hashes_of_a_run_cover_its_tokenised_texts(folder, monkeypatch):
    """A template or a tokenizer may say something else tomorrow, and a run must not go on with that."""
    from boostlora.plugins.models._hf.reader import Reader

    first, again = opened(folder).hashes, opened(folder).hashes
    monkeypatch.setattr(Reader, "_opening", lambda _: [5])
    other = opened(folder).hashes
    assert first == again
    assert first["tokens"] != other["tokens"]
    assert first["data"] == other["data"]
