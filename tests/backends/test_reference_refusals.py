"""Unsupported configurations are refused by the reference with key, value and alternatives, before any file is read."""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference.backend import Reference
from boostlora.engine.contracts import Blueprint, Examples, ModelSource, Tokens
from boostlora.engine.errors import UsageError

from ..support.tiny_transformers import BERT, DECODER, ESM, NETS, open_net

ROPE = DECODER["rope_parameters"]


def open_config(architecture, config):
    """Opened from a file that does not exist: a refusal must come first."""
    blueprint = Blueprint(architecture=architecture, config=config, weights=())
    return Reference().open(ModelSource(blueprint=blueprint, files=(), sha256=""), ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rope_parameters": {**ROPE, "rope_type": "yarn"}},
            "rope_type = 'yarn'; supported: default, linear, llama3",
        ),
        ({"rope_parameters": None, "rope_scaling": {"type": "dynamic"}}, "rope_type = 'dynamic'"),
        ({"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}}, "partial_rotary_factor = 0.5"),
        ({"rope_parameters": {"full_attention": ROPE}}, "rope_parameters = {'full_attention'"),
        (
            {"hidden_act": "relu2"},
            "hidden_act = 'relu2'; supported: gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish",
        ),
        ({"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, "sliding_window = 8"),
        (
            {"layer_types": ["full_attention", "sliding_attention"], "sliding_window": 63},
            "sliding_window = 63",
        ),
        ({"layer_types": ["full_attention", "chunked_attention"]}, r"layer_types = \['chunked_attention'\]"),
        ({"num_key_value_heads": 3}, "num_key_value_heads = 3"),
        ({"num_attention_heads": 5, "num_key_value_heads": 5}, "num_attention_heads = 5"),
        ({"head_dim": 3}, "head_dim = 3"),
    ],
)
@pytest.mark.parametrize("architecture", ["causal-lm/qwen2", "classifier/llama"])
def test_decoder_with_an_unimplemented_setting_is_refused(architecture, changes, message):
    with pytest.raises(UsageError, match=message):
        open_config(architecture, {"hf": {**DECODER, **changes}, "pooling": "last", "classes": 2})


@pytest.mark.parametrize(
    "changes",
    [
        {"use_sliding_window": False, "sliding_window": 8, "max_window_layers": 0},
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
        {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 0},
        {"layer_types": ["full_attention", "full_attention", "sliding_attention"], "sliding_window": 8},
    ],
    ids=["off", "no layer has one", "every sequence fits into it", "in a layer that was cut off"],
)
def test_sliding_window_without_effect_is_accepted(changes):
    with pytest.raises(UsageError, match="blueprint has no weight"):  # past the settings, at the weights
        open_config("causal-lm/qwen2", {"hf": {**DECODER, **changes}})


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        (
            "bert",
            {"position_embedding_type": "relative_key"},
            "position_embedding_type = 'relative_key'; supported: absolute",
        ),
        ("bert", {"is_decoder": True}, "is_decoder = True"),
        ("bert", {"add_cross_attention": True}, "add_cross_attention = True"),
        ("bert", {"hidden_act": "mish"}, "hidden_act = 'mish'"),
        ("bert", {"head_dim": 7}, "head_dim = 7"),
        ("esm", {"position_embedding_type": "relative_key"}, "supported: absolute, rotary"),
        ("esm", {"is_decoder": True}, "is_decoder = True"),
        ("esm", {"add_cross_attention": True}, "add_cross_attention = True"),
        ("esm", {"mask_token_id": None}, "mask_token_id = None"),
        ("esm", {"pad_token_id": None, "position_embedding_type": "absolute"}, "pad_token_id = None"),
        ("esm", {"num_attention_heads": 4}, "head_dim = 3"),
    ],
)
def test_encoder_with_an_unimplemented_setting_is_refused(family, changes, message):
    hf = {**{"bert": BERT, "esm": ESM}[family], **changes}
    with pytest.raises(UsageError, match=message):
        open_config(f"classifier/{family}", {"hf": hf, "pooling": "mean", "classes": 2})


def test_refusal_names_the_next_step():
    with pytest.raises(UsageError, match=r'another backend \("use" in \[backend\]\)$'):
        open_config("causal-lm/llama", {"hf": {**DECODER, "hidden_act": "mish"}})


def test_unknown_pooling_is_refused():
    with pytest.raises(UsageError, match="pooling = 'first'; supported: cls, last, max, mean"):
        open_config("classifier/bert", {"hf": BERT, "pooling": "first", "classes": 2})


def test_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match='architecture "causal-lm/gpt2"; supported: mlp, causal-lm/llama, '):
        open_config("causal-lm/gpt2", {"hf": {}})
    assert Reference().architectures >= {
        "mlp",
        "causal-lm/llama",
        "causal-lm/qwen2",
        "classifier/bert",
        "classifier/esm",
    }


def test_configuration_without_a_size_names_the_missing_key():
    hf = {key: value for key, value in DECODER.items() if key != "num_hidden_layers"}
    with pytest.raises(
        UsageError, match="causal-lm/llama: the model's configuration has no 'num_hidden_layers'"
    ):
        open_config("causal-lm/llama", {"hf": hf})


@pytest.mark.parametrize(
    ("kind", "tokens", "message"),
    [
        ("llama", Tokens.join([[1, 13]], [1]), "token 13 is outside the model's table of 13"),
        ("bert", Tokens.join([[1] * 21]), "position 20 is outside the model's table of 20"),
        ("bert", Tokens.join([[1, 2]], types=[[0, 2]]), "token type 2 is outside the model's table of 2"),
        ("esm-absolute", Tokens.join([[2] * 19]), "position 20 is outside the model's table of 20"),
    ],
)
def test_tokens_outside_the_embedding_are_refused(kind, tokens, message, tmp_path):
    model, n = open_net(tmp_path, kind), len(tokens)
    examples = Examples(ids=np.arange(n), inputs=tokens, labels=np.zeros(n, dtype=np.int64))
    with pytest.raises(UsageError, match=message):
        model.predict(examples)
    shorter = attrs.evolve(examples, inputs=Tokens.join([[2, 3]], [1] if kind == "llama" else None))
    assert np.isfinite(model.predict(shorter).loss).all()


def test_every_test_model_opens(tmp_path):
    for kind in NETS:
        open_net(tmp_path, kind)
