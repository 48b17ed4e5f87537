"""The exporter `gguf` on other models and tokenizers, and which of them it refuses."""

# ruff: noqa: S106 - special tokens of a vocabulary, no passwords

from __future__ import annotations

import json
from pathlib import Path

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("gguf", reason="needs gguf")

import gguf
import torch
import transformers

from boostlora.engine.errors import UsageError
from boostlora.engine.testing import assert_close
from boostlora.plugins.exporters._gguf.vocabulary import SPLITS, vocabulary
from boostlora.plugins.exporters.gguf import Gguf

SIZES = {
    "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1,
    "num_hidden_layers": 2, "max_position_embeddings": 64, "vocab_size": 300, "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip


def other(config):
    """Replaces the weights and the configuration of a toy's folder."""

    def replace(folder: Path) -> None:
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)

    return replace


def written(case, folder, exporter=None):
    exporter = exporter or Gguf()
    exporter.check(case.ensemble)
    exporter.write(case.ensemble, folder)
    return gguf.GGUFReader(folder / "words.gguf")


def assert_same_logits(case, folder):
    """The same module is made of the same numbers, so nothing may differ."""
    found = case.opened(Gguf().reload(case.ensemble, folder))
    assert_close(found, case.evaluated(), atol=0.0, what="logits of the export")
    assert not np.array_equal(found, case.of().evaluated())


def test_gguf_of_a_qwen2_has_the_evaluated_logits(tmp_path, shared_cache):
    from ..support.export_runs import causal_run

    case = causal_run(tmp_path / "run", shared_cache, family="qwen2", chat=True)
    reader = written(case, tmp_path)
    assert_same_logits(case, tmp_path)
    tensors = {t.name: t.data for t in reader.tensors}
    assert "output.weight" not in tensors  # the embedding serves
    merged = case.ensemble.merged("model.layers.1.self_attn.q_proj.weight")
    assert np.array_equal(tensors["blk.1.attn_q.weight"], merged)  # rows as they are


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_gguf_of_a_scratch_model_has_the_evaluated_logits(family, tmp_path, shared_cache):
    from ..support.export_runs import scratch_causal_run

    case = scratch_causal_run(tmp_path / "run", shared_cache, family=family)
    reader = written(case, tmp_path)
    assert_same_logits(case, tmp_path)
    assert reader.fields["tokenizer.ggml.merges"].contents() == []
    assert reader.fields["tokenizer.ggml.add_bos_token"].contents() is True
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="words.gguf")
    asked = case.encode(["12 + 5 = é"]).inputs
    assert tokenizer("12 + 5 = é")["input_ids"] == asked.ids[: asked.starts[0]].tolist()


@pytest.mark.parametrize("family", ["qwen3", "mistral"])
def test_gguf_of_related_architectures_has_the_evaluated_logits(family, tmp_path, shared_cache):
    from ..support.export_runs import causal_run

    config = {
        "qwen3": lambda: transformers.Qwen3Config(**SIZES, head_dim=128),
        "mistral": lambda: transformers.MistralConfig(**SIZES, head_dim=8, sliding_window=None),
    }[family]()
    case = causal_run(tmp_path / "run", shared_cache, after=other(config))
    assert case.ensemble.source.blueprint.architecture == f"causal-lm/{family}"
    reader = written(case, tmp_path)
    assert_same_logits(case, tmp_path)
    assert reader.fields["general.architecture"].contents() == {"mistral": "llama"}.get(family, family)


def test_gguf_of_16_bit_weights_keeps_those_that_no_round_changed(tmp_path, shared_cache):
    from ..support.export_runs import causal_run

    config = transformers.LlamaConfig(**SIZES, dtype=torch.bfloat16)
    options = '[sites]\ntargets = ["*.q_proj"]'
    case = causal_run(tmp_path / "run", shared_cache, after=other(config), options=options)
    reader = written(case, tmp_path)
    kinds = {t.name: t.tensor_type.name for t in reader.tensors}
    stored = {w.name: w.dtype for w in case.ensemble.source.blueprint.weights}
    assert set(stored.values()) == {"bfloat16"}
    assert kinds["blk.0.attn_q.weight"] == "F32"
    assert kinds["blk.0.attn_norm.weight"] == "F32"  # a vector
    assert kinds["blk.0.attn_k.weight"] == kinds["token_embd.weight"] == kinds["output.weight"] == "BF16"
    assert reader.fields["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_BF16
    assert_same_logits(case, tmp_path)


def test_gguf_metadata_is_that_of_configuration_and_tokenizer(causal_case, tmp_path):
    reader = written(causal_case, tmp_path)
    found = {name: field.contents() for name, field in reader.fields.items()}
    hf = causal_case.ensemble.source.blueprint.config["hf"]
    assert found["llama.block_count"] == hf["num_hidden_layers"]
    assert found["llama.attention.head_count_kv"] == hf["num_key_value_heads"]
    assert found["llama.rope.dimension_count"] == hf["hidden_size"] // hf["num_attention_heads"]
    assert found["llama.rope.freq_base"] == hf["rope_parameters"]["rope_theta"]
    assert found["llama.attention.layer_norm_rms_epsilon"] == np.float32(hf["rms_norm_eps"])
    assert len(found["tokenizer.ggml.tokens"]) == len(found["tokenizer.ggml.token_type"]) == hf["vocab_size"]
    assert found["tokenizer.ggml.tokens"][:3] == ["<s>", "</s>", "<pad>"]
    assert set(found["tokenizer.ggml.token_type"][:3]) == {gguf.TokenType.CONTROL}
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert [found[f"tokenizer.ggml.{n}_token_id"] for n in ("bos", "eos", "padding")] == [0, 1, 2]
    assert found["general.name"] == "words"
    assert found["general.description"].startswith("Rounds 1 to 3 of the BoostLoRA run words merged into 14 ")


def changed(case, **settings):
    """The ensemble of a model whose configuration says something else."""
    source = case.ensemble.source
    config = {"hf": {**source.blueprint.config["hf"], **settings}}
    blueprint = attrs.evolve(source.blueprint, config=config)
    return attrs.evolve(case.ensemble, source=attrs.evolve(source, blueprint=blueprint))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"attention_bias": True}, "attention_bias = True"),
        ({"hidden_act": "gelu"}, "hidden_act = gelu"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "rope_type = llama3"),
        ({"mlp_bias": True, "hidden_act": "relu"}, "hidden_act = relu, mlp_bias = True"),
    ],
)
def test_gguf_of_a_setting_that_would_be_lost_is_refused(causal_case, settings, told):
    with pytest.raises(UsageError, match=f"without {told}, and compute something else; write --to hf"):
        Gguf().check(changed(causal_case, **settings))


def test_gguf_of_another_architecture_is_refused_with_those_that_are_known(causal_case):
    source = causal_case.ensemble.source
    blueprint = attrs.evolve(source.blueprint, architecture="causal-lm/gpt2")
    ensemble = attrs.evolve(causal_case.ensemble, source=attrs.evolve(source, blueprint=blueprint))
    with pytest.raises(UsageError, match=r"gpt2 is not supported \(llama, mistral, qwen2, qwen3\)"):
        Gguf().check(ensemble)


def test_gguf_without_the_library_says_what_to_install(causal_case, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "gguf" else found(name, *a)
    )
    with pytest.raises(UsageError, match=r"pip install 'boostlora\[gguf\]' \(gguf is missing\)"):
        Gguf().check(causal_case.ensemble)


# -- Tokenizers


def altered(**parts):
    """The toys' byte-level tokenizer with parts of its tokenizer.json replaced."""
    from tokenizers import Tokenizer

    from ..support.hf_toys import byte_tokenizer

    found = byte_tokenizer()
    content = json.loads(found.backend_tokenizer.to_str())
    for key, value in parts.items():
        place = content["model"] if key in content["model"] or key == "ignore_merges" else content
        place[key] = value
    raw = Tokenizer.from_str(json.dumps(content))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def bytes_after(*steps):
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [*steps, level]}


def split(regex):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def pre_of(tokenizer):
    fields = {field.key: field.value for field in vocabulary(tokenizer, 310)}
    return fields["tokenizer.ggml.pre"]


def test_vocabulary_names_the_way_in_which_texts_are_cut():
    llama, qwen = SPLITS
    assert pre_of(altered()) == "gpt-2"
    assert pre_of(altered(pre_tokenizer=bytes_after(split(qwen)), normalizer={"type": "NFC"})) == "qwen2"
    assert pre_of(altered(pre_tokenizer=bytes_after(split(llama)), ignore_merges=True)) == "llama-bpe"
    steps = bytes_after({"type": "Digits", "individual_digits": True})
    steps["pretokenizers"][-1]["use_regex"] = True
    assert pre_of(altered(pre_tokenizer=steps)) == "smollm"


def test_vocabulary_knows_the_regular_expressions_of_transformers():
    mapping = pytest.importorskip("transformers.integrations.gguf.gguf_tokenizer_mapping")
    for regex, name in SPLITS.items():
        assert mapping.GGUF_PRE_TOKENIZER_SPLITS[name] == regex


def test_vocabulary_fills_up_numbers_without_a_token():
    fields = {field.key: field.value for field in vocabulary(altered(), 303)}
    assert fields["tokenizer.ggml.tokens"][300:] == ["[PAD300]", "[PAD301]", "[PAD302]"]
    assert fields["tokenizer.ggml.token_type"][300:] == [gguf.TokenType.UNUSED] * 3


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"pre_tokenizer": bytes_after(split("x+"))}, "its pre-tokenizer"),
        ({"pre_tokenizer": bytes_after()}, "its pre-tokenizer"),
        ({"normalizer": {"type": "Lowercase"}}, "it changes texts first"),
        ({"ignore_merges": True}, "its pre-tokenizer"),
        ({"byte_fallback": True}, "not byte-level BPE"),
        ({"decoder": None}, "not byte-level BPE"),
    ],
)
def test_vocabulary_that_gguf_cannot_express_is_refused(parts, told):
    with pytest.raises(UsageError, match=f"the tokenizer cannot be written: .*{told}"):
        vocabulary(altered(**parts), 300)


def test_vocabulary_of_word_pieces_or_of_too_many_tokens_is_refused():
    from ..support.hf_toys import wordpiece_tokenizer

    with pytest.raises(UsageError, match="it is WordPiece, and not byte-level BPE"):
        vocabulary(wordpiece_tokenizer(), 300)
    with pytest.raises(UsageError, match="it has token 299, and the model knows 299"):
        vocabulary(altered(), 299)
