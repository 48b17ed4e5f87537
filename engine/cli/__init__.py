"""The command line; every command is its own module, imported only when it is called, so that `--help` is instant."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import click

from .terminal import echo

COMMANDS: Mapping[str, str] = {
    "run": "Run a spec: boost a model round by round.",
    "resume": "Go on with a run that was interrupted.",
    "check": "Validate a spec and print the plan, without running it.",
    "advise": "Look at the data once, and say which basis, rank and sites to try.",
    "ablate": "Run a study: every cell of a spec with an [ablate] table.",
    "status": "Show how far the cells of a study are.",
    "collect": "Gather what a study's queued cells came to, and compare its arms.",
    "report": "Write a study's report: HTML, Markdown, LaTeX, CSV, figures.",
    "verify": "Hold a backend to the reference, round by round.",
    "runs": "List all runs in a table, as CSV or as JSON.",
    "show": "Show a run's rounds, or several runs.",
    "compare": "Compare two runs, example by example.",
    "evaluate": "Evaluate any selection of a run's rounds.",
    "rollback": "Take a run back to an earlier round.",
    "export": "Write a run's model for other libraries.",
    "apply": "Rebuild a merged model from its base and a boost file.",
    "plugins": "List every plugin with its options.",
    "specs": "List the specs that come with the package.",
}


class LazyGroup(click.Group):
    """Commands by name, each imported when it is needed; the overview needs none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which people use them."""
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
        """The overview, from the table above."""
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

    Start with:  boostlora run quickstart

    Exit codes: 0 ok, 2 bad spec or usage, 3 run failed, 4 verification failed, 130 interrupted.
    """
    from ..foundation.process_group import process_info

    if process_info().shared:
        from .torchrun import admit

        admit(ctx.invoked_subcommand)


def main() -> None:
    """Entry point: every expected error is one message on standard error and an exit code."""
    from .streams import ended, flushed, prepare

    prepare()
    try:
        code = _called()
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        code = ended(end.code)
    unprinted = flushed(quiet=code != 0)
    sys.exit(code or unprinted)


def _called() -> int:
    """Call the command; what the process exits with. Raises what nobody foresaw."""
    from .streams import in_words

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            group.main(prog_name="boostlora", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        from .exit_codes import EXIT_INTERRUPTED

        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `boostlora show … | head`
        return 0
    except Exception as error:
        told = in_words(error)
        if told is None:
            raise
        _say(told.message, told.show)
        return told.code
    return 0


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as one line, without the source line that raised it."""
    echo(f"warning: {message}", err=True)


def _say(message: str, show: Callable[[io.StringIO], None] | None = None) -> None:
    """Tell an error, in its own way where it has one; of several processes that meet the same one, only the leader."""
    from ..foundation.process_group import process_info

    if not process_info().leads:
        from .torchrun import say_last

        say_last(message)
        return
    with suppress(OSError):  # nobody is there to be told
        if show is None:
            echo(message, err=True)
            return
        shown = io.StringIO()
        show(shown)
        echo(shown.getvalue().rstrip("\n"), err=True)
