"""Runs that continue from a round of another run (`[start]`): compatibility checks, and the copy of its rounds."""

from __future__ import annotations

from ..foundation.run_context import Report
from ..runs.directory import RunDirectory
from ..runs.inheritance import Parent, require_inherited
from .experiment import Experiment, Prepared, data_sha256


def check_start(prepared: Prepared, directory: RunDirectory | None = None) -> None:
    """Check that the parent run has the same data, sites and options. No weight is loaded.

    A `directory` that already holds the inherited rounds does not need the parent any more. Raises `UsageError` for a mismatch.
    """
    start = prepared.spec.start
    if not start.given:
        return
    if directory is not None and directory.records:
        require_inherited(directory, start)
        return
    sites = [plan.site.name for plan in prepared.plan.sites]
    parent = Parent.open(start)
    parent.require(prepared.spec, sites, {"data": data_sha256(prepared.splits)})


def inherit(experiment: Experiment, directory: RunDirectory, report: Report) -> None:
    """Copy the parent's rounds into a run that has none yet. Raises `UsageError` unless the base weights have the same SHA-256."""
    start = experiment.spec.start
    if start.given and not directory.records:
        parent = Parent.open(start)
        parent.require(experiment.spec, [site.name for site in experiment.sites], experiment.hashes)
        parent.hand_down(directory, report)
