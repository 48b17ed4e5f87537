from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.registry import Registry
from boostlora.engine.spec import Spec, SpecError
from boostlora.engine.spec.document import MAX_EXTENDS, overlay, parse
from boostlora.engine.spec.document import load as load_document
from boostlora.engine.spec.faults import Source
from boostlora.engine.spec.resolve import load_spec

NEEDED = '[task]\nuse = "digits"\n[model]\nuse = "mlp"\n'
Load = Callable[..., Spec]


@pytest.fixture
def load(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write `text` as `top.toml` of the working folder, with `files` beside it, and load it."""
    monkeypatch.chdir(tmp_path)

    def of(text: str, *settings: str, **files: str) -> Spec:
        for name, content in {"top": text, **files}.items():
            (tmp_path / f"{name}.toml").write_text(content)
        return load_spec("top.toml", registry, settings)

    return of


def told(load: Load, text: str, *settings: str, **files: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(text, *settings, **files)
    return [f"{fault.position()}: {fault.message}" for fault in caught.value.faults]


def test_extends_relative_file_is_overridden_key_by_key(load: Load) -> None:
    spec = load(
        'extends = "base.toml"\nseed = 7\n[stop]\nmetric = "loss"\n',
        base="seed = 1\nrounds = 3\n[stop]\npatience = 2\n[sites]\nlayers = [0, 1]\n" + NEEDED,
    )
    assert (spec.head.seed, spec.rounds) == (7, 3)
    assert (spec.stop.metric, spec.stop.patience) == ("loss", 2)
    assert spec.sites.layers == (0, 1)


def test_extends_list_replaces_rather_than_joins(load: Load) -> None:
    spec = load('extends = "base.toml"\nsites.layers = [2]\n', base="sites.layers = [0, 1]\n" + NEEDED)
    assert spec.sites.layers == (2,)


def test_extends_file_in_another_folder_reads_its_paths_from_there(load: Load, tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (below / "rows.csv").write_text("a,y\n")
    (below / "base.toml").write_text(
        '[task]\nuse = "table"\npath = "rows.csv"\nlabel = "y"\n[model]\nuse = "mlp"\n'
    )
    assert load('extends = "below/base.toml"\n').task.path == str((below / "rows.csv").resolve())
    faults = told(load, 'extends = "below/base.toml"\ntask.path = "rows.csv"\n')
    assert faults == [f'top.toml:2:13: no file "{tmp_path.resolve()}/rows.csv"']


@pytest.mark.parametrize("name", ["quickstart", "quickstart.toml"])
def test_extends_shipped_name_starts_from_it(load: Load, registry: Registry, name: str) -> None:
    shipped = load_spec("quickstart", registry)
    spec = load(f'extends = "{name}"\nname = "quickstart"\n')
    assert spec.sha256 == shipped.sha256
    assert load(f'extends = "{name}"\nrounds = 3\n').rounds == 3


def test_extends_prefers_a_local_file_to_a_shipped_name(load: Load) -> None:
    assert load('extends = "quickstart"\n').rounds == 20
    assert load('extends = "quickstart.toml"\n', quickstart="rounds = 5\n" + NEEDED).rounds == 5


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("quickstart", ["quickstart"]),
        ("quickstart.toml", ["quickstart.toml", "quickstart"]),
        ("paper/digits", ["paper"]),
        ("paper/digits", ["paper/digits", "paper/digits.toml"]),
    ],
)
def test_shipped_name_is_found_beside_folders_of_that_name(
    load: Load, registry: Registry, tmp_path: Path, name: str, folders: list[str]
) -> None:
    shipped = load_spec(name, registry)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert load_spec(name, registry).sha256 == shipped.sha256
    assert load(f'extends = "{name}"\n').sha256 == shipped.sha256


def test_folder_of_another_name_is_no_spec(load: Load, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "quickstarts").mkdir()
    with pytest.raises(UsageError, match="quickstarts: is a folder, not a spec file"):
        load_spec("quickstarts", registry)
    assert told(load, 'extends = "quickstarts"\n') == [
        "top.toml:1:11: extends: quickstarts: is a folder, not a spec file"
    ]


def test_faults_name_the_file_of_their_layer(load: Load) -> None:
    faults = told(load, 'extends = "base.toml"\nsed = 1\n', base='rounds = "1"\n' + NEEDED)
    assert faults == [
        'base.toml:1:10: rounds: expected a whole number, got "1"',
        'top.toml:2:1: unknown key "sed"',
    ]


def test_extends_override_removes_a_fault_of_the_base(load: Load) -> None:
    assert load('extends = "base.toml"\nrounds = 1\n', base='rounds = "1"\n' + NEEDED).rounds == 1


def test_extends_itself_is_a_fault(load: Load) -> None:
    assert told(load, 'extends = "top.toml"\n') == [
        'top.toml:1:11: extends "top.toml", which extends this file in turn'
    ]


def test_extends_cycle_is_a_fault_at_its_last_file(load: Load) -> None:
    faults = told(load, 'extends = "a.toml"\n', a='extends = "b"\n', b='\nextends = "./top.toml"\n')
    assert faults[0].startswith("a.toml:1:11: extends: no spec ")
    faults = told(load, 'extends = "a.toml"\n', a='extends = "b.toml"\n', b='\nextends = "./top.toml"\n')
    assert faults == ['b.toml:2:11: extends "./top.toml", which extends this file in turn']


@pytest.mark.parametrize("length", [MAX_EXTENDS, MAX_EXTENDS + 1])
def test_extends_chain_is_refused_beyond_its_limit(load: Load, length: int) -> None:
    files = {f"f{i}": f'extends = "f{i + 1}.toml"\n' for i in range(1, length)} | {f"f{length}": NEEDED}
    if length <= MAX_EXTENDS:
        assert load('extends = "f1.toml"\n', **files).rounds == 16
    else:
        assert told(load, 'extends = "f1.toml"\n', **files) == [
            f"f{MAX_EXTENDS}.toml:1:11: more than {MAX_EXTENDS} specs extend one another"
        ]


@pytest.mark.parametrize("value", ["1", "true", '["quickstart"]', "{ a = 1 }"])
def test_extends_of_another_type_is_a_fault(load: Load, value: str) -> None:
    assert told(load, f"extends = {value}\n") == ["top.toml:1:11: extends must be a string"]


def test_extends_missing_file_is_a_fault_with_a_suggestion(load: Load) -> None:
    (fault,) = told(load, 'seed = 1\nextends = "quikstart"\n')
    assert fault == (
        'top.toml:2:11: extends: no spec "quikstart": neither a file nor a shipped spec; did you mean "quickstart"? '
        "List the shipped ones with: boostlora specs"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("quickstart.tom", 'did you mean "quickstart"? List '),
        ("papr/gsm8k", 'did you mean "paper/gsm8k"? List '),
        ("digits", 'did you mean "boosting/digits" or "paper/digits"? List '),
        ("nothing-like-it", "list "),
    ],
)
def test_unknown_spec_name_is_answered_with_the_closest_names_and_the_command_that_lists_all(
    registry: Registry, name: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_spec(name, registry)
    assert str(caught.value) == (
        f'no spec "{name}": neither a file nor a shipped spec; {hint}the shipped ones with: boostlora specs'
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "is a folder, not a spec file"), ("x" * 5000, "neither a file nor"), ("a\\u0000b", "neither a")],
)
def test_extends_impossible_file_is_a_short_fault(load: Load, name: str, reason: str) -> None:
    (fault,) = told(load, f'extends = "{name}"\n')
    assert reason in fault
    assert len(fault) < 400  # the name is cut


def test_load_name_of_a_file_without_its_suffix_is_answered_with_the_file(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(NEEDED)
    mine = tmp_path / "mine"
    with pytest.raises(UsageError) as caught:
        load_spec(mine, registry)
    assert str(caught.value) == f'no spec "{mine}"; did you mean "{mine}.toml"?'


def test_load_missing_or_impossible_file_is_a_usage_error(registry: Registry, tmp_path: Path) -> None:
    for name in (tmp_path / "no.toml", "x" * 5000, "quikstart"):
        with pytest.raises(UsageError, match="neither a file nor a shipped spec"):
            load_spec(name, registry)
    with pytest.raises(UsageError, match="is a folder, not a spec file"):
        load_spec(tmp_path, registry)


def test_load_file_without_a_name_is_named_after_itself(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "_My Spec.v2.toml"
    path.write_text(NEEDED)
    assert load_spec(path, registry).head.name == "my-spec.v2"


@pytest.mark.parametrize("text", ["\ufeffseed = 7\n" + NEEDED, "seed = 7\n" + NEEDED.replace("\n", "\r\n")])
def test_load_accepts_byte_order_marks_and_crlf(load: Load, text: str) -> None:
    assert load(text).head.seed == 7


SETTINGS = {
    "bare word": ("basis.use=random", lambda s: s.slots["basis"].use, "random"),
    "quoted word": ('basis.use="random"', lambda s: s.slots["basis"].use, "random"),
    "spaces": (" basis.use = random ", lambda s: s.slots["basis"].use, "random"),
    "whole number": ("seed=3", lambda s: s.head.seed, 3),
    "number": ("optimizer.lr=1e-3", lambda s: s.optimizer.lr, 1e-3),
    "list": ("model.hidden=[8, 8]", lambda s: s.model.hidden, (8, 8)),
    "inline table": ("stop={patience=4}", lambda s: s.stop.patience, 4),
    "text with spaces": ("description=a b, c", lambda s: s.head.description, "a b, c"),
    "text with an equals sign": ("description=a=b", lambda s: s.head.description, "a=b"),
    "text with quotes": ('description=say "hi"', lambda s: s.head.description, 'say "hi"'),
    "text with a backslash": ("description=C:\\new", lambda s: s.head.description, "C:\\new"),
    "nothing": ("description=", lambda s: s.head.description, ""),
}


@pytest.mark.parametrize(("setting", "value", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_set_value_overrides_the_file(
    load: Load, setting: str, value: Callable[[Spec], object], expected: object
) -> None:
    text = 'seed = 1\ndescription = "old"\n[stop]\npatience = 1\n[basis]\nuse = "rotate"\n' + NEEDED
    assert value(load(text)) != expected
    assert value(load(text, setting)) == expected


def test_last_of_repeated_set_options_wins(load: Load) -> None:
    assert load(NEEDED, "seed=1", "seed=2").head.seed == 2


REFUSED = {
    "no equals": ("seed", "--set:1:1: not of the form key=value"),
    "no key": ("=3", "--set:1:1: not of the form key=value"),
    "empty": ("", "--set:1:1: not of the form key=value"),
    "unknown key": ("sed=3", '--set:1:1: unknown key "sed"'),
    "unknown option": ("sampler.repaly=0", '--set:1:1: unknown key "repaly"'),
    "unknown plugin": ("basis.use=rotat", '--set:1:11: unknown basis plugin "rotat"'),
    "wrong type": ("seed=soon", '--set:1:6: seed: expected a whole number, got "soon"'),
    "no key of TOML": ("a b=3", "--set:1:3: not valid TOML: expected '=' after a key in a key/value pair"),
    "extends": ("extends=quickstart", "--set:1:1: extends is a key of files, not of the command line"),
}


@pytest.mark.parametrize(("setting", "message"), REFUSED.values(), ids=REFUSED)
def test_set_fault_shows_its_position(load: Load, setting: str, message: str) -> None:
    assert told(load, NEEDED, setting) == [message]


ADAM = '[optimizer]\nuse = "adam"\nlr = 0.5\nbeta1 = 0.5\nweight_decay = 0.25\n' + NEEDED


def test_set_other_plugin_keeps_shared_options_and_drops_the_rest(load: Load) -> None:
    sgd = load(ADAM, "optimizer.use=sgd").optimizer
    assert (type(sgd).__name__, sgd.lr, sgd.weight_decay) == ("Sgd", 0.5, 0.25)


def test_set_of_another_plugin_and_back_keeps_all_options(load: Load) -> None:
    assert load(ADAM, "optimizer.use=sgd", "optimizer.use=adam") == load(ADAM)


def test_set_same_plugin_changes_nothing(load: Load) -> None:
    assert load(ADAM, "optimizer.use=adam") == load(ADAM)


def test_set_plugin_over_the_slots_default_drops_the_defaults_options(load: Load) -> None:
    assert load("[optimizer]\nbeta1 = 0.5\nlr = 0.5\n" + NEEDED, "optimizer.use=sgd").optimizer.lr == 0.5


def test_set_other_plugin_misspelt_option_is_still_a_fault(load: Load) -> None:
    assert told(load, ADAM.replace("beta1", "bta1"), "optimizer.use=sgd") == [
        'top.toml:4:1: unknown key "bta1"'
    ]


def test_set_option_of_the_replaced_plugin_is_a_fault(load: Load) -> None:
    assert told(load, ADAM, "optimizer.use=sgd", "optimizer.beta2=0.5") == ['--set:1:1: unknown key "beta2"']


def test_set_option_of_another_plugin_without_use_is_a_fault(load: Load) -> None:
    assert told(load, '[optimizer]\nuse = "sgd"\nbeta1 = 0.5\n' + NEEDED, "seed=1") == [
        'top.toml:3:1: unknown key "beta1"'
    ]


def test_extends_with_another_plugin_drops_options_of_the_old_one(load: Load) -> None:
    top = 'extends = "base.toml"\n[optimizer]\nuse = "sgd"\nmomentum = 0.5\n'
    sgd = load(top, base=ADAM).optimizer
    assert (sgd.lr, sgd.momentum) == (0.5, 0.5)
    assert told(load, top + "beta1 = 0.1\n", base=ADAM) == ['top.toml:5:1: unknown key "beta1"']


def test_removed_table_keeps_locations_that_overlays_do_not_copy(tmp_path: Path) -> None:
    """A study has a mark for each of thousands of values, and a layer over it for each arm."""
    values = ", ".join(str(i) for i in range(1, 1001))
    (tmp_path / "s.toml").write_text(f"rounds = 3\n{NEEDED}[ablate]\ngrid.rounds = [{values}]\n")
    whole = load_document(tmp_path / "s.toml")
    base = whole.without("ablate")
    place = ("ablate", "grid", "rounds", 700)
    assert base.location(place) == whole.location(place)
    assert "ablate" not in base.tree
    over = overlay(base, parse(Source("more", "rounds = 5\n", tmp_path)))
    assert over.location(place) == whole.location(place)
    assert len(over.locations) < 20 < len(whole.locations)
    assert over.tree["rounds"] == 5
