"""`boostlora rollback`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..foundation.shell import command_line
from .common import json_option, resume_command, runs_option
from .terminal import echo


@click.command("rollback")
@click.argument("run")
@click.option("--to", type=int, required=True, metavar="N", help="The last round that stays; 0 is the base.")
@runs_option
@json_option
def command(run: str, to: int, runs_folder: Path, as_json: bool) -> None:
    """Take RUN, a run's folder, name or hash, back to round N. What came after is set aside in the run, not deleted.

    The rounds that stay are checked first; a damaged round after them is in nobody's way. Played again with `resume`, the
    rounds come out the same; to go on with other settings, see `run --from`.
    """
    from ..runs.directory import SPEC, RunDirectory
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
        echo(f"{path}: round {to} is its last; nothing to do")
        return
    after = f"round {done.last} is" if done.last == to + 1 else f"rounds {to + 1} to {done.last} are"
    echo(f"{path}: back at round {to}; {after} set aside in {done.aside.relative_to(path)}")
    echo(f"play them again:        {resume_command(RunDirectory.open(path))}")
    other = command_line("boostlora", "run", path / SPEC, "--from", f"{path}@{to}")
    echo(f"go on another way:      {other} --set KEY=VALUE")
