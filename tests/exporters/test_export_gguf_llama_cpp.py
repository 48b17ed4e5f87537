"""Files of the exporter `gguf` in llama.cpp; skipped where it is not installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("gguf", reason="needs gguf")
pytest.importorskip("xllamacpp", reason="llama.cpp comes with the package xllamacpp: pip install xllamacpp")

import torch

from boostlora.plugins.exporters.gguf import Gguf

from ..support.commands import PATIENCE

ASKED = ["12 + 5 =", "the cat sat on", "é 中 12"]
NEW = 6
ASKING = """
import json, os, sys, urllib.request
import xllamacpp as x

p = x.CommonParams()
p.model.path = sys.argv[1]
p.n_ctx, p.n_parallel, p.n_gpu_layers, p.warmup, p.fit_params = 64, 1, 0, False, False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
# Nothing is to be rounded but weights: keys and values are float16 otherwise.
p.cache_type_k = p.cache_type_v = x.ggml_type.GGML_TYPE_F32
p.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
server = x.Server(p)

def ask(route, **body):
    request = urllib.request.Request(
        server.listening_address + route, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return json.loads(urllib.request.urlopen(request).read())

found = []
for text in json.loads(sys.argv[2]):
    tokens = ask("/tokenize", content=text, add_special=True)["tokens"]
    how = {"temperature": 0, "samplers": ["temperature"], "cache_prompt": False, "return_tokens": True}
    new = ask("/completion", prompt=tokens, n_predict=int(sys.argv[3]), **how)["tokens"]
    first = ask("/completion", prompt=tokens, n_predict=1, n_probs=20, **how).get("completion_probabilities", [])
    likely = [(t["id"], t["logprob"]) for t in first[0]["top_logprobs"]] if first else []
    found.append({"tokens": tokens, "new": new, "likely": likely})
print("\\nFOUND" + json.dumps(found), flush=True)
os._exit(0)
"""
"""Asks llama.cpp's server for tokens, for the likeliest continuation, and for the likeliest next tokens."""


def asked_of_llama_cpp(file):
    command = [sys.executable, "-c", ASKING, str(file), json.dumps(ASKED), str(NEW)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "\nFOUND" in done.stdout, done.stderr[-2000:]
    return json.loads(done.stdout.rpartition("\nFOUND")[2])


MORE = pytest.mark.slow(reason="llama.cpp in a process of its own for each")


@pytest.mark.parametrize(
    "family",
    [
        "llama",
        *(
            pytest.param(name, marks=MORE)
            for name in ("qwen2", "llama made from nothing", "qwen2 made from nothing")
        ),
    ],
)
def test_llama_cpp_reads_the_same_tokens_and_continues_with_the_same(family, tmp_path, shared_cache):
    from ..support.export_runs import causal_run, scratch_causal_run

    name, _, scratch = family.partition(" ")
    shape = {} if scratch else {"bos": True} if name == "llama" else {"chat": True}
    case = (scratch_causal_run if scratch else causal_run)(
        tmp_path / "run", shared_cache, family=name, **shape
    )
    Gguf().write(case.ensemble, tmp_path)
    module = Gguf().reload(case.ensemble, tmp_path).build(case.ensemble.source.blueprint, "float32")
    compared = 0
    for text, found in zip(ASKED, asked_of_llama_cpp(tmp_path / "words.gguf"), strict=True):
        inputs = case.encode([text]).inputs
        ids = inputs.ids[: inputs.starts[0]].tolist()
        assert found["tokens"] == ids
        prompt = torch.tensor([ids])
        expected = module.generate(prompt, max_new_tokens=NEW, do_sample=False)[0, len(ids) :]
        assert found["new"] == expected.tolist()
        logs = module(prompt).logits[0, -1].log_softmax(-1).tolist()
        for token, log in found["likely"]:
            # Both compute in float32, in another order: some roundings of logits of about 10.
            assert abs(logs[token] - log) < 1e-4
            compared += 1
    assert compared >= 20
