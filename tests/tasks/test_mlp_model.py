from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from boostlora.backends.reference.mlp import Mlp as Network
from boostlora.engine.contracts import Examples, ModelSource, Splits
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.testing.assertions import assert_close
from boostlora.plugins.models import mlp
from boostlora.plugins.models.mlp import Mlp


def splits_of(classes: int, inputs: Any = None, n: int = 90) -> Splits:
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((n, 6)) if inputs is None else inputs
    examples = Examples(ids=np.arange(n), inputs=inputs, labels=np.arange(n) % classes)
    names = tuple(str(i) for i in range(classes))
    return Splits(train=examples, validation=examples, test=examples, classes=names)


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext(cache=tmp_path)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[MLPClassifier]:
    """Every classifier that was pretrained, as scikit-learn left it."""
    nets: list[MLPClassifier] = []
    name_weights = mlp._named_weights

    def spy(net: MLPClassifier) -> dict[str, Any]:
        nets.append(net)
        return name_weights(net)

    monkeypatch.setattr(mlp, "_named_weights", spy)
    return nets


def get(model: Mlp, splits: Splits, context: RunContext, seed: int = 0) -> ModelSource:
    return model.source(splits, context, np.random.default_rng(seed))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_mlp_model_logits_agree_with_scikit_learn(
    context: RunContext, trained: list[MLPClassifier], classes: int, activation: Any
) -> None:
    splits = splits_of(classes)
    source = get(Mlp(hidden=(12, 5), activation=activation, epochs=20), splits, context)
    weights = {name: array.astype(np.float64) for name, array in load_file(source.files[0]).items()}
    logits, _ = Network(source.blueprint.config).forward(weights, splits.train.inputs, {})
    assert logits.shape == (90, classes)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = trained[0].predict_proba(splits.train.inputs)
    assert expected.std() > 0.05  # it has learned something to agree on
    # The file keeps float32: 6e-8 relative in each weight, and three layers of sums over them.
    assert_close(shares, expected, atol=1e-5, what="class probabilities")


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("hidden", [(5,), (12, 7, 3)])
def test_mlp_model_blueprint_has_the_shapes_of_the_file(
    context: RunContext, classes: int, hidden: tuple[int, ...]
) -> None:
    splits, model = splits_of(classes), Mlp(hidden=hidden, epochs=1)
    source = get(model, splits, context)
    stored = {name: array.shape for name, array in load_file(source.files[0]).items()}
    assert {info.name: info.shape for info in model.blueprint(splits).weights} == stored
    assert source.blueprint == model.blueprint(splits)
    roles = {info.name: info.role for info in source.blueprint.weights if info.role != "other"}
    layers = [f"layers.{i}.weight" for i in range(len(hidden))]
    assert roles == dict.fromkeys(layers, "linear") | {"head.weight": "head"}


def test_mlp_model_is_pretrained_only_once(context: RunContext, trained: list[MLPClassifier]) -> None:
    first = get(Mlp(epochs=2), splits_of(3), context)
    again = get(Mlp(epochs=2), splits_of(3), context)
    assert len(trained) == 1
    assert again == first


@pytest.mark.parametrize(
    "change",
    [{"epochs": 3}, {"hidden": (8,)}, {"lr": 2e-3}, {"weight_decay": 0.0}, {"activation": "tanh"}],
)
def test_mlp_model_other_options_are_pretrained_anew(
    context: RunContext, trained: list[MLPClassifier], change: dict[str, Any]
) -> None:
    model = Mlp(epochs=2, hidden=(9,))
    first = get(model, splits_of(3), context)
    second = get(attrs.evolve(model, **change), splits_of(3), context)
    assert len(trained) == 2
    assert first.files != second.files


def test_mlp_model_other_data_or_seed_is_pretrained_anew(
    context: RunContext, trained: list[MLPClassifier]
) -> None:
    model, splits = Mlp(epochs=1, hidden=(4,)), splits_of(3)
    hashes = {
        get(model, splits, context).sha256,
        get(model, splits, context, seed=1).sha256,
        get(model, splits_of(3, n=89), context).sha256,
        get(model, attrs.evolve(splits, source=splits.train.take(np.arange(80))), context).sha256,
    }
    assert len(trained) == len(hashes) == 4


def test_mlp_model_learns_the_source_rather_than_the_training_split(
    context: RunContext, trained: list[MLPClassifier]
) -> None:
    splits = splits_of(2)
    flipped = attrs.evolve(splits.train, labels=1 - splits.train.labels)
    get(Mlp(epochs=80), attrs.evolve(splits, source=flipped), context)
    assert np.mean(trained[0].predict(splits.train.inputs) == flipped.labels) > 0.9


@pytest.mark.parametrize("damage", ["truncate", "flip", "manifest", "missing"])
def test_mlp_model_damaged_cache_entry_is_computed_again(
    context: RunContext, trained: list[MLPClassifier], damage: str
) -> None:
    first = get(Mlp(epochs=2), splits_of(3), context)
    file = first.files[0]
    whole = file.read_bytes()
    match damage:
        case "truncate":
            file.write_bytes(whole[:-10])
        case "flip":
            file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        case "manifest":
            file.with_suffix(".json").write_text("{")
        case _:
            file.unlink()
    again = get(Mlp(epochs=2), splits_of(3), context)
    assert len(trained) == 2
    assert again == first
    assert file.read_bytes() == whole


def test_mlp_model_with_few_epochs_and_examples_gives_no_warning(
    context: RunContext, recwarn: pytest.WarningsRecorder
) -> None:
    get(Mlp(epochs=1, batch_size=500), splits_of(2, n=5), context)
    assert not [w for w in recwarn if issubclass(w.category, ConvergenceWarning | UserWarning)]


def test_mlp_model_reports_every_epoch(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    get(Mlp(epochs=3), splits_of(2), RunContext(cache=tmp_path, report=lambda *what: told.append(what)))
    assert told == [("pretraining", 1, 3), ("pretraining", 2, 3), ("pretraining", 3, 3)]


def test_mlp_model_without_hidden_layers_is_refused() -> None:
    with pytest.raises(ValueError, match=r'^"hidden" must hold at least one width$'):
        Mlp(hidden=())


@pytest.mark.parametrize("inputs", [["a", "b"], np.zeros((90, 2, 2))])
def test_mlp_model_non_numeric_inputs_are_refused(inputs: Any) -> None:
    expected = "^model mlp takes numeric inputs \\(n, d\\); this task's inputs are of another kind$"
    with pytest.raises(UsageError, match=expected):
        Mlp().blueprint(splits_of(3, inputs))
