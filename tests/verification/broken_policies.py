"""Faults that a backend may have in learning from rewards, each as a wrapper around a model that is right."""

import attrs
import numpy as np

from .broken_backends import Proxy


class Rewired(Proxy):
    """The policy, or the batches that were made of its answers, are not what training gets."""

    def batch(self, batch):
        return batch

    def policy(self, policy):
        return policy

    def train(self, request):
        def batches(policy):
            for batch in request.iter_batches(self.policy(policy)):
                yield self.batch(batch) if batch.rollouts is not None else batch

        return self.right.train(attrs.evolve(request, batches=batches))


def rewired(**changes):
    """The batch with other settings of its rollouts."""
    return lambda _, batch: attrs.evolve(batch, rollouts=attrs.evolve(batch.rollouts, **changes))


class WrongSign(Rewired):
    """Answers are made likelier as far as they are worse."""

    def batch(self, batch):
        return attrs.evolve(batch, weights=-batch.weights)


class ClipIgnored(Rewired):
    """The ratio counts wherever it goes."""

    batch = rewired(clip=(1.0, 1e9))


class DivergenceDropped(Rewired):
    """`beta` is 0."""

    batch = rewired(beta=0.0)


class OldIgnored(Rewired):
    """The old policy is taken for the current one at every step."""

    batch = rewired(old=None)


class LossAtTemperatureOne(Rewired):
    """In the loss, logits are not divided by the temperature."""

    batch = rewired(temperature=1.0)


class SharesPerToken(Rewired):
    """Every token counts the same, whatever was asked."""

    def batch(self, batch):
        shares = np.full_like(batch.rollouts.shares, batch.rollouts.shares.mean())
        return attrs.evolve(batch, rollouts=attrs.evolve(batch.rollouts, shares=shares))


class Mouth:
    """A policy that is right; the others change one thing."""

    def __init__(self, right):
        self.right = right

    def generate(self, examples, request):
        return self.right.generate(examples, request)

    def log_probabilities(self, examples, temperature, *, start=False):
        return self.right.log_probabilities(examples, temperature, start=start)

    def weight(self, site):
        return self.right.weight(site)


class _OtherDraws(Mouth):
    def generate(self, examples, request):
        return self.right.generate(examples, attrs.evolve(request, draws=1.0 - request.draws))


class _Cold(Mouth):
    def log_probabilities(self, examples, temperature, *, start=False):
        return self.right.log_probabilities(examples, 1.0, start=start)


class _Hot(Mouth):
    def generate(self, examples, request):
        hotter = attrs.evolve(request.sampling, temperature=1.1 * request.sampling.temperature)
        return self.right.generate(examples, attrs.evolve(request, sampling=hotter))


class _Curt(Mouth):
    def generate(self, examples, request):
        return [
            attrs.evolve(w, tokens=w.tokens[:-1], end=None) for w in self.right.generate(examples, request)
        ]


class _AlwaysStart(Mouth):
    def log_probabilities(self, examples, temperature, *, start=False):
        del start
        return self.right.log_probabilities(examples, temperature, start=True)


class _NeverStart(Mouth):
    def log_probabilities(self, examples, temperature, *, start=False):
        del start
        return self.right.log_probabilities(examples, temperature)


def selected_logits(mouth):
    """A model whose policy has a fault."""
    return type(mouth.__name__.strip("_"), (Rewired,), {"policy": lambda _, policy: mouth(policy)})


OtherDraws, Cold, Hot, Curt = (selected_logits(m) for m in (_OtherDraws, _Cold, _Hot, _Curt))
AlwaysStart, NeverStart = selected_logits(_AlwaysStart), selected_logits(_NeverStart)


class StaleWriter(Rewired):
    """Answers come from the model that the round began with."""

    def policy(self, policy):
        model = self.right

        class Stale(Mouth):
            def generate(self, examples, request):
                return model.generate(examples, request)

        return Stale(policy)
