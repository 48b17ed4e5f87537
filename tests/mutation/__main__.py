"""Mutation testing: changes the sources on purpose, one expression at a time, and asks which tests notice.

Run from the root of a checkout, with the Python that has the project's dependencies:

    python -m tests.mutation sample --out mutants.json
    python -m tests.mutation instrument --mutants mutants.json --into /tmp/mutated
    python -m tests.mutation cover --into /tmp/mutated --log hits.tsv
    python -m tests.mutation run --into /tmp/mutated --log hits.tsv --out after.jsonl
    python -m tests.mutation compare before.jsonl after.jsonl --mutants mutants.json

All mutants are in one copy of the packages, and the environment says which is active. A mutant is found again in another commit by
its file, the function around it, its text, and which of equal ones it is; where these have changed it is lost, not guessed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import click

from .instrumented import PACKAGES, write
from .reach import Reached, chunks, ordered, records, tests_of
from .sites import Mutant, located, numbered, sources

FOLDERS = (
    *(
        f"engine/{name}"
        for name in ("boosting", "foundation", "sdk", "statistics", "spec", "records", "runs")
    ),
    *(f"plugins/{name}" for name in ("bases", "samplers", "objectives")),
    *(f"backends/{name}" for name in ("reference", "torch")),
)
LEAST = 4
"""Mutants a folder has at least."""
TEST_SECONDS = 300
"""What one test may take, as in the Makefile."""
VARIABLES = ("MUTANT", "MUTATION_LOG", "MUTATION_TESTS", "MUTATION_IDS", "MUTATION_TEST", "PYTEST_ADDOPTS")

Result = dict[str, Any]


def path_option(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that names a file or folder."""
    return click.option(name, type=Path, required=True)


@click.group(help=str(__doc__).partition("\n")[0])
def cli() -> None:
    """The commands; each says what it does."""


@cli.command()
@click.option("--count", default=120, show_default=True)
@click.option("--seed", default=0, show_default=True)
@path_option("--out")
@click.argument("folders", nargs=-1)
def sample(count: int, seed: int, out: Path, folders: tuple[str, ...]) -> None:
    """Draw mutants at random: the same for the same seed and sources."""
    possible = {folder: candidates(folder) for folder in folders or FOLDERS}
    quotas = shares({folder: len(found) for folder, found in possible.items()}, count)
    mutants: list[Mutant] = []
    for folder, found in possible.items():
        click.echo(f"{quotas[folder]:4} of {len(found):5}  {folder}")
        mutants += drawn(found, quotas[folder], random.Random(f"{seed} {folder}"))  # noqa: S311 - a sample
    numbers = [{"number": n, **mutant} for n, mutant in enumerate(mutants, 1)]
    out.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


def candidates(folder: str) -> list[Mutant]:
    """Everything that can be changed in a folder."""
    found: list[Mutant] = []
    for path, source in sources([folder]).items():
        for site, occurrence, of in numbered(source):
            scope, kind, original, mutated = site.key
            place = {"path": path, "line": site.node.lineno, "column": site.node.col_offset + 1}
            text = {"original": original, "mutated": mutated, "kind": kind}
            among = {"scope": scope, "occurrence": occurrence, "of": of}
            found.append({**place, **text, **among, "span": source.span(site.node)})
    return found


def shares(sizes: dict[str, int], count: int) -> dict[str, int]:
    """How many mutants a folder gets: in proportion to what is possible there, and not fewer than the least."""
    found = {folder: max(LEAST, round(count * n / sum(sizes.values()))) for folder, n in sizes.items()}
    found[max(found, key=lambda folder: found[folder])] += count - sum(found.values())
    return found


def drawn(possible: list[Mutant], count: int, rng: random.Random) -> list[Mutant]:
    """A sample in which no expression is part of another one, in the order of the sources."""
    rng.shuffle(possible)
    chosen: list[Mutant] = []
    for mutant in possible:
        start, end = mutant["span"]
        near = [other["span"] for other in chosen if other["path"] == mutant["path"]]
        if len(chosen) < count and all(end <= first or last <= start for first, last in near):
            chosen.append(mutant)
    return sorted(chosen, key=lambda mutant: (mutant["path"], mutant.pop("span")))


@cli.command()
@path_option("--mutants")
@path_option("--into")
def instrument(mutants: Path, into: Path) -> None:
    """Write a copy of the packages with all mutants in it; report those that are not in these sources."""
    listed: list[Mutant] = json.loads(mutants.read_text(encoding="utf-8"))
    files = sources(PACKAGES)
    sites = located(listed, files)
    write(files, listed, sites, into)
    (into / "mutants.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
    for mutant in listed:
        if "lost" in mutant:
            click.echo(f"lost {mutant['number']}: {shown(mutant)}: {mutant['lost']}")
    click.echo(f"{len(sites)} of {len(listed)} mutants are in {into}")


def shown(mutant: Mutant) -> str:
    return f"{mutant['path']}:{mutant['line']}  {mutant['original']}  ->  {mutant['mutated']}"


@cli.command(context_settings={"ignore_unknown_options": True})
@path_option("--into")
@path_option("--log")
@click.option("--workers", default=1, show_default=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def cover(into: Path, log: Path, workers: int, arguments: tuple[str, ...]) -> None:
    """Run the default suite, no mutant active, and note which test reaches which mutant; what follows `--` goes to pytest."""
    told = tests_of(log)
    for path in (log, told):
        path.unlink(missing_ok=True)
    log.touch()
    more = {"MUTATION_LOG": str(log.resolve()), "MUTATION_TESTS": str(told.resolve())}
    with tempfile.TemporaryDirectory(prefix="m", ignore_cleanup_errors=True) as folder:
        command = pytest_command("-m", "not slow", "-n", str(workers if workers > 1 else 0), *arguments)
        environment = variables(into, Path(folder), **more)
        code = subprocess.run(command, env=environment, check=False).returncode
    reached = Reached.read(log)
    numbers = {mutant["number"] for mutant in json.loads((into / "mutants.json").read_text(encoding="utf-8"))}
    click.echo(
        f"{len(numbers & set(reached.hits))} of {len(numbers)} mutants are reached by a test that passes"
    )
    for test in (test for test, what in reached.tests.items() if not what.get("passed")):
        click.echo(f"not used, it does not pass: {test}")
    for number in sorted(reached.imports - set(reached.hits)):
        click.echo(f"mutant {number} is reached by imports only")
    sys.exit(0 if code in {0, 1} else code)


def pytest_command(*arguments: str) -> list[str]:
    gained = ["-p", "mutation_plugin", "-p", "no:cacheprovider", "--timeout", str(TEST_SECONDS)]
    return [sys.executable, "-m", "pytest", *gained, *arguments]


def variables(into: Path, folder: Path, **more: str) -> dict[str, str]:
    """The environment of pytest: the copy comes first on the path, hypothesis draws the same every time, files go to a folder."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    path = os.pathsep.join([str(into.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])])
    gained = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CI": "1", "PYTEST_DEBUG_TEMPROOT": str(folder)}
    return kept | gained | more


@cli.command()
@path_option("--into")
@path_option("--log")
@path_option("--out")
@click.option("--only", default="", help="Numbers of mutants, with commas; all without it.")
@click.option("--workers", default=1, show_default=True)
@click.option(
    "--timeout", default=900.0, show_default=True, help="Seconds, beyond five times what its tests took."
)
@click.option("--most", type=click.IntRange(min=1), help="Tests a mutant gets at most; all without it.")
def run(
    *, into: Path, log: Path, out: Path, only: str, workers: int, timeout: float, most: int | None
) -> None:
    """Run, for each mutant that has no result yet, the tests that reach it, until one fails."""
    listed: list[Mutant] = json.loads((into / "mutants.json").read_text(encoding="utf-8"))
    wanted = {int(number) for number in only.split(",") if number} or {mutant["number"] for mutant in listed}
    wanted -= set(results(out)) if out.exists() else set()
    reached = Reached.read(log)
    with ThreadPoolExecutor(workers) as pool, out.open("a", encoding="utf-8") as file:
        mutants = [mutant for mutant in listed if mutant["number"] in wanted]
        for future in as_completed(
            [pool.submit(judged, mutant, into, reached, timeout, most) for mutant in mutants]
        ):
            file.write(json.dumps(future.result()) + "\n")
            file.flush()
            click.echo(json.dumps(future.result()))


def judged(mutant: Mutant, into: Path, reached: Reached, timeout: float, most: int | None = None) -> Result:
    """The result of a mutant: caught, survived, uncovered or error."""
    began, ran, planned = time.monotonic(), 0, 0
    hit = reached.hits.get(mutant["number"], set())
    found: Result = {"status": "survived" if hit else "uncovered"}
    if "lost" in mutant:
        found, hit = {"status": "error", "detail": mutant["lost"]}, set()
    elif not hit and mutant["number"] in reached.imports:
        found["detail"] = "reached by imports only"
    for tests in chunks(ordered(mutant, hit, reached)[:most]):
        limit = timeout + 5 * sum(reached.tests[test].get("seconds", 0.0) for test in tests)
        found = attempt(mutant["number"], tests, into, limit)
        ran, planned = ran + found.pop("ran"), planned + len(tests)
        if found["status"] != "survived":
            break
    if found["status"] == "survived" and ran < planned:
        found["detail"] = f"{planned - ran} tests were not found"
    seconds = round(time.monotonic() - began, 1)
    return {"number": mutant["number"], **found, "seconds": seconds, "covering": len(hit), "ran": ran}


def attempt(number: int, tests: list[str], into: Path, limit: float) -> Result:
    """What becomes of a mutant in one run of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="m"))
    ids, told, said = folder / "ids", folder / "tests", folder / "said"
    ids.write_text("\n".join(tests), encoding="utf-8")
    more = {"MUTANT": str(number), "MUTATION_IDS": str(ids), "MUTATION_TESTS": str(told)}
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    command = pytest_command("-x", "-q", "-n", "0", "--tb=short", *files)
    try:
        code = finished(command, variables(into, folder, **more), said, limit)
        outcomes, text = records(told), said.read_text(encoding="utf-8", errors="replace")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    first = next((test for test, what in outcomes.items() if not what.get("passed")), None)
    found: Result = {"status": "caught", "kind": "failure", "test": first, "ran": len(outcomes)}
    if code is None or (code == 1 and "from pytest-timeout" in text):
        return found | {"kind": "timeout"}
    if code < 0:
        return found | {"kind": "crash", "detail": f"signal {-code}"}
    if code == 1 and first:
        return found
    if code == 0 and outcomes:
        return {"status": "survived", "ran": len(outcomes)}
    ended = f"pytest ended with {code} after {len(outcomes)} of {len(tests)} tests: "
    return {"status": "error", "detail": ended + text[-600:], "ran": len(outcomes)}


def finished(command: list[str], environment: dict[str, str], said: Path, limit: float) -> int | None:
    """The exit code of a command, or None where it had to be ended, with its children."""
    with said.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def results(path: Path) -> dict[int, Result]:
    return {r["number"]: r for r in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


@cli.command()
@click.argument("before", type=Path)
@click.argument("after", type=Path)
@path_option("--mutants")
def compare(before: Path, after: Path, mutants: Path) -> None:
    """Print how many mutants are caught before and after, by folder, and those that are not caught in both."""
    listed: list[Mutant] = json.loads(mutants.read_text(encoding="utf-8"))
    old, new = results(before), results(after)
    groups: dict[str, list[str]] = defaultdict(list)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant in listed:
        was, now = (found.get(mutant["number"], {}).get("status", "not run") for found in (old, new))
        for row in (mutant["path"].rpartition("/")[0], "all"):
            counts[row].update(["mutants", *["before"] * (was == "caught"), *["after"] * (now == "caught")])
        title = {(True, False): "Caught before, not after", (False, True): "Caught after, not before"}
        known = title.get((was == "caught", now == "caught"), "Caught neither before nor after")
        if {was, now} not in ({"caught"}, {"not run"}):
            groups[known].append(f"  {mutant['number']:4} {shown(mutant)}  ({was}, {now})")
    click.echo(f"{'folder':30}{'mutants':>8}{'before':>8}{'after':>8}")
    for row in sorted(counts, key=lambda row: (row == "all", row)):
        click.echo(
            f"{row:30}" + "".join(f"{counts[row][column]:8}" for column in ("mutants", "before", "after"))
        )
    for known, lines in groups.items():
        click.echo("\n".join([f"\n{known}: {len(lines)}", *lines]))


if __name__ == "__main__":
    cli()
