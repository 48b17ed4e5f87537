"""Modules whose linear weights are used otherwise than by one call of an ordinary layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.modules import TorchModule
from boostlora.engine.contracts import Examples, Site, Splits
from boostlora.engine.foundation.run_context import RunContext

WIDTH, CLASSES, ROWS = 16, 3, 12


class Equalised(nn.Linear):
    """`y = x (3 W)' + b`."""

    def forward(self, x):
        return F.linear(x, 3.0 * self.weight, self.bias)


class Router(nn.Linear):
    """Gives a pair."""

    def forward(self, x):
        scores = F.linear(x, self.weight)
        return scores.softmax(-1), scores


class Spelled(nn.Linear):
    """A forward of its own that computes what every linear layer does, as Falcon's."""

    def forward(self, x):
        return x @ self.weight.T + self.bias


class Base(nn.Module):
    """`out(body(tanh(first(x))))`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.inner = self.make()

    def make(self) -> nn.Module:
        return nn.Linear(WIDTH, WIDTH)

    def body(self, h):
        return self.inner(h)

    def forward(self, x):
        return self.out(self.body(torch.tanh(self.first(x))))


class Shared(Base):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(WIDTH, WIDTH)
        self.again.weight = self.inner.weight

    def body(self, h):
        return self.again(torch.tanh(self.inner(h)))


class CalledTwice(Base):
    def body(self, h):
        return self.inner(torch.tanh(self.inner(h)))


class Subclass(Base):
    def make(self):
        return Equalised(WIDTH, WIDTH)


class OwnForward(Base):
    def make(self):
        return Spelled(WIDTH, WIDTH)


class Pairs(Base):
    def make(self):
        return Router(WIDTH, WIDTH)

    def body(self, h):
        share, scores = self.inner(h)
        return share + torch.tanh(scores)


class Functional(Base):
    def body(self, h):
        return F.linear(h, self.inner.weight, self.inner.bias)


class CalledAndFunctional(Base):
    def body(self, h):
        return self.inner(torch.tanh(h @ self.inner.weight))


class Attention(Base):
    def make(self):
        return nn.MultiheadAttention(4, 2, batch_first=True)

    def body(self, h):
        t = h.view(-1, 4, 4)
        return (t + self.inner(t, t, t, need_weights=False)[0]).reshape(-1, WIDTH)


class Encoder(Base):
    def make(self):
        return nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)

    def body(self, h):
        return self.inner(h.view(-1, 4, 4)).reshape(-1, WIDTH)


class Passing(Base):
    """A layer that is passed over when no gradient is wanted, as torch's fused kernels do."""

    def body(self, h):
        if torch.is_grad_enabled():
            return self.inner(h)
        return h @ self.inner.weight.T + self.inner.bias


class StopGradient(Base):
    """The weight is also read where its author lets no gradient flow."""

    def body(self, h):
        return self.inner(h) / self.inner.weight.detach().norm()


class WithoutCalling(Base):
    def body(self, h):
        return torch.addmm(self.inner.bias, h, self.inner.weight.t())


class InPlace(Base):
    def body(self, h):
        y = self.inner(h.view(-1, 1, WIDTH))
        y += h.view(-1, 1, WIDTH)
        return F.relu(y, inplace=True).view(-1, WIDTH)


class Keyword(Base):
    def body(self, h):
        return self.inner(input=h)


class InstanceForward(Base):
    def __init__(self) -> None:
        super().__init__()
        plain = self.inner.forward
        self.inner.forward = lambda x: 2.0 * plain(x)


ODD: dict[str, Callable[[], Base]] = {
    "shared": Shared,
    "called twice": CalledTwice,
    "a subclass that scales": Subclass,
    "a subclass that does the same": OwnForward,
    "a router's pair": Pairs,
    "F.linear": Functional,
    "called, and its transpose": CalledAndFunctional,
    "nn.MultiheadAttention": Attention,
    "nn.TransformerEncoderLayer": Encoder,
    "addmm": WithoutCalling,
    "passed over without gradients": Passing,
    "in place": InPlace,
    "by keyword": Keyword,
    "a forward of the instance": InstanceForward,
}


class Unused(Base):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(WIDTH, WIDTH)


class Hidden(Base):
    """Another reference to the weight, which no adapter knows of; a merge, which is made in place, reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [self.inner.weight]

    def body(self, h):
        return F.linear(h, self.kept[0], self.inner.bias)


@attrs.frozen(kw_only=True)
class OddModule(TorchModule):
    """A model of one of these modules."""

    head: ClassVar[str] = "out"
    make: Callable[[], nn.Module] = Base

    def module(self, splits: Splits) -> nn.Module:
        return self.make()


def rows() -> Examples:
    """Random numbers, and a class for each row."""
    rng = np.random.default_rng(3)
    return Examples(
        ids=np.arange(ROWS), inputs=rng.standard_normal((ROWS, WIDTH)), labels=np.arange(ROWS) % CLASSES
    )


def splits() -> Splits:
    """The same rows in every split."""
    examples = rows()
    return Splits(train=examples, validation=examples, test=examples, classes=("a", "b", "c"))


def opened(make: Callable[[], nn.Module], cache: Path, **options: Any) -> tuple[Any, tuple[Site, ...]]:
    """The model on the torch backend, in float64 unless told otherwise, with every layer a site but the head."""
    source = OddModule(make=make).source(splits(), RunContext(cache=cache), np.random.default_rng(0))
    sites = tuple(Site(name=w.name, shape=w.matrix) for w in source.blueprint.weights if w.role == "linear")
    return Torch(**{"device": "cpu", "dtype": "float64", **options}).open(source, sites), sites
