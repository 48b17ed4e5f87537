"""Answers of models that keep other things than keys and values, or nothing; and models that cannot be computed in batches."""

import warnings
from functools import wraps

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch backend needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

import torch
from torch import nn

from boostlora.backends.torch import next_logits
from boostlora.backends.torch.devices import Placement
from boostlora.backends.torch.nets import CacheMode, CausalNet
from boostlora.backends.torch.next_logits import find_cache_mode
from boostlora.backends.torch.text_check import _two_lengths, check_texts
from boostlora.engine.contracts import Examples, Tokens
from boostlora.engine.errors import UsageError

from ..support.architecture_checks import examples
from ..support.architectures import examine, module_of

PLACE = Placement(device=torch.device("cpu"), compute_dtype=torch.float32)


@pytest.mark.parametrize(
    ("family", "writes"),
    [
        ("llama", "from a cache"),
        ("mamba", "from a cache"),
        ("jamba", "from a cache"),
        ("openai-gpt", "anew for each token"),
    ],
)
def test_answers_and_gradients_are_right_whatever_a_model_keeps(family, writes):
    found = examine(family, "causal")
    assert (found.status, found.writes) == ("right", writes)


@pytest.mark.parametrize(
    ("family", "way"),
    [
        ("llama", CacheMode(cached=True, selectable=True)),
        ("qwen3_next", CacheMode(cached=True, selectable=True)),
        ("mamba", CacheMode(cached=True, selectable=True, prepared=True)),
        ("openai-gpt", next_logits.NO_CACHE),
    ],
)
def test_fastest_correct_way_is_chosen(family, way):
    net = CausalNet(module_of(family, "causal"), PLACE)
    with warnings.catch_warnings(record=True) as told, torch.no_grad():
        warnings.simplefilter("always")
        assert find_cache_mode(net, examples("causal").inputs, PLACE) == way
        assert find_cache_mode(net, examples("causal").inputs, PLACE) == way
    slow = [w for w in told if "is slow" in str(w.message)]
    assert len(slow) == (0 if way.cached else 1), "told once, where it is slow"


def test_incorrect_cache_is_not_used(monkeypatch):
    """A cache is right by what comes of it: here it loses what was fed."""
    module = module_of("llama", "causal")
    whole = module.forward

    @wraps(whole)
    def forgetful(*args, **kwargs):
        if kwargs.get("past_key_values") is not None or kwargs.get("cache") is not None:
            kwargs["input_ids"] = torch.full_like(kwargs["input_ids"], 9)
        return whole(*args, **kwargs)

    monkeypatch.setattr(module, "forward", forgetful)
    net = CausalNet(module, PLACE)
    with pytest.warns(RuntimeWarning, match="is slow"), torch.no_grad():
        assert find_cache_mode(net, examples("causal").inputs, PLACE) == next_logits.NO_CACHE


class Texts(nn.Module):
    """The sum of embeddings, over whatever is there."""

    def __init__(self, mix):
        super().__init__()
        self.embed, self.mix = nn.Embedding(64, 8), mix
        torch.manual_seed(0)
        nn.init.normal_(self.embed.weight)

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids)
        return self.mix(x, attention_mask[..., None].to(x))


class Net:
    """What gives a row of logits for every text."""

    def __init__(self, module):
        self.module = module

    def logits(self, rows):
        from boostlora.backends.torch.nets import PaddedTokens

        return self.module(**PaddedTokens.of(rows.inputs, rows.inputs.lengths, PLACE.device).keywords)


def texts():
    return Examples(
        ids=np.arange(1), inputs=Tokens.join([[5, 6, 7, 8, 9, 10]]), labels=np.zeros(1, dtype=np.int64)
    )


def test_texts_whose_answer_depends_on_padding_are_refused():
    check_texts(Net(Texts(lambda x, m: (x * m).sum(1) / m.sum(1))), texts(), PLACE)
    with pytest.raises(UsageError, match=r"^Texts: .*padding"):
        check_texts(Net(Texts(lambda x, m: x.mean(1))), texts(), PLACE)


@pytest.mark.parametrize("size", [1e-5, 1.0, 1e5])
def test_text_check_tolerance_is_relative_to_the_logits(size):
    def pooled(x, m):
        return size * (x * m).sum(1) / m.sum(1)

    check_texts(Net(Texts(pooled)), texts(), PLACE)
    with pytest.raises(UsageError, match="padding"):
        check_texts(Net(Texts(lambda x, m: pooled(x, m) + 0.01 * size * (1 - m).sum(1))), texts(), PLACE)


@pytest.mark.parametrize(("length", "start"), [(2, 1), (5, 1), (7, 3), (7, 6), (1, 1), (2, 2), (9, 9)])
def test_checked_texts_are_one_text_and_its_first_half(length, start):
    """Where a text has a completion, one token is to be predicted after the half of its prompt; there is a token before it."""
    ids = np.arange(10, 10 + length)
    given = attrs.evolve(texts(), inputs=Tokens.join([ids.tolist()], [start]))
    whole, half = (found := _two_lengths(given).inputs)
    np.testing.assert_array_equal(whole, ids)
    np.testing.assert_array_equal(half, ids[: len(half)])
    completes = start < length
    asked = max(1, (start if completes else length) // 2)
    assert found.targets.tolist() == ([length - start, 1] if completes else [0, 0])
    assert len(half) == asked + completes <= length


def test_texts_whose_answer_depends_on_the_texts_beside_them_are_refused():
    with pytest.raises(UsageError, match="the other texts in the batch"):
        check_texts(Net(Texts(lambda x, m: (x * m).sum(1) - x.mean((0, 1)))), texts(), PLACE)


def test_models_that_attend_to_later_tokens_are_refused():
    found = examine("bert-generation", "causal")
    assert found.status.startswith("refused: BertGenerationDecoder: its logits depend on later tokens")


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_gradients_of_an_encoder_are_right(family):
    assert examine(family, "encoder").status == "right"


@pytest.mark.parametrize(
    ("family", "kind", "reason"),
    [
        (
            "gemma4_assistant",
            "causal",
            "Gemma4AssistantForCausalLM cannot be called with token ids alone: inputs_embeds and",
        ),
        (
            "fnet",
            "encoder",
            "FNetModel: its logits for a text depend on the other texts in the batch or on padding",
        ),
        ("llama4", "encoder", "Llama4ForConditionalGeneration cannot be called with token ids alone: "),
        (
            "reformer",
            "encoder",
            "ReformerModel has hidden states of width 64, but its configuration says 32",
        ),
        ("perceiver", "encoder", "perceiver has no hidden_size: it is not a text model"),
    ],
)
def test_model_that_fails_to_run_is_refused_by_name(family, kind, reason):
    assert examine(family, kind).status.startswith(f"refused: {reason}")
