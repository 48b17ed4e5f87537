"""Logging to MLflow, by default to a local folder without network access."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from ...engine.contracts.records import RoundRecord
from ...engine.contracts.run_info import RunInfo, RunResult
from ...engine.errors import UsageError
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.libraries import require_libraries
from ._metrics import flat, metrics_of, provenance_of

STORE = "mlruns"
"""Folder of the default store, next to the runs."""
PREFIX = "boostlora."
"""Prefix of all tags."""
LONGEST = {"param": 6000, "tag": 5000}
"""MLflow's maximum length of a value in characters."""
BATCH = 100
"""MLflow's maximum number of parameters or tags per request."""


@attrs.frozen(kw_only=True)
class Mlflow:
    """One MLflow run per run, with settings, metrics of every round, provenance and result.

    The default store is a folder, for which `mlflow-skinny` is enough. MLflow 3 needs a flag for it: view it with
    `MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri runs/mlruns`.
    """

    uri: str = option(
        "",
        "a folder, sqlite:///FILE (needs the full mlflow package), or a server's URL; default: mlruns in the folder of all runs; "
        "credentials come from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    )
    experiment: str = option("", "name of the MLflow experiment; default: the run's name")
    tags: tuple[str, ...] = option((), "tags of the MLflow run, each KEY=VALUE")

    def __attrs_post_init__(self) -> None:
        """Check that tags are KEY=VALUE."""
        for tag in self.tags:
            if not tag.partition("=")[0].strip() or "=" not in tag:
                raise ValueError(f'"tags" must be KEY=VALUE, not {tag!r}')

    def check(self) -> None:
        """Raise `UsageError` if MLflow, or a package that the store needs, is missing."""
        require_libraries("tracker mlflow", "mlflow", "mlflow")
        if (
            self.uri.startswith(("sqlite:", "postgresql", "mysql", "mssql"))
            and importlib.util.find_spec("sqlalchemy") is None
        ):
            raise UsageError(
                f'tracker mlflow: uri = "{self.uri}" needs the full MLflow, and only mlflow-skinny is installed; '
                "pip install mlflow, or use a folder"
            )

    def follow(self, run: RunInfo) -> MlflowRun:
        """Start an MLflow run, or resume the one for the same run."""
        folder = self._folder(run)
        if folder is not None:
            os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # MLflow 3 rejects folder stores without it
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at import
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - two seconds to import

        with _locked(folder):
            client = MlflowClient(tracking_uri=self.uri if folder is None else folder.as_uri())
            experiment = self._experiment(client, run)
            found = _found(client, experiment, run)
            if found is None:
                made = client.create_run(experiment, tags=self._tags(run), run_name=_run_name(run))
                found = made.info.run_id
            else:
                client.update_run(found, status="RUNNING")
        followed = MlflowRun(client, found)
        followed.log_settings(run)
        return followed

    def _folder(self, run: RunInfo) -> Path | None:
        """The store's folder; None for a database or a server."""
        if not self.uri:
            return (run.path.absolute().parent.parent / STORE).resolve()
        scheme, colon, rest = self.uri.partition(":")
        if scheme == "file" and colon:
            return Path("/" + rest.lstrip("/"))
        return None if colon and len(scheme) > 1 else Path(self.uri).expanduser().resolve()

    def _experiment(self, client: Any, run: RunInfo) -> str:
        name = self.experiment or run.name
        found = client.get_experiment_by_name(name)
        return client.create_experiment(name) if found is None else found.experiment_id

    def _tags(self, run: RunInfo) -> dict[str, str]:
        tags = dict(tag.split("=", 1) for tag in self.tags)
        return {**tags, **_identity(run)}


class MlflowRun:
    """The log of one run. Metrics that the MLflow run already has are not logged again."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._id = client, run_id
        self._ended = False
        self._logged = {
            (name, metric.step)
            for name in client.get_run(run_id).data.metrics
            for metric in client.get_metric_history(run_id, name)
        }

    def log_settings(self, run: RunInfo) -> None:
        """Log the spec as parameters and the provenance as tags."""
        from mlflow.entities import Param, RunTag  # noqa: PLC0415

        had = self._client.get_run(self._id).data.params
        settings = flat(run.settings)
        params = [
            Param(key, str(value)[: LONGEST["param"]]) for key, value in settings.items() if key not in had
        ]
        facts = provenance_of(run.path) | {"spec_toml": run.spec_toml}
        tags = [RunTag(_key(key), str(value)[: LONGEST["tag"]]) for key, value in facts.items()]
        for first in range(0, max(len(params), len(tags)), BATCH):
            some = slice(first, first + BATCH)
            self._client.log_batch(self._id, params=params[some], tags=tags[some])

    def round_finished(self, record: RoundRecord) -> None:
        """Log the round's metrics with the round as step."""
        from mlflow.entities import Metric  # noqa: PLC0415

        now = int(1000 * time.time())
        new = {k: v for k, v in metrics_of(record).items() if (k, record.round) not in self._logged}
        self._client.log_batch(
            self._id, metrics=[Metric(name, value, now, record.round) for name, value in new.items()]
        )
        self._logged |= {(name, record.round) for name in new}

    def run_finished(self, result: RunResult) -> None:
        """Log the result as tags, and set the MLflow run's status."""
        for key, value in result.as_json().items():
            self._client.set_tag(self._id, _key(f"result.{key}"), str(value)[: LONGEST["tag"]])
        self._client.set_terminated(self._id, "FAILED" if result.failed else "FINISHED")
        self._ended = True

    def close(self) -> None:
        """Mark an interrupted run as `KILLED` until it is resumed."""
        if not self._ended:
            self._client.set_terminated(self._id, "KILLED")


def _identity(run: RunInfo) -> dict[str, str]:
    """Tags that identify a run; a run restarted in the same folder has another creation time."""
    created = str(provenance_of(run.path).get("created", ""))
    facts = {"spec_sha256": run.spec_sha256, "path": str(run.path.absolute()), "created": created}
    return {_key(key): value for key, value in facts.items()}


def _found(client: Any, experiment: str, run: RunInfo) -> str | None:
    """The id of this run's MLflow run; None if there is none."""
    identity = _identity(run)
    query = f"tags.`{_key('spec_sha256')}` = '{run.spec_sha256}'"  # paths may contain quotes, so they are compared below
    for found in client.search_runs([experiment], filter_string=query):
        if identity.items() <= found.data.tags.items():
            return str(found.info.run_id)
    return None


def _run_name(run: RunInfo) -> str:
    return f"{run.name}/{run.path.name}"


def _key(name: str) -> str:
    return PREFIX + name


@contextmanager
def _locked(folder: Path | None) -> Generator[None]:
    """A lock that keeps concurrent cells from creating an experiment twice in a folder; servers handle it themselves."""
    if folder is None:
        yield
        return
    from filelock import FileLock  # noqa: PLC0415

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        yield


@hookimpl
def register_trackers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `mlflow`."""
    register("mlflow", Mlflow)
