from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.spec import Spec, SpecError
from boostlora.engine.spec.faults import MOST_NAMES, unknown_name

Read = Callable[[str], Spec]
Faults = Callable[[str], list[str]]

NEEDED = '[task]\nuse = "digits"\n[model]\nuse = "mlp"\n'


def test_spec_reports_all_faults_in_file_order(faults: Faults) -> None:
    text = """\
sed = 1
rounds = "3"
[optimizer]
lr = -1
stepps = 3
[stop]
patience = true
on_nonfinite = "skp"
[sampler]
use = "failure"
[sites]
exclude = [1, "a", 2]
[task]
use = "digits"
[model]
use = "mlp"
hidden = [0]
depth = 2
"""
    assert faults(text) == [
        '1:1: unknown key "sed"',
        '2:10: rounds: expected a whole number, got "3"',
        '4:6: "lr" must be more than 0, not -1.0',
        '5:1: unknown key "stepps"',
        "7:12: stop.patience: expected a whole number, got true",
        '8:16: stop.on_nonfinite: expected one of "stop", "skip", got "skp"; did you mean "skip"?',
        '10:7: unknown sampler plugin "failure"',
        "12:12: sites.exclude.0: expected a string, got 1",
        "12:20: sites.exclude.2: expected a string, got 2",
        '17:10: "hidden" must be a whole number of at least 1, not [0]',
        '18:1: unknown key "depth"',
    ]


def test_spec_empty_text_lacks_task_and_model(read: Read) -> None:
    with pytest.raises(SpecError) as caught:
        read("")
    messages = [(f.position(), f.message, f.allowed) for f in caught.value.faults]
    assert messages == [
        (
            "s.toml:1:1",
            'missing table "[task]"',
            (
                'use = "arithmetic" | "digits" | "gsm8k" | "humaneval" | "language-modelling" | "math500" | "mbpp" | '
                '"protein-binding" | "table" | "text-classification" | "text-regression"'
            ),
        ),
        (
            "s.toml:1:1",
            'missing table "[model]"',
            'use = "hf-causal-lm" | "hf-classifier" | "mlp" | "scratch-causal-lm" | "scratch-classifier"',
        ),
    ]


def test_spec_task_without_use_lacks_the_key_at_its_table(faults: Faults) -> None:
    assert faults('[model]\nuse = "mlp"\n\n[task]\nangle = 3\n') == ['4:1: missing key "use"']


def test_spec_missing_options_show_type_and_help(read: Read) -> None:
    with pytest.raises(SpecError) as caught:
        read('[model]\nuse = "mlp"\n[task]\nuse = "table"\n')
    assert [(f.position(), f.message, f.allowed.split("  # ")[0]) for f in caught.value.faults] == [
        ("s.toml:3:1", 'missing key "path"', "path = a file's path, as a string"),
        ("s.toml:3:1", 'missing key "label"', "label = a string"),
    ]


def test_spec_fault_whole_text_shows_line_caret_allowed_and_hint(read: Read) -> None:
    with pytest.raises(SpecError) as caught:
        read(NEEDED + "[stop]\n\tpatients = 2  # why\n")
    assert str(caught.value) == (
        's.toml:6:2: unknown key "patients"\n'
        "    6 |  patients = 2  # why\n"
        "      |  ^^^^^^^^\n"
        "      allowed: patience, metric, min_delta, on_nonfinite\n"
        '      did you mean "patience"?'
    )


def test_spec_unknown_plugin_has_a_suggestion(read: Read) -> None:
    with pytest.raises(SpecError) as caught:
        read(NEEDED + '[basis]\nuse = "rotat"\n')
    (fault,) = caught.value.faults
    assert fault.hint == 'did you mean "rotate"?'
    assert {"rotate", "fixed", "random"} <= set(fault.allowed.split(", "))
    assert fault.as_json()["line"] == 6
    assert fault.as_json()["column"] == 7


TABLE = '[model]\nuse = "mlp"\n[task]\nuse = "table"\nlabel = "y"\npath = '


def test_spec_file_that_exists_is_read_as_absolute(read: Read, folder: Path) -> None:
    (folder / "rows.csv").write_text("x,y\n")
    assert read(TABLE + '"rows.csv"\n').task.path == str((folder / "rows.csv").resolve())


@pytest.mark.parametrize(
    "name", ["no.csv", "", ".", "~nobody-has-this-name/a.csv", "a\\u0000b", "x" * 5000, "rows.csv/inner"]
)
def test_spec_file_that_does_not_exist_is_a_fault(faults: Faults, folder: Path, name: str) -> None:
    (folder / "rows.csv").write_text("x,y\n")
    (fault,) = faults(f'{TABLE}"{name}"\n')
    assert fault.startswith(f'6:8: no file "{folder}')
    assert len(fault) < 300


SYNTAX = {
    "unclosed string": ('a = "b\n', "1:7: not valid TOML: illegal character '\\n'"),
    "a long unclosed string": (f'a = "{"b" * 99}', "1:105: not valid TOML: unterminated string"),
    "no value": ("seed =\n", "1:7: not valid TOML: invalid value"),
    "no equals": ("seed 1\n", "1:6: not valid TOML: expected '=' after a key in a key/value pair"),
    "no newline": (
        "seed = 1 rounds = 2\n",
        "1:10: not valid TOML: expected newline or end of document after a statement",
    ),
    "the same key twice": ("seed = 1\nseed = 2\n", "2:9: not valid TOML: cannot overwrite a value"),
    "the same table twice": ("[stop]\n[stop]\n", "2:6: not valid TOML: cannot declare ('stop',) twice"),
    "a bare word": ("name = digits\n", "1:8: not valid TOML: invalid value"),
}


@pytest.mark.parametrize(("text", "message"), SYNTAX.values(), ids=SYNTAX)
def test_spec_invalid_toml_is_one_fault_at_its_position(faults: Faults, text: str, message: str) -> None:
    assert faults(text) == [message]


def test_unknown_name_lists_the_closest_then_some_names_then_the_command_for_all() -> None:
    few, many = ["first", "second"], [f"run-{number}" for number in range(MOST_NAMES + 3)]
    assert unknown_name("run", "third", few) == 'no run "third"; there are: first, second'
    assert unknown_name("run", "frist", few, place="runs") == (
        'no run "frist"; did you mean "first"? In runs there are: first, second'
    )
    assert unknown_name("run", "x", many, place="runs", command="boostlora runs") == (
        f'no run "x"; in runs there are: {", ".join(many[:MOST_NAMES])}, and 3 more; list them with: boostlora runs'
    )
    exact = many[:MOST_NAMES]
    assert unknown_name("run", "x", exact, command="c") == f'no run "x"; there are: {", ".join(exact)}'
    assert unknown_name("run", "x", []) == 'no run "x"; there are: none yet'
