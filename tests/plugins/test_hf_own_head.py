"""`hf-classifier` with the head of the architecture: labels, order, padding, a new head, values, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Hugging Face models need torch")
transformers = pytest.importorskip("transformers", reason="Hugging Face models need transformers")

from boostlora.backends.torch.backend import Torch  # noqa: E402
from boostlora.engine.contracts import Splits, Values  # noqa: E402
from boostlora.engine.errors import UsageError  # noqa: E402
from boostlora.engine.foundation.run_context import RunContext  # noqa: E402
from boostlora.engine.registry import Registry  # noqa: E402
from boostlora.engine.spec.resolve import load_spec  # noqa: E402
from boostlora.engine.testing import assert_close  # noqa: E402
from boostlora.engine.verification.verify import verify  # noqa: E402
from boostlora.plugins.models.hf_classifier import HfClassifier  # noqa: E402

from ..support import hf_toys  # noqa: E402
from ..support.export_runs import CLASSIFIER, TORCH, moods  # noqa: E402
from .hf_cases import CLASSES, TEXTS, assert_module_is_the_files, get, message, roles, splits_of  # noqa: E402

FAMILIES = ("bert", "roberta", "distilbert", "qwen2")
ROUNDING = {"qwen2": 1e-6}
"""float64, except that transformers computes norms and angles of this decoder in float32; other families differ by 1e-12."""
MOODS = splits_of(TEXTS, ("bad", "good"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


def with_values(mean: float = 5.0, std: float = 2.0) -> Splits:
    values = Values(standardised=np.array([-1.5, -0.5, 0.5, 1.5]), mean=mean, std=std)
    train = attrs.evolve(CLASSES.train, labels=np.zeros(4, dtype=np.int64), values=values)
    return attrs.evolve(CLASSES, train=train, classes=())


def logits_of(model: HfClassifier, splits: Splits, cache: Path) -> Any:
    """Logits of the texts at once, by the torch backend in float64."""
    opened = Torch(device="cpu", dtype="float64").open(get(model, splits, cache), [])
    return opened.logits(model.encode(splits.train))


def outputs_of(folder: Path, model: HfClassifier) -> Any:
    """Logits by transformers in float64, one text at a time."""
    module = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float64
    ).eval()
    with torch.no_grad():
        rows = [
            module(input_ids=torch.tensor(ids.astype(np.int64))[None]).logits
            for ids in model.encode(CLASSES.train).inputs
        ]
    return torch.cat(rows).numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_own_head_in_a_batch_equals_transformers_with_classes_reordered(
    family: str, tmp_path: Path, folder: Path
) -> None:
    model = HfClassifier(path=str(hf_toys.labelled(folder, family)))
    found = logits_of(model, MOODS, tmp_path)
    expected = outputs_of(folder, model)[:, [1, 0]]  # the labels are good, bad
    assert np.ptp(expected, axis=0).min() > 1e-4
    assert_close(found, expected, atol=ROUNDING.get(family, 1e-12), what=family)


@pytest.mark.parametrize("family", FAMILIES)
def test_own_head_source_is_the_module_of_the_folder(family: str, tmp_path: Path, folder: Path) -> None:
    source = get(HfClassifier(path=str(hf_toys.labelled(folder, family))), MOODS, tmp_path)
    module = assert_module_is_the_files(source)
    assert type(module).__name__.endswith("ForSequenceClassification")
    assert source.files == (folder / "model.safetensors",)
    assert source.fitted == ()
    heads = [name for name, role in roles(source.blueprint).items() if role == "head"]
    assert heads == [
        {"roberta": "classifier.out_proj.weight", "qwen2": "score.weight"}.get(family, "classifier.weight")
    ]


def test_own_head_is_automatic_for_a_folder_that_has_one(tmp_path: Path) -> None:
    fine, bare = hf_toys.labelled(tmp_path / "fine"), hf_toys.encoder(tmp_path / "bare")
    named = {
        (place.name, head): HfClassifier(path=str(place), head=head).blueprint(MOODS).architecture
        for place in (fine, bare)
        for head in ("auto", "pooled", "own")
    }
    own, pooled = "sequence-classifier/bert", "classifier/bert"
    assert named == {
        ("fine", "auto"): own,
        ("fine", "pooled"): pooled,
        ("fine", "own"): own,
        ("bare", "auto"): pooled,
        ("bare", "pooled"): pooled,
        ("bare", "own"): own,
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore:.*no trained head")
def test_own_head_that_is_new_depends_on_its_seed_and_can_be_moved(
    family: str, tmp_path: Path, folder: Path
) -> None:
    model = HfClassifier(path=str(hf_toys.encoder(folder, family)), head="own")
    one, two = (
        model.source(MOODS, RunContext(cache=tmp_path / name), np.random.default_rng(seed))
        for name, seed in (("a", 0), ("b", 0))
    )
    assert one.files[-1].read_bytes() == two.files[-1].read_bytes()
    other = model.source(MOODS, RunContext(cache=tmp_path / "a"), np.random.default_rng(1))
    assert (other.files[-1] != one.files[-1]) == (family in {"roberta", "distilbert"})
    module = assert_module_is_the_files(one)
    names = {name for name, _ in module.named_parameters()}
    assert set(one.fitted) == {n for n in names if n.startswith(("classifier", "pre_classifier", "score"))}
    moved = hf_toys.encoder(tmp_path / "elsewhere", family)
    again = model.source_at(str(moved), one.blueprint, one.files[-1], RunContext(cache=tmp_path / "a"))
    assert again.fitted == one.fitted
    built = dict(again.build(again.blueprint, torch.float64).named_parameters())
    assert all(torch.equal(p, built[name]) for name, p in module.named_parameters())


@pytest.mark.filterwarnings("ignore:.*no trained head")
@pytest.mark.parametrize("family", FAMILIES)
def test_own_head_that_is_new_separates_the_classes(family: str, tmp_path: Path, folder: Path) -> None:
    model = HfClassifier(path=str(hf_toys.encoder(folder, family)), head="own", head_c=1e4)
    found = logits_of(model, MOODS, tmp_path)
    assert (found.argmax(axis=1) == MOODS.train.labels).all()


@pytest.mark.parametrize("family", ["bert", "qwen2"])
def test_own_head_of_one_output_predicts_values_in_their_units(
    family: str, tmp_path: Path, folder: Path
) -> None:
    model = HfClassifier(path=str(hf_toys.labelled(folder, family, ("LABEL_0",))))
    source = get(model, with_values(), tmp_path)
    assert source.blueprint.config["hf"]["problem_type"] == "regression"
    expected = (outputs_of(folder, model) - 5.0) / 2.0
    assert_close(
        logits_of(model, with_values(), tmp_path),
        expected,
        atol=ROUNDING.get(family, 1e-12),
        what="standardised",
    )


@pytest.mark.filterwarnings("ignore:.*no trained head")
@pytest.mark.parametrize("family", ["bert", "qwen2"])  # with and without a bias
def test_own_head_that_is_new_is_fitted_to_values(family: str, tmp_path: Path, folder: Path) -> None:
    model = HfClassifier(path=str(hf_toys.encoder(folder, family)), head="own", head_c=1e6)
    splits = with_values()
    found = logits_of(model, splits, tmp_path)
    # Four texts in sixteen dimensions: an almost unpenalised fit passes through every value.
    assert_close(found[:, 0], splits.train.values.standardised, atol=1e-2, what="values")


# -- Refusals


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("LABEL_0", "LABEL_1"), "bad, good"),
        (("bad", "good", "mixed"), "bad, good"),
    ],
)
def test_own_head_of_other_classes_is_refused(labels: tuple[str, ...], classes: str, folder: Path) -> None:
    hf_toys.labelled(folder, labels=labels)
    said = message(lambda: HfClassifier(path=str(folder)).blueprint(MOODS))
    assert said == (
        f"{folder}: its head has the classes {', '.join(labels)}, and the task has {classes}; "
        'rename the task\'s labels, or id2label and label2id in config.json, or set head = "pooled" in [model]'
    )


def test_own_head_of_several_outputs_is_refused_for_values(folder: Path) -> None:
    hf_toys.labelled(folder)
    said = message(lambda: HfClassifier(path=str(folder)).blueprint(with_values()))
    assert said.startswith(f"{folder}: its head has 2 outputs (good, bad), and a regression needs one; ")


def test_own_head_of_labels_that_do_not_exclude_each_other_is_refused(folder: Path) -> None:
    hf_toys.labelled(folder, problem_type="multi_label_classification")
    said = message(lambda: HfClassifier(path=str(folder)).blueprint(MOODS))
    assert said.startswith(f"{folder}: its labels do not exclude each other (multi_label_classification), ")


def test_own_head_on_weights_that_are_no_safetensors_is_refused(folder: Path) -> None:
    hf_toys.as_bin(hf_toys.encoder(folder))
    said = message(lambda: HfClassifier(path=str(folder), head="own").blueprint(MOODS))
    assert said.startswith(
        f'{folder}: no weight "bert.embeddings.word_embeddings.weight" in safetensors files; '
    )


def test_own_head_is_not_verified_and_refused_before_any_work(tmp_path: Path, folder: Path) -> None:
    hf_toys.labelled(folder)
    moods(tmp_path)
    spec = tmp_path / "spec.toml"
    text = CLASSIFIER.format(model='use = "hf-classifier"\npath = "model"\n') + TORCH.format(dtype="float32")
    spec.write_text(text)
    registry, cache = Registry.load(), tmp_path / "cache"
    with pytest.raises(UsageError) as caught:
        verify(load_spec(spec, registry), registry, RunContext(cache=cache))
    said = str(caught.value)
    assert said.startswith(
        'cannot be verified: backend reference does not support the architecture "sequence-'
    )
    assert not (cache / "models").exists()
