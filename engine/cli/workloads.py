"""The work of language models in words: tokens, memory, and hours on an accelerator of a named class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..boosting.workload import Workload

CLASSES = ("h100", "a100", "l40s", "l4", "rtx4090")

LEAST_SECONDS = 60
"""Estimates below this are not worth a line."""

gpu_option = click.option(
    "--gpu",
    type=click.Choice(CLASSES),
    default="h100",
    show_default=True,
    help="The class of accelerator that a language model's time is estimated for.",
)


def workload_lines(workload: Workload | None, held_bytes: int, gpu: str) -> list[str]:
    """Tokens, memory and time; nothing where no tokens are read."""
    if workload is None:
        return []
    from .sizes import size_text

    held = held_bytes + workload.activation_bytes
    activations, total = size_text(workload.activation_bytes), size_text(held)
    read, written, trained = (count_text(n) for n in (workload.read, workload.generated, workload.trained))
    heard = f", {count_text(workload.calibrated)} heard by the basis" if workload.calibrated else ""
    lines = [
        f"activations: about {activations} more at the most; {total} in all",
        f"tokens: {read} read, {written} written at most, {trained} trained on{heard}",
    ]
    seconds = workload.seconds_of(gpu)
    # A small model waits for its accelerator's launches, of which the formula knows nothing.
    return [*lines, time_line(seconds, gpu)] if seconds > LEAST_SECONDS else lines


def time_line(seconds: float, gpu: str) -> str:
    """How long, where, and by what formula."""
    from ..boosting.workload import ACCELERATORS, BANDWIDTH_SHARE, PEAK_SHARE
    from .study_progress import duration

    at = ACCELERATORS[gpu]
    return (
        f"time: about {duration(max(1.0, seconds))} on one {gpu}, if every text is as long as it may be (operations at "
        f"{PEAK_SHARE:.0%} of {at.flops / 1e12:g} TFLOPS, writing at {BANDWIDTH_SHARE:.0%} of {at.bandwidth / 1e12:g} TB/s)"
    )


def seconds_by_class(workload: Workload) -> dict[str, float]:
    """Seconds on one accelerator of every class."""
    return {gpu: workload.seconds_of(gpu) for gpu in CLASSES}


def count_text(count: float) -> str:
    """`1.2 M` for people."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f}"
