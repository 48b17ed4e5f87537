"""Every causal architecture of the installed transformers is right, or refused by name; docs/architectures.md has the table."""

import re
import string
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

TABLE = Path(__file__).parents[2] / "docs/architectures.md"


@pytest.mark.slow(reason="two hundred architectures, some of which compute token by token")
@pytest.mark.parametrize("letter", string.ascii_lowercase)
def test_every_architecture_is_right_or_refused_by_name(letter):
    import transformers

    from ..support.architectures import examine, families, row

    found = [examine(family) for family in families() if family.startswith(letter)]
    wrong = [row(one) for one in found if one.status.startswith("WRONG")]
    assert not wrong, "\n".join(wrong)
    text = TABLE.read_text()
    if f"transformers {transformers.__version__} " not in text:
        pytest.skip(f"the table is of another version than transformers {transformers.__version__}")
    told = [line for line in text.splitlines() if re.match(rf"\| `{letter}", line)]
    assert told == [row(one) for one in found]


def test_table_of_architectures_has_those_that_people_use():
    rows = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", TABLE.read_text(), re.MULTILINE))
    used = ("llama", "qwen2", "qwen3", "qwen3_moe", "qwen3_next", "mistral", "mixtral", "gemma3_text", "phi3")
    used += ("gpt2", "gpt_neox", "falcon", "mamba", "falcon_mamba", "jamba", "bamba", "zamba", "opt", "bloom")
    assert {family: rows[family] for family in used} == dict.fromkeys(used, "right")
