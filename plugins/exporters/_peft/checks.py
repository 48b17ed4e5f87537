"""Checks of what PEFT can represent, before any work."""

from __future__ import annotations

from ....engine.contracts import DenseUpdate, Exportable
from ....engine.errors import UsageError
from ....engine.sdk.libraries import require_libraries
from .targets import HEAD, Target, is_classifier, targets_of


def check(exporter: str, ensemble: Exportable) -> tuple[Target, ...]:
    """The modules to adapt. Raises `UsageError` for a missing library, another kind of model, no round, or a dense update."""
    source = ensemble.source
    family = source.blueprint.architecture
    if family.startswith("sequence-classifier/"):
        raise UsageError(
            f"exporter {exporter}: a classifier with its architecture's own head ({family}) is not supported; "
            "--to hf writes the merged model"
        )
    if source.build is None or family.partition("/")[0] not in {"causal-lm", "classifier"}:
        raise UsageError(
            f"exporter {exporter}: PEFT adapts Hugging Face models, and this one has the architecture {family}; "
            "--to safetensors exports any"
        )
    require_libraries(f"exporter {exporter}", "peft", "torch", "transformers", "peft")
    if not ensemble.rounds:
        raise UsageError(f"exporter {exporter}: no round was merged, so there is no adapter")
    targets = targets_of(ensemble)
    if not targets:
        raise UsageError(
            f"exporter {exporter}: only the head {HEAD} was trained, which is not part of the encoder that PEFT wraps; "
            "--to hf or --to safetensors exports it"
        )
    shared = {info.name: info.also for info in source.blueprint.weights if info.also}
    for target in targets:
        if target.site in shared:
            raise UsageError(
                f"exporter {exporter}: {target.site} is tied to {shared[target.site][0]}, and PEFT adapts one layer, not both; "
                "--to hf writes the merged model"
            )
        if any(isinstance(update, DenseUpdate) for update, _ in ensemble.updates(target.site)):
            raise UsageError(
                f"exporter {exporter}: {target.site} has a dense update (adapter full), which is not low-rank; "
                "--to hf writes the merged model"
            )
    return targets


def adapts_head(ensemble: Exportable) -> bool:
    """Whether a classifier's head was trained; its merged weight is then written next to the adapter."""
    return is_classifier(ensemble.source.blueprint) and bool(ensemble.updates(HEAD))
