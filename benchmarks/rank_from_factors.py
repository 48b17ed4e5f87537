"""Rank of what was learned: from the stacked factors, against the dense matrix.

Sixteen rounds of rank 4 in orthogonal slices, so the rank is 64; later rounds are smaller, down to a hundredth of the
first. The dense way is charged for what it has to do, forming the sum and `numpy.linalg.matrix_rank`; the factors'
way for the two thin QRs and the core's SVD. They take turns on the same updates, with one BLAS thread. The second table counts
what someone sees who has only the merged weight: the difference of two float32 matrices, its singular values counted above
a fixed share of the largest, for updates of several sizes against the base weight.
"""

from __future__ import annotations

import numpy as np
from side_by_side import interleaved, milliseconds, show
from threadpoolctl import threadpool_limits

from boostlora.engine.contracts import FactoredUpdate, Frame
from boostlora.engine.sdk.rank import rank_of

ROUNDS, RANK, REPEATS = 16, 4, 5
WIDTHS = (128, 256, 512, 1024)
MERGED_WIDTH, SIZES, TOLERANCES = 512, (1e-1, 1e-2, 1e-3, 1e-4), (1e-4, 1e-6)
Ensemble = list[tuple[FactoredUpdate, float]]


def ensemble(d: int, size: float, rng: np.random.Generator) -> Ensemble:
    """Updates in orthogonal slices, the largest of spectral norm about `size`."""
    U, V = (np.linalg.qr(rng.standard_normal((d, ROUNDS * RANK)))[0] for _ in range(2))
    updates: Ensemble = []
    for t in range(ROUNDS):
        index = range(t * RANK, (t + 1) * RANK)
        frame = Frame(U=U[:, index], S=np.ones(RANK), V=V[:, index])
        core = size * 10.0 ** (-2 * t / (ROUNDS - 1)) * rng.standard_normal((RANK, RANK)) / np.sqrt(RANK)
        updates.append((FactoredUpdate(frame=frame, core=core), 1.0))
    return updates


def dense(updates: Ensemble) -> np.ndarray:
    """The sum of the updates, every entry of it."""
    total = 0.0
    for update, scale in updates:
        L, M = update.factors()
        total = total + scale * (L @ M.T)
    return np.asarray(total)


def seen_in_float32(updates: Ensemble, W: np.ndarray, tolerance: float) -> int:
    """Rank of `float32(W + dW) - float32(W)`."""
    before = W.astype(np.float32)
    difference = (before.astype(np.float64) + dense(updates)).astype(np.float32) - before
    sigma = np.linalg.svd(difference.astype(np.float64), compute_uv=False)
    return int(np.sum(sigma > tolerance * sigma[0]))


def main() -> None:
    """Both tables."""
    rows = []
    for d in WIDTHS:
        updates = ensemble(d, 1e-1, np.random.default_rng(d))
        cases = {
            "factors": lambda u=updates, d=d: rank_of(u, (d, d)),
            "dense": lambda u=updates: np.linalg.matrix_rank(dense(u)),
        }
        took = interleaved(cases, REPEATS)
        ranks = [rank_of(updates, (d, d)).rank, int(np.linalg.matrix_rank(dense(updates)))]
        ratio = f"{took['dense'] / took['factors']:.0f}"
        rows.append([d, milliseconds(took["factors"]), milliseconds(took["dense"]), ratio, *ranks])
    print(f"{ROUNDS} rounds of rank {RANK} at a d x d weight, medians of {REPEATS}\n")
    show(["d", "factors ms", "dense ms", "dense / factors", "rank (factors)", "rank (dense)"], rows)

    rng = np.random.default_rng(0)
    W = rng.standard_normal((MERGED_WIDTH, MERGED_WIDTH)) / np.sqrt(MERGED_WIDTH)
    counts = []
    for size in SIZES:
        updates = ensemble(MERGED_WIDTH, size, rng)
        seen = [seen_in_float32(updates, W, tolerance) for tolerance in TOLERANCES]
        counts.append([f"{size:g}", rank_of(updates, W.shape).rank, *seen])
    print(f"\nThe same rank, seen in a merged float32 weight (d = {MERGED_WIDTH}, entries of variance 1/d)\n")
    show(
        ["size of the first update", "factors", *(f"float32, > {t:g} of the largest" for t in TOLERANCES)],
        counts,
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
