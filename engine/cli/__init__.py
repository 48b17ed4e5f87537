"""The command line. Each command is a module that is imported when it is called, so `--help` stays fast."""

from __future__ import annotations

import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import click

from .terminal import echo

COMMANDS: Mapping[str, str] = {
    "init": "Write a first spec for a data file, or a study of a spec.",
    "run": "Run a spec: boost a model round by round.",
    "resume": "Resume an interrupted run.",
    "check": "Validate a spec and print its plan, without running it.",
    "advise": "Suggest basis, rank, sites and schedule from one gradient.",
    "ablate": "Run a study, a spec with an [ablate] table.",
    "status": "Show the progress of a study.",
    "collect": "Collect a study's queued cells, and compare its arms.",
    "report": "Write a study's report: HTML, Markdown, LaTeX, CSV, figures.",
    "verify": "Compare a backend with the reference, round by round.",
    "runs": "List all runs in a table, as CSV or as JSON.",
    "show": "Show a run's rounds, or compare several runs.",
    "compare": "Compare two runs, example by example.",
    "evaluate": "Evaluate any selection of a run's rounds.",
    "predict": "Predict new rows of a file with a run's model.",
    "generate": "Complete prompts with a run's language model.",
    "chat": "Talk to a run's language model.",
    "rollback": "Roll a run back to an earlier round.",
    "export": "Export a run's model to other libraries.",
    "apply": "Rebuild a model from its base and a boost file.",
    "plugins": "List every plugin with its options.",
    "specs": "List the shipped specs.",
}


TRACEBACK = "BOOSTLORA_TRACEBACK"
"""An environment variable; if it is set, errors are printed with their traceback."""


class LazyGroup(click.Group):
    """Commands by name, imported on demand; the overview imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f".{cmd_name}", __package__).command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Add a did-you-mean to an unknown command."""
        from difflib import get_close_matches

        if args and args[0] not in COMMANDS and (close := get_close_matches(args[0], COMMANDS, n=1)):
            ctx.fail(f'No such command "{args[0]}"; did you mean "{close[0]}"?')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, from `COMMANDS`."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        echo(f"boostlora {version('boostlora')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def group(ctx: click.Context) -> None:
    """Fine-tune by boosting: find what a model gets wrong, train a tiny adapter on it, merge, repeat.

    Start with: boostlora run quickstart

    Exit codes: 0 ok, 2 bad spec or usage, 3 run failed, 4 verification failed, 130 interrupted.
    """
    from ..foundation.process_group import process_info

    if process_info().shared:
        from .torchrun import admit

        admit(ctx.invoked_subcommand)


def main() -> None:
    """Entry point. Every expected error is one message on standard error and an exit code."""
    from .streams import exit_code, flushed, prepare

    prepare()
    try:
        code = _called()
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        code = exit_code(end.code)
    unprinted = flushed(quiet=code != 0)
    sys.exit(code or unprinted)


def _called() -> int:
    """Call the command and return its exit code. Raises unexpected errors, which are bugs."""
    from .streams import user_error

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            group.main(prog_name="boostlora", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (KeyboardInterrupt, click.Abort):
        _print_error("interrupted")
        from .exit_codes import EXIT_INTERRUPTED

        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `boostlora show … | head`
        return 0
    except Exception as error:
        expected = user_error(error)
        if expected is None:
            raise
        if os.environ.get(TRACEBACK):
            _print_traceback(error)
        _print_error(expected.message, expected.show)
        return expected.code
    return 0


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as one line, without the source line that raised it."""
    echo(f"warning: {message}", err=True)


def _print_traceback(error: Exception) -> None:
    """Print the whole traceback of an expected error, for authors of plugins."""
    import traceback

    with suppress(OSError):
        echo("".join(traceback.format_exception(error)).rstrip("\n"), err=True)


def _print_error(message: str, show: Callable[[io.StringIO], None] | None = None) -> None:
    """Print an error. Of several processes with the same error, only process 0 prints it at once."""
    from ..foundation.process_group import process_info

    if not process_info().leads:
        from .torchrun import print_late

        print_late(message)
        return
    with suppress(OSError):  # standard error is closed or full
        if show is None:
            echo(message, err=True)
            return
        text = io.StringIO()
        show(text)
        echo(text.getvalue().rstrip("\n"), err=True)
