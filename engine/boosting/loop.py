"""The boosting loop: run a round, commit it to disk, emit its event, until a stop rule applies."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial

import attrs

from ..contracts import ProvenanceTask
from ..contracts.records import RoundRecord
from ..contracts.run_info import End, RunResult
from ..errors import ExhaustedError, PluginError, RunError, UsageError, blame
from ..foundation.atomic import remove
from ..foundation.counts import count_text
from ..foundation.redaction import cleaned, without_credentials
from ..foundation.run_context import RunContext
from ..foundation.shell import command_line
from ..records.run_result import RESULT
from ..registry import Registry
from ..runs.directory import PROVENANCE, SPEC, RunDirectory
from ..runs.provenance import provenance, versions
from .events import Events
from .experiment import Experiment, Prepared, open_experiment
from .fixed_samples import fixed_samples
from .inherited_rounds import check_start, inherit
from .replica_checks import check_same_inputs, check_same_round, copy_rounds_to_workers
from .rivals import rivals_of
from .rounds import RoundResult, RoundRunner
from .started_run import StartedRun
from .stop_rules import best_round, exhausted_after, reason_to_stop
from .tracker_threads import run_trackers

NAMED = 5
"""Most sites that a message names."""


def boost(
    prepared: Prepared,
    directory: RunDirectory,
    registry: Registry,
    context: RunContext,
    *,
    rivals: bool = False,
) -> RunResult:
    """Run every round that is not on disk yet, and write the result.

    The caller must hold the directory's lock. An interrupt loses at most the round in progress. Calling it again resumes the run, with
    bit-identical results on the same machine and versions. With `rivals`, a new run's provenance has what trivial models reach.
    """
    remove(directory.path / RESULT)  # left by a failed run that is now retried
    processes = context.processes
    processes.agree(lambda: check_start(prepared, directory))  # before the model is loaded
    experiment = open_experiment(prepared, context)
    check_same_inputs(processes, {"spec": prepared.spec.sha256, **experiment.hashes})
    _check_sites(experiment)
    files = [str(file.resolve()) for file in registry.files]
    processes.agree(lambda: _check_provenance(directory, experiment, files, context if rivals else None))
    processes.agree(lambda: _keep_samples(directory, experiment))
    processes.agree(lambda: inherit(experiment, directory, context.report))
    copy_rounds_to_workers(processes, directory)
    runner = RoundRunner(experiment, context.report)
    resumed_from = _restore(runner, directory)
    run = StartedRun.of(directory.path, prepared.spec, prepared.plan, resumed_from)
    with run_trackers(prepared.spec.trackers, registry.manager):
        events = Events(registry.manager)
        events.emit("run_started", run=run)
        for record in directory.records:
            events.emit("round_finished", run=run, record=record)
        try:
            status, reason = _run_rounds(runner, directory, run, events)
        except PluginError as error:
            _conclude(directory, prepared, "failed", str(error))
            raise
        result = _conclude(directory, prepared, status, reason)
        events.emit("run_finished", run=run, result=result)
    return result


def _check_sites(experiment: Experiment) -> None:
    """Warn of sites that no gradient reaches. Raises `UsageError` where these are all sites."""
    with blame("backend", experiment.name_of("backend")):
        unreached = experiment.model.unreached_sites(experiment.encoded.train)
    if not unreached:
        return
    count, named = len(unreached), ", ".join(unreached[:NAMED]) + (", …" if len(unreached) > NAMED else "")
    if count == len(experiment.sites):
        raise UsageError(
            f"no gradient reaches any site ({named}): nothing can be trained. Choose other sites (sites.targets)"
        )
    warnings.warn(
        f"no gradient reaches {count} of {count_text(len(experiment.sites), 'site')} on the first training examples, so they do not change: "
        f"{named}. To leave them out, set sites.exclude",
        RuntimeWarning,
        stacklevel=2,
    )


def _conclude(directory: RunDirectory, prepared: Prepared, status: End, reason: str) -> RunResult:
    """Write and return the run's result."""
    result = RunResult(
        status=status,
        reason=without_credentials(reason),
        rounds=max(0, len(directory.records) - 1),
        best_round=best_round(directory.records, prepared.spec) if directory.records else 0,
        digest=directory.digest,
    )
    directory.write_json(RESULT, result.as_json())
    return result


def _run_rounds(
    runner: RoundRunner, directory: RunDirectory, run: StartedRun, events: Events
) -> tuple[End, str]:
    """Run rounds until a stop rule applies; the run's end status and its reason."""
    if not directory.records:
        round_result = runner.base()
        record = _commit(runner, directory, round_result)
        events.emit("round_finished", run=run, record=record)
    while True:
        plan = runner.plan(len(directory.records))
        end = reason_to_stop(directory.records, run.plan, plan)
        if end is not None:
            return end
        selection = runner.select(plan.number)
        if len(selection) == 0:
            return "converged", "nothing left to learn: the sampler selected no example"
        try:
            round_result = runner.run_round(plan, selection, directory.records[-1])
        except (
            ExhaustedError
        ):  # an old run with [start], whose capacity was planned without the inherited ranks
            if run.spec.basis.exhausted != "stop":
                raise
            return exhausted_after(plan.fresh)
        if round_result.record.status == "nonfinite" and run.spec.stop.on_nonfinite == "stop":
            return "failed", f"round {plan.number} was refused: {round_result.record.reason}"
        record = _commit(runner, directory, round_result)
        events.emit("round_finished", run=run, record=record)


def _commit(runner: RoundRunner, directory: RunDirectory, round_result: RoundResult) -> RoundRecord:
    """Write a round to disk, then continue from the arrays read back.

    A resumed run has only these files. The same values in another memory layout may be summed in another order and differ in the
    last bit, so an uninterrupted run must use the files as well.
    """
    confirm = partial(check_same_round, runner.experiment.processes)
    record = directory.commit(
        round_result.record, round_result.outcomes, round_result.training, round_result.rollouts, confirm
    )
    round_result = attrs.evolve(round_result, outcomes=directory.outcomes(record.round))
    if record.scale != 0.0 and round_result.training is not None:
        training = attrs.evolve(round_result.training, updates=directory.updates(record.round))
        round_result = attrs.evolve(round_result, training=training)
    runner.accept(round_result)
    if record.scale != 0.0:
        runner.experiment.model.assemble(runner.ensemble)
    return record


def _restore(runner: RoundRunner, directory: RunDirectory) -> int:
    """Rebuild model and history from the rounds on disk; returns their number, the base not counted."""
    directory.check_files()
    for record in directory.records:
        outcomes = directory.outcomes(record.round)
        runner.history.append(outcomes["train"])
        runner.outcomes = outcomes
        if record.scale != 0.0:
            runner.remember(runner.plan(record.round), directory.updates(record.round), record.scale)
    runner.experiment.model.assemble(runner.ensemble)
    return max(0, len(directory.records) - 1)


def _check_provenance(
    directory: RunDirectory, experiment: Experiment, plugin_files: list[str], rivals: RunContext | None
) -> None:
    """Write a new run's provenance, with rivals measured in a context if there is one. Raises `UsageError` where a resumed run has other data, weights or spec than it started with."""
    spec = experiment.spec
    hashes = {"spec": spec.sha256, **experiment.hashes}
    recorded = directory.provenance()
    words = ("--fresh", directory.path / SPEC, *(w for file in plugin_files for w in ("--plugin", file)))
    anew = command_line("boostlora", "run", *words)
    if recorded is None:
        if directory.records:  # nothing to compare the hashes with
            raise RunError(
                f"{directory.path / PROVENANCE}: missing, so data and weights cannot be compared with those the run "
                f"started with. Restore the file, or start over with: {anew}"
            )
        made = provenance(hashes, spec.head.seed, experiment.processes.size)
        installed = {f"{slot}.{used.use}": used.distribution for slot, used in spec.slots.items()}
        origin = {
            **made,
            "plugin_files": plugin_files,
            "plugins": {name: package for name, package in installed.items() if package},
        }
        if isinstance(spec.task, ProvenanceTask):
            with blame("task", spec.slots["task"].use):
                origin["task"] = cleaned(dict(spec.task.origin()))
        if rivals is not None and (found := rivals_of(experiment, rivals)):
            origin["rivals"] = found
        directory.write_json(PROVENANCE, origin)
        return
    changed = _changes(recorded["hashes"], hashes)
    if changed:
        covers = "; the spec's hash covers the files and plugin files it names" if "spec (" in changed else ""
        raise UsageError(
            f"{directory.path}: cannot resume: since the run started, {changed} changed{covers}. Restore them, "
            f"or start over with: {anew}"
        )
    now = dict[str, object]()
    if _changes(recorded["versions"], versions()):
        now["resumed_with"] = versions()
    if recorded.get("processes", 1) != experiment.processes.size:
        now["resumed_with_processes"] = experiment.processes.size
    if now and directory.records:
        directory.write_json(PROVENANCE, {**recorded, **now})


def _keep_samples(directory: RunDirectory, experiment: Experiment) -> None:
    """Write the run's fixed samples, unless it has them: those of an earlier version stay. Raises `RunError` if they are damaged."""
    if directory.samples() is None:
        fixed_samples(experiment.spec, experiment.splits).write(directory.path)


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} ({old.get(name, 'none')[:12]} -> {new[name][:12]})"
        for name in new
        if old.get(name) != new[name]
    )
