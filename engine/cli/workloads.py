"""The workload of a language model's run: tokens, memory, and time on an accelerator of a named class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..boosting.workload import Workload

CLASSES = ("h100", "a100", "l40s", "l4", "rtx4090")

LEAST_SECONDS = 60
"""Shorter estimates are not shown."""

gpu_option = click.option(
    "--gpu",
    type=click.Choice(CLASSES),
    metavar="CLASS",
    default="h100",
    show_default=True,
    help=f"Accelerator for which a language model's time is estimated: {', '.join(CLASSES)}.",
)


def workload_lines(workload: Workload | None, memory_bytes: int, gpu: str) -> list[str]:
    """Tokens, memory and time; nothing for models without tokens."""
    if workload is None:
        return []
    from .units import magnitude_text, size_text

    activations, total = size_text(workload.activation_bytes), size_text(memory_bytes)
    read, written, trained = (
        magnitude_text(n) for n in (workload.read, workload.generated, workload.trained)
    )
    calibration = f", {magnitude_text(workload.calibrated)} for calibration" if workload.calibrated else ""
    lines = [
        f"activations: at most about {activations} more; {total} in total, without libraries",
        f"tokens: {read} read, at most {written} generated, {trained} trained on{calibration}",
    ]
    seconds = workload.seconds_of(gpu)
    # For small models, kernel launches dominate, which the formula leaves out.
    return [*lines, time_line(seconds, gpu)] if seconds > LEAST_SECONDS else lines


def time_line(seconds: float, gpu: str) -> str:
    """The time, the accelerator, and the assumptions.

    seconds = operations / (share of peak FLOPS) + bytes moved / (share of peak bandwidth)
    """
    from ..boosting.workload import ACCELERATORS, BANDWIDTH_SHARE, PEAK_SHARE
    from .units import duration

    at = ACCELERATORS[gpu]
    return (
        f"time: about {duration(max(1.0, seconds))} on one {gpu}, if every text has the maximum length (operations at "
        f"{PEAK_SHARE:.0%} of {at.flops / 1e12:g} TFLOPS, generation at {BANDWIDTH_SHARE:.0%} of {at.bandwidth / 1e12:g} TB/s)"
    )


def seconds_by_class(workload: Workload) -> dict[str, float]:
    """Seconds on one accelerator of every class."""
    return {gpu: workload.seconds_of(gpu) for gpu in CLASSES}
