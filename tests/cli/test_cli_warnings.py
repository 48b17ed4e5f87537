from __future__ import annotations

import pytest

SPEC = """
name = "few"
rounds = 1
[task]
use = "table"
path = "few.csv"
label = "y"
[model]
use = "mlp"
[adapter]
use = "lora-xs"
rank = 1
"""


@pytest.mark.filterwarnings("default:.* have inputs that also occur in the training data:RuntimeWarning")
@pytest.mark.parametrize("command", ["check", "run"])
def test_command_shows_a_warning_about_the_data_as_one_line(boostlora, tmp_path, command) -> None:
    (tmp_path / "few.toml").write_text(SPEC)
    (tmp_path / "few.csv").write_text("x,z,y\n" + "1,2,a\n2,1,b\n" * 20)
    answer = boostlora(command, "few.toml")
    assert answer.returncode == 0
    told = [line for line in answer.stderr.splitlines() if "occur in the training data" in line]
    expected = (
        "warning: task table: 8 of 8 validation examples and 8 of 8 test examples have inputs that also occur in the training data: their "
        "accuracy may measure memorisation; put each input into one split only"
    )
    assert told == [expected]
    assert "leakage.py" not in answer.stderr
