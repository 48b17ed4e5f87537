"""Texts of a run's report: the answer, what was run, where it comes from, and what to type next."""

from __future__ import annotations

from typing import Any

from ...analysis.quantities import gained, lost, metrics_of_splits, parameters
from ...analysis.run_findings import base_is_best, divergence_lines, rival_table
from ...foundation.counts import count_text
from ...foundation.shell import command_line
from ...sdk.metrics import cost
from ..quantities import MISSING, format_value, in_sentence, quantity, with_unit
from .view import RunView


def lead(view: RunView) -> str:
    """The result in one or two sentences."""
    if not view.records:
        return "No round has finished yet, so there is no answer yet."
    last, best = len(view.records) - 1, view.best
    if best == 0:
        if last:
            sentence = base_is_best(view.metric).partition(". ")[0]
            return f"{sentence[:1].upper()}{sentence[1:]} ({_splits(view, 0)})."
        return f"Only the base model has been evaluated: {_splits(view, 0)}."
    which = f"round {best}, the best on validation" + ("" if view.is_finished else " so far")
    before, after = (metrics_of_splits(view.records[number]) for number in (0, best))
    changes = [
        f"{in_sentence(name)} went from {with_unit(name, before.get(name))} to {with_unit(name, after.get(name))}"
        for name in (f"validation.{view.headline}", f"test.{view.headline}")
    ]
    sentence = f"From the base model to {which}, {changes[0]}, and {changes[1]}"
    if best != last:
        sentence += f". After round {last}, the last: {_splits(view, last)}"
    return sentence + "."


def _splits(view: RunView, number: int) -> str:
    found = metrics_of_splits(view.records[number])
    names = [f"{split}.{view.headline}" for split in ("validation", "test")]
    return ", ".join(f"{in_sentence(name)} {with_unit(name, found.get(name))}" for name in names)


def state(view: RunView) -> str:
    """`finished`, `failed` or `unfinished`."""
    return "unfinished" if view.result is None else "finished" if view.is_finished else "failed"


def notes(view: RunView) -> list[str]:
    """Caveats: an unfinished or failed run, a diverged loss, refused rounds, a rival that is as good."""
    found = list[str]()
    if view.result is None:
        done = max(0, len(view.records) - 1)
        found.append(f"The run is unfinished: {done} of {view.planned} rounds so far.")
    elif not view.is_finished:
        found.append(f"The run failed: {view.result['reason']}.")
    if not view.records:
        return found
    base, best = view.records[0], view.records[view.best]
    if cost(best.test, view.metric) > cost(base.test, view.metric):
        found.append(f"On the test split round {best.round} is worse than the base ({view.headline}).")
    refused = [record.round for record in view.records if record.status in {"refused", "nonfinite"}]
    if refused:
        numbers = ", ".join(map(str, refused[:8])) + (", …" if len(refused) > 8 else "")
        found.append(
            f"{len(refused)} of {len(view.records) - 1} rounds changed nothing, since their updates were refused "
            f"({numbers}); the reasons are in the table of rounds."
        )
    if view.best == 0 and len(view.records) > 1:
        found.append(base_is_best(view.metric).partition(". ")[2] + ".")
    rivals = rival_table(view.provenance.get("rivals"), view.records, view.best)
    texts = [*divergence_lines(view.records), *(rivals.notes if rivals else ())]
    return found + [f"{text[:1].upper()}{text[1:]}." for text in texts]


def facts(view: RunView) -> list[tuple[str, str]]:
    """Key facts of the run."""
    model, task = view.table("model"), view.table("task")
    basis, adapter = view.table("basis").get("use"), view.table("adapter")
    found = [
        ("State", _ended(view)),
        ("Model", _named(model, ("path", "id", "module"))),
        ("Data", _named(task, ("path", "dataset"))),
        ("Adapter", f"{_named(adapter, ())}" + (f", basis {basis}" if basis else "")),
        ("Objective", _named(view.table("objective"), ())),
        ("Seed", str(view.spec.get("seed", 0))),
    ]
    if view.records:
        first, last = view.records[0], view.records[-1]
        counts = " / ".join(f"{getattr(first, split).count:,}" for split in ("train", "validation", "test"))
        found.insert(3, ("Training / validation / test", counts))
        found.append(("Trained parameters", f"{parameters(view.records):,}"))
        rank = max(last.rank.values(), default=0)
        found.append(("Rank of all updates", str(rank)))
    return [(name, text) for name, text in found if text]


def _ended(view: RunView) -> str:
    done = max(0, len(view.records) - 1)
    return f"{state(view)}, {done} of {count_text(view.planned, 'round')}"


def _named(table: Any, keys: tuple[str, ...]) -> str:
    """The plugin of a table, with the first of some options that it has; of a path, its last part."""
    use = str(table.get("use", ""))
    return next((f"{use} · {str(table[key]).rpartition('/')[2]}" for key in keys if table.get(key)), use)


def forgetting(view: RunView) -> str:
    """A sentence on training examples lost and gained, over all rounds; empty without rounds."""
    trained = view.records[1:]
    if not trained:
        return ""
    shares = [
        f"{format_value('lost', share)} % of those {what}" if share is not None else ""
        for share, what in ((lost(view.records), "right before a round"), (gained(view.records), "wrong"))
    ]
    counts = [sum(record.lost for record in trained), sum(record.gained for record in trained)]
    parts = [
        f"{count_text(count, 'training example')} {'was' if count == 1 else 'were'} {name}"
        + (f" ({share})" if share else "")
        for count, name, share in zip(counts, ("lost", "gained"), shares, strict=True)
    ]
    return (
        f"Over all rounds, {parts[1]}, and {parts[0]}: an example is gained in a round if it is wrong before and right after it, "
        "and lost if it is the other way round."
    )


def origin(view: RunView) -> list[tuple[str, str]]:
    """Provenance: folder, hashes, versions, hardware, command."""
    found = view.provenance
    lines = [
        ("Folder", view.path),
        ("Started", str(found.get("created") or "")),
        ("Command", _command(found.get("command"))),
        ("Digest", view.records[-1].digest if view.records else ""),
        *((f"Hash of the {name}", str(value)) for name, value in found.get("hashes", {}).items()),
        ("Versions", _pairs(found.get("versions"))),
        ("Resumed with", _pairs(found.get("resumed_with"))),
        ("Hardware", _pairs(found.get("hardware"))),
        ("Commit", _pairs(found.get("git")) if isinstance(found.get("git"), dict) else str(found.get("git") or "")),
        ("Plugin files", ", ".join(map(str, found.get("plugin_files", [])))),
        ("Continues from", _pairs(found.get("start"))),
    ]  # fmt: skip
    return [(name, text) for name, text in lines if text]


def _command(words: Any) -> str:
    return command_line(*map(str, words)) if isinstance(words, list) else ""


def _pairs(table: Any) -> str:
    if not isinstance(table, dict):
        return ""
    texts = ((name, ", ".join(map(str, v)) if isinstance(v, list) else v) for name, v in table.items())
    return ", ".join(f"{name} {text}" for name, text in texts if text not in (None, ""))


def next_commands(view: RunView) -> str:
    """Commands to type, one a line, each with what it does."""
    plugins = [w for file in view.provenance.get("plugin_files", []) for w in ("--plugin", str(file))]
    lines = list[tuple[str, str]]()
    if not view.is_finished:
        lines.append((command_line("boostlora", "resume", view.path, *plugins), "run the missing rounds"))
    if not view.records:
        return _commented(lines)
    lines.append(
        (command_line("boostlora", "show", view.path, "--samples"), "the answers above, in the terminal")
    )
    if len(view.records) > 1:
        if view.best == 0:
            lines.append(
                (command_line("boostlora", "advise", view.path, *plugins), "what to change in the spec")
            )
        lines += [
            (
                command_line("boostlora", "evaluate", view.path, "--leave-one-out", *plugins),
                "what each round is worth",
            ),
            (
                command_line("boostlora", "compare", f"{view.path}@0", view.path, *plugins),
                "gained and lost, by example",
            ),
            (command_line("boostlora", "verify", view.path, *plugins), "held to the reference"),
        ]
    if view.is_finished and view.best:
        lines.append(
            (command_line("boostlora", "export", view.path, "--to", "boost", *plugins), "a file to give away")
        )
    return _commented(lines)


def _commented(lines: list[tuple[str, str]]) -> str:
    width = max((len(command) for command, _ in lines), default=0)
    return "\n".join(f"{command:<{width}}  # {text}" for command, text in lines)


def quantity_title(name: str) -> str:
    """The title of a metric without its split, capitalised: `Accuracy`, `Loss`, `AUROC`."""
    title = quantity(f"test.{name}").title.removeprefix("Test ")
    return title[:1].upper() + title[1:] if title else MISSING
