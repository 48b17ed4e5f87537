"""A user's own PyTorch module as a model plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Blueprint, ModelSource, Splits
from ...engine.errors import UsageError
from ...engine.foundation.cache import arrays_sha256, cached
from ...engine.foundation.hashes import file_sha256_cached
from ...engine.foundation.options import FilePath, option
from ...engine.foundation.run_context import RunContext
from ...engine.sdk.modules import weights_of

if TYPE_CHECKING:
    from torch import Tensor, nn

CHECKED = 2
"""Rows of the training split that a new module is tried on."""


@attrs.frozen(kw_only=True)
class TorchModule:
    """Inherit, and implement `module`: rows of numbers `(n, d)` in, logits `(n, classes)` out.

    This is a whole plugin; save it as `residual.py`, and name it on the command line (`--plugin residual.py`):

    ```python
    import attrs
    from boostlora.backends.torch.modules import TorchModule
    from boostlora.engine.hookspecs import hookimpl
    from boostlora.engine.foundation.options import option, whole


    @attrs.frozen(kw_only=True)
    class Residual(TorchModule):
        "One hidden layer, and a way around it."

        head = "out"
        width: int = option(64, "width of the hidden layer", whole)

        def module(self, splits):
            from torch import nn

            class Net(nn.Module):
                def __init__(self, d, width, classes):
                    super().__init__()
                    self.inner = nn.Sequential(nn.Linear(d, width), nn.Tanh(), nn.Linear(width, d))
                    self.out = nn.Linear(d, classes)

                def forward(self, x):
                    return self.out(x + self.inner(x))

            return Net(splits.train.inputs.shape[1], self.width, len(splits.classes))


    @hookimpl
    def register_models(register):
        register("residual", Residual)
    ```

    Its weights are those of the safetensors file `weights`, or, without one, what `module` starts with: then torch's generator
    has a seed from the run's own streams, and is put back afterwards. Every matrix of an `nn.Linear` can be adapted; that of the
    layer named `head` only where `[sites]` asks for it. Backend: `torch`.
    """

    head: ClassVar[str] = ""
    """Path of the output layer in the module; empty: none is treated specially."""

    weights: FilePath = option("", "safetensors file with every tensor of the module; empty: as it starts")

    def module(self, splits: Splits) -> nn.Module:
        """The module, with any random start drawn from torch's own generator. Called several times; must be the same."""
        raise NotImplementedError

    def blueprint(self, splits: Splits) -> Blueprint:
        """Parameters by name, those of `nn.Linear` to be adapted. The module is made for it, and let go."""
        return self._blueprint(_made(self, splits, seed=0), splits)

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """The weights as a file in the cache, under the hash of their values, or the user's own file."""
        seed = int(rng.integers(2**31))
        module = _made(self, splits, seed=seed)
        state = {name: to_stored(tensor) for name, tensor in module.state_dict().items()}
        if self.weights:
            file = Path(self.weights)
            _check_file(file, {name: value.shape for name, value in state.items()}, _shared(module))
            sha256 = file_sha256_cached(file, context.cache)
        else:
            found = cached(context.cache / "models", arrays_sha256(state), lambda: state)
            file, sha256 = found.path, found.sha256
        build = Build(make=lambda: _made(self, splits, seed=seed), file=file)
        _try(build, splits)
        return ModelSource(
            blueprint=self._blueprint(module, splits), files=(file,), sha256=sha256, build=build
        )

    def _blueprint(self, module: nn.Module, splits: Splits) -> Blueprint:
        from torch import nn  # noqa: PLC0415 - seconds to import

        if self.head and self.head not in dict(module.named_modules()):
            raise UsageError(f'{type(self).__name__}: its head "{self.head}" is no layer of the module')
        return Blueprint(
            architecture="torch-module",
            config={"class": type(self).__qualname__, "classes": len(splits.classes)},
            weights=weights_of(module, linear=(nn.Linear,), head=f"{self.head}.weight" if self.head else ""),
        )


@attrs.frozen(kw_only=True)
class Build:
    """Makes the module again and loads its weights."""

    make: Callable[[], nn.Module]
    file: Path

    def __call__(self, blueprint: Blueprint, dtype: Any) -> nn.Module:
        """The module with its weights in `dtype`, in evaluation mode."""
        from safetensors.torch import load_file  # noqa: PLC0415

        module, state = self.make(), load_file(self.file)
        for names in _shared(module):
            there = next((state[name] for name in names if name in state), None)
            state |= {name: there for name in names if there is not None and name not in state}
        module.load_state_dict(state)
        return module.to(dtype).eval()


def _made(model: TorchModule, splits: Splits, *, seed: int) -> nn.Module:
    """The module from a seed of its own; torch's generator stands afterwards where it stood. Raises `UsageError`."""
    import torch  # noqa: PLC0415 - seconds to import

    if not isinstance(splits.train.inputs, np.ndarray):
        raise UsageError(
            f"{type(model).__name__} takes rows of numbers; this task's inputs are something else"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: Any = model.module(splits)
    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            f"{type(model).__name__}.module() returned {type(module).__name__}, no torch.nn.Module"
        )
    return module


def to_stored(tensor: Tensor) -> NDArray[Any]:
    """A tensor as the file keeps it; kinds of numbers that NumPy does not know, such as bfloat16, as float32, which holds them exactly."""
    found = tensor.detach().cpu().contiguous()
    try:
        return found.numpy()
    except TypeError:
        return found.float().numpy()


def _shared(module: nn.Module) -> list[list[str]]:
    """The names of tensors that a module has under several."""
    found = dict[int, list[str]]()
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        found.setdefault(id(tensor), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def _check_file(file: Path, shapes: dict[str, tuple[int, ...]], shared: list[list[str]]) -> None:
    """Hold a user's file against the module's tensors. Raises `UsageError` naming the first that does not fit.

    Of a tensor with several names the file may have one, or all of them alike.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(file, framework="pt") as tensors:
            found = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            same = [[name for name in names if name in found] for names in shared]
            unlike = next((names for names in same if not _alike(tensors, names)), None)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{file}: not a readable safetensors file: {error}") from error
    optional = {name for names, there in zip(shared, same, strict=True) if there for name in names}
    for name in sorted(shapes.keys() | found.keys()):
        if name not in found and name not in optional:
            raise UsageError(f'{file}: no tensor "{name}", which the module has')
        if name not in shapes:
            raise UsageError(f'{file}: tensor "{name}" is none of the module\'s')
        if name in found and found[name] != tuple(shapes[name]):
            raise UsageError(f"{file}: {name} has shape {found[name]}, expected {tuple(shapes[name])}")
    if unlike is not None:
        raise UsageError(
            f"{file}: {unlike[0]} and {unlike[1]} are one tensor in the module, and two in the file"
        )


def _alike(tensors: Any, names: list[str]) -> bool:
    import torch  # noqa: PLC0415

    found = [tensors.get_tensor(name) for name in names]
    return all(torch.equal(found[0], other) for other in found[1:])


def _try(build: Build, splits: Splits) -> None:
    """Refuse a module that does not turn rows into logits of the classes. Raises `UsageError`."""
    import torch  # noqa: PLC0415

    rows = torch.from_numpy(np.ascontiguousarray(splits.train.inputs[:CHECKED], dtype=np.float32))
    module = build.make().to(torch.float32).eval()
    expected = (len(rows), len(splits.classes))
    with torch.no_grad():
        answer: object = module(rows)
    if not isinstance(answer, torch.Tensor) or tuple(answer.shape) != expected:
        got = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise UsageError(f"the module gives {got} for {len(rows)} rows, expected logits of shape {expected}")
