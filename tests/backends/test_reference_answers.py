"""Predictions and generation of transformers in the reference, alone and in batches."""

import numpy as np
import pytest

from boostlora.backends.reference import evaluation
from boostlora.backends.reference.backend import Reference
from boostlora.backends.reference.nets import make_net
from boostlora.engine.contracts import (
    Blueprint,
    DenseUpdate,
    Examples,
    GenerationRequest,
    Site,
    Tokens,
)
from boostlora.engine.errors import NonFiniteError, UsageError
from boostlora.engine.testing import assert_close

from ..support.tiny_transformers import (
    CLASSES,
    NETS,
    WORDS,
    examples_for,
    open_net,
    source_of,
)


@pytest.mark.parametrize("kind", NETS)
def test_sequences_do_not_depend_on_others_in_the_batch(kind, tmp_path):
    model, examples = open_net(tmp_path, kind), examples_for(kind)
    together = model.predict(examples)
    for i in range(len(examples)):
        alone = model.predict(examples.take(np.array([i])))
        # The same sums, but BLAS may order them by the matrix's shape.
        assert_close(alone.loss, together.loss[[i]], atol=1e-12, what=f"example {i}")
        assert alone.output[0] == together.output[i]


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_causal_predictions_count_the_likeliest_tokens_and_average_their_losses(kind, tmp_path):
    model, examples = open_net(tmp_path, kind), examples_for(kind, n=30)
    found, logits, row = model.predict(examples), model.logits(examples), 0
    assert logits.shape == (examples.inputs.targets.sum(), WORDS)
    np.testing.assert_array_equal(found.targets, examples.inputs.targets)
    for i in range(len(examples)):
        right = examples.inputs.completion(i)
        rows = logits[row : row + len(right)]
        row += len(right)
        p = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(right)), right]).mean()
        assert_close(found.loss[i], loss, atol=1e-12, what="mean loss")
        assert found.output[i] == np.sum(rows.argmax(axis=1) == right)
    assert 0 < found.output.sum() < found.targets.sum()


def test_causal_tokens_do_not_see_what_follows(tmp_path):
    model = open_net(tmp_path, "llama")
    one, two = (
        Examples(ids=np.zeros(1, np.int64), inputs=Tokens.join([ids], [1]), labels=np.zeros(1, np.int64))
        for ids in ([3, 5, 7, 2], [3, 5, 7, 9, 11])
    )
    assert_close(model.logits(one)[:3], model.logits(two)[:3], atol=1e-13, what="logits of the common start")


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_evaluation_in_small_portions_gives_the_same_answers(kind, tmp_path, monkeypatch):
    model, examples = open_net(tmp_path, kind), examples_for(kind, n=20)
    whole, logits = model.predict(examples), model.logits(examples)
    monkeypatch.setattr(evaluation, "TOKENS", 12)
    assert len(list(evaluation.chunks(examples))) > 5
    parts = model.predict(examples)
    np.testing.assert_array_equal(parts.output, whole.output)
    assert_close(parts.loss, whole.loss, atol=1e-12, what="loss")  # BLAS may order sums by the matrix's shape
    assert_close(model.logits(examples), logits, atol=1e-12, what="logits")


def test_portions_hold_all_examples_once_and_few_tokens(monkeypatch):
    monkeypatch.setattr(evaluation, "TOKENS", 10)
    tokens = Tokens.join([[1] * n for n in (3, 7, 1, 25, 4, 6, 9)])
    examples = Examples(ids=np.arange(7), inputs=tokens, labels=np.zeros(7, np.int64))
    parts = [chunk.ids.tolist() for chunk in evaluation.chunks(examples)]
    assert parts == [[0, 1], [2], [3], [4, 5], [6]]
    assert [len(chunk) for chunk in evaluation.chunks(examples.take(np.arange(0)))] == [0]


@pytest.mark.parametrize("kind", ["llama", "bert", "esm-absolute"])
def test_empty_input_gives_no_answers(kind, tmp_path):
    model, examples = open_net(tmp_path, kind), examples_for(kind).take(np.arange(0))
    assert len(model.predict(examples).loss) == 0
    assert model.logits(examples).shape == (0, WORDS if kind == "llama" else CLASSES)


def test_trial_and_merged_model_generate_and_score_alike(tmp_path):
    model, examples = open_net(tmp_path, "qwen2"), examples_for("qwen2")
    site = "model.layers.0.mlp.up_proj.weight"
    update = {site: DenseUpdate(delta=np.random.default_rng(5).standard_normal(model.weight(site).shape))}
    request = GenerationRequest(max_new_tokens=6, end_tokens=())
    base = model.generate(examples, request)
    tried, loss = model.generate(examples, request, update, 0.7), model.predict(examples, update, 0.7).loss
    model.assemble([(update, 0.7)])
    merged = model.generate(examples, request)
    assert [t.with_end for t in tried] == [t.with_end for t in merged] != [t.with_end for t in base]
    np.testing.assert_array_equal(model.predict(examples).loss, loss)


def test_generation_is_greedy_and_ends_at_stops(tmp_path):
    model, examples = open_net(tmp_path, "llama"), examples_for("llama", n=4)
    written = model.generate(examples, GenerationRequest(max_new_tokens=5, end_tokens=()))
    whole = [one.tokens for one in written]
    assert all(one.end is None for one in written)
    assert [len(answer) for answer in whole] == [5] * 4
    prompt = examples.inputs.sequence(1)[: examples.inputs.starts[1]].tolist()
    answered = Tokens.join([[*prompt, *whole[1].tolist()]], [len(prompt)])
    one = Examples(ids=np.zeros(1, np.int64), inputs=answered, labels=np.zeros(1, np.int64))
    assert model.predict(one).output[0] == 5, "what it wrote is what it finds likeliest"

    end = int(whole[1][3])
    first = whole[1].tolist().index(end)
    cut = model.generate(examples, GenerationRequest(max_new_tokens=5, end_tokens=(end,)))
    assert cut[1].tokens.tolist() == whole[1][:first].tolist()
    assert cut[1].end == end
    seen = list[list[int]]()

    def finished(tokens):
        seen.append(tokens.tolist())
        return len(tokens) == 2

    short = model.generate(examples, GenerationRequest(max_new_tokens=5, end_tokens=(), finished=finished))
    assert [answer.tokens.tolist() for answer in short] == [answer[:2].tolist() for answer in whole]
    assert seen[:2] == [whole[0][:1].tolist(), whole[0][:2].tolist()]
    none = model.generate(examples, GenerationRequest(max_new_tokens=0, end_tokens=()))
    assert [answer.tokens.tolist() for answer in none] == [[]] * 4


def test_base_that_overflows_is_reported_by_its_logits(tmp_path):
    model, examples = open_net(tmp_path, "llama"), examples_for("llama")
    site = "model.layers.1.mlp.down_proj.weight"
    huge = {site: DenseUpdate(delta=np.full(model.weight(site).shape, 1e308))}
    with pytest.raises(NonFiniteError, match="logits contain NaN or Inf"):
        model.predict(examples, huge)


@pytest.mark.parametrize("site", ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"])
def test_site_without_a_linear_layer_is_refused(site, tmp_path):
    source = source_of(tmp_path, *NETS["llama-tied"])
    with pytest.raises(UsageError, match=f"^{site}: not a linear layer"):
        Reference().open(source, [Site(name=site, shape=(WORDS, 16))])


def test_models_list_their_weights_without_files():
    for architecture, config in NETS.values():
        net = make_net(Blueprint(architecture=architecture, config=config, weights=()), ())
        assert net.linears < net.parameters
        assert net.predicts_tokens == architecture.startswith("causal-lm/")
