"""Transformers on every backend: logits, gradients, merges and generation, against Hugging Face and finite differences."""

from fnmatch import fnmatchcase

import numpy as np
import pytest

from boostlora.backends.reference.backend import Reference
from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.devices import Float64Mode
from boostlora.engine.contracts import Batch, FactoredUpdate, Frame, GenerationRequest
from boostlora.engine.testing import assert_close

from ..support.hf_modules import DECODERS, ENCODERS, make, texts, torch, transformers
from .training_transformers import gradients, opened, request_for

BACKENDS = {
    "reference": Reference(),
    "torch": Torch(device="cpu", dtype="float64"),
    "torch-in-parts": Torch(device="cpu", dtype="float64", micro_batch=2, eval_tokens=8),
}
CASES = [
    pytest.param(backend, kind, id=f"{name}-{kind}")
    for name, backend in BACKENDS.items()
    for kind in (*DECODERS, *ENCODERS)
    if any(
        fnmatchcase(make_name, p)
        for p in backend.architectures
        for make_name in (f"causal-lm/{kind}", f"classifier/{kind}")
    )
]
WRITING = [case for case in CASES if case.values[1] in DECODERS]


@pytest.fixture
def backend(request):
    return request.param


def module_of(kind, folder):
    """Hugging Face's own module in float64, as the judge."""
    source = make(kind, folder)
    with Float64Mode():
        return source.build(source.blueprint, torch.float64)


@pytest.mark.parametrize(("backend", "kind"), CASES, indirect=["backend"])
def test_logits_of_a_batch_equal_those_of_the_module_one_by_one(backend, kind, tmp_path):
    model, _ = opened(kind, tmp_path, backend)
    module, examples, tokens = module_of(kind, tmp_path), texts(kind), texts(kind).inputs
    rows = []
    for i in range(len(tokens)):
        given = {"input_ids": torch.tensor(tokens.sequence(i)[None].astype(np.int64))}
        given["attention_mask"] = torch.ones_like(given["input_ids"])
        if tokens.types is not None:
            types = tokens.types[tokens.offsets[i] : tokens.offsets[i + 1]]
            given["token_type_ids"] = torch.tensor(types[None].astype(np.int64))
        with torch.no_grad(), Float64Mode():
            answer = module(**given)
        logits = answer[0] if kind in ENCODERS else answer.logits[0, tokens.starts[i] - 1 : -1]
        rows.append(np.atleast_2d(logits.numpy()))
    # float64 sums in another order; ESM's table of frequencies is in float32 where no file holds another.
    found = model.logits(examples)
    assert_close(found, np.concatenate(rows), atol=1e-12, what="logits")
    said = model.predict(examples)
    shifted = found - found.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    owners = np.repeat(np.arange(len(tokens)), tokens.targets if kind in DECODERS else 1)
    answers = (
        np.concatenate([tokens.completion(i) for i in range(len(tokens))])
        if kind in DECODERS
        else examples.labels
    )
    nll = -log_p[np.arange(len(log_p)), answers]
    loss = np.bincount(owners, weights=nll) / np.bincount(owners)
    assert_close(said.loss, loss, atol=1e-12, what="loss")
    right = np.bincount(owners, weights=found.argmax(axis=1) == answers)
    np.testing.assert_array_equal(said.output, right if kind in DECODERS else found.argmax(axis=1))


@pytest.mark.parametrize(("backend", "kind"), CASES, indirect=["backend"])
def test_gradient_of_every_core_equals_finite_differences_of_the_merged_model(backend, kind, tmp_path):
    model, sites = opened(kind, tmp_path, backend)
    request = request_for(model, sites, kind)
    batch = request.batches[0]
    rows = request.examples.take(batch.indices)

    def loss(values):
        updates = {}
        for site, p in request.parametrisations.items():
            core = np.tensordot(values[p.group], p.projections, 1)
            updates[site] = FactoredUpdate(frame=request.frames[site], core=core, exponents=p.exponents)
        return float(np.mean(batch.weights * model.predict(rows, updates).loss))

    start = {p.group: p.init for p in request.parametrisations.values()}
    found = gradients(model, request)
    assert set(found) == set(start)
    for group, value in start.items():
        numeric = np.empty(3)
        for i in range(3):
            step = 1e-5 * np.eye(3)[i]
            up, down = (loss({**start, group: value + sign * step}) for sign in (1, -1))
            numeric[i] = (up - down) / 2e-5
        # Central differences: rounding eps * loss / h is 1e-10, curvature h^2 is as small.
        assert_close(found[group], numeric, atol=1e-8, rtol=1e-6, what=f"{kind}: {group}")


@pytest.mark.parametrize(("backend", "kind"), CASES, indirect=["backend"])
def test_gradient_of_a_weight_is_the_slope_along_any_direction(backend, kind, tmp_path):
    model, sites = opened(kind, tmp_path, backend)
    examples, batch = texts(kind), Batch(indices=np.array([4, 1, 4]), weights=np.array([1.0, 0.5, 2.0]))
    judge = Torch(device="cpu", dtype="float64").open(make(kind, tmp_path), sites)
    rows = examples.take(batch.indices)
    for site in (sites[0], sites[-1]):
        direction = np.random.default_rng(1).standard_normal((*site.shape,))
        direction /= np.linalg.norm(direction)
        U, S, Vt = np.linalg.svd(direction, full_matrices=False)

        def loss(h, U=U, S=S, Vt=Vt, site=site):
            frame = Frame(U=U, S=np.ones(len(S)), V=Vt.T)
            update = {site.name: FactoredUpdate(frame=frame, core=np.diag(h * S))}
            return float(np.mean(batch.weights * judge.predict(rows, update).loss))

        numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5
        found = float(np.sum(model.gradient(site.name, examples, batch) * direction))
        assert_close(
            found, numeric, atol=1e-8, rtol=1e-6, what=f"slope along a random direction of {site.name}"
        )


@pytest.mark.parametrize(("backend", "kind"), WRITING, indirect=["backend"])
def test_greedy_continuation_equals_that_of_transformers(backend, kind, tmp_path):
    model, sites = opened(kind, tmp_path, backend)
    training = model.train(request_for(model, sites, kind))
    examples, module = texts(kind), module_of(kind, tmp_path)
    three = GenerationRequest(max_new_tokens=3, end_tokens=())
    end = int(model.generate(examples, three, training.updates, 1.0)[0].tokens[2])
    request = GenerationRequest(max_new_tokens=6, end_tokens=(end,))
    tried = model.generate(examples, request, training.updates, 1.0)
    model.assemble([(training.updates, 1.0)])
    parameters = dict(module.named_parameters())
    for site in sites:
        weight = model.weight(site.name)
        stored = parameters[site.name]
        stored.data.copy_(
            torch.from_numpy(weight if stored.shape == weight.shape and kind != "gpt2" else weight.T)
        )
    ended = 0
    for i, found in enumerate(tried):
        prompt = examples.inputs.sequence(i)[: examples.inputs.starts[i]].astype(np.int64)
        ids = torch.tensor(prompt[None])
        with torch.no_grad(), Float64Mode():
            said = module.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=transformers.GenerationConfig(
                    max_new_tokens=6, do_sample=False, eos_token_id=end, pad_token_id=0
                ),
            )[0, len(prompt) :].tolist()
        ended += end in said
        np.testing.assert_array_equal(found.tokens, [token for token in said if token != end])
        assert found.end == (end if end in said else None)
    assert ended, "no continuation ended early; the test shows less than it should"


@pytest.mark.parametrize(("backend", "kind"), WRITING, indirect=["backend"])
def test_continuation_ends_when_the_request_is_finished(backend, kind, tmp_path):
    model, _ = opened(kind, tmp_path, backend)
    request = GenerationRequest(max_new_tokens=9, end_tokens=(), finished=lambda tokens: len(tokens) == 4)
    assert [len(x.tokens) for x in model.generate(texts(kind), request)] == [4] * 7
