"""`boostlora rollback`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .common import json_option, runs_option
from .terminal import echo


@click.command("rollback")
@click.argument("run")
@click.option("--to", type=int, required=True, metavar="N", help="The last round to keep; 0 is the base.")
@runs_option
@json_option
def command(run: str, to: int, runs_folder: Path, as_json: bool) -> None:
    """Roll RUN, a run's folder, name or hash, back to round N. Later rounds are set aside in the run's folder, not deleted.

    The kept rounds are checked first; later ones may be damaged. `resume` trains the same rounds again; to continue with other
    settings, use `run --from`.
    """
    from ..records.commands import resume_command, run_command
    from ..runs.directory import SPEC
    from ..runs.lookup import one_run
    from ..runs.rollback import roll_back

    path = one_run(run, runs_folder)
    done = roll_back(path, to)
    if as_json:
        aside = None if done.aside is None else str(done.aside)
        content = {"path": str(path), "round": done.to, "rounds_before": done.last, "set_aside": aside}
        echo(json.dumps(content))
        return
    if done.aside is None:
        echo(f"{path}: round {to} is the last one; nothing to do")
        return
    after = f"round {done.last} is" if done.last == to + 1 else f"rounds {to + 1} to {done.last} are"
    echo(f"{path}: rolled back to round {to}; {after} set aside in {done.aside.relative_to(path)}")
    echo(f"train them again:       {resume_command(path)}")
    other = run_command(path, "run", path / SPEC, "--from", f"{path}@{to}")
    echo(f"other settings:         {other} --set KEY=VALUE")
