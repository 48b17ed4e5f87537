"""Tiny random transformers, built from their Hugging Face configurations: torch against the reference."""

import json

import pytest

from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.verification.verify import verify

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

from ..support import hf_toys

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "one",
    "two",
    "three",
    "red",
    "birds",
    "fly",
    "over",
    "an",
    "old",
    "house",
    "by",
    "the",
    "sea",
]
CAUSAL = """
[task]
use = "language-modelling"
path = "rows.jsonl"
[model]
use = "hf-causal-lm"
"""
CLASSIFIER = """
[task]
use = "text-classification"
path = "rows.jsonl"
text = ["text", "other"]
[model]
use = "hf-classifier"
pooling = "{pooling}"
"""
COMMON = """
path = "model"
[adapter]
use = "tinylora"
rank = 2
u = 3
tie = {tie}
[sampler]
use = "all"
[optimizer]
lr = 0.02
steps = 4
batch_size = 6
[backend]
use = "torch"
device = "cpu"
"""
KINDS = {
    "qwen2": ("causal", CAUSAL, '"none"'),
    "llama": ("causal", CAUSAL, "3"),
    "bert": ("encoder", CLASSIFIER.format(pooling="mean"), '"none"'),
    "esm": ("encoder", CLASSIFIER.format(pooling="cls").replace('["text", "other"]', '"text"'), '"kind"'),
}


def sentence(start, count):
    return " ".join(WORDS[(start + 3 * i) % len(WORDS)] for i in range(count))


@pytest.fixture
def spec_of(registry, tmp_path):
    def make(kind, *settings):
        family, text, tie = KINDS[kind]
        getattr(hf_toys, family)(tmp_path / "model", kind)
        rows = [
            {
                "prompt": sentence(i, 2 + i % 4),
                "completion": " " + sentence(i + 1, 1 + i % 3),
                "text": "MKTAYIAKQR"[i % 4 :] * (1 + i % 3) if kind == "esm" else sentence(i, 2 + i % 5),
                "other": sentence(i + 5, 1 + i % 4),
                "label": "odd" if i % 2 else "even",
            }
            for i in range(40)
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "spec.toml").write_text("rounds = 3\n" + text + COMMON.format(tie=tie))
        return load_spec(tmp_path / "spec.toml", registry, settings)

    return make


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_torch_passes_on_a_tiny_transformer(spec_of, registry, kind, dtype, tmp_path):
    spec = spec_of(kind, f"backend.dtype={dtype}", "backend.micro_batch=4")
    result = verify(spec, registry, RunContext(cache=tmp_path / "cache"))
    assert result.passed, result.first
    assert result.rounds == 3
    compared = {f.quantity: f.compared for f in result.findings if f.compared}
    for quantity in ("directions", "frames", "logits", "gradient", "core", "update", "merged weight"):
        assert compared[quantity], f"{quantity} was not compared"
    sites = {f.where for f in result.findings if f.quantity == "merged weight"}
    assert len(sites) >= 12, "several sites were to be compared"
