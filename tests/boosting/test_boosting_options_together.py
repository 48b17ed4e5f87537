"""Boosting's own options in several processes: what they come to is what one process comes to."""

import pytest

pytest.importorskip("torch", reason="the torch backend needs PyTorch")
pytest.importorskip("transformers", reason="the model is Hugging Face's")

from ..support import torchrun_runs as parallel

CASES = {
    "gradient": ("basis.use=gradient", "basis.examples=8", "basis.batches=2"),
    "on-rewards": (*parallel.GRPO, "basis.use=gradient", "basis.examples=8", "basis.batches=2"),
    "refit": ("boosting.refit_every=1", "boosting.subsample=0.5"),
}


MORE = pytest.mark.slow(reason="two processes more")


@pytest.mark.parametrize(
    "settings",
    [pytest.param(case, id=name, marks=() if name == "gradient" else MORE) for name, case in CASES.items()],
)
def test_boosting_options_in_two_processes_equal_the_single_process_run(settings, tmp_path):
    alone = parallel.run_alone(tmp_path, *settings)
    code, _, err = parallel.run_forked(tmp_path, *settings)
    assert code == 0, err
    found = parallel.only_run(tmp_path / "runs")
    parallel.assert_same_way(alone, found)
    for one, two in zip(alone.records, found.records, strict=True):
        assert (one.stored, one.refit, one.adapted) == (two.stored, two.refit, two.adapted)
