"""`boostlora generate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from ..foundation.options import shortened
from .common import json_option, plugin_option, runs_option
from .ensembles import best_rounds_option, open_used_run, with_sampling
from .progress_display import late_progress
from .terminal import echo

JSON_LINES = frozenset({".jsonl", ".ndjson"})


@click.command("generate")
@click.argument("run")
@click.argument("prompt", required=False)
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help='Prompts: one a line, or JSON lines (.jsonl) with "prompt".',
)
@best_rounds_option
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=64, show_default=True)
@with_sampling
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Completions of every prompt; more than one need a temperature.",
)
@click.option("--stop", multiple=True, metavar="TEXT", help="End a completion before this text; repeatable.")
@plugin_option
@runs_option
@json_option
def command(
    run: str,
    prompt: str | None,
    file: Path | None,
    rounds: str,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    samples: int,
    stop: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    as_json: bool,
) -> None:
    """Complete PROMPT, the prompts of a file, or the lines of standard input with RUN's language model.

    A prompt is the text as the task writes it. Completions are printed as they are done: one alone as it is, several below a line
    with their prompt.

    \b
    boostlora generate sums "12+30="
    boostlora generate sums --file prompts.txt --json
    boostlora generate sums "12+30=" --temperature 1 --samples 3 --stop ";"
    """  # noqa: D301 - click reads the backspace
    from ..ensemble.completions import decoding
    from .execution import plain_warnings

    how: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "samples": samples,
        "stop": stop,
    }
    decoding(**how)  # refuses contradictory options before anything is loaded
    asked = _prompts(prompt, file)
    total = 0 if file is None else len(asked := list(asked))
    alone = prompt is not None and samples == 1
    with plain_warnings(), late_progress() as report:
        ensemble, choice = open_used_run(run, rounds, runs_folder, plugin_files, report)
        for number, text in enumerate(asked, 1):
            if not alone:
                report("prompts", number - 1, total)
            found = ensemble.generate([text], choice, **how, seed=(seed, number))
            for sample, completion in enumerate(found, 1):
                if as_json:
                    row = {"number": number, "prompt": text, "sample": sample, "completion": completion}
                    echo(json.dumps(row))
                elif alone:
                    echo(completion)
                else:
                    which = f", sample {sample}" if samples > 1 else ""
                    echo(f"--- prompt {number}{which}: {shortened(text)}\n{completion}")
            sys.stdout.flush()


def _prompts(prompt: str | None, file: Path | None) -> Iterator[str]:
    """The prompts from their only source. Raises `UsageError` for two sources, or none."""
    if prompt is not None and file is not None:
        raise UsageError("give a PROMPT or --file, not both")
    if prompt is not None:
        return iter([prompt])
    if file is None:
        if sys.stdin.isatty():
            raise UsageError("give a PROMPT, --file FILE, or pipe prompts, one a line, to standard input")
        return _lines(sys.stdin, "standard input")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8") from error
    if file.suffix.lower() in JSON_LINES:
        return iter(_json_prompts(lines, file))
    return iter(list(_lines(lines, str(file))))


def _lines(lines: Iterable[str], where: str) -> Iterator[str]:
    """Lines that are not blank."""
    empty = True
    for line in lines:
        if line.strip():
            empty = False
            yield line.rstrip("\r\n")
    if empty:
        raise UsageError(f"{where}: it has no prompt; give one a line")


def _json_prompts(lines: Iterable[str], file: Path) -> list[str]:
    found = list[str]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{file}: line {number} is no JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("prompt"), str):
            raise UsageError(f'{file}: line {number} has no text "prompt"')
        found.append(row["prompt"])
    if not found:
        raise UsageError(f'{file}: it has no prompt; give one a line, such as {{"prompt": "12+30="}}')
    return found
