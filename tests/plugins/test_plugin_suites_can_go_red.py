"""A suite that cannot fail proves nothing: a basis, a task and an exporter that break the contract, each in one way, are caught."""

import attrs
import pytest

from boostlora.engine.sdk.site_basis import BlockBasis
from boostlora.engine.testing import BasisContract, ExporterContract, TaskContract
from boostlora.plugins.bases.rotate import Rotate
from boostlora.plugins.tasks.digits import Digits


@attrs.frozen(kw_only=True)
class Shallow(Rotate):
    """Asks for one direction more than it declares."""

    def depth(self, ranks, width):
        return max(0, super().depth(ranks, width) - 1)


@attrs.frozen(kw_only=True)
class Undeclared(BlockBasis):
    """Forgets to declare a depth."""

    def frame(self, site, earlier, rank, rng):
        return site.directions(self.block(earlier, rank, min(site.shape)))


@attrs.frozen(kw_only=True)
class SameId(Digits):
    """Gives every example of a split the same id."""

    def load(self, rng):
        splits = super().load(rng)
        return attrs.evolve(splits, train=attrs.evolve(splits.train, ids=splits.train.ids * 0))


@attrs.frozen(kw_only=True)
class FloatLabels(Digits):
    """Gives classes as floats."""

    def load(self, rng):
        splits = super().load(rng)
        return attrs.evolve(splits, train=attrs.evolve(splits.train, labels=splits.train.labels * 1.0))


@attrs.frozen(kw_only=True)
class Misspelt(Digits):
    """Declares another measure than it returns."""

    measures = ("sharpnes",)

    def judge(self, examples, predictions):
        return attrs.evolve(super().judge(examples, predictions), measures={"sharpness": 0.5})


def suite(contract, plugin):
    """The suite of a plugin."""

    class Suite(contract):
        def make(self):
            return plugin()

    return Suite()


@pytest.mark.parametrize("basis", [Shallow, Undeclared])
def test_suite_catches_a_basis_that_takes_directions_beyond_its_depth(basis):
    with pytest.raises(IndexError, match=r"directions \[\d.* requested, but depth\(\) declared \d"):
        suite(BasisContract, basis).test_frame_of_any_round_is_orthonormal_and_shaped()


@pytest.mark.parametrize(
    ("task", "test", "said"),
    [
        (
            SameId,
            "splits_are_disjoint_labelled_and_not_empty",
            "two examples of the train split have the same id",
        ),
        (
            FloatLabels,
            "splits_are_disjoint_labelled_and_not_empty",
            r"labels of the train split(.|\n)*float64",
        ),
        (
            Misspelt,
            "declared_measures_are_those_of_the_judgement",
            "does not return every measure(.|\\n)*'sharpnes'",
        ),
    ],
)
def test_suite_catches_a_task_that_breaks_the_contract_and_shows_the_values(task, test, said):
    with pytest.raises(AssertionError, match=said):
        getattr(suite(TaskContract, task), f"test_{test}")()


def test_suite_skips_the_refusal_of_an_exporter_that_names_nothing_to_refuse():
    with pytest.raises(pytest.skip.Exception, match="foreign"):
        suite(ExporterContract, object).test_check_refuses_an_unsupported_ensemble(None)
