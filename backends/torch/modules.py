"""Base class for a model plugin made from a PyTorch module."""

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
    import torch
    from safetensors import safe_open
    from torch import Tensor, nn

CHECK_ROWS = 2
"""Training examples on which a new module is checked."""


@attrs.frozen(kw_only=True)
class TorchModule:
    """Inherit, and implement `module`: it maps inputs `(n, d)` to logits `(n, classes)`.

    A complete plugin; save it as `residual.py`, and pass it on the command line (`--plugin residual.py`):

    ```python
    import attrs
    from boostlora.backends.torch.modules import TorchModule
    from boostlora.engine.hookspecs import hookimpl
    from boostlora.engine.foundation.options import option, whole


    @attrs.frozen(kw_only=True)
    class Residual(TorchModule):
        "One hidden layer with a skip connection."

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

    The weights come from the safetensors file `weights`, else from the initialisation in `module`; torch's generator is then
    seeded from the run's streams and restored afterwards. Every `nn.Linear` weight can be adapted; that of the layer named `head`
    only if `[sites]` selects it. Backend: `torch`.
    """

    head: ClassVar[str] = ""
    """Path of the output layer in the module; empty: no layer is special."""

    weights: FilePath = option(
        "", "safetensors file with every tensor of the module; empty: the module's initialisation"
    )

    def module(self, splits: Splits) -> nn.Module:
        """The module, initialised with torch's global generator. Called several times; must be deterministic."""
        raise NotImplementedError

    def blueprint(self, splits: Splits) -> Blueprint:
        """Parameters by name; `nn.Linear` weights can be adapted. Builds the module and discards it."""
        return self._blueprint(_new_module(self, splits, seed=0), splits)

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """The weights: the user's file, or a cached file named by the hash of the initial values."""
        seed = int(rng.integers(2**31))
        module = _new_module(self, splits, seed=seed)
        state = {name: to_stored(tensor) for name, tensor in module.state_dict().items()}
        if self.weights:
            file = Path(self.weights)
            _check_file(file, {name: value.shape for name, value in state.items()}, _shared_names(module))
            sha256 = file_sha256_cached(file, context.cache)
        else:
            found = cached(context.cache / "models", arrays_sha256(state), lambda: state)
            file, sha256 = found.path, found.sha256
        build = ModuleBuilder(make=lambda: _new_module(self, splits, seed=seed), file=file)
        _check_logits(build, splits)
        return ModelSource(
            blueprint=self._blueprint(module, splits), files=(file,), sha256=sha256, build=build
        )

    def _blueprint(self, module: nn.Module, splits: Splits) -> Blueprint:
        from torch import nn  # noqa: PLC0415 - seconds to import

        if self.head and self.head not in dict(module.named_modules()):
            raise UsageError(f'{type(self).__name__}: head "{self.head}" is not a layer of the module')
        return Blueprint(
            architecture="torch-module",
            config={"class": type(self).__qualname__, "classes": len(splits.classes)},
            weights=weights_of(module, linear=(nn.Linear,), head=f"{self.head}.weight" if self.head else ""),
        )


@attrs.frozen(kw_only=True)
class ModuleBuilder:
    """Rebuilds the module and loads its weights."""

    make: Callable[[], nn.Module]
    file: Path

    def __call__(self, blueprint: Blueprint, dtype: torch.dtype) -> nn.Module:
        """The module with its weights in `dtype`, in evaluation mode."""
        from safetensors.torch import load_file  # noqa: PLC0415

        module, state = self.make(), load_file(self.file)
        for names in _shared_names(module):
            tensor = next((state[name] for name in names if name in state), None)
            state |= {name: tensor for name in names if tensor is not None and name not in state}
        module.load_state_dict(state)
        return module.to(dtype).eval()


def _new_module(model: TorchModule, splits: Splits, *, seed: int) -> nn.Module:
    """The module, initialised from `seed`; torch's generator state is restored. Raises `UsageError`."""
    import torch  # noqa: PLC0415 - seconds to import

    if not isinstance(splits.train.inputs, np.ndarray):
        raise UsageError(
            f"{type(model).__name__} takes numeric inputs (n, d); this task's inputs are of another kind"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: Any = model.module(splits)
    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            f"{type(model).__name__}.module() returned {type(module).__name__}, expected a torch.nn.Module"
        )
    return module


def to_stored(tensor: Tensor) -> NDArray[Any]:
    """A tensor as a NumPy array; dtypes that NumPy lacks, such as bfloat16, become float32, which is exact."""
    found = tensor.detach().cpu().contiguous()
    try:
        return found.numpy()
    except TypeError:
        return found.float().numpy()


def _shared_names(module: nn.Module) -> list[list[str]]:
    """Groups of names under which a module shares one tensor."""
    found = dict[int, list[str]]()
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        found.setdefault(id(tensor), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def _check_file(file: Path, shapes: dict[str, tuple[int, ...]], shared: list[list[str]]) -> None:
    """Compare a user's file with the module's tensors. Raises `UsageError` naming the first that does not fit.

    A shared tensor may be stored under one of its names, or under several with equal values.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(file, framework="pt") as tensors:
            found = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            same = [[name for name in names if name in found] for names in shared]
            unlike = next((names for names in same if not _equal_tensors(tensors, names)), None)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{file}: not a readable safetensors file: {error}") from error
    optional = {name for names, there in zip(shared, same, strict=True) if there for name in names}
    for name in sorted(shapes.keys() | found.keys()):
        if name not in found and name not in optional:
            raise UsageError(f'{file}: the module\'s tensor "{name}" is missing')
        if name not in shapes:
            raise UsageError(f'{file}: the module has no tensor "{name}"')
        if name in found and found[name] != tuple(shapes[name]):
            raise UsageError(f"{file}: {name} has shape {found[name]}, expected {tuple(shapes[name])}")
    if unlike is not None:
        raise UsageError(
            f"{file}: {unlike[0]} and {unlike[1]} are one tensor in the module but differ in the file"
        )


def _equal_tensors(tensors: safe_open, names: list[str]) -> bool:
    import torch  # noqa: PLC0415

    found = [tensors.get_tensor(name) for name in names]
    return all(torch.equal(found[0], other) for other in found[1:])


def _check_logits(build: ModuleBuilder, splits: Splits) -> None:
    """Raise `UsageError` if the module does not map inputs to logits `(n, classes)`."""
    import torch  # noqa: PLC0415

    rows = torch.from_numpy(np.ascontiguousarray(splits.train.inputs[:CHECK_ROWS], dtype=np.float32))
    module = build.make().to(torch.float32).eval()
    expected = (len(rows), len(splits.classes))
    with torch.no_grad():
        answer: object = module(rows)
    if not isinstance(answer, torch.Tensor) or tuple(answer.shape) != expected:
        got = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise UsageError(
            f"the module returns {got} for {len(rows)} rows, expected logits of shape {expected}"
        )
