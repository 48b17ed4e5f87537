"""The exporter `safetensors`: any architecture, NumPy alone where that is enough."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import attrs
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.testing import ExportCase, ExporterContract
from boostlora.plugins.exporters.safetensors import Safetensors

from ..support.commands import python
from ..support.export_runs import REFERENCE, TORCH, boosted, case_of, mlp_run

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")

MODULES = """
import attrs
from boostlora.backends.torch.modules import TorchModule
from boostlora.engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Normed(TorchModule):
    "A layer, a batch norm with buffers, and a head."

    head = "2"

    def module(self, splits):
        from torch import nn

        d = splits.train.inputs.shape[1]
        return nn.Sequential(nn.Linear(d, 12), nn.BatchNorm1d(12), nn.Linear(12, len(splits.classes)))


@attrs.frozen(kw_only=True)
class Doubled(TorchModule):
    "A weight under two names, a layer that is listed three times, and a buffer in half precision."

    head = "out"

    def module(self, splits):
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self, d, classes):
                super().__init__()
                self.a, self.b = nn.Linear(d, d), nn.Linear(d, d)
                self.b.weight = self.a.weight
                self.layers = nn.ModuleList([nn.Linear(d, d)] * 3)
                self.register_buffer("scale", torch.full((d,), 1.25, dtype=torch.bfloat16))
                self.out = nn.Linear(d, classes)

            def forward(self, x):
                h = self.b(torch.tanh(self.a(x))) * self.scale
                for layer in self.layers:
                    h = torch.tanh(layer(h))
                return self.out(h)

        return Net(splits.train.inputs.shape[1], len(splits.classes))


@hookimpl
def register_models(register):
    register("normed", Normed)
    register("doubled", Doubled)
"""


class TestMlp(ExporterContract):
    def make(self) -> Safetensors:
        return Safetensors()

    @pytest.fixture
    def case(self, mlp_case: ExportCase) -> ExportCase:
        return mlp_case


class TestMlpInBfloat16(TestMlp):
    roundings = 4

    def make(self) -> Safetensors:
        return Safetensors(dtype="bfloat16")


def own_module(model: str, folder: Path, cache: Path) -> ExportCase:
    """A run of one of these modules."""
    plugin = folder / "modules.py"
    plugin.write_text(MODULES)
    rng = np.random.default_rng(0)
    rows = ["a,b,c,d,e,f,g,h,label"]
    rows += [",".join(f"{x:.3f}" for x in rng.standard_normal(8)) + f",{i % 3}" for i in range(60)]
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    spec = (
        'name = "own"\nrounds = 3\n[task]\nuse = "table"\npath = "rows.csv"\nlabel = "label"\n'
        f'[model]\nuse = "{model}"\n[adapter]\nrank = 2\n[optimizer]\nlr = 0.3\nsteps = 5\n'
    )
    run = boosted(folder, spec + TORCH.format(dtype="float32"), cache, (plugin,))
    return case_of(run, cache, (plugin,))


@needs_torch
class TestModule(TestMlp):
    """A module of the user's, with buffers, by the torch backend."""

    compares_usage = False

    @pytest.fixture(scope="class")
    @staticmethod
    def module_case(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ExportCase:
        return own_module("normed", tmp_path_factory.mktemp("module"), shared_cache)

    @pytest.fixture
    def case(self, module_case: ExportCase) -> ExportCase:
        return module_case

    def test_buffers_are_exported(self, case: ExportCase, tmp_path: Path) -> None:
        found = load_file(self._written(case, tmp_path / "export") / "model.safetensors")
        assert {"1.running_mean", "1.running_var", "1.num_batches_tracked"} <= found.keys()


@needs_torch
class TestDoubledModule(TestModule):
    """What is merged is merged under every name of a weight, for users load by name."""

    @pytest.fixture(scope="class")
    @staticmethod
    def module_case(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ExportCase:
        return own_module("doubled", tmp_path_factory.mktemp("module"), shared_cache)

    def test_buffers_are_exported(self, case: ExportCase, tmp_path: Path) -> None:
        assert "scale" in load_file(self._written(case, tmp_path / "export") / "model.safetensors")

    def test_users_load_what_was_evaluated(self, case: ExportCase, tmp_path: Path) -> None:
        import torch
        from safetensors.torch import load_file as load

        state = load(self._written(case, tmp_path / "export") / "model.safetensors")
        for names in (("a.weight", "b.weight"), ("layers.0.weight", "layers.1.weight", "layers.2.weight")):
            assert all(torch.equal(state[names[0]], state[name]) for name in names)
        assert not torch.equal(state["a.weight"], load(case.ensemble.source.files[0])["a.weight"])


@needs_torch
class TestClassifier(TestMlp):
    """An architecture with a module of its own: the head is in the same file as the encoder."""

    compares_usage = False

    @pytest.fixture
    def case(self, classifier_case: ExportCase) -> ExportCase:
        return classifier_case


@needs_torch
class TestCausalInShards(TestMlp):
    compares_usage = False

    def make(self) -> Safetensors:
        return Safetensors(max_shard_size="20KB")

    @pytest.fixture
    def case(self, causal_case: ExportCase) -> ExportCase:
        return causal_case

    def test_shards_and_index_hold_every_tensor_once(self, case: ExportCase, tmp_path: Path) -> None:
        folder = self._written(case, tmp_path / "export")
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        shards = sorted(folder.glob("model-*.safetensors"))
        assert len(shards) >= 2
        held = {name: shard.name for shard in shards for name in load_file(shard)}
        assert index["weight_map"] == held
        assert sum(len(load_file(s)) for s in shards) == len(held)
        sizes = [sum(x.nbytes for x in load_file(s).values()) for s in shards]
        assert index["metadata"]["total_size"] == sum(sizes)
        # A tensor that is larger than the limit is alone in its file.
        assert all(size <= 20_000 or len(load_file(s)) == 1 for size, s in zip(sizes, shards, strict=True))


def written(exporter: Safetensors, case: ExportCase, folder: Path) -> Path:
    folder.mkdir()
    exporter.write(case.ensemble, folder)
    return folder


@pytest.mark.parametrize("dtype", ["stored", "float64", "float32", "float16"])
def test_every_weight_is_the_merged_one_cast_once(dtype: str, mlp_case: ExportCase, tmp_path: Path) -> None:
    found = load_file(written(Safetensors(dtype=dtype), mlp_case, tmp_path / "export") / "model.safetensors")
    ensemble = mlp_case.ensemble
    wanted = np.dtype("float32" if dtype == "stored" else dtype)
    base = load_file(ensemble.source.files[0])
    adapted = {site.name for site in ensemble.sites}
    assert found.keys() == base.keys()
    assert adapted
    for name, weight in found.items():
        exact = ensemble.merged(name) if name in adapted else base[name]
        assert weight.dtype == wanted
        np.testing.assert_array_equal(weight, exact.astype(wanted))


def test_no_rounds_give_the_values_of_the_base(mlp_case: ExportCase, tmp_path: Path) -> None:
    found = load_file(written(Safetensors(), mlp_case.of(), tmp_path / "export") / "model.safetensors")
    for name, weight in load_file(mlp_case.ensemble.source.files[0]).items():
        np.testing.assert_array_equal(found[name], weight)


def test_tensor_that_differs_after_writing_is_named(
    mlp_case: ExportCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boostlora.plugins.exporters import safetensors as module

    def write_and_break(ensemble, folder, files):
        from boostlora.plugins.exporters._weights.tensor_writer import write_files

        write_files(ensemble, folder, files)
        path = folder / "model.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    monkeypatch.setattr(module, "write_files", write_and_break)
    with safe_open(mlp_case.ensemble.source.files[0], framework="np") as opened:
        last = list(opened.offset_keys())[-1]
    with pytest.raises(RunError, match=f"{last} differs from what was written"):
        written(Safetensors(), mlp_case, tmp_path / "export")


def test_values_too_large_for_float16_are_refused(mlp_case: ExportCase, tmp_path: Path) -> None:
    last = mlp_case.ensemble.rounds[-1]
    huge = mlp_case.of(*mlp_case.ensemble.rounds[:-1], attrs.evolve(last, scale=1e7))
    with pytest.raises(RunError, match=r"layers\.\d\.weight: .* does not fit into float16"):
        written(Safetensors(dtype="float16"), huge, tmp_path / "export")


@pytest.mark.parametrize("size", ["", "5", "0GB", "5 TB", "many"])
def test_invalid_size_is_refused(size: str, mlp_case: ExportCase) -> None:
    with pytest.raises(UsageError, match="a size such as 5GB"):
        Safetensors(max_shard_size=size).check(mlp_case.ensemble)


def test_perceptron_is_exported_without_torch(tmp_path: Path, shared_cache: Path) -> None:
    """In a process that cannot import torch, from the run to the comparison."""
    mlp_run(tmp_path / "run", shared_cache, backend=REFERENCE)
    lines = f"""
import importlib.abc, sys
class Nobody(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"torch", "transformers"}}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nobody())
from pathlib import Path
from tests.support import export_runs
from boostlora.plugins.exporters.safetensors import Safetensors
case = export_runs.case_of(Path({str(tmp_path / "run" / "run")!r}), Path({str(shared_cache)!r}))
folder = Path({str(tmp_path / "export")!r})
folder.mkdir()
exporter = Safetensors(dtype="bfloat16")
exporter.check(case.ensemble)
exporter.write(case.ensemble, folder)
print(abs(case.opened(exporter.reload(case.ensemble, folder)) - case.evaluated()).max())
"""
    done = python("-c", lines)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 0.1
