"""The loop over rounds: play, commit, tell, until there is a reason to stop."""

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
from ..foundation.redaction import cleaned, without_credentials
from ..foundation.run_context import RunContext
from ..records.run_result import RESULT
from ..registry import Registry
from ..runs.directory import PROVENANCE, SPEC, RunDirectory
from ..runs.provenance import provenance, versions
from .events import Events
from .experiment import Experiment, Prepared, open_experiment
from .inherited_rounds import check_start, inherit
from .replica_checks import hand_over, require_alike, require_one_way
from .rounds import RoundResult, RoundRunner
from .started_run import StartedRun
from .stop_rules import best_round, ran_out, reason_to_stop
from .tracker_threads import following

NAMED = 5
"""Sites named in a message."""


def boost(prepared: Prepared, directory: RunDirectory, registry: Registry, context: RunContext) -> RunResult:
    """Play every round that is not on disk yet, and write the result.

    The directory must be locked by the caller. Interrupting it anywhere loses at most the round in progress; calling it again
    goes on, to the bit-identical result on the same machine and versions.
    """
    remove(directory.path / RESULT)  # of a run that failed, and is now tried again
    processes = context.processes
    processes.agree(lambda: check_start(prepared, directory))  # before anything that costs
    experiment = open_experiment(prepared, context)
    require_alike(processes, {"spec": prepared.spec.sha256, **experiment.hashes})
    _check_sites(experiment)
    files = [str(file.resolve()) for file in registry.files]
    processes.agree(lambda: _check_origin(directory, experiment, files))
    processes.agree(lambda: inherit(experiment, directory, context.report))
    hand_over(processes, directory)
    runner = RoundRunner(experiment, context.report)
    resumed_from = _restore(runner, directory)
    run = StartedRun.of(directory.path, prepared.spec, prepared.plan, resumed_from)
    with following(prepared.spec.trackers, registry.manager):
        events = Events(registry.manager)
        events.tell("run_started", run=run)
        for record in directory.records:
            events.tell("round_finished", run=run, record=record)
        try:
            status, reason = _run_rounds(runner, directory, run, events)
        except PluginError as error:
            _conclude(directory, prepared, "failed", str(error))
            raise
        result = _conclude(directory, prepared, status, reason)
        events.tell("run_finished", run=run, result=result)
    return result


def _check_sites(experiment: Experiment) -> None:
    """Name the sites that no gradient reaches. Raises `UsageError` where that is all of them."""
    with blame("backend", experiment.name_of("backend")):
        unreached = experiment.model.unreached_sites(experiment.encoded.train)
    if not unreached:
        return
    count, named = len(unreached), ", ".join(unreached[:NAMED]) + (", …" if len(unreached) > NAMED else "")
    if count == len(experiment.sites):
        raise UsageError(f"no gradient reaches any site ({named}): nothing can be trained; see sites.targets")
    warnings.warn(
        f"no gradient reaches {count} of {len(experiment.sites)} sites on the examples tried, and without one they stay as they "
        f"are: {named}",
        RuntimeWarning,
        stacklevel=2,
    )


def _conclude(directory: RunDirectory, prepared: Prepared, status: End, reason: str) -> RunResult:
    """Write how the run ended."""
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
    """Rounds, until one is the last."""
    if not directory.records:
        round_result = runner.base()
        record = _commit(runner, directory, round_result)
        events.tell("round_finished", run=run, record=record)
    while True:
        end = reason_to_stop(directory.records, run.spec, run.plan)
        if end is not None:
            return end
        number = len(directory.records)
        selection = runner.select(number)
        if len(selection) == 0:
            return "converged", "nothing is left to learn: the sampler chose no example"
        try:
            round_result = runner.run_round(number, selection, directory.records[-1])
        except ExhaustedError:  # of a run that went on from another before its ranks were kept
            if run.spec.basis.exhausted != "stop":
                raise
            return ran_out(run.spec.boosting.fresh_before(number))
        if round_result.record.status == "nonfinite" and run.spec.stop.on_nonfinite == "stop":
            return "failed", f"round {number} was refused: {round_result.record.reason}"
        record = _commit(runner, directory, round_result)
        events.tell("round_finished", run=run, record=record)


def _commit(runner: RoundRunner, directory: RunDirectory, round_result: RoundResult) -> RoundRecord:
    """Write a round, then go on from what its files say.

    A resumed run has nothing else, and the same numbers in another memory layout can give sums another last bit.
    """
    confirm = partial(require_one_way, runner.experiment.processes)
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
    """Bring the model to where the directory's rounds leave it; returns how many there are."""
    directory.check_files()
    for record in directory.records:
        outcomes = directory.outcomes(record.round)
        runner.history.append(outcomes["train"])
        runner.outcomes = outcomes
        if record.scale != 0.0:
            runner.remember(record.round, directory.updates(record.round), record.scale)
    runner.experiment.model.assemble(runner.ensemble)
    return max(0, len(directory.records) - 1)


def _check_origin(directory: RunDirectory, experiment: Experiment, plugin_files: list[str]) -> None:
    """Record where a new run comes from; refuse to go on with other data or weights than an old one began with."""
    spec = experiment.spec
    hashes = {"spec": spec.sha256, **experiment.hashes}
    recorded = directory.provenance()
    if recorded is None:
        if directory.records:  # nothing is left to compare with
            raise RunError(
                f"{directory.path / PROVENANCE}: missing, so that nobody can tell whether data and weights are still "
                f"those the run began with. Put it back, or start over with: boostlora run --fresh {directory.path / SPEC}"
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
        directory.write_json(PROVENANCE, origin)
        return
    changed = _changes(recorded["hashes"], hashes)
    if changed:
        covers = "; the spec's hash covers the files and plugin files it names" if "spec (" in changed else ""
        raise UsageError(
            f"{directory.path}: cannot go on: since the run began, {changed} changed{covers}. Put the old ones back, "
            f"or start over with: boostlora run --fresh {directory.path / SPEC}"
        )
    now = dict[str, object]()
    if _changes(recorded["versions"], versions()):
        now["resumed_with"] = versions()
    if recorded.get("processes", 1) != experiment.processes.size:
        now["resumed_with_processes"] = experiment.processes.size
    if now and directory.records:
        directory.write_json(PROVENANCE, {**recorded, **now})


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} ({old.get(name, 'none')[:12]} -> {new[name][:12]})"
        for name in new
        if old.get(name) != new[name]
    )
