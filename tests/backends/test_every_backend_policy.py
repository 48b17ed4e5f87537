"""The policy during a round: answers from given draws, log-probabilities and weights."""

import attrs
import numpy as np
import pytest

from boostlora.backends.torch.backend import Torch
from boostlora.engine.contracts import GenerationRequest, Sampling
from boostlora.engine.testing import assert_close

from ..support.hf_modules import DECODERS, texts
from .policy_cases import BACKENDS, VOCABULARY, answered, asked, log_p_of, rows_of, starts_of, updates_at
from .training_transformers import opened, request_for

STEPS = 8
EXACT = {name: backend for name, backend in BACKENDS.items() if name != "reference"}


def drawing(count, seed=0, **more):
    """A request with draws for so many sequences; `temperature` and `top_p` say how."""
    sampling = Sampling(**{key: more.pop(key) for key in ("temperature", "top_p") if key in more})
    draws = np.random.default_rng(seed).random((count, STEPS))
    return GenerationRequest(
        max_new_tokens=STEPS, **{"end_tokens": (), "sampling": sampling, "draws": draws, **more}
    )


def told(written):
    """Tokens and ends, to be compared."""
    return [(one.tokens.tolist(), one.end) for one in written]


@pytest.fixture
def pair(tmp_path):
    """`pair(kind, backend)`: the reference's model and another's, with a request for training; the reference knows no GPT-2."""

    def made(kind, backend):
        truth, sites = opened(kind, tmp_path, BACKENDS["reference" if kind != "gpt2" else "torch"])
        other, _ = opened(kind, tmp_path, backend)
        return truth, other, request_for(truth, sites, kind)

    return made


@pytest.mark.parametrize(
    ("kind", "temperature", "top_p"),
    [*(("qwen2", T, p) for T in (0.7, 1.0, 1.5) for p in (0.5, 0.9, 1.0)), ("llama", 1.0, 0.9)],
)
def test_same_draws_give_the_same_tokens_on_every_backend(pair, kind, temperature, top_p):
    asking = drawing(7, temperature=temperature, top_p=top_p)
    for backend in EXACT.values():
        truth, other, _ = pair(kind, backend)
        expected = told(truth.generate(texts(kind), asking))
        assert told(other.generate(texts(kind), asking)) == expected
        greedy = told(truth.generate(texts(kind), attrs.evolve(asking, sampling=None, draws=None)))
        assert expected != greedy, "drawing gave what is likeliest anyway"
        elsewhere = attrs.evolve(asking, draws=np.random.default_rng(9).random((7, STEPS)))
        assert told(other.generate(texts(kind), elsewhere)) != expected, "the draws have no say"


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_extreme_draws_give_the_first_and_last_possible_token(backend, tmp_path):
    model, _ = opened("qwen2", tmp_path, backend)
    asking = attrs.evolve(drawing(7), max_new_tokens=2)
    first = model.generate(texts("qwen2"), attrs.evolve(asking, draws=np.zeros((7, 2))))
    last = model.generate(texts("qwen2"), attrs.evolve(asking, draws=np.full((7, 2), np.nextafter(1.0, 0.0))))
    assert [w.tokens.tolist() for w in first] == [[0, 0]] * 7
    # The largest draw is 1 - 2^-53: behind all but the last token, unless that is less likely than a rounding.
    assert [w.tokens.tolist() for w in last] == [[60, 60]] * 7


def test_cold_draws_and_narrow_nuclei_are_greedy(tmp_path):
    for backend in BACKENDS.values():
        model, _ = opened("llama", tmp_path, backend)
        greedy = told(model.generate(texts("llama"), attrs.evolve(drawing(7), sampling=None, draws=None)))
        for sampling in (Sampling(temperature=1e-4), Sampling(top_p=1e-9)):
            asking = attrs.evolve(drawing(7), sampling=sampling)
            assert told(model.generate(texts("llama"), asking)) == greedy


@pytest.mark.parametrize("kind", DECODERS)
def test_rows_that_end_early_do_not_change_the_others(pair, kind, monkeypatch):
    """The key-value cache is compacted on the way; alone, a row has nothing to be compacted."""
    from boostlora.backends.torch import next_logits

    compacted, whole = [], next_logits.CachedSteps.select

    def counted(steps, indices):
        if (
            len(indices) < 21
        ):  # with as many as there are rows, a prompt that was read once is given to its copies
            compacted.append(len(indices))
        return whole(steps, indices)

    monkeypatch.setattr(next_logits.CachedSteps, "select", counted)
    truth, together, _ = pair(kind, Torch(device="cpu", dtype="float64"))
    _, alone, _ = pair(kind, Torch(device="cpu", dtype="float64", eval_tokens=1))
    examples = texts(kind).take(np.arange(7).repeat(3))
    asking = drawing(21, temperature=1.3)
    ends = tuple(range(0, VOCABULARY, 4))

    def short(tokens):
        return int(tokens[-1]) % 4 == 1

    sizes = list[int]()
    for stops in ({"end_tokens": ends}, {"finished": short}, {"end_tokens": ends, "finished": short}):
        request = attrs.evolve(asking, **stops)
        expected = told(alone.generate(examples, request))
        compacted.clear()
        assert told(together.generate(examples, request)) == expected
        assert compacted, "nothing was left out on the way"
        sizes += compacted
        assert told(truth.generate(examples, request)) == expected
        lengths = {len(tokens) for tokens, _ in expected}
        assert len(lengths) > 3, "rows ended at much the same length"
        assert {end for _, end in expected} <= {None, *ends}
        for tokens, end in expected:
            stopped = "finished" in stops and bool(tokens) and short(tokens)
            assert end is not None or stopped or len(tokens) == STEPS
            assert not set(tokens) & set(request.end_tokens)
    assert len(sizes) >= 4, "rows were to be left out again and again"


@pytest.mark.parametrize("kind", DECODERS)
def test_equal_prompts_in_a_batch_are_continued_independently(pair, kind):
    """Neighbours that are equal are read once; others, and those whose prompts differ in the completion alone, are too."""
    truth, together, _ = pair(kind, Torch(device="cpu", dtype="float64"))
    _, alone, _ = pair(kind, Torch(device="cpu", dtype="float64", eval_tokens=1))
    for order in ([0, 0, 0, 1, 1, 0, 2, 3, 3], [4] * 5, [0, 1, 0, 1, 0]):
        examples = texts(kind).take(np.array(order))
        asking = drawing(len(order), seed=4, end_tokens=tuple(range(0, VOCABULARY, 6)))
        expected = told(alone.generate(examples, asking))
        assert told(together.generate(examples, asking)) == expected
        assert told(truth.generate(examples, asking)) == expected
        assert len({str(one) for one in expected}) > 2, "copies have draws of their own"


@pytest.mark.parametrize("checkpointing", [False, True])
def test_policy_generates_like_the_merged_model_during_training(checkpointing, tmp_path):
    """With checkpointing too: layers that are computed twice in training keep their cache in writing."""
    backend = Torch(device="cpu", dtype="float64", checkpointing=checkpointing)
    model, sites = opened("qwen2", tmp_path, backend)
    request, asking = request_for(model, sites, "qwen2", steps=3, start=0.4), drawing(7)
    found = []

    def batches(policy):
        for batch in request.batches:
            found.append(told(policy.generate(request.examples, asking)))
            yield batch

    steps = []
    rates = np.full(3, 0.2)
    model.train(attrs.evolve(request, batches=batches, learning_rates=rates, trace=steps.append))
    for said, values in zip(found, [starts_of(request), *(s.values for s in steps)], strict=False):
        assert said == told(model.generate(request.examples, asking, updates_at(request, values), 1.0))
    assert found[0] != told(model.generate(request.examples, asking)), "the adapter has no say"
    assert found[0] != found[2], "training has no say"


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_log_probabilities_are_those_of_the_merged_model_and_the_start_stays(backend, temperature, tmp_path):
    model, sites = opened("qwen2", tmp_path, backend)
    request = request_for(model, sites, "qwen2", steps=4)
    earlier = {sites[0].name: updates_at(request, starts_of(request))[sites[0].name]}
    rows = rows_of(request.examples, answered(request.examples))
    model.assemble([(earlier, 0.7)])  # a round that was merged before: part of the start
    now, start, steps = [], [], []

    def batches(policy):
        for batch in request.batches:
            now.append(policy.log_probabilities(rows, temperature))
            start.append(policy.log_probabilities(rows, temperature, start=True))
            yield batch

    rates = np.full(4, 0.1)
    model.train(attrs.evolve(request, batches=batches, learning_rates=rates, trace=steps.append))
    base = log_p_of(model, rows, temperature)
    for found in start:
        # Logits of size 10 in float64, whichever examples are computed together: measured to be off by 9e-15.
        assert_close(found, base, atol=1e-13, what="the start's log-probabilities")
    for found, values in zip(now, [starts_of(request), *(s.values for s in steps)], strict=False):
        model.assemble([(earlier, 0.7), (updates_at(request, values), 1.0)])
        assert_close(found, log_p_of(model, rows, temperature), atol=1e-13, what="log-probabilities")
    assert np.abs(now[0] - start[0]).max() > 1e-2, "the adapter has no say"
    assert np.abs(now[3] - now[0]).max() > 1e-2, "training has no say"


def test_log_probabilities_at_the_start_are_the_log_softmax_of_the_logits(tmp_path):
    for backend in BACKENDS.values():
        model, sites = opened("llama", tmp_path, backend)
        request = request_for(model, sites, "llama", start=0.0)
        rows = rows_of(request.examples, answered(request.examples))
        found = asked(model, request, lambda policy, rows=rows: policy.log_probabilities(rows, 1.0))
        assert_close(found, log_p_of(model, rows, 1.0), atol=1e-13, what="log-probabilities")


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
@pytest.mark.parametrize("kind", ["qwen2", "gpt2"])
def test_weight_of_the_policy_is_the_merged_weight(backend, kind, tmp_path):
    if kind == "gpt2" and backend is BACKENDS["reference"]:
        pytest.skip("the reference has no GPT-2, whose weights are stored transposed")
    model, sites = opened(kind, tmp_path, backend)
    request, found, steps = request_for(model, sites, kind, steps=2), [], []

    def batches(policy):
        for batch in request.batches:
            found.append({site.name: policy.weight(site.name) for site in sites})
            yield batch

    rates = np.full(2, 0.1)
    model.train(attrs.evolve(request, batches=batches, learning_rates=rates, trace=steps.append))
    for weights, values in zip(found, [starts_of(request), steps[0].values], strict=True):
        model.assemble([(updates_at(request, values), 1.0)])
        for site in sites:
            # Weights of size 1 in float64, updates added in another order.
            assert_close(weights[site.name], model.weight(site.name), atol=1e-15, what=site.name)


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_untrained_weight_of_the_policy_equals_the_models(backend, tmp_path):
    """A round may adapt some sites only, and a generator of its own asks for all."""
    model, sites = opened("llama", tmp_path, backend)
    request, found = request_for(model, sites, "llama", steps=2), list[dict[str, np.ndarray]]()
    some = {site.name: request.parametrisations[site.name] for site in sites[::2]}

    def batches(policy):
        for batch in request.batches:
            found.append({site.name: policy.weight(site.name) for site in sites})
            yield batch

    rates = np.full(2, 0.1)
    model.train(attrs.evolve(request, parametrisations=some, batches=batches, learning_rates=rates))
    for site in sites:
        moved = not np.array_equal(found[-1][site.name], model.weight(site.name))
        assert moved == (site.name in some)
