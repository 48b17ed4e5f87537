"""Opening tiny transformers on a backend, and training them by plain descent."""

import attrs
import numpy as np

from boostlora.engine.contracts import Batch, LinearCore, TrainingRequest
from boostlora.engine.sdk.sites import SiteChoice, choose_sites
from boostlora.engine.testing.requests import GradientDescent

from ..support.hf_modules import make, texts

RANK = 2


def opened(kind, folder, backend, **choice):
    """The model of a kind, and its sites."""
    source = make(kind, folder)
    sites = choose_sites(SiteChoice(**choice), source.blueprint)
    return backend.open(source, sites), sites


def request_for(model, sites, kind, steps=1, start=0.1):
    """Cores of three numbers, two sites a group, away from zero, trained by plain descent on weighted examples."""
    rng = np.random.default_rng(5)
    parametrisations = {
        site.name: LinearCore(
            rank=RANK,
            group=f"group.{i // 2}",
            projections=rng.standard_normal((3, RANK, RANK)),
            init=np.full(3, start),
            exponents=(0.5, 0.5),
        )
        for i, site in enumerate(sites)
    }
    batches = [Batch(indices=rng.integers(0, 7, 5), weights=rng.uniform(0.5, 2.0, 5)) for _ in range(steps)]
    return TrainingRequest(
        parametrisations=parametrisations,
        frames={site.name: model.directions(site.name, RANK) for site in sites},
        examples=texts(kind),
        batches=batches,
        learning_rates=np.ones(steps),
        optimizer=GradientDescent(),
    )


def gradients(model, request):
    """Of the first batch, at the start."""
    steps = []
    once = attrs.evolve(request, batches=request.batches[:1], learning_rates=np.zeros(1), trace=steps.append)
    model.train(once)
    return steps[0].gradients
