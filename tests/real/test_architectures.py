"""Every architecture of the installed transformers is right, or refused by name; docs/architectures.md has the tables."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

TABLES = Path(__file__).parents[2] / "docs/architectures.md"
HEADINGS = {"causal": "## Language models", "encoder": "## Encoders"}


def told(kind):
    """The rows of a table, by family."""
    part = TABLES.read_text().partition(HEADINGS[kind])[2].partition("\n## ")[0]
    return {line.split("`")[1]: line for line in part.splitlines() if line.startswith("| `")}


CASES = [(kind, family) for kind in HEADINGS for family in told(kind)]


@pytest.mark.slow(reason="three hundred architectures, two minutes in all")
@pytest.mark.parametrize(("kind", "family"), CASES, ids=map("-".join, CASES))
def test_architecture_is_right_or_refused_by_name(kind, family):
    import transformers

    from ..support.architectures import examine, families, row

    if family not in families(kind):
        pytest.skip(f"transformers {transformers.__version__} does not have it")
    found = examine(family, kind)
    assert not found.status.startswith("WRONG"), row(found, kind)
    if f"transformers {transformers.__version__} " in TABLES.read_text():
        assert row(found, kind) == told(kind)[family]


@pytest.mark.slow(reason="imports transformers")
@pytest.mark.parametrize("kind", HEADINGS)
def test_table_has_every_architecture_of_its_version(kind):
    import transformers

    from ..support.architectures import families

    if f"transformers {transformers.__version__} " not in TABLES.read_text():
        pytest.skip(f"the tables are of another version than transformers {transformers.__version__}")
    assert list(told(kind)) == families(kind)


def test_table_has_the_common_architectures():
    used = {
        "causal": "llama qwen2 qwen3 qwen3_moe qwen3_next mistral mixtral gemma3_text gemma3 phi3 gpt2 gpt_neox falcon mamba "
        "falcon_mamba jamba bamba zamba opt bloom",
        "encoder": "bert roberta xlm-roberta distilbert electra deberta deberta-v2 esm modernbert mpnet albert llama qwen2",
    }
    for kind, names in used.items():
        rows = told(kind)
        assert [family for family in names.split() if "` | right" not in rows[family]] == []


@pytest.mark.parametrize("kind", HEADINGS)
def test_table_states_the_count_of_each_outcome(kind):
    rows = told(kind)
    right = sum("` | right" in line for line in rows.values())
    refused = sum("` | refused: " in line for line in rows.values())
    assert right + refused == len(rows)
    assert (
        f"Of {len(rows)} architectures {right} are right and {refused} are refused by name."
        in TABLES.read_text()
    )
