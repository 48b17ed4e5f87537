"""Checks, on a few examples before the first round, that training an adapter and merging its update give the same model.

Three passes over a few tokens:

1. the gradient of each weight by autograd, over all uses of the weight, through a sketch `L' G M` `(k, k)`;
2. the gradient of a core at 0 between the same factors. If the path is correct it equals the sketch; a layer whose low-rank
   path is not correct trains on the dense sum `W + dW`;
3. the outputs with an update at every site, once in the adapters and once merged. They differ if a weight is also read where no
   gradient flows, or if a layer is bypassed when no gradient is needed, as in torch's fused kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from ...engine.contracts import Examples, FactoredUpdate, Frame, Tokens, Update
from ...engine.errors import UsageError
from ...engine.foundation.options import shortened
from .deltas import Adapter, CoreAdapter, Layer, adapted
from .devices import Placement
from .nets import Net
from .products import gradient_hook

EXAMPLES, TOKENS, SKETCH = 2, 32, 4
"""Number of examples, tokens per example, and sketch columns."""
NAMED = 5
"""Maximum number of sites named in a message."""
SIZE = 0.1
"""Norm of an update in the third pass, relative to its weight."""
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-2, torch.bfloat16: 0.2, torch.float16: 0.2}
"""Relative error of a sketch, and of a change in the outputs. A wrong path is off by more than a half; rounding in half precision
reaches a few hundredths."""


@attrs.frozen(eq=False)
class CheckedSites:
    """The sites, each with its correct path, and the names of those that no gradient reached."""

    layers: Mapping[str, Layer]
    unreached: tuple[str, ...]


@attrs.frozen(kw_only=True, eq=False)
class SiteCheck:
    """A model and the examples on which its sites are checked."""

    net: Net
    layers: Mapping[str, Layer]
    place: Placement
    examples: Examples
    merged: Callable[[Mapping[str, Update]], AbstractContextManager[None]]
    """A context in which the given updates are merged and gradients are off."""

    def run(self) -> CheckedSites:
        """Check all sites. Raises `UsageError` naming those for which neither path is correct."""
        sides = {name: self._sides(name) for name in self.layers}
        exact, plain = self._gradients(sides)
        layers = {
            name: attrs.evolve(layer, low_rank=layer.low_rank or plain.get(name, False))
            for name, layer in self.layers.items()
        }
        layers = self._with_fallback(layers, lambda tried: self._gradient_mismatches(tried, sides, exact))
        if self.place.compute_dtype in {
            torch.float32,
            torch.float64,
        }:  # in half precision, rounding may change the routing of experts
            updates = {name: self._update(layer) for name, layer in layers.items()}
            with torch.no_grad():
                base = self.net.logits(self.examples)
            layers = self._with_fallback(layers, lambda tried: self._output_mismatches(tried, updates, base))
        return CheckedSites(layers, tuple(name for name in layers if name not in exact))

    def _with_fallback(
        self, layers: Mapping[str, Layer], mismatches: Callable[[Mapping[str, Layer]], Sequence[str]]
    ) -> Mapping[str, Layer]:
        """The layers, with mismatching ones switched to the dense sum. Raises `UsageError` for those that still mismatch."""
        wrong = mismatches(layers)
        if not wrong:
            return layers
        layers = {
            name: attrs.evolve(layer, low_rank=layer.low_rank and name not in wrong)
            for name, layer in layers.items()
        }
        wrong = mismatches(layers)
        if not wrong:
            return layers
        named = ", ".join(wrong[:NAMED]) + (f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else "")
        raise UsageError(
            f"{named}: training through the adapter and merging the same update give different models: the weight is also used "
            "where no adapter reaches it. Exclude it (sites.targets)"
        )

    # -- First pass

    def _sides(self, name: str) -> tuple[Tensor, Tensor]:
        """Random `L' (k, d_out)` and `M' (k, d_in)` with orthonormal rows."""
        rng = np.random.default_rng(len(name))
        sides = (
            np.linalg.qr(rng.standard_normal((width, min(SKETCH, width))))[0].T
            for width in self.layers[name].weight.shape
        )
        left, right = (torch.from_numpy(np.ascontiguousarray(side)).to(self.place.device) for side in sides)
        return left.to(self.place.compute_dtype), right.to(self.place.compute_dtype)

    def _loss(self) -> Tensor:
        """A random linear combination of all logits: it depends on whatever any logit depends on."""
        logits = self.net.logits(self.examples).to(self.place.master_dtype)
        weights = np.random.default_rng(0).standard_normal(tuple(logits.shape)) / np.sqrt(logits.numel())
        return self.place.loss_scale * (logits * torch.from_numpy(weights).to(logits)).sum()

    def _gradients(
        self, sides: Mapping[str, tuple[Tensor, Tensor]]
    ) -> tuple[dict[str, Tensor], dict[str, bool]]:
        """Sketches of all gradients; and which layers of unknown classes compute `x W^T + b`."""
        found, plain = dict[str, Tensor](), dict[str, bool]()

        def sketched(name: str) -> Callable[[Tensor], None]:
            left, right = sides[name]
            return lambda G: found.__setitem__(
                name, (left @ G.to(left.dtype) @ right.T).to(self.place.master_dtype)
            )

        with ExitStack() as undo:
            for name, layer in self.layers.items():
                undo.enter_context(gradient_hook(layer, sketched(name)))
                for module in () if layer.low_rank or layer.fused else layer.modules:
                    hook = _linear_check(
                        layer, lambda same, of=name: plain.update({of: plain.get(of, True) and same})
                    )
                    undo.enter_context(module.register_forward_hook(hook))
            try:
                loss = self._loss()
                if loss.requires_grad:
                    loss.backward()
            except RuntimeError as error:
                raise UsageError(
                    f"the model's weights cannot be trained: their gradients cannot be computed ({shortened(str(error), 200)})"
                ) from error
        return found, plain

    # -- Second pass

    def _gradient_mismatches(
        self,
        layers: Mapping[str, Layer],
        sides: Mapping[str, tuple[Tensor, Tensor]],
        exact: Mapping[str, Tensor],
    ) -> list[str]:
        """Sites whose core gradient differs from the sketch of the weight's gradient."""
        none = torch.zeros((), dtype=self.place.master_dtype, device=self.place.device)
        cores = {
            name: none.new_zeros(len(left), len(right)).requires_grad_()
            for name, (left, right) in sides.items()
        }
        adapters: dict[str, Adapter] = {
            name: CoreAdapter(left, cores[name], right) for name, (left, right) in sides.items()
        }
        with adapted(layers, adapters):
            loss = self._loss()
            if loss.requires_grad:
                loss.backward()
        found = {name: none if core.grad is None else core.grad for name, core in cores.items()}
        return [name for name in layers if not self._close(found[name], exact.get(name, none))]

    def _close(self, found: Tensor, expected: Tensor, scale: Tensor | None = None) -> bool:
        size = (expected if scale is None else scale).norm()
        return bool((found - expected).norm() <= TOLERANCES[self.place.compute_dtype] * size)

    # -- Third pass

    def _output_mismatches(
        self, layers: Mapping[str, Layer], updates: Mapping[str, Update], base: Tensor
    ) -> list[str]:
        """Sites whose update gives other outputs in the adapter than merged; tested one by one only if all together differ."""
        if self._equal(layers, updates, base):
            return []
        return [name for name in updates if not self._equal(layers, {name: updates[name]}, base)]

    def _equal(self, layers: Mapping[str, Layer], updates: Mapping[str, Update], base: Tensor) -> bool:
        with (
            torch.no_grad(),
            adapted(layers, {name: self._adapter(update) for name, update in updates.items()}),
        ):
            trained = self.net.logits(self.examples)
        with self.merged(updates):
            merged = self.net.logits(self.examples)
        return self._close(trained, merged, scale=merged - base) or bool(torch.equal(trained, merged))

    def _update(self, layer: Layer) -> FactoredUpdate:
        rng = np.random.default_rng(len(layer.name))
        d_out, d_in = layer.weight.shape
        U, V = (rng.standard_normal((width, 1)) for width in (d_out, d_in))
        size = SIZE * float(layer.weight.norm()) / (np.linalg.norm(U) * np.linalg.norm(V))
        return FactoredUpdate(
            frame=Frame(U=U, S=np.ones(1), V=V), core=np.array([[size]], dtype=np.float64), orthonormal=False
        )

    def _adapter(self, update: Update) -> Adapter:
        sides = (np.ascontiguousarray(side.T) for side in update.factors())
        left, right = (
            torch.from_numpy(side).to(self.place.device, self.place.compute_dtype) for side in sides
        )
        core = torch.eye(len(left), dtype=self.place.master_dtype, device=self.place.device)
        return CoreAdapter(left, core, right)


def sample_examples(examples: Examples, *, predicts_tokens: bool) -> Examples:
    """The first examples, cut to a few tokens: the first ones, or those around the start of the completion."""
    rows = examples.take(np.arange(min(EXAMPLES, len(examples))))
    if not isinstance(rows.inputs, Tokens):
        return rows
    tokens, places = rows.inputs, list[tuple[int, int, int]]()
    for start, length in zip(tokens.starts.tolist(), tokens.lengths.tolist(), strict=True):
        # A prompt without completion (for rollouts): treat its second half as the completion.
        middle = max(1, length // 2) if predicts_tokens and start == length else start
        first = max(0, middle - TOKENS // 2) if predicts_tokens else 0
        places.append((first, min(length, first + TOKENS), middle - first))

    def cut(values: NDArray[np.int32]) -> list[list[int]]:
        begins = zip(tokens.offsets.tolist(), places, strict=False)
        return [values[at + first : at + end].tolist() for at, (first, end, _) in begins]

    types = None if tokens.types is None else cut(tokens.types)
    starts = [start for _, _, start in places] if predicts_tokens else None
    return attrs.evolve(rows, inputs=Tokens.join(cut(tokens.ids), starts, types=types))


def _linear_check(layer: Layer, record: Callable[[bool], None]) -> Callable[..., None]:
    """A forward hook that records whether a layer's output is `x W^T + b`."""

    def hook(module: Any, args: Sequence[object], output: object) -> None:
        x = args[0] if len(args) == 1 else None
        if not isinstance(x, Tensor) or not isinstance(output, Tensor) or "forward" in vars(module):
            record(False)
            return
        with torch.no_grad():
            expected = F.linear(x, layer.weight, module.bias)
            same = output.shape == expected.shape and torch.allclose(output, expected, rtol=1e-2, atol=1e-3)
        record(bool(same))

    return hook
