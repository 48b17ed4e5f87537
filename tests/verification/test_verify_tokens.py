"""Token models: masks, layers, and decisions that are counts of right tokens."""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference.backend import Reference
from boostlora.engine.contracts import Examples, Tokens
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.spec import Slot
from boostlora.engine.testing import assert_close
from boostlora.engine.verification.evaluation import TOKEN_ROWS, read_logits
from boostlora.engine.verification.limits import Limits
from boostlora.engine.verification.verify import verify

from . import broken_backends as faults
from .token_toys import HF, Letters, TinyDecoder


@pytest.fixture
def verify_tokens(registry, spec_of, tmp_path):
    """Verify a candidate on the tiny decoder."""

    def run(backend, limits=None):
        spec = spec_of(backend, "optimizer.lr=0.01", "optimizer.batch_size=4")
        slots = {
            "model": Slot(use="tiny-decoder", plugin=TinyDecoder()),
            "task": Slot(use="letters", plugin=Letters()),
        }
        spec = attrs.evolve(spec, slots={**spec.slots, **slots})
        return verify(spec, registry, RunContext(cache=tmp_path), limits or Limits())

    return run


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_reference_passes_on_a_token_model(verify_tokens, dtype):
    result = verify_tokens(Reference(dtype=dtype))
    assert result.passed, result.first
    assert {f.where for f in result.findings if f.quantity == "frames"} >= {
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_attention_to_padding_is_detected_by_the_logits(verify_tokens, dtype):
    candidate = faults.Candidate(right=Reference(dtype=dtype), fault=faults.PaddingAttended, dtype=dtype)
    result = verify_tokens(candidate)
    assert (result.first.round, result.first.quantity) == (1, "logits")
    assert result.first.ratio > 1e3


def test_fewer_layers_open_and_train_only_these(verify_tokens):
    result = verify_tokens(Reference(), Limits(layers=1, rounds=1))
    assert result.passed, result.first
    sites = {f.where for f in result.findings if f.quantity == "update"}
    assert len(sites) == 7
    assert all(site.startswith("model.layers.0.") for site in sites)
    assert result.limits == ("at most 1 round", "the model's first 1 layer")
    assert HF["num_hidden_layers"] == 2, "the model's own configuration was changed"


class Table:
    """A model whose logits are a table: the row of a token that is to be predicted is that of the token before it."""

    def __init__(self, table):
        self.table, self.pieces = table, []

    def logits(self, examples):
        self.pieces.append(int(examples.inputs.targets.sum()))
        rows = [
            self.table[s[start - 1 : -1]]
            for s, start in zip(examples.inputs, examples.inputs.starts, strict=True)
        ]
        return np.concatenate(rows)


def test_count_of_right_tokens_may_differ_by_as_many_as_are_undecided():
    table = np.zeros((3, 3))
    table[0, 1] = 1e-6  # after 0 comes 1, by a hair
    table[1, 2] = 1.0  # after 1 comes 2, surely
    tokens = Tokens.join([[0, 1, 2], [0, 1, 0, 1], [1, 2]], [1, 1, 1])
    examples = Examples(ids=np.arange(3), inputs=tokens, labels=np.zeros(3, dtype=np.int64))
    found = read_logits(Table(table), [Table(table + 1e-3)], examples)
    assert_close(found.errors[0], 1e-3, atol=1e-15, what="error")
    assert found.scale == 1.0
    np.testing.assert_array_equal(found.margins.undecided(1e-5), [1, 2, 0])
    truth = np.array([2, 2, 1])
    for other, excused in (([1, 0, 0], [True, True, False]), ([0, 2, 1], [False, True, True])):
        np.testing.assert_array_equal(found.margins.excused(truth, np.array(other), 1e-5), excused)


def test_logits_of_many_tokens_are_read_in_bounded_pieces():
    model = Table(np.zeros((3, 3)))
    tokens = Tokens.join([[0] * 101] * 7, [1] * 7)
    read_logits(model, [], Examples(ids=np.arange(7), inputs=tokens, labels=np.zeros(7, dtype=np.int64)))
    assert sum(model.pieces) == 700
    assert max(model.pieces) <= TOKEN_ROWS
