"""The report of a run as Markdown."""

from __future__ import annotations

from ...foundation.markup import code, escaped, fenced
from ..markdown import listed, table_text
from . import narrative
from .tables import SampleCard, results_table, rivals_table, rounds_table, sample_cards
from .view import RunView


def markdown(view: RunView) -> str:
    """The whole report, without curves."""
    results, rivals = results_table(view), rivals_table(view)
    cards = sample_cards(view)
    samples = [_card(number, card) for number, card in enumerate(cards, 1)]
    about = f"Chosen by the hashes of their ids when the run started, from the {view.samples.split if view.samples else ''} split."
    parts = [
        f"# {escaped(view.name)}",
        escaped(str(view.spec.get("description", ""))),
        escaped(narrative.lead(view)),
        listed(escaped(note) for note in narrative.notes(view)),
        listed(f"**{escaped(name)}**: {escaped(text)}" for name, text in narrative.facts(view)),
        *(("## Results", table_text(results)) if results else ()),
        *(("### Trivial models on the same splits", table_text(rivals)) if rivals else ()),
        *(("## Samples", about, *samples) if samples else ()),
        *(("## Gained and lost", text) if (text := narrative.forgetting(view)) else ()),
        *(("## Rounds", table_text(rounds_table(view))) if view.records else ()),
        "## Next",
        fenced(narrative.next_commands(view), "bash"),
        "## Provenance",
        listed(f"{escaped(name)}: {code(text)}" for name, text in narrative.origin(view)),
        "## Spec",
        fenced(view.spec_toml, "toml"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _card(number: int, card: SampleCard) -> str:
    lines = [f"### Sample {number}"]
    if len(card.parts) == 1:
        lines.append(fenced(card.parts[0][1]))
    else:
        lines.append(", ".join(f"{escaped(name)} {code(text)}" for name, text in card.parts))
    if card.expected:
        lines.append(f"{card.expected_title}: {code(card.expected)}")
    titles = ["Round", *(["Answer"] if card.has_answers else []), "Judged"]
    titles += [card.probability_title.capitalize()] if card.probability_title else []
    rows = [titles, [":--"] * len(titles)]
    for rounds, answer, judgement, probability, _ in card.spans:
        row = [escaped(rounds), *([code(answer)] if card.has_answers else []), escaped(judgement)]
        rows.append([*row, *([escaped(probability)] if card.probability_title else [])])
    lines.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(lines)
