"""Examples, a model's predictions, and the task's judgement of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class Values:
    """Targets of a regression `(n,)`: `y = mean + std * standardised`. Models are trained on and predict standardised values."""

    standardised: NDArray[np.float64]
    mean: float
    std: float

    @property
    def original(self) -> NDArray[np.float64]:
        """The targets in their own units `(n,)`."""
        return self.restored(self.standardised)

    def restored(self, standardised: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standardised values `(m,)`, such as predictions, in the units of the targets."""
        return self.mean + self.std * standardised


@attrs.frozen(kw_only=True, eq=False)
class Examples:
    """One split of a task's data. Inputs are scaled by the task; models do not scale them.

    `ids` `(n,)` int64 are stable: an example has the same id whatever the order of the file, so random draws and paired
    statistics do not depend on that order. `inputs` are a numeric array `(n, d)` float64, or `Texts` or `Prompts`, which
    the model's tokenizer turns into `Tokens` before the backend gets them. `labels` `(n,)` int64
    are the classes; all 0 where the answer is a text or a value.
    """

    ids: NDArray[np.int64]
    inputs: Any
    labels: NDArray[np.int64]
    values: Values | None = None
    """Targets of a regression."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def targets(self) -> NDArray[np.int64] | NDArray[np.float64]:
        """What is learnt `(n,)`: the classes, or the standardised values."""
        return self.labels if self.values is None else self.values.standardised

    def take(self, indices: NDArray[np.int64]) -> Examples:
        """The examples at `indices` `(m,)`, in that order; indices may repeat."""
        values = self.values
        return Examples(
            ids=self.ids[indices],
            inputs=self.inputs[indices],
            labels=self.labels[indices],
            values=values and attrs.evolve(values, standardised=values.standardised[indices]),
        )


@attrs.frozen(kw_only=True)
class InputColumn:
    """A column of a table, what it becomes, and how many inputs it takes."""

    name: str
    kind: str
    width: int
    note: str = ""


class Preprocessing(Protocol):
    """The fitted map from rows of a table to a model's inputs."""

    @property
    def columns(self) -> Sequence[InputColumn]:
        """Every column, those left out included."""
        ...

    def encode(self, rows: Any) -> NDArray[np.float64]:
        """The rows of a data frame as inputs `(n, d)`. Raises `UsageError` for a missing column."""
        ...


@runtime_checkable
class ReversiblePreprocessing(Preprocessing, Protocol):
    """Preprocessing that can tell which row inputs came from, so that people can read single examples."""

    def decode(self, inputs: NDArray[np.float64]) -> Mapping[str, str]:
        """The columns of one row of inputs `(d,)` as short texts, by name."""
        ...


@attrs.frozen(kw_only=True, eq=False)
class PortablePreprocessing:
    """A fitted preprocessing as plain data, and the program that applies it without this package."""

    ARRAYS: ClassVar[str] = "preprocessing.safetensors"
    """The file of `arrays`, which holds no weights."""

    program: str
    """Python source of a file `score.py`. It reads the other files of its folder: `preprocessing.json` with `settings`, `example`, `target`
    (`classes`, or `mean` and `std`) and `model` (an MLP's `hidden`, `activation`, `dtype` and `files`), `preprocessing.safetensors` with
    `arrays`, and the weights. It defines `Model(folder)` with `encode(rows)`, `logits(inputs)`, `predict(rows)` and `example`."""
    settings: Mapping[str, Any]
    """What can be written as JSON."""
    arrays: Mapping[str, NDArray[np.float64]]
    example: Mapping[str, Any]
    """A row as a user would write it, by column."""


@runtime_checkable
class ExportablePreprocessing(Preprocessing, Protocol):
    """A preprocessing that exports can carry."""

    def portable(self) -> PortablePreprocessing:
        """The fitted preprocessing as files."""
        ...


@attrs.frozen(kw_only=True, eq=False)
class Splits:
    """A task's data: `train` to fit, `validation` to select by, `test` to report, `source` to pretrain the base on."""

    train: Examples
    validation: Examples
    test: Examples
    source: Examples | None = None
    """The source domain for pretraining a base model; None: pretrain on `train`."""
    classes: tuple[str, ...]
    """Names of the classes; empty where the answer is a text or a value."""
    preprocessing: Preprocessing | None = None
    """How rows of a table became inputs; None for other data."""

    @classmethod
    def of(
        cls,
        parts: Mapping[str, Examples],
        *,
        source: Examples | None = None,
        classes: tuple[str, ...] = (),
        preprocessing: Preprocessing | None = None,
    ) -> Splits:
        """From parts named `train`, `validation` and `test`."""
        train, validation, test = (parts[name] for name in ("train", "validation", "test"))
        return cls(
            train=train,
            validation=validation,
            test=test,
            source=source,
            classes=classes,
            preprocessing=preprocessing,
        )

    @property
    def outputs(self) -> int:
        """Outputs of a classifier's head: the number of classes, or 1 in a regression; 0 where the answer is a text."""
        return len(self.classes) if self.train.values is None else 1


@attrs.frozen(kw_only=True, eq=False)
class NewRows:
    """Rows to predict, in the order of their file; their labels need not be known.

    `numbers` `(n,)` int64 count the rows from 1 and are the examples' ids. Where `known` `(n,)` is True, the examples hold the row's
    label or value; elsewhere they hold 0.
    """

    examples: Examples
    numbers: NDArray[np.int64]
    columns: Mapping[str, Sequence[Any]]
    """All columns as they were read, by name."""
    known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.numbers)


@attrs.frozen(kw_only=True, eq=False)
class Predictions:
    """A model's predictions: `output` `(n,)` int64 and `loss` `(n,)` float64 in nats.

    In classification, `output` is the predicted class and `loss` the negative log-likelihood of the label. For prompts, `loss` is
    the mean negative log-likelihood of the reference completion's tokens, and `output` the number of these tokens that are
    the argmax under teacher forcing, of `targets` `(n,)` in all. In regression, `output` is 0 and `loss` the squared error of
    the standardised value.
    """

    output: NDArray[np.int64]
    loss: NDArray[np.float64]
    targets: NDArray[np.int64] | None = None
    texts: tuple[str, ...] | None = None
    """Generated texts, where the task judges them: k per example, those of one example adjacent."""
    logits: NDArray[np.float64] | None = None
    """Logits of the classes `(n, classes)`; in regression `(n, 1)`, the predicted standardised values. None for prompts."""


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """Per example, all of length n: prediction, loss, correct, and reward (in [0, 1] unless the task documents another range).

    `prediction` is the class, or an id of the answer: equal answers have equal ids. The id of a value is its float64 bits, so that
    `prediction.view(np.float64)` are the predicted values.
    """

    ids: NDArray[np.int64]
    prediction: NDArray[np.int64]
    loss: NDArray[np.float64]
    correct: NDArray[np.bool_]
    reward: NDArray[np.float64]
    texts: tuple[str, ...] | None = None
    """Generated texts, where the task judges them: k per example, those of one example adjacent."""
    verdicts: tuple[str, ...] | None = None
    """A label of every text, such as `timed-out`, where the task distinguishes more than right and wrong."""
    measures: Mapping[str, float] = attrs.field(factory=dict)
    """Further metrics of the whole split, such as `auroc`, by name (letters, digits and `_`)."""
    own: tuple[str, ...] = ()
    """Names of the measures that the task itself made; set by the engine, which adds others after `judge`."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def accuracy(self) -> float:
        """Fraction of correct examples, in [0, 1]."""
        return float(np.mean(self.correct))

    @property
    def mean_loss(self) -> float:
        """Mean loss: nats, or in regression the squared error of the standardised value."""
        return float(np.mean(self.loss))

    def shuffled(self, indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """`indices` in a random order that depends on the examples' ids, not on their order in the file."""
        by_id = indices[np.argsort(self.ids[indices], kind="stable")]
        return rng.permutation(by_id)
