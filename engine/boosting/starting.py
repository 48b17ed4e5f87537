"""Where a run begins that goes on from another."""

from __future__ import annotations

from collections import Counter

from ..contracts import FactoredUpdate, InformedBasis, Site
from ..errors import ExhaustedError, blame
from ..record.directory import RunDirectory
from ..record.inheriting import Parent, require_inherited
from ..workplace import Report
from .experiment import Experiment, Prepared, data_sha256


def check_start(prepared: Prepared, directory: RunDirectory | None = None) -> None:
    """Hold the run to go on from against data, sites and options, before any weight is loaded.

    A `directory` that has its rounds already needs no other run. Raises `UsageError` for a start that does not fit, and
    `ExhaustedError` for one that leaves too few directions.
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
    _require_directions(prepared, parent)


def _require_directions(prepared: Prepared, parent: Parent) -> None:
    """Refuse rounds for which those inherited, whatever their rank, leave too few directions, unless the basis declares what then happens.

    Of bases that keep clear of all directions that were used; others count rounds, as the plan does.
    """
    spec, start = prepared.spec, prepared.spec.start
    basis, rank, boosting = spec["basis"], spec["adapter"].rank, spec.boosting
    if not isinstance(basis, InformedBasis) or basis.exhausted != "error" or prepared.plan.capacity is None:
        return
    inherited = boosting.fresh_in(start.round)
    wanted, used = boosting.fresh_in(spec.rounds) - inherited, _used(prepared, parent)
    left = dict[Site, int]()
    for site in (plan.site for plan in prepared.plan.sites):
        free = max(site.width - used[site.name], 0)
        with blame("basis", spec.slots["basis"].use):
            capacity = basis.capacity(rank, free) if free >= rank else 0
        if capacity is not None:
            left[site] = capacity
    site = min(left, key=left.__getitem__, default=None)
    if site is not None and left[site] < wanted:
        most = boosting.rounds_of(inherited + left[site])
        raise ExhaustedError(
            f"{site.name} {site.shape[0]}x{site.shape[1]} has {site.width} singular directions, of which the rounds up to {start} use "
            f"{used[site.name]}; rounds = {spec.rounds} at adapter.rank = {rank} need {wanted * rank} more. The largest legal rounds is "
            f'{most}; or set basis.exhausted = "stop" or "wrap"'
        )


def _used(prepared: Prepared, parent: Parent) -> Counter[str]:
    """By site, how many directions the inherited rounds have taken."""
    used, there = Counter[str](), RunDirectory(parent.folder, parent.records)
    for record in parent.records:
        if record.scale == 0.0 or prepared.spec.boosting.is_refit(record.round):
            continue
        for name, update in there.updates(record.round).items():
            if isinstance(update, FactoredUpdate) and update.orthonormal:
                used[name] += update.frame.rank
    return used


def inherit(experiment: Experiment, directory: RunDirectory, report: Report) -> None:
    """Give a run that has no round yet those that it goes on from, if the base is the same to the last byte."""
    start = experiment.spec.start
    if start.given and not directory.records:
        parent = Parent.open(start)
        parent.require(experiment.spec, [site.name for site in experiment.sites], experiment.hashes)
        parent.hand_down(directory, report)
