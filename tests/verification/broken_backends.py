"""Faults that a backend may have, each as a wrapper around a model that is right."""

from typing import Any

import attrs
import numpy as np

from boostlora.engine.contracts import Frame, Step, Tokens, Training
from boostlora.engine.verification.step_replay import updates_of


@attrs.frozen
class Candidate:
    """A right backend whose models are opened with a fault."""

    right: Any
    fault: Any
    dtype: str

    @property
    def architectures(self):
        return self.right.architectures

    @property
    def rules(self):
        return self.right.rules

    @property
    def itemsize(self):
        return self.right.itemsize

    def check(self):
        self.right.check()

    def open(self, source, sites, *report):
        return self.fault(self.right.open(source, sites, *report))


class Proxy:
    """A model without a fault; the others change one thing."""

    def __init__(self, right):
        self.right = right

    def __getattr__(self, name):
        return getattr(self.right, name)


class SignOfGradient(Proxy):
    """Gradients have the wrong sign: training climbs, which is descent at negative rates."""

    def train(self, request):
        def trace(step):
            request.trace(attrs.evolve(step, gradients={n: -g for n, g in step.gradients.items()}))

        flipped = {"learning_rates": -request.learning_rates, "trace": trace}
        return self.right.train(attrs.evolve(request, **flipped))


class LearningRate(Proxy):
    """Every step is 1 % too long."""

    def train(self, request):
        return self.right.train(attrs.evolve(request, learning_rates=1.01 * request.learning_rates))


class NextBatch(Proxy):
    """Every step takes the batch of the next one."""

    def train(self, request):
        batches = [*request.batches[1:], request.batches[0]]
        return self.right.train(attrs.evolve(request, batches=batches))


class ForgottenSite(Proxy):
    """Of sites that share their numbers, only the first adds to the gradient. (Plain descent, written out.)"""

    def train(self, request):
        first = next(iter(request.parametrisations))
        group = request.parametrisations[first].group
        v, losses = request.parametrisations[first].init, []
        for number, (batch, rate) in enumerate(
            zip(request.batches, request.learning_rates, strict=True), start=1
        ):
            traced = []
            untied = {
                site: attrs.evolve(p, group=site, init=v) for site, p in request.parametrisations.items()
            }
            one = attrs.evolve(
                request,
                parametrisations=untied,
                batches=[batch],
                learning_rates=np.zeros(1),
                trace=traced.append,
            )
            self.right.train(one)
            gradient = traced[0].gradients[first]
            v = v - rate * gradient
            losses.append(traced[0].loss)
            request.trace(
                Step(number=number, loss=losses[-1], gradients={group: gradient}, values={group: v})
            )
        values = {group: v}
        return Training(updates=updates_of(request, values), values=values, losses=np.array(losses))


class Untraced(Proxy):
    """Training that tells of no step."""

    def train(self, request):
        return self.right.train(attrs.evolve(request, trace=lambda step: None))


class TransposedCore(Proxy):
    """The update has its core transposed, though training had it right."""

    def train(self, request):
        training = self.right.train(request)
        turned = {site: attrs.evolve(u, core=u.core.T) for site, u in training.updates.items()}
        return attrs.evolve(training, updates=turned)


class SidesExchanged(Proxy):
    """Left vectors for right ones."""

    def directions(self, site, count, *, merged=False):
        frame = self.right.directions(site, count, merged=merged)
        return Frame(U=frame.V, S=frame.S, V=frame.U)


class ColumnsReversed(Proxy):
    """Vectors from the small end, under the right singular values."""

    def directions(self, site, count, *, merged=False):
        frame = self.right.directions(site, count, merged=merged)
        return attrs.evolve(frame, U=frame.U[:, ::-1], V=frame.V[:, ::-1])


class SignOfDirection(Proxy):
    """A left vector without its right one turned around."""

    def directions(self, site, count, *, merged=False):
        frame = self.right.directions(site, count, merged=merged)
        return attrs.evolve(frame, U=-frame.U)


class StaleBasis(Proxy):
    """Directions of the merged weight, where those of the base were asked for."""

    def directions(self, site, count, *, merged=False):
        del merged
        return self.right.directions(site, count, merged=True)


class LostScale(Proxy):
    """Updates are merged at scale 1, whatever was chosen."""

    def assemble(self, ensemble):
        self.right.assemble([(updates, 1.0) for updates, _ in ensemble])


class LostTrialScale(Proxy):
    """Updates are tried at scale 1, whatever was asked; merges are right."""

    def predict(self, examples, trial=None, scale=1.0):
        del scale
        return self.right.predict(examples, trial)


class NeverMerged(Proxy):
    """The last round's update is left out."""

    def assemble(self, ensemble):
        self.right.assemble(ensemble[:-1])


class Neighbour(Proxy):
    """Every example sees a little of the next one, as a wrong mask would let it."""

    def logits(self, examples):
        logits = self.right.logits(examples)
        return logits + 1e-3 * np.roll(logits, 1, axis=0)


class PaddingAttended(Proxy):
    """Sequences are padded in front, and the padding is attended to."""

    def logits(self, examples):
        tokens = examples.inputs
        padded = Tokens.join([[0, *sequence] for sequence in tokens], (tokens.starts + 1).tolist())
        return self.right.logits(attrs.evolve(examples, inputs=padded))


class WrongLoss(Proxy):
    """Losses of predictions are a thousandth of a nat too large."""

    def predict(self, examples, trial=None, scale=1.0):
        found = self.right.predict(examples, trial, scale)
        return attrs.evolve(found, loss=found.loss + 1e-3)


class NextClass(Proxy):
    """Predictions are off by one class."""

    def predict(self, examples, trial=None, scale=1.0):
        found = self.right.predict(examples, trial, scale)
        return attrs.evolve(found, output=(found.output + 1) % 10)


class NotANumber(Proxy):
    """Logits are NaN, and nobody noticed."""

    def logits(self, examples):
        return np.full_like(self.right.logits(examples), np.nan)


class Raises(Proxy):
    """Something nobody thought of."""

    def logits(self, examples):
        raise RuntimeError("CUDA error: device-side assert triggered")
