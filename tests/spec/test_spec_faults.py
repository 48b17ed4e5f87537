from __future__ import annotations

from collections.abc import Callable

import pytest

Faults = Callable[[str], list[str]]

NEEDED = '[task]\nuse = "digits"\n[model]\nuse = "mlp"\n'

# What is accepted, what is refused, and the whole of what is said about it. The needed tables follow the text.
PAIRS = {
    "unknown key at the top": ("seed = 1\n", "sed = 1\n", '1:1: unknown key "sed"'),
    "unknown table": ("[stop]\n", "[stopp]\n", '1:1: unknown key "stopp"'),
    "unknown key of a plugin": (
        "[sampler]\nreplay = 0.5\n",
        "[sampler]\nrepaly = 0.5\n",
        '2:1: unknown key "repaly"',
    ),
    "option of another plugin": (
        '[sampler]\nuse = "weighted"\neta = 1\n',
        '[sampler]\nuse = "failures"\neta = 1\n',
        '3:1: unknown key "eta"',
    ),
    "unknown key of sites": ("[sites]\nlayers = [0]\n", "[sites]\nlayer = [0]\n", '2:1: unknown key "layer"'),
    "unknown key of stop": (
        "[stop]\npatience = 2\n",
        "[stop]\n  patients = 2\n",
        '2:3: unknown key "patients"',
    ),
    "unknown dotted key": ("stop.patience = 2\n", "stop.patients = 2\n", '1:1: unknown key "patients"'),
    "unknown key in an inline table": (
        "stop = { patience = 2 }\n",
        "stop = { patience = 2, wait = 3 }\n",
        '1:24: unknown key "wait"',
    ),
    "key with a control character": (
        '"seed" = 1\n',
        '"se\\u001bd" = 1\n',
        '1:1: unknown key "se\\x1bd"',
    ),
    "bool for int": ("rounds = 1\n", "rounds = true\n", "1:10: rounds: expected a whole number, got true"),
    "float for int": ("rounds = 2\n", "rounds = 2.0\n", "1:10: rounds: expected a whole number, got 2.0"),
    "string for int": ("rounds = 2\n", 'rounds = "2"\n', '1:10: rounds: expected a whole number, got "2"'),
    "date for int": (
        "seed = 19790527\n",
        "seed = 1979-05-27\n",
        "1:8: seed: expected a whole number, got 1979-05-27",
    ),
    "int beyond 64 bits": (
        "seed = 9223372036854775807\n",
        "seed = 9223372036854775808\n",
        "1:8: seed: a whole number must fit into 64 bits",
    ),
    "bool for float": (
        "[stop]\nmin_delta = 1\n",
        "[stop]\nmin_delta = true\n",
        "2:13: stop.min_delta: expected a number, got true",
    ),
    "string for float": (
        "[optimizer]\nlr = 0.1\n",
        '[optimizer]\nlr = "0.1"\n',
        '2:6: optimizer.lr: expected a number, got "0.1"',
    ),
    "nan": (
        "[optimizer]\nlr = 0.1\n",
        "[optimizer]\nlr = nan\n",
        "2:6: optimizer.lr: expected a finite number, got nan",
    ),
    "inf": (
        "[optimizer]\nlr = 1e308\n",
        "[optimizer]\nlr = -inf\n",
        "2:6: optimizer.lr: expected a finite number, got -inf",
    ),
    "a float that overflows": (
        "[optimizer]\nlr = 1e308\n",
        "[optimizer]\nlr = 1e309\n",
        "2:6: optimizer.lr: expected a finite number, got inf",
    ),
    "int for bool": (
        '[optimizer]\nuse = "sgd"\nnesterov = true\n',
        '[optimizer]\nuse = "sgd"\nnesterov = 1\n',
        "3:12: optimizer.nesterov: expected true or false, got 1",
    ),
    "int for string": (
        'description = "1"\n',
        "description = 1\n",
        "1:15: description: expected a string, got 1",
    ),
    "list for string": (
        'description = "1"\n',
        'description = ["1", true]\n',
        '1:15: description: expected a string, got ["1", true]',
    ),
    "table for int": ("seed = 1\n", "[seed]\n", "1:1: seed: expected a whole number, got a table"),
    "below the least": ("seed = 0\n", "seed = -1\n", '1:8: "seed" must be at least 0, not -1'),
    "above the most": (
        "rounds = 100_000\n",
        "rounds = 100_001\n",
        '1:10: "rounds" must be at most 100000, not 100001',
    ),
    "not positive": (
        "[optimizer]\nlr = 1e-300\n",
        "[optimizer]\nlr = 0\n",
        '2:6: "lr" must be more than 0, not 0.0',
    ),
    "an item below the least": (
        '[merge]\nuse = "line-search"\nscales = [1]\n',
        '[merge]\nuse = "line-search"\nscales = [1, 0]\n',
        '3:10: "scales" must be more than 0, not [1.0, 0.0]',
    ),
    "bad name": (
        'name = "a-1_b.c"\n',
        'name = "A"\n',
        "1:8: \"name\" must be [a-z0-9][a-z0-9._-]{0,63}, not 'A'",
    ),
    "name that climbs": (
        'name = "a..b"\n',
        'name = "../b"\n',
        "1:8: \"name\" must be [a-z0-9][a-z0-9._-]{0,63}, not '../b'",
    ),
    "choice": (
        '[stop]\non_nonfinite = "skip"\n',
        '[stop]\non_nonfinite = "skp"\n',
        '2:16: stop.on_nonfinite: expected one of "stop", "skip", got "skp"; did you mean "skip"?',
    ),
    "choice without a near one": (
        '[stop]\non_nonfinite = "skip"\n',
        '[stop]\non_nonfinite = "zzz"\n',
        '2:16: stop.on_nonfinite: expected one of "stop", "skip", got "zzz"',
    ),
    "choice or number": (
        "[adapter]\ntie = 2\n",
        '[adapter]\ntie = "al"\n',
        '2:7: adapter.tie: expected one of "none", "all", "kind", "layer" or a whole number, got "al"',
    ),
    "bool for choice or number": (
        '[adapter]\ntie = "all"\n',
        "[adapter]\ntie = true\n",
        '2:7: adapter.tie: expected one of "none", "all", "kind", "layer" or a whole number, got true',
    ),
    "unknown plugin": (
        '[basis]\nuse = "rotate"\n',
        '[basis]\nuse = "rotat"\n',
        '2:7: unknown basis plugin "rotat"',
    ),
    "plugin that is no string": (
        '[basis]\nuse = "rotate"\n',
        "[basis]\nuse = 3\n",
        "2:7: basis.use: expected a string, got 3",
    ),
    "import path for plugin": (
        '[basis]\nuse = "rotate"\n',
        '[basis]\nuse = "os.path"\n',
        '2:7: unknown basis plugin "os.path"',
    ),
    "list item": (
        '[sites]\nexclude = ["a", "b"]\n',
        '[sites]\nexclude = ["a", 1]\n',
        "2:17: sites.exclude.1: expected a string, got 1",
    ),
    "scalar for list": (
        "[sites]\nlayers = [3]\n",
        "[sites]\nlayers = 3\n",
        "2:10: sites.layers: expected a list, each item a whole number, got 3",
    ),
    "string or list": (
        '[sites]\ntargets = "all-linear"\n',
        "[sites]\ntargets = [1]\n",
        "2:12: sites.targets.0: expected a string, got 1",
    ),
    "neither string nor list": (
        '[sites]\ntargets = "a"\n',
        "[sites]\ntargets = 1\n",
        "2:11: sites.targets: expected a string or a list, each item a string, got 1",
    ),
    "slot that is no table": ("[basis]\n", "basis = 1\n", "1:9: basis must be a table, got 1"),
    "table that is a string": ("[stop]\n", 'stop = "a"\n', '1:8: stop must be a table, got "a"'),
    "slot that is a list of tables": (
        "[basis]\n",
        "[[basis]]\n",
        "1:1: basis must be a table, got [a table]",
    ),
}


@pytest.mark.parametrize("accepted", [pair[0] for pair in PAIRS.values()], ids=PAIRS)
def test_spec_right_value_is_accepted(faults: Faults, accepted: str) -> None:
    assert faults(accepted + NEEDED) == []


@pytest.mark.parametrize("situation", PAIRS)
def test_spec_wrong_value_is_one_fault_at_its_position(faults: Faults, situation: str) -> None:
    _, refused, message = PAIRS[situation]
    assert faults(refused + NEEDED) == [message]
