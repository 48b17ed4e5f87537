import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.testing import assert_close
from boostlora.engine.testing.strategies import seeds

torch = pytest.importorskip("torch", reason="needs PyTorch")

from boostlora.backends.torch.losses import negative_log_likelihood  # noqa: E402 - needs torch


def exact(logits, labels):
    """In float64, by the definition."""
    z = logits.double().numpy()
    top = z.max(axis=1, keepdims=True)
    return (np.log(np.exp(z - top).sum(axis=1, keepdims=True)) + top)[:, 0] - z[np.arange(len(z)), labels]


def test_loss_over_a_wide_vocabulary_is_exact_to_float32_roundings():
    """One likely token before many unlikely ones, whose small shares are rounded away where they are added one by one."""
    logits = torch.randn(32, 49152, generator=torch.Generator().manual_seed(0)) - 10.0
    logits[:, 0] = 8.0
    labels = np.arange(32)
    found = negative_log_likelihood(logits, labels, torch.float32).numpy()
    # Losses of 16 to 32 and the differences of logits in them, each off by half of their unit of 2^-19, and the logarithm of a
    # sum that is rounded at each of the 16 levels of its tree, by 2^-24. Added one by one: 4e-5, measured.
    assert_close(found, exact(logits, labels), atol=2.0**-19 + 16 * 2.0**-24, what="loss")


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_loss_near_zero_and_its_gradient_keep_their_precision(temperature):
    """Sure answers whose logits lie around 300, where a unit in the last place is 3e-5."""
    logits = torch.randn(64, 10, generator=torch.Generator().manual_seed(0)) * 2 + 300.0
    labels = logits.argmax(dim=1).numpy()
    logits[np.arange(64), labels] = 312.0
    logits.requires_grad_()
    z = (logits.detach() / temperature).double().requires_grad_()
    loss = negative_log_likelihood(logits, labels, torch.float32, temperature)
    right = torch.nn.functional.cross_entropy(z, torch.from_numpy(labels), reduction="none")
    loss.sum().backward()
    right.sum().backward()
    assert right.max() < 0.1  # sure of it
    # A sum of exponentials that is 1 and a little more, rounded at up to four levels of its tree, and its logarithm.
    assert_close(loss.detach(), right.detach(), atol=5 * 2.0**-24, what="loss")
    # The sum's rounding, that of the quotient, the product and the difference, and the temperature's.
    assert_close(logits.grad * temperature, z.grad, atol=8 * 2.0**-24, what="gradient")


@given(st.integers(1, 6), st.integers(2, 9), st.sampled_from([1.0, 2.0, 0.7]), seeds)
def test_loss_and_gradient_equal_those_of_torch_in_float64(rows, classes, temperature, seed):
    rng = np.random.default_rng(seed)
    values, labels = rng.standard_normal((rows, classes)) * 5, rng.integers(0, classes, rows)
    weights = torch.from_numpy(rng.standard_normal(rows))
    ours, theirs = (torch.tensor(values, requires_grad=True) for _ in range(2))
    loss = negative_log_likelihood(ours, labels, torch.float64, temperature)
    expected = torch.nn.functional.cross_entropy(
        theirs / temperature, torch.from_numpy(labels), reduction="none"
    )
    torch.dot(loss, weights).backward()
    torch.dot(expected, weights).backward()
    assert_close(loss.detach(), expected.detach(), atol=1e-13, what="loss")  # roundings of numbers up to 20
    assert_close(ours.grad, theirs.grad, atol=1e-14, what="gradient")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_of_half_precision_logits_is_computed_in_float32(dtype):
    logits = (torch.randn(5, 300, generator=torch.Generator().manual_seed(1)) * 3).to(dtype).requires_grad_()
    labels = np.arange(5)
    loss = negative_log_likelihood(logits, labels, torch.float32)
    assert loss.dtype == torch.float32
    assert_close(loss.detach(), exact(logits.detach(), labels), atol=1e-5, what="loss")
    loss.sum().backward()
    assert logits.grad.dtype == dtype


def test_loss_with_huge_logits_stays_finite():
    logits = torch.tensor([[1e30, 0.0], [0.0, -1e30]])
    np.testing.assert_array_equal(
        negative_log_likelihood(logits, np.array([0, 1]), torch.float32).numpy(), np.float32([0.0, 1e30])
    )
