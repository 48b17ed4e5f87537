"""The model card of an export states the run's records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from boostlora.engine.api import export, load, save
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.export.card import base as card_base
from boostlora.engine.export.card import front_matter as card_front
from boostlora.engine.foundation.options import DatasetPath, ModelPath
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.testing import assert_close

from .card_runs import card_of, causal_run_of, front_of, html_of, mlp_run_of, opened, rows_of


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    return mlp_run_of(tmp_path_factory.mktemp("mlp"), shared_cache, rounds=6)


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    pytest.importorskip("transformers")
    return causal_run_of(tmp_path_factory.mktemp("causal"), shared_cache)


@pytest.fixture
def ensemble(mlp: Path, shared_cache: Path) -> Ensemble:
    return opened(mlp, shared_cache)


# -- Front matter


def test_front_matter_parses_in_huggingface_hub_with_test_metrics(ensemble: Ensemble, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card_of(ensemble, tmp_path)
    data = hub.ModelCard.load(tmp_path / "README.md").data
    assert data.model_name == "rows"
    assert data.tags == ["boostlora"]
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    last = ensemble.records[-1].test
    assert found == {"accuracy": last.accuracy, "loss": last.loss, **last.measures}
    assert {(r.dataset_type, r.dataset_name, r.dataset_split) for r in data.eval_results} == {
        ("table", "rows.csv", "test")
    }


def test_front_matter_of_a_peft_export_names_library_and_base(
    causal: Path, shared_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    front = front_of(card_of(opened(causal, shared_cache), tmp_path))
    assert front["library_name"] == "peft"
    assert front["pipeline_tag"] == "text-generation"
    assert not front.keys() & {"license", "base_model", "datasets"}, "told without being known"


@pytest.mark.parametrize(
    ("file", "library"), [("config.json", "transformers"), ("words.gguf", "gguf"), ("x.safetensors", None)]
)
def test_front_matter_names_the_library_of_the_files(
    ensemble: Ensemble, tmp_path: Path, file: str, library: str | None
) -> None:
    (tmp_path / file).write_text("{}")
    assert front_of(card_of(ensemble, tmp_path)).get("library_name") == library


# -- Figures


def test_card_of_a_whole_run_has_the_recorded_metrics(ensemble: Ensemble, tmp_path: Path) -> None:
    card = card_of(ensemble, tmp_path)
    base, last = ensemble.records[0], ensemble.records[-1]
    rows = rows_of(card, "Results")
    for split, (before, after) in zip(
        ("test", "validation", "train"), zip(rows[::2], rows[1::2], strict=True), strict=True
    ):
        for row, record in ((before, base), (after, last)):
            metrics = getattr(record, split)
            assert row[:2] == [split, str(metrics.count)]
            assert row[3].startswith(f"{100 * metrics.accuracy:.1f} [")
            assert row[4].startswith(f"{metrics.loss:.3f} [")
    numbers = sum(record.parameters for record in ensemble.records)
    ranks = set(last.rank.values())
    rank = f"{min(ranks)} to {max(ranks)}" if len(ranks) > 1 else f"{min(ranks)}"
    assert f"6 rounds of tiny adapters, {numbers} parameters trained" in card
    assert f"rank {rank} to each of {len(last.rank)} weights" in card
    assert str(last.digest) in card


def test_card_compares_base_and_model_by_example(ensemble: Ensemble, tmp_path: Path) -> None:
    from scipy.stats import binomtest

    card = card_of(ensemble, tmp_path)
    base, now = ensemble.outcome("test", 0), ensemble.outcome("test")
    gained, broken = int((~base.correct & now.correct).sum()), int((base.correct & ~now.correct).sum())
    assert gained + broken > 0, "the rounds changed no answer: the test says nothing"
    row = next(r for r in rows_of(card, "Results\n\n" + card.split("## Results\n\n")[1].split("\n\nThis")[0])
               if r[0] == "test")  # fmt: skip
    assert row[1:3] == [str(gained), str(broken)]
    p = binomtest(min(gained, broken), gained + broken, 0.5).pvalue
    shown = float(row[4].removeprefix("< "))
    assert p < 0.001 if row[4].startswith("<") else abs(shown - p) < 0.01
    assert f"{now.loss.mean() - base.loss.mean():+.3f} nats" in row[5]
    # Wilson's interval, from its own formula.
    n, z = len(now), 1.959963984540054
    share = now.accuracy
    centre, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    found = re.search(r"\| test \| \d+ \| this model \| [\d.]+ \[([\d.]+), ([\d.]+)\]", card)
    assert found
    told = [float(x) for x in found.groups()]
    assert_close(told, [100 * low, 100 * high], atol=0.051, what="Wilson interval, one decimal")


def test_card_reports_a_gain_that_is_not_significant(
    causal: Path, shared_cache: Path, tmp_path: Path
) -> None:
    card = card_of(opened(causal, shared_cache), tmp_path)
    assert "no gain in accuracy" in card
    assert "With so few examples they are too narrow." in card


def test_card_of_weighted_rounds_is_computed_and_notes_the_manual_choice(
    ensemble: Ensemble, tmp_path: Path
) -> None:
    weights = {1: 1.0, 3: 0.5, 6: 1.0}
    card = card_of(ensemble, tmp_path, weights)
    found = ensemble.evaluate("test", weights)
    assert found.loss not in {record.test.loss for record in ensemble.records}
    (result,) = front_of(card)["model-index"][0]["results"]
    assert result["metrics"][1] == {"type": "loss", "value": found.loss}
    numbers = sum(record.parameters for record in ensemble.records if record.round in weights)
    assert f"3 rounds of tiny adapters, {numbers} parameters trained" in card
    assert "was made by hand" in card
    assert "boostlora export RUN --to safetensors --rounds 1,3,6 --weight 3=0.5" in card
    assert [row[0] for row in rows_of(card, "Results")] == ["test", "test", "validation", "validation"]
    inside = {row[0]: row[1] for row in rows_of(card, "Training\n\n" + card.split("## Training\n\n")[1]
              .split("\n\nResults after")[0])}  # fmt: skip
    assert [inside[str(n)] for n in range(7)] == ["the base", "yes", "no", "x 0.5", "no", "no", "yes"]


def test_card_of_the_best_rounds_states_selection_by_validation(ensemble: Ensemble, tmp_path: Path) -> None:
    best = ensemble.best
    card = card_of(ensemble, tmp_path, "best")
    assert best > 0
    assert f"It ends with round {best}, " in card
    assert "which is the best by validation accuracy" in card
    assert front_of(card)["model-index"][0]["results"][0]["metrics"][0]["value"] == (
        ensemble.records[best].test.accuracy
    )


def test_card_of_the_base_alone_claims_no_round(ensemble: Ensemble, tmp_path: Path) -> None:
    card = card_of(ensemble, tmp_path, 0)
    assert "without boosting rounds" in card
    assert "this model" not in card.split("## Results")[1].split("## Data")[0]


def test_card_of_many_rounds_shows_the_first_and_the_last(tmp_path: Path, shared_cache: Path) -> None:
    run = mlp_run_of(tmp_path / "long", shared_cache, rounds=24)
    card = card_of(opened(run, shared_cache), tmp_path / "export")
    part = card.split("Results after every round")[1].split("\n\n")[1]
    numbers = [line.split(" | ")[0].removeprefix("| ") for line in part.splitlines()[2:]]
    assert numbers == [*map(str, range(10)), "…", *map(str, range(16, 25))]


# -- Boost files


def test_card_of_a_boost_file_has_recorded_metrics_without_intervals(
    mlp: Path, ensemble: Ensemble, shared_cache: Path, tmp_path: Path
) -> None:
    file = save(ensemble, tmp_path / "rows.boost.safetensors", 4)
    base = ensemble.origin.source.files[0]
    loaded = load(file, base, context=RunContext(cache=shared_cache))
    card = card_of(loaded, tmp_path / "export", 4)
    metrics = ensemble.records[4].test
    assert rows_of(card, "Results")[1][:5] == [
        "test", str(metrics.count), "this model", f"{100 * metrics.accuracy:.1f}", f"{metrics.loss:.3f}",
    ]  # fmt: skip
    assert "a boost file has no outcomes of single examples" in card
    assert "By example" not in card
    unmeasured = card_of(loaded, tmp_path / "other", [1, 3])
    assert "This selection of rounds was not evaluated." in unmeasured
    assert "model-index" not in front_of(unmeasured)


# -- As a part of an export


def test_export_card_states_the_logit_comparison(ensemble: Ensemble, tmp_path: Path) -> None:
    found = export(ensemble, "safetensors", tmp_path / "export")
    card = (tmp_path / "export" / "README.md").read_text(encoding="utf-8")
    assert found.compared.passed
    assert f"on {found.compared.examples} examples" in card
    assert f"they differ by at most {found.compared.largest:.2g}" in card
    assert str(tmp_path / "export") in found.usage
    assert found.usage.strip().replace(str(tmp_path / "export"), "export") in card


def test_card_of_the_base_is_kept_as_a_separate_file(ensemble: Ensemble, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# The base\n")
    # A perceptron that a run made has no card; whatever is there is not thrown away all the same.
    card = card_of(ensemble, tmp_path)
    assert (tmp_path / "README-base.md").read_text().endswith("# The base\n")
    assert card.startswith("---\n")
    assert "# rows" in card


def test_card_renders_to_one_table_row_a_line(ensemble: Ensemble, tmp_path: Path) -> None:
    html = html_of(card_of(ensemble, tmp_path))
    assert html.count("<table>") == 4
    for table in html.split("<table>")[1:]:
        rows = table.split("</table>")[0].split("<tr>")[1:]
        assert len({row.count("<td") + row.count("<th>") + row.count("<th ") for row in rows}) == 1, table


def test_card_links_a_base_and_data_of_the_hub(
    ensemble: Ensemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [("model", ModelPath, "owner/name"), ("task", DatasetPath, "org/data")]
    for module in (card_base, card_front):
        monkeypatch.setattr(module, "path_options", lambda _: told)
    card = card_of(ensemble, tmp_path)
    front = front_of(card)
    assert front["base_model"] == "owner/name"
    assert front["datasets"] == ["org/data"]
    assert front["model-index"][0]["results"][0]["dataset"] == {
        "type": "org/data", "name": "org/data", "split": "test",
    }  # fmt: skip
    assert "`owner/name`; see <https://huggingface.co/owner/name>." in card
    assert "not stated in the base's files" in card
