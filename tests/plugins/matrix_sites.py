"""Sites of random numbers, without a model around them."""

import numpy as np

from boostlora.engine.testing.strategies import MatrixSite


def made(seed=0, shape=(20, 14)):
    """The generator, and a site of its first numbers."""
    rng = np.random.default_rng(seed)
    return rng, MatrixSite(rng.standard_normal(shape))
