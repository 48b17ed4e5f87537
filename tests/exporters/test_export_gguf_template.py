"""The exporter `gguf` on a GGUF base: only tensors changed by rounds differ."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("gguf", reason="needs gguf")

import gguf

from boostlora.engine.contracts import Site
from boostlora.engine.errors import UsageError
from boostlora.engine.testing import ExporterContract, assert_close
from boostlora.plugins.exporters._gguf import files
from boostlora.plugins.exporters._gguf.template import _copied, _field
from boostlora.plugins.exporters.gguf import Gguf

TARGETS = ("blk.0.attn_q.weight", "blk.1.attn_q.weight", "blk.0.attn_k.weight", "blk.1.attn_k.weight")
SITES = 'gguf = "base.gguf"\n[sites]\ntargets = ["*.q_proj", "*.k_proj"]'


def quantised(source: Path, place: Path) -> None:
    """The file with what is wide enough in Q8_0, with an alignment of its own, and with fields of every kind."""
    reader = gguf.GGUFReader(source)
    fields = [_field(source, f) for name, f in reader.fields.items() if not name.startswith("GGUF.")]
    kind = gguf.GGUFValueType
    fields += [
        files.Field("general.alignment", 64, kind.UINT32),
        files.Field("general.languages", ["en", "de"], kind.ARRAY, kind.STRING),
        files.Field("tiny.odd.strings", ["ü\n", ""], kind.ARRAY, kind.STRING),
        files.Field("tiny.odd.nothing", [], kind.ARRAY, kind.FLOAT32),
        files.Field("tiny.odd.numbers", [0.1, 1e30], kind.ARRAY, kind.FLOAT32),
        files.Field("tiny.odd.truth", value=True, type=kind.BOOL),
        files.Field("tiny.odd.least", -(2**63), kind.INT64),
    ]

    def small(tensor: files.Tensor) -> files.Tensor:
        if len(tensor.shape) == 1 or tensor.shape[-1] % 32:
            return tensor
        to = gguf.GGMLQuantizationType.Q8_0
        return attrs.evolve(tensor, type=to, read=lambda: gguf.quants.quantize(tensor.read(), to))

    tensors = [small(_copied(tensor)) for tensor in reader.tensors]
    files.write(place, fields, tensors, lambda *_: None, alignment=64)


@pytest.fixture(scope="session")
def template_case(shared, shared_cache):
    """A tiny Llama, written as GGUF, quantised, and boosted at its queries and keys."""
    from ..support.export_runs import case_of, causal_run

    shape = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "hidden_size": 32}

    def make(folder: Path) -> None:
        first = causal_run(folder / "first", shared_cache, **shape)
        (folder / "written").mkdir()
        Gguf().write(first.ensemble, folder / "written")

        def replaced(model: Path) -> None:
            shutil.rmtree(model)
            model.mkdir()
            quantised(folder / "written" / "words.gguf", model / "base.gguf")

        causal_run(folder / "boosted", shared_cache, after=replaced, options=SITES, lr=0.5)

    return case_of(shared.made("template", make) / "boosted" / "run", shared_cache)


@pytest.fixture
def base(template_case):
    return Path(template_case.ensemble.model.path) / "base.gguf"


class TestGgufTemplate(ExporterContract):
    roundings = 0  # the very numbers that were evaluated

    def make(self):
        return Gguf()

    @pytest.fixture
    def case(self, template_case):
        return template_case


def written(case, folder, exporter=None):
    (exporter or Gguf()).write(case.ensemble, folder)
    return gguf.GGUFReader(folder / "words.gguf")


def test_gguf_of_a_gguf_base_keeps_the_bytes_of_what_was_not_adapted(template_case, base, tmp_path):
    old, new = gguf.GGUFReader(base), written(template_case, tmp_path)
    assert [t.name for t in new.tensors] == [t.name for t in old.tensors]
    same = [
        t.name for t, u in zip(old.tensors, new.tensors, strict=True) if t.data.tobytes() == u.data.tobytes()
    ]
    assert set(same) == {t.name for t in old.tensors} - set(TARGETS)
    kinds = {t.name: t.tensor_type.name for t in new.tensors}
    assert {kinds[name] for name in TARGETS} == {"F32"}
    assert kinds["token_embd.weight"] == kinds["blk.0.attn_v.weight"] == "Q8_0"  # noqa: S105 - no password


def test_gguf_of_a_gguf_base_keeps_metadata_and_says_what_was_done(template_case, base, tmp_path):
    old, new = gguf.GGUFReader(base), written(template_case, tmp_path)
    changed = {"general.name", "general.description"}
    assert list(new.fields) == list(old.fields)
    for name, field in old.fields.items():
        if name not in changed:
            parts = new.fields[name].parts
            assert [p.tobytes() for p in parts] == [p.tobytes() for p in field.parts], name
    assert new.fields["general.name"].contents() == "words, boosted"
    before = old.fields["general.description"].contents()
    assert new.fields["general.description"].contents() == (
        f"{before} Rounds 1 to 3 of the BoostLoRA run words merged into 4 weights, kept as F32."
    )
    assert new.alignment == 64


def test_gguf_of_no_rounds_is_the_base_file_itself(template_case, base, tmp_path):
    Gguf(dtype="bfloat16").write(template_case.of().ensemble, tmp_path)
    assert (tmp_path / "words.gguf").read_bytes() == base.read_bytes()
    assert Gguf(dtype="bfloat16").precision(template_case.of().ensemble) == "float32"


def test_gguf_dequantised_holds_the_same_numbers(template_case, base, tmp_path):
    old = {t.name: t for t in gguf.GGUFReader(base).tensors}
    new = written(template_case, tmp_path, Gguf(dequantise=True))
    assert Gguf(dtype="float16", dequantise=True).precision(template_case.of().ensemble) == "float16"
    assert {t.tensor_type.name for t in new.tensors} == {"F32"}
    assert new.fields["general.file_type"].contents() == gguf.LlamaFileType.ALL_F32
    for tensor in new.tensors:
        if tensor.name not in TARGETS:
            expected = gguf.dequantize(old[tensor.name].data, old[tensor.name].tensor_type)
            assert np.array_equal(tensor.data, expected), tensor.name


def test_gguf_rows_of_queries_and_keys_are_in_the_order_of_llama_cpp(template_case, tmp_path):
    tensors = {t.name: t.data for t in written(template_case, tmp_path).tensors}
    merged = template_case.ensemble.merged("model.layers.0.self_attn.q_proj.weight")
    # Row 2 i + j of a head of width 8 is Hugging Face's row i + 4 j.
    order = [8 * head + i + 4 * j for head in range(4) for i in range(4) for j in range(2)]
    assert np.array_equal(tensors["blk.0.attn_q.weight"], merged[order])


def test_gguf_in_bfloat16_is_as_close_as_that_is(template_case, tmp_path):
    exporter = Gguf(dtype="bfloat16")
    new = written(template_case, tmp_path, exporter)
    merged = template_case.ensemble.merged("model.layers.1.self_attn.q_proj.weight")
    tensor = next(t for t in new.tensors if t.name == "blk.1.attn_q.weight")
    found = gguf.dequantize(tensor.data, tensor.tensor_type)
    order = [8 * head + i + 4 * j for head in range(4) for i in range(4) for j in range(2)]
    # Rounding once to 8 bits: 2^-9 of each entry, and half a unit in the last place at most.
    assert bool((np.abs(found - merged[order]) <= 2.0**-8 * np.abs(merged[order])).all())
    assert exporter.precision(template_case.ensemble) == "bfloat16"


def test_gguf_with_an_entry_too_large_for_float16_is_refused_naming_the_weight(template_case, tmp_path):
    class Large:
        def merged(self, site, updates):
            return 1e6 * template_case.ensemble.store.merged(site, updates)

    ensemble = attrs.evolve(template_case.ensemble, store=Large())
    with pytest.raises(UsageError, match=r"q_proj\.weight: an entry is too large for F16"):
        Gguf(dtype="float16").write(ensemble, tmp_path)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_cast_distinguishes_the_largest_number_from_infinity(dtype):
    kind = files.TYPES[dtype]
    largest = {"float16": 65504.0, "bfloat16": 3.38e38}[dtype]
    files.cast("w", np.array([[largest, -largest]]), kind)
    with pytest.raises(UsageError, match="w: an entry is too large"):
        files.cast("w", np.array([[0.0, -3.5e38]]), kind)


def test_gguf_base_that_is_another_model_is_refused_before_any_work(template_case):
    sites = (*template_case.ensemble.sites, Site(name="model.layers.0.mlp.up_proj.weight", shape=(3, 32)))
    with pytest.raises(UsageError, match=r"no tensor blk\.0\.ffn_up\.weight of shape \(3, 32\)"):
        Gguf().check(attrs.evolve(template_case.ensemble, sites=sites))


def test_gguf_base_of_an_unknown_architecture_is_refused_with_a_way_out(template_case, tmp_path):
    base = Path(template_case.ensemble.model.path) / "base.gguf"
    reader = gguf.GGUFReader(base)
    fields = [_field(base, f) for name, f in reader.fields.items() if not name.startswith("GGUF.")]
    fields = [attrs.evolve(f, value="grok") if f.key == "general.architecture" else f for f in fields]
    files.write(tmp_path / "base.gguf", fields, [_copied(t) for t in reader.tensors], lambda *_: None)
    model = attrs.evolve(template_case.ensemble.model, path=type(template_case.ensemble.model.path)(tmp_path))
    with pytest.raises(UsageError, match=r"architecture grok .*\(llama, qwen2, qwen3\).*convert_hf_to_gguf"):
        Gguf().check(attrs.evolve(template_case.ensemble, model=model))


def test_gguf_base_that_is_not_a_gguf_file_is_refused(template_case, tmp_path):
    (tmp_path / "base.gguf").write_bytes(b"not a model")
    model = attrs.evolve(template_case.ensemble.model, path=type(template_case.ensemble.model.path)(tmp_path))
    with pytest.raises(UsageError, match="not a readable GGUF file"):
        Gguf().check(attrs.evolve(template_case.ensemble, model=model))


def test_gguf_logits_in_another_dtype_are_close(template_case, tmp_path):
    exporter = Gguf(dtype="float16")
    exporter.write(template_case.ensemble, tmp_path)
    expected = template_case.evaluated()
    found = template_case.opened(exporter.reload(template_case.ensemble, tmp_path))
    allowed = 16 * 2.0**-11 * float(np.max(np.abs(expected)))
    assert_close(found, expected, atol=allowed, what="logits with weights in float16")
