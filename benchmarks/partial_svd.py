"""The leading 64 singular triplets: the partial route against a full (thin) SVD, in time, memory and accuracy.

Both get the same matrix, one BLAS thread and a process of their own per measurement; the processes take turns. Memory
is the peak resident size over that of the same process just before the call, so LAPACK's workspaces count. Both results
are cut to 64 columns, with the same convention for signs. Accuracy is shown for a Gaussian weight (singular values close
together) and for a steep one, whose 64th singular value is a millionth of its first: the partial route goes through the
Gram matrix, which squares that. Residuals and errors of singular values are relative to the largest one; `V'V - I` and
`U'U - I` stand in one column, the larger of them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from side_by_side import milliseconds, show

COUNT, REPEATS = 64, 3
SHAPES = ((576, 576), (1536, 576), (1024, 1024), (2048, 1024))
ROUTES = ("partial", "full")
KINDS = ("gaussian", "steep")


def child(route: str, kind: str, d_out: int, d_in: int) -> dict[str, float]:
    """One measurement, in this process. NumPy stays out of the parent, whose peak a child would inherit."""
    import resource  # noqa: PLC0415
    import time  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415
    import scipy.linalg  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    from boostlora.backends.reference.factorise import canonical, leading_triplets  # noqa: PLC0415
    from boostlora.engine.contracts import Frame  # noqa: PLC0415

    def full(W: np.ndarray) -> Frame:
        U, S, Vt = scipy.linalg.svd(W, full_matrices=False, lapack_driver="gesdd")
        return canonical(U[:, :COUNT], S[:COUNT], Vt[:COUNT].T)

    def partial(W: np.ndarray) -> Frame:
        return leading_triplets(W, COUNT)

    run = {"full": full, "partial": partial}[route]
    W = np.random.default_rng(0).standard_normal((d_out, d_in)) / np.sqrt(d_in)
    if kind == "steep":
        # Turned, since a matrix with graded columns would be easy on the eigensolver.
        turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((d_in, d_in)))
        W = (W * 10.0 ** (-6.0 * np.arange(d_in) / COUNT)) @ turn
    with threadpool_limits(1):
        full(W[:80, :80].copy())  # imports, and the buffers that BLAS keeps
        partial(W[:300, :300].copy())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        frame = run(W)
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        exact = scipy.linalg.svdvals(W)[:COUNT]
    unit = 1 if sys.platform == "darwin" else 1024
    U, S, V = frame.U, frame.S, frame.V
    return {
        "seconds": seconds,
        "mib": (after - before) * unit / 2**20,
        "right": float(np.abs(W @ V - U * S).max() / exact[0]),
        "left": float(np.abs(W.T @ U - V * S).max() / exact[0]),
        "orthogonality": frame.departure(),
        "values": float(np.abs(S - exact).max() / exact[0]),
    }


def measure(route: str, kind: str, shape: tuple[int, int]) -> dict[str, float]:
    """One measurement, in a process of its own."""
    command = [sys.executable, __file__, "--child", route, kind, *map(str, shape)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this very script
    return json.loads(found.stdout)


def main() -> None:
    """Time and memory on the Gaussian weight, then accuracy on both."""
    costs, errors = [], []
    for shape in SHAPES:
        name = "x".join(map(str, shape))
        runs = [{route: measure(route, "gaussian", shape) for route in ROUTES} for _ in range(REPEATS)]
        medians = {
            route: {key: statistics.median(run[route][key] for run in runs) for key in runs[0][route]}
            for route in ROUTES
        }
        seconds, mib = ([medians[route][key] for route in ROUTES] for key in ("seconds", "mib"))
        costs.append(
            [
                name,
                *(milliseconds(s) for s in seconds),
                f"{seconds[1] / seconds[0]:.1f}",
                *(f"{m:.0f}" for m in mib),
                f"{mib[1] / mib[0]:.1f}" if mib[0] > 0 else "-",
            ]
        )
        for kind in KINDS:
            for route in ROUTES:
                found = medians[route] if kind == "gaussian" else measure(route, kind, shape)
                keys = ("right", "left", "orthogonality", "values")
                errors.append([name, kind, route, *(f"{found[key]:.0e}" for key in keys)])
    print(f"{COUNT} leading triplets, medians of {REPEATS} processes each\n")
    show(
        ["shape", "partial ms", "full ms", "full / partial", "partial MiB", "full MiB", "full / partial"],
        costs,
    )
    print("\nAccuracy\n")
    show(["shape", "weight", "route", "W v - s u", "W'u - s v", "orthogonality", "singular values"], errors)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
    else:
        main()
