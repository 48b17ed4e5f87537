"""Activation functions and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import scipy.special

from .arrays import Matrix

Activation = tuple[Callable[[Matrix], Matrix], Callable[[Matrix], Matrix]]

TANH_SCALE, TANH_CUBE = math.sqrt(2.0 / math.pi), 0.044715


def gelu(Z: Matrix) -> Matrix:
    """`z Phi(z)`, with `Phi` the standard normal CDF (Hendrycks and Gimpel, 2016)."""
    return Z * (0.5 * (1.0 + scipy.special.erf(Z * math.sqrt(0.5))))


def gelu_derivative(Z: Matrix) -> Matrix:
    """`Phi(z) + z phi(z)`, with `phi` the normal density."""
    density = np.exp(-0.5 * Z**2) / math.sqrt(2.0 * math.pi)
    return 0.5 * (1.0 + scipy.special.erf(Z * math.sqrt(0.5))) + Z * density


def gelu_tanh(Z: Matrix) -> Matrix:
    """`z (1 + tanh u) / 2` with `u = sqrt(2 / pi) (z + 0.044715 z^3)`."""
    return 0.5 * Z * (1.0 + np.tanh(TANH_SCALE * (Z + TANH_CUBE * Z**3)))


def gelu_tanh_derivative(Z: Matrix) -> Matrix:
    """`(1 + t) / 2 + z (1 - t^2) u' / 2` with `t = tanh u` and `u' = sqrt(2 / pi) (1 + 3 * 0.044715 z^2)`."""
    t = np.tanh(TANH_SCALE * (Z + TANH_CUBE * Z**3))
    slope = TANH_SCALE * (1.0 + 3.0 * TANH_CUBE * Z**2)
    return 0.5 * (1.0 + t) + 0.5 * Z * (1.0 - t**2) * slope


def silu(Z: Matrix) -> Matrix:
    """`z sigma(z)`, with `sigma` the logistic function."""
    # `expit` rather than `1 / (1 + exp(-z))`, which overflows for large negative z.
    return Z * scipy.special.expit(Z)


def silu_derivative(Z: Matrix) -> Matrix:
    """`sigma (1 + z (1 - sigma))`."""
    s = scipy.special.expit(Z)
    return s * (1.0 + Z * (1.0 - s))


def relu(Z: Matrix) -> Matrix:
    """`max(z, 0)`."""
    return np.maximum(Z, 0.0)


def relu_derivative(Z: Matrix) -> Matrix:
    """1 where `z > 0`, else 0."""
    # 0 at the kink, as torch does: the backends must choose the same subgradient.
    return (Z > 0.0).astype(Z.dtype)


ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": (gelu, gelu_derivative),
    "gelu_new": (gelu_tanh, gelu_tanh_derivative),
    "gelu_pytorch_tanh": (gelu_tanh, gelu_tanh_derivative),
    "relu": (relu, relu_derivative),
    "silu": (silu, silu_derivative),
    "swish": (silu, silu_derivative),
}
"""Functions and derivatives by the names in Hugging Face configurations."""
