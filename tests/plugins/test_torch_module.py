"""`TorchModule`, the base class of a user's own module, through the plugin of its docstring."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="a user's own module needs torch")

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from boostlora.backends.torch.modules import TorchModule
from boostlora.engine.contracts import Examples, Splits
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.sdk.modules import layer_of, weights_of
from boostlora.engine.testing import ModelContract, assert_close
from boostlora.plugins.tasks.digits import Digits


def documented() -> str:
    """The plugin that the docstring shows."""
    return textwrap.dedent(re.search(r"```python\n(.*?)```", inspect.getdoc(TorchModule) or "", re.DOTALL)[1])


@pytest.fixture
def plugin(tmp_path: Path) -> Any:
    """Its class, as the registry found it in a user's file."""
    file = tmp_path / "residual.py"
    file.write_text(documented())
    return Registry.load((file,)).entries("model")["residual"].cls


@pytest.fixture
def splits() -> Splits:
    rng = np.random.default_rng(0)
    examples = Examples(ids=np.arange(9), inputs=rng.standard_normal((9, 6)), labels=np.arange(9) % 3)
    return Splits(train=examples, validation=examples, test=examples, classes=("a", "b", "c"))


class TestDocumentedModule(ModelContract):
    def make(self):
        room = ModuleType("residual")
        exec(documented(), room.__dict__)  # noqa: S102 - it is our own docstring
        return room.Residual(width=12)

    def splits(self):
        return Digits().load(np.random.default_rng(0))


def message(call: Any) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    return str(caught.value)


def get(model: Any, splits: Splits, cache: Path, seed: int = 0) -> Any:
    return model.source(splits, RunContext(cache=cache), np.random.default_rng(seed))


def test_torch_module_layers_are_sites_and_the_named_head_is_the_head(plugin: Any, splits: Splits) -> None:
    blueprint = plugin(width=5).blueprint(splits)
    assert blueprint.architecture == "torch-module"
    assert [(w.name, w.shape, w.role, w.layer) for w in blueprint.weights if w.role != "other"] == [
        ("inner.0.weight", (5, 6), "linear", 0),
        ("inner.2.weight", (6, 5), "linear", 2),
        ("out.weight", (3, 6), "head", None),
    ]


def test_torch_module_init_uses_the_seeded_stream_and_not_torchs_generator(
    plugin: Any, splits: Splits, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    first, again, other = (get(plugin(), splits, tmp_path / str(i), seed) for i, seed in enumerate((0, 0, 1)))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.sha256 == again.sha256 != other.sha256


def test_torch_module_is_built_with_its_files_values_in_any_precision(
    plugin: Any, splits: Splits, tmp_path: Path
) -> None:
    source = get(plugin(), splits, tmp_path)
    stored = load_file(source.files[0])
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        module = source.build(source.blueprint, dtype)
        assert not module.training
        for name, value in module.named_parameters():
            assert value.dtype == dtype
            assert torch.equal(value, stored[name].to(dtype))


def test_torch_module_takes_the_users_weights(plugin: Any, splits: Splits, tmp_path: Path) -> None:
    first = get(plugin(), splits, tmp_path)
    file = tmp_path / "mine.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(first.files[0]).items()}, file)
    source = get(plugin(weights=str(file)), splits, tmp_path)
    assert source.files == (file,)
    expected = load_file(first.files[0])["out.weight"] + 1
    got = source.build(source.blueprint, torch.float32).out.weight
    assert_close(got.detach().numpy(), expected.numpy(), atol=0.0, what="out.weight")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.pop("out.bias"), 'the module\'s tensor "out.bias" is missing'),
        (lambda t: t.update(more=torch.zeros(1)), 'the module has no tensor "more"'),
        (lambda t: t.update({"out.bias": torch.zeros(4)}), "out.bias has shape (4,), expected (3,)"),
    ],
)
def test_torch_module_incompatible_weights_are_refused(
    plugin: Any, splits: Splits, tmp_path: Path, change: Any, expected: str
) -> None:
    tensors = load_file(get(plugin(), splits, tmp_path).files[0])
    change(tensors)
    file = tmp_path / "wrong.safetensors"
    save_file(tensors, file)
    said = message(lambda: get(plugin(weights=str(file)), splits, tmp_path))
    assert said.removeprefix(f"{file}: ") == expected


@attrs.frozen(kw_only=True)
class Given(TorchModule):
    head: ClassVar[str] = "nothing"
    made: Any = attrs.field(default=None)

    def module(self, splits: Splits) -> nn.Module:
        return self.made


@attrs.frozen(kw_only=True)
class Headless(Given):
    head: ClassVar[str] = ""


def test_torch_module_that_breaks_the_contract_is_refused(splits: Splits, tmp_path: Path) -> None:
    assert message(lambda: Given(made=nn.Linear(6, 3)).blueprint(splits)) == (
        'Given: head "nothing" is not a layer of the module'
    )
    assert message(lambda: Headless(made=3).blueprint(splits)) == (
        "Headless.module() returned int, expected a torch.nn.Module"
    )
    assert message(lambda: get(Headless(made=nn.Linear(6, 4)), splits, tmp_path)) == (
        "the module returns (2, 4) for 2 rows, expected logits of shape (2, 3)"
    )
    texts = attrs.evolve(splits, train=attrs.evolve(splits.train, inputs=["a"] * 9))
    assert message(lambda: Headless(made=nn.Linear(6, 3)).blueprint(texts)) == (
        "Headless takes numeric inputs (n, d); this task's inputs are of another kind"
    )


def test_weights_of_a_shared_matrix_are_named_once_and_no_site() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(7, 4)
            self.out = nn.Linear(4, 7, bias=False)
            self.out.weight = self.embedding.weight
            self.first = nn.Linear(4, 4, bias=False)
            self.second = nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight

    found = {w.name: w.role for w in weights_of(Tied(), linear=(nn.Linear,), head="out.weight")}
    assert found == {"embedding.weight": "other", "first.weight": "linear"}


@pytest.mark.parametrize(
    ("name", "layer"),
    [("model.layers.11.mlp.weight", 11), ("0.weight", 0), ("h.3.experts.5.w", 3), ("conv1d.weight", None)],
)
def test_layer_of_a_path_is_its_first_number(name: str, layer: int | None) -> None:
    assert layer_of(name) == layer


class Doubled(nn.Module):
    """One weight under two names, a layer that is listed three times, and a buffer in half precision."""

    def __init__(self, d: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(d, d), nn.Linear(d, d)
        self.b.weight = self.a.weight
        self.layers = nn.ModuleList([nn.Linear(d, d)] * 3)
        self.register_buffer("scale", torch.full((d,), 1.25, dtype=torch.bfloat16))
        self.out = nn.Linear(d, classes)

    def forward(self, x: Any) -> Any:
        h = self.b(torch.tanh(self.a(x))) * self.scale
        for layer in self.layers:
            h = torch.tanh(layer(h))
        return self.out(h)


@attrs.frozen(kw_only=True)
class Twice(TorchModule):
    head: ClassVar[str] = "out"

    def module(self, splits: Splits) -> nn.Module:
        return Doubled()


def test_torch_module_weight_with_several_names_is_one_site(splits: Splits) -> None:
    found = {w.name: w.also for w in Twice().blueprint(splits).weights if w.role != "other"}
    assert found == {
        "a.weight": ("b.weight",),
        "layers.0.weight": ("layers.1.weight", "layers.2.weight"),
        "out.weight": (),
    }


def test_torch_module_buffer_in_half_precision_is_kept_exactly(splits: Splits, tmp_path: Path) -> None:
    source = get(Twice(), splits, tmp_path)
    assert load_file(source.files[0])["scale"].dtype == torch.float32
    module = source.build(source.blueprint, torch.float64)
    assert torch.equal(module.scale, torch.full((6,), 1.25, dtype=torch.float64))


@pytest.mark.parametrize("left_out", [(), ("b.weight",), ("a.weight", "layers.0.weight", "layers.2.weight")])
def test_torch_module_takes_files_with_one_or_all_names_of_a_weight(
    splits: Splits, tmp_path: Path, left_out: tuple[str, ...]
) -> None:
    """safetensors' own `save_model` keeps one name of a weight."""
    state, file = load_file(get(Twice(), splits, tmp_path).files[0]), tmp_path / "mine.safetensors"
    mine = {name: tensor + 1 for name, tensor in state.items() if name not in left_out}
    save_file(mine, file)
    source = get(Twice(weights=str(file)), splits, tmp_path)
    module = source.build(source.blueprint, torch.float32)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, (state[name] + 1).to(tensor.dtype)), name


def test_torch_module_file_with_two_values_of_one_weight_is_refused(splits: Splits, tmp_path: Path) -> None:
    state, file = load_file(get(Twice(), splits, tmp_path).files[0]), tmp_path / "mine.safetensors"
    save_file({**state, "b.weight": state["b.weight"] + 1}, file)
    said = message(lambda: get(Twice(weights=str(file)), splits, tmp_path))
    assert said == f"{file}: a.weight and b.weight are one tensor in the module but differ in the file"
