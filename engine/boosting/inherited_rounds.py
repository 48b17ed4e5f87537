"""Where a run begins that goes on from another."""

from __future__ import annotations

from ..foundation.run_context import Report
from ..runs.directory import RunDirectory
from ..runs.inheritance import Parent, require_inherited
from .experiment import Experiment, Prepared, data_sha256


def check_start(prepared: Prepared, directory: RunDirectory | None = None) -> None:
    """Hold the run to go on from against data, sites and options, before any weight is loaded.

    A `directory` that has its rounds already needs no other run. Raises `UsageError` for a start that does not fit.
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
    """Give a run that has no round yet those that it goes on from, if the base is the same to the last byte."""
    start = experiment.spec.start
    if start.given and not directory.records:
        parent = Parent.open(start)
        parent.require(experiment.spec, [site.name for site in experiment.sites], experiment.hashes)
        parent.hand_down(directory, report)
