"""Names of modules and places, as PEFT itself understands them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import Blueprint, Exportable, ModelSource, WeightInfo
from boostlora.plugins.exporters._peft.places import base_location, tokenizer_location
from boostlora.plugins.exporters._peft.targets import Target, pattern, target_modules
from boostlora.plugins.exporters.peft_tinylora import tied_groups, weight_tying
from boostlora.plugins.models.hf_causal_lm import HfCausalLm

torch = pytest.importorskip("torch", reason="needs PyTorch")
peft = pytest.importorskip("peft", reason="needs PEFT")


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.fc2 = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)


class Nested(torch.nn.Module):
    """`fc`, `inner.fc` and `outer.inner.fc`: each is the end of the next."""

    def __init__(self):
        super().__init__()
        self.fc, self.inner = torch.nn.Linear(4, 4), Inner()
        self.outer = torch.nn.ModuleDict({"inner": Inner()})

    def forward(self, x):
        return x


BLUEPRINT = Blueprint(
    architecture="causal-lm/nested",
    config={},
    weights=tuple(
        WeightInfo(name=name, shape=tuple(p.shape), role="linear") for name, p in Nested().named_parameters()
    ),
)


def targets(*modules):
    return [Target(site=f"{m}.weight", module=m, transposed=False) for m in modules]


def adapted(config):
    """The modules that PEFT gives adapters, with their ranks."""
    model = peft.get_peft_model(Nested(), config)
    prefix = "base_model.model."
    return {
        name.removeprefix(prefix): module.r["default"]
        for name, module in model.named_modules()
        if isinstance(module, peft.tuners.lora.LoraLayer)
    }


@pytest.mark.parametrize(
    "wanted",
    [
        ["fc"],
        ["inner.fc"],
        ["outer.inner.fc"],
        ["fc", "outer.inner.fc2"],
        ["fc", "inner.fc", "outer.inner.fc"],
        ["inner.fc", "inner.fc2"],
    ],
)
def test_target_modules_match_only_sites_when_names_are_suffixes_of_others(wanted):
    found = adapted(peft.LoraConfig(r=2, target_modules=target_modules(targets(*wanted), BLUEPRINT)))
    assert sorted(found) == sorted(wanted)


def test_target_modules_are_a_list_of_paths_when_that_is_exact():
    assert target_modules(targets("outer.inner.fc"), BLUEPRINT) == ["outer.inner.fc"]
    assert target_modules(targets("inner.fc"), BLUEPRINT) == r"(?:inner\.fc)"


def test_ranks_match_their_modules_when_names_are_suffixes_of_others():
    ranks = {"fc": 3, "inner.fc": 2, "outer.inner.fc": 1}
    config = peft.LoraConfig(
        r=2, rank_pattern=pattern(ranks, 2), target_modules=target_modules(targets(*ranks), BLUEPRINT)
    )
    assert adapted(config) == ranks


# -- Tying


@given(st.integers(1, 12), st.data())
def test_tying_of_neighbours_is_tied_by_peft_in_the_same_way(count, data):
    groups = tied_groups(count, data.draw(st.integers(1, count)))
    degree = weight_tying([f"block.{g}" for g in groups])
    model = peft.get_peft_model(
        torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(count))),
        peft.TinyLoraConfig(r=1, u=1, weight_tying=degree, target_modules=[str(i) for i in range(count)]),
    )
    keys = [
        int(module._tinylora_v_key["default"])
        for module in model.modules()
        if isinstance(module, peft.tuners.tinylora.TinyLoraLayer)
    ]
    assert keys == groups


@pytest.mark.parametrize("groups", ["abab", "aaab", "abba", "abbb"])
def test_tying_that_peft_cannot_express_is_none(groups):
    assert weight_tying(groups) == 0.0


def test_tying_of_unequal_blocks_is_exported_when_the_last_is_longer():
    assert tied_groups(5, 2) == [0, 0, 1, 1, 1]
    assert weight_tying("aabbb") == pytest.approx(0.6)
    assert weight_tying("aaabb") == 0.0


# -- Places


def exportable(model, folder):
    source = ModelSource(blueprint=BLUEPRINT, files=(folder / "model.safetensors",), sha256="")
    return Exportable(name="x", model=model, source=source, sites=(), rounds=(), store=None)


def with_folder(monkeypatch, **fields):
    from boostlora.plugins.models._hf import folder as module

    found = module.Folder(**({"gguf": ""} | fields))
    monkeypatch.setattr(module, "open_folder", lambda *_, **__: found)
    return HfCausalLm(path="owner/name", gguf=found.gguf)


def test_base_from_the_hub_is_named_by_id_and_commit(tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    model = with_folder(monkeypatch, path=tmp_path / "snapshots" / commit, repository="owner/name")
    place = base_location(exportable(model, tmp_path / "snapshots" / commit))
    assert (place.name, place.revision) == ("owner/name", commit)
    assert place.arguments() == f"'owner/name', revision='{commit}'"
    assert tokenizer_location(exportable(model, tmp_path)) == place


def test_base_in_a_folder_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    model = with_folder(monkeypatch, path=tmp_path)
    monkeypatch.chdir(tmp_path)
    place = base_location(exportable(model, tmp_path))
    assert (place.name, place.revision) == (str(tmp_path), None)


def test_base_from_a_gguf_file_is_its_converted_copy_and_its_tokenizer_the_files(tmp_path, monkeypatch):
    model = with_folder(monkeypatch, path=tmp_path / "given", gguf="model.gguf", repository="owner/name")
    ensemble = exportable(model, tmp_path / "cache" / "converted")
    assert base_location(ensemble).name == str(tmp_path / "cache" / "converted")
    assert tokenizer_location(ensemble).name == str(tmp_path / "given")


def test_base_of_a_scratch_model_is_its_folder(tmp_path):
    assert base_location(exportable(object(), tmp_path)).name == str(tmp_path)
    assert tokenizer_location(exportable(object(), tmp_path)).name == str(tmp_path)
