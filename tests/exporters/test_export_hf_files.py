"""The files and tensors that the exporter `hf` writes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import attrs
import numpy as np
import pytest
from safetensors.torch import load_file

from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.testing import ExportCase, assert_close
from boostlora.plugins.exporters.hf import Hf

from ..support.export_runs import causal_run, classifier_run, scratch_classifier_run
from .export_bases import as_bfloat16, as_bin, in_bfloat16_shards, torch, with_more_tensors

INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tuple[Path, ExportCase]:
    """A base in bfloat16, in two files, and its run."""
    folder = tmp_path_factory.mktemp("sharded")
    return folder / "model", causal_run(folder, shared_cache, after=in_bfloat16_shards, lr=1.0)


def export(case: ExportCase, folder: Path, **options: str) -> Path:
    folder.mkdir()
    Hf(**options).check(case.ensemble)
    Hf(**options).write(case.ensemble, folder)
    return folder


def test_export_of_no_rounds_has_the_bytes_of_the_base(
    sharded: tuple[Path, ExportCase], tmp_path: Path
) -> None:
    base, case = sharded
    folder = export(case.of(), tmp_path / "export")
    names = sorted(path.name for path in base.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == names
    assert len([n for n in names if n.startswith("model-")]) == 2
    for name in names:
        assert (folder / name).read_bytes() == (base / name).read_bytes(), name


def test_layout_of_the_base_is_kept_and_sites_are_merged_and_cast_once(
    sharded: tuple[Path, ExportCase], tmp_path: Path
) -> None:
    base, case = sharded
    folder = export(case, tmp_path / "export")
    sites, changed = {site.name for site in case.ensemble.sites}, set()
    for shard in sorted(base.glob("model-*.safetensors")):
        one, two = load_file(shard), load_file(folder / shard.name)
        assert list(one) == list(two)
        for name, tensor in two.items():
            exact = torch.from_numpy(case.ensemble.merged(name)).bfloat16() if name in sites else one[name]
            assert tensor.dtype == torch.bfloat16
            assert torch.equal(tensor, exact), name
            changed |= set() if torch.equal(tensor, one[name]) else {name}
    assert changed == sites
    assert (folder / INDEX).read_bytes() == (base / INDEX).read_bytes()


def test_transposed_sites_keep_the_layout_of_the_base(tmp_path: Path, shared_cache: Path) -> None:
    ensemble = causal_run(tmp_path / "run", shared_cache, family="gpt2").ensemble
    infos = {w.name: w for w in ensemble.source.blueprint.weights}
    (tmp_path / "export").mkdir()
    Hf().write(ensemble, tmp_path / "export")
    found = load_file(tmp_path / "export" / "model.safetensors")
    turned = [site.name for site in ensemble.sites if infos[site.name].transposed]
    assert len(turned) == 8
    for name in turned:
        merged = torch.from_numpy(ensemble.merged(name)).T
        assert torch.equal(found[infos[name].stored or name], merged), name


def test_requested_dtype_is_written_to_configuration_and_index(
    sharded: tuple[Path, ExportCase], tmp_path: Path
) -> None:
    _, case = sharded
    folder = export(case, tmp_path / "export", dtype="float32")
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"
    tensors = [t for f in folder.glob("model-*.safetensors") for t in load_file(f).values()]
    assert {t.dtype for t in tensors} == {torch.float32}
    index = json.loads((folder / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(t.numel() * 4 for t in tensors)


def test_tensors_that_are_not_parameters_are_kept(tmp_path: Path, shared_cache: Path) -> None:
    case = classifier_run(tmp_path / "run", shared_cache, after=with_more_tensors)
    base = load_file(tmp_path / "run" / "model" / "model.safetensors")
    found = load_file(export(case, tmp_path / "export") / "model.safetensors")
    assert found.keys() == base.keys()
    coarse = export(case, tmp_path / "coarse", dtype="float16")
    halved = load_file(coarse / "model.safetensors")
    for name in ("embeddings.position_ids", "cls.predictions.bias"):
        assert torch.equal(found[name], base[name])
    assert torch.equal(halved["embeddings.position_ids"], base["embeddings.position_ids"])
    assert halved["cls.predictions.bias"].dtype == torch.float16
    expected, reloaded = case.evaluated(), case.opened(Hf().reload(case.ensemble, coarse))
    # Weights in float16, rounded once, in a net of two blocks.
    assert_close(reloaded, expected, atol=16 * 2**-10 * np.abs(expected).max(), what="logits")


def test_tied_head_stays_tied_as_in_the_base(tmp_path: Path, shared_cache: Path) -> None:
    case = causal_run(tmp_path / "run", shared_cache, family="qwen2")
    folder = export(case, tmp_path / "export")
    base = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert "lm_head.weight" not in base
    found = load_file(folder / "model.safetensors")
    assert list(found) == list(base)
    assert torch.equal(found["model.embed_tokens.weight"], base["model.embed_tokens.weight"])


def test_converted_base_is_written_in_shards_with_an_index(tmp_path: Path, shared_cache: Path) -> None:
    case = causal_run(tmp_path / "run", shared_cache, after=as_bin)
    folder = export(case, tmp_path / "export", max_shard_size="20KB")
    index = json.loads((folder / INDEX).read_text())
    shards = sorted(path.name for path in folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert sorted(set(index["weight_map"].values())) == shards
    assert not list(folder.glob("*.bin*"))
    assert_close(
        case.opened(Hf().reload(case.ensemble, folder)),
        case.evaluated(),
        atol=0.0,
        what="logits of the shards",
    )


def test_licence_template_and_configuration_files_are_copied_and_no_others(
    tmp_path: Path, shared_cache: Path
) -> None:
    def with_files(folder: Path) -> None:
        for name in (
            "LICENSE",
            "NOTICE.txt",
            "README.md",
            "modules.json",
            "pytorch_model.bin.index.json",
            "code.py",
        ):
            (folder / name).write_text("{}")
        (folder / "chat_template.jinja").write_text("{{ messages }}")
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")

    folder = export(causal_run(tmp_path / "run", shared_cache, after=with_files), tmp_path / "export")
    names = {path.name for path in folder.iterdir()}
    wanted = {"LICENSE", "NOTICE.txt", "chat_template.jinja", "additional_chat_templates", "config.json"}
    assert names >= {*wanted, "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert not names & {"README.md", "modules.json", "pytorch_model.bin.index.json", "code.py"}


def test_manifest_files_of_the_cache_are_not_exported(tmp_path: Path, shared_cache: Path) -> None:
    folder = export(scratch_classifier_run(tmp_path / "run", shared_cache), tmp_path / "export")
    assert not {path.name for path in folder.iterdir()} & {"manifest.json", "pretraining.json"}


@pytest.mark.parametrize(
    ("family", "pooling"),
    [
        ("bert", "mean"),
        ("bert", "max"),
        ("bert", "cls"),
        ("bert", "last"),
        ("esm", "mean"),
        ("qwen2", "last"),
    ],
)
def test_sentence_transformers_encodes_texts_to_the_logits(
    family: str, pooling: str, tmp_path: Path, shared_cache: Path
) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    options = f'pooling = "{pooling}"'
    case = classifier_run(tmp_path / "run", shared_cache, family=family, options=options)
    folder = export(case, tmp_path / "export")
    texts = (
        ["MKTAYIAK", "GLFDIVKKVVGALG"] if family == "esm" else ["good cat 3", "bad dog, and a longer text"]
    )
    found = library.SentenceTransformer(str(folder), device="cpu").encode(texts)
    expected = case.evaluated(case.encode(texts))
    # float32 by another library's sums: some tens of roundings of the largest.
    assert_close(found, expected, atol=64 * 2**-23 * np.abs(expected).max(), what="embeddings")


def test_sentence_transformers_files_are_omitted_for_other_poolings(
    tmp_path: Path, shared_cache: Path
) -> None:
    """With padding to the left, its first place is padding."""

    def pads_left(folder: Path) -> None:
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "padding_side": "left"}))

    case = classifier_run(tmp_path / "run", shared_cache, after=pads_left, options='pooling = "cls"')
    folder = export(case, tmp_path / "export")
    assert (folder / "head.safetensors").is_file()
    assert not (folder / "modules.json").exists()


# -- Refusals


def test_perceptron_is_referred_to_the_safetensors_exporter(mlp_case: ExportCase) -> None:
    with pytest.raises(UsageError, match="use --to safetensors"):
        Hf().check(mlp_case.ensemble)


def test_missing_library_is_named(causal_case: ExportCase, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "transformers" else real(name)
    )
    with pytest.raises(UsageError, match=r"pip install 'boostlora\[hf\]'"):
        Hf().check(causal_case.ensemble)


def test_tokenizer_that_gives_other_tokens_is_refused(
    causal_case: ExportCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boostlora.plugins.exporters._weights import companions

    real = companions.shutil.copyfile

    def spoilt(source: Path, target: Path) -> None:
        real(source, target)
        if target.name == "tokenizer.json":
            content = json.loads(target.read_text())
            content["model"]["merges"] = []
            target.write_text(json.dumps(content))

    monkeypatch.setattr(companions.shutil, "copyfile", spoilt)
    with pytest.raises(RunError, match="gives other tokens"):
        export(causal_case, tmp_path / "export")


def test_file_changed_while_copied_is_named(
    causal_case: ExportCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boostlora.plugins.exporters import hf as module

    real = module.write_files

    def spoilt(*given: object) -> None:
        real(*given)
        file = tmp_path / "export" / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)

    monkeypatch.setattr(module, "write_files", spoilt)
    with pytest.raises(
        RunError, match=r"model\.norm\.weight differs from what was written|differs from what was written"
    ):
        export(causal_case, tmp_path / "export")


def test_large_rounding_loss_gives_a_warning(tmp_path: Path, shared_cache: Path) -> None:
    case = classifier_run(tmp_path / "run", shared_cache, after=as_bfloat16, lr=1e-4)
    small = case.of(*(attrs.evolve(r, scale=r.scale * 0.01) for r in case.ensemble.rounds))
    with pytest.warns(UserWarning, match=r"bfloat16 keeps only \d+ % of the update; export with"):
        export(small, tmp_path / "export")
    export(small, tmp_path / "exact", dtype="float32")
