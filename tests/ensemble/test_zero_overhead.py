"""A boosted model is its base with other numbers in it: the same module, so the same cost."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from boostlora.engine.api import export
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.foundation.run_context import RunContext

from ..support.export_runs import TORCH, causal_run, classifier_run, mlp_run

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

MAKERS: dict[str, Callable[[Path, Path], object]] = {
    "llama": lambda folder, cache: causal_run(folder, cache, family="llama"),
    "llama in bfloat16": lambda folder, cache: causal_run(folder, cache, family="llama", dtype="bfloat16"),
    "gpt2": lambda folder, cache: causal_run(folder, cache, family="gpt2"),
    "bert": lambda folder, cache: classifier_run(folder, cache, family="bert"),
    "mlp": lambda folder, cache: mlp_run(folder, cache, backend=TORCH.format(dtype="float32")),
}
PER_MODULE = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@pytest.fixture(scope="module", params=list(MAKERS))
def ensemble(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_cache: Path
) -> Ensemble:
    folder = tmp_path_factory.mktemp("run")
    MAKERS[request.param](folder, shared_cache)
    return Ensemble.open(folder / "run", context=RunContext(cache=shared_cache))


@pytest.fixture(scope="module")
def base(ensemble: Ensemble) -> Any:
    """The base as whoever brought it makes it, before any boosting."""
    source = ensemble.origin.source
    if source.build is None:  # a perceptron of the backend's own
        return ensemble.model(0)
    return source.build(source.blueprint, getattr(torch, ensemble.spec.backend.dtype))


@pytest.fixture(scope="module")
def model(ensemble: Ensemble) -> Any:
    return ensemble.model()


def test_boosted_model_differs_from_its_base_in_output(ensemble: Ensemble, base: Any, model: Any) -> None:
    """Or all that follows would say nothing."""
    own = dict(base.named_parameters())
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, own[name])}
    assert changed == {site.name for site in ensemble.origin.sites}


def test_boosted_model_has_the_module_tree_of_its_base(base: Any, model: Any) -> None:
    """The classes themselves, not classes that look like them."""
    assert [(n, type(m)) for n, m in model.named_modules()] == [(n, type(m)) for n, m in base.named_modules()]


def test_boosted_model_has_the_parameters_and_buffers_of_its_base(base: Any, model: Any) -> None:
    def told(module: Any) -> dict[str, Any]:
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return {name: (t.shape, t.dtype, t.stride(), t.device) for name, t in tensors.items()}

    assert told(model) == told(base)
    assert list(model.state_dict()) == list(base.state_dict())
    count = [sum(p.numel() for p in module.parameters()) for module in (model, base)]
    assert count[0] == count[1]
    size = [sum(p.untyped_storage().nbytes() for p in module.parameters()) for module in (model, base)]
    assert size[0] == size[1], "a parameter is a view of something larger"
    # What the base shares, such as an output layer tied to the embedding, is shared still.
    tied = [len({p.data_ptr() for p in m.state_dict().values() if p.numel()}) for m in (model, base)]
    assert tied[0] == tied[1]


def test_boosted_model_has_no_hooks_patches_or_boostlora_classes(base: Any, model: Any) -> None:
    for (name, ours), (_, theirs) in zip(model.named_modules(), base.named_modules(), strict=True):
        assert vars(ours).keys() == vars(theirs).keys(), name
        assert "forward" not in vars(ours), name
        assert not any(getattr(ours, hooks, None) for hooks in PER_MODULE), name
        if not type(theirs).__module__.startswith("boostlora."):
            foreign = [v for v in vars(ours).values() if type(v).__module__.startswith("boostlora.")]
            assert not foreign, name
    assert not any(torch.nn.utils.parametrize.is_parametrized(m) for m in model.modules())


def test_boosted_library_model_contains_only_library_classes(ensemble: Ensemble, model: Any) -> None:
    if not ensemble.origin.source.blueprint.architecture.startswith("causal-lm/"):
        pytest.skip("a classifier's pooling and a perceptron are classes of ours, before boosting too")
    homes = {type(m).__module__.partition(".")[0] for m in model.modules()}
    assert homes <= {"torch", "transformers"}


def test_boosted_model_can_be_copied_pickled_and_trained_on(ensemble: Ensemble, model: Any) -> None:
    state = model.state_dict()
    for copy in (deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - our own bytes
        other = copy.state_dict()
        assert list(other) == list(state)
        assert all(torch.equal(value, other[name]) for name, value in state.items())
    trainable = [p for p in deepcopy(model).requires_grad_(True).parameters() if p.is_leaf]
    assert len(trainable) == len(list(model.parameters()))


def test_changing_a_returned_model_does_not_change_the_ensemble(ensemble: Ensemble, model: Any) -> None:
    """What the user does to it does not reach the ensemble."""
    one = ensemble.model()
    before = ensemble.evaluate("test", recompute=True)
    with torch.no_grad():
        for p in one.parameters():
            p.zero_()
    assert ensemble.evaluate("test", recompute=True) == before
    two = ensemble.model()
    assert all(torch.equal(p, q) for p, q in zip(two.parameters(), model.parameters(), strict=True))


def test_exported_model_has_the_files_of_its_base(ensemble: Ensemble, tmp_path: Path) -> None:
    source = ensemble.origin.source
    if not source.blueprint.architecture.startswith("causal-lm/"):
        pytest.skip("files of a base's own are those of a language model here")
    from safetensors import safe_open

    export(ensemble, "hf", tmp_path / "export")
    for file in source.files:
        written = tmp_path / "export" / file.name
        assert written.stat().st_size == file.stat().st_size
        with safe_open(file, "np") as a, safe_open(written, "np") as b:
            assert list(a.keys()) == list(b.keys())
            for name in a.keys():  # noqa: SIM118 - no mapping
                one, two = a.get_slice(name), b.get_slice(name)
                assert (one.get_dtype(), one.get_shape()) == (two.get_dtype(), two.get_shape())
