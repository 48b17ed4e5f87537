"""Every architecture of the installed transformers, tiny and random: what is right with it, and what is refused.

`python -m tests.support.architectures causal` and `… encoder` print the tables of docs/architectures.md.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForCausalLM
from transformers.models.auto import modeling_auto

from boostlora.backends.torch.backend import Torch
from boostlora.engine.contracts import Blueprint, ModelSource, Site, WeightInfo
from boostlora.engine.errors import UsageError
from boostlora.plugins.models._hf.classifier_net import Classifier
from boostlora.plugins.models._hf.nets import (
    Kind,
    _no_pooler,
    _without_unused,
    check_kind,
    empty,
    weights,
    width_of,
)

from .architecture_checks import CLASSES, answers_are_right, examples, said_alone, training_is_right
from .tiny_configs import configs_of

MOST = 3_000_000
"""Parameters of a model that counts as tiny."""
REGISTERED: dict[Kind, tuple[str, ...]] = {
    "causal": ("CAUSAL_LM",),
    "encoder": ("MASKED_LM", "SEQUENCE_CLASSIFICATION", "TEXT_ENCODING"),
}
"""What transformers registers a family for, so that it is of a kind."""


@attrs.frozen(kw_only=True)
class Found:
    """What came of a family."""

    family: str
    status: str
    """`right`, `refused` with its reason, `not tried` where no tiny model of it is known, or `WRONG` with what is."""
    sites: int = 0
    summed: int = 0
    """Sites that train on the sum of weight and update."""
    writes: str = ""
    """How answers are written: from a cache, or anew for each token."""


def families(kind: Kind) -> list[str]:
    """All that transformers registers as causal language models, or as encoders of texts."""
    names = (f"MODEL_FOR_{use}_MAPPING_NAMES" for use in REGISTERED[kind])
    return sorted({family for name in names for family in getattr(modeling_auto, name)})


def module_of(family: str, kind: Kind) -> Any:
    """The tiny model, every matrix drawn at random. Raises `UsageError` where it is refused, ValueError where there is no such model."""
    said: Exception | str = "no tiny configuration of it is known"
    silent = None
    for config in configs_of(family):
        check_kind(config, kind, family)
        try:
            module = _tiny(config, kind, family)
        except Exception as error:
            if isinstance(error, UsageError) and isinstance(error.__cause__, ImportError | None):
                raise  # but for these, it is the configuration that is not a good one
            said = error
            continue
        if _computes(module):
            return module
        silent = silent or module
    if silent is None:
        raise ValueError(_first_line(said))
    return silent  # for the engine to refuse


def _tiny(config: Any, kind: Kind, family: str) -> torch.nn.Module:
    if kind == "encoder":
        width_of(config, family)
    size = sum(p.numel() for p in empty(config, kind, family).parameters())
    if size > MOST:
        raise ValueError(f"{size} parameters")
    torch.manual_seed(0)
    return randomised(_made(config, kind))


def _computes(module: torch.nn.Module) -> bool:
    try:
        with torch.no_grad():
            said_alone(module, np.arange(4, 12))
    except Exception:
        return False
    return True


def _made(config: Any, kind: Kind) -> Any:
    if kind == "causal":
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    config.use_cache = False  # as the plugin has it
    encoder = AutoModel.from_config(config, dtype=torch.float32, **_no_pooler(config))
    return Classifier(_without_unused(encoder), width_of(config, ""), CLASSES, "mean")


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Every matrix drawn anew, so that none is 0 and none hides behind another."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def examine(family: str, kind: Kind) -> Found:
    """Try everything that the engine asks of a model of this kind."""
    logging.disable(logging.ERROR)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = module_of(family, kind)
        except UsageError as error:
            return Found(family=family, status=f"refused: {str(error).removeprefix(f'{family}: ')}")
        except Exception as error:
            return Found(family=family, status=f"not tried: {error}")
        return _examined(family, kind, module, Path(folder))


def _examined(family: str, kind: Kind, module: Any, folder: Path) -> Found:
    infos, file = _weights(module), folder / "weights.safetensors"
    save_file({name: p.detach().clone().contiguous() for name, p in module.named_parameters()}, file)
    architecture = f"{'causal-lm' if kind == 'causal' else 'classifier'}/{family}"
    blueprint = Blueprint(architecture=architecture, config={}, weights=infos)
    sites = [Site(name=w.name, shape=w.matrix) for w in infos if w.role == "linear"]
    if not sites:
        return Found(family=family, status="refused: it has no linear layer to adapt")
    source = ModelSource(blueprint=blueprint, files=(file,), sha256="", build=lambda *_: module)
    found = Found(family=family, status="right", sites=len(sites))
    try:
        model: Any = Torch(device="cpu", dtype="float32", threads=1).open(source, sites)
        unreached = model.unreached_sites(examples(kind))
    except UsageError as error:
        return attrs.evolve(found, status=f"refused: {error}")
    except Exception as error:
        return attrs.evolve(found, status=f"WRONG: opening: {type(error).__name__}: {error}")
    checks = {"training": training_is_right, **({"answers": answers_are_right} if kind == "causal" else {})}
    for what, check in checks.items():
        try:
            check(model, sites, kind)
        except Exception as error:
            return attrs.evolve(found, status=f"WRONG: {what}: {type(error).__name__}: {error}")
    return attrs.evolve(
        found,
        status="right" + (f", {len(unreached)} sites without a gradient" if unreached else ""),
        summed=sum(not layer.low_rank for layer in model._layers.values()),
        writes=("from a cache" if model.net.cache_mode.cached else "anew for each token")
        if kind == "causal"
        else "",
    )


def _weights(module: Any) -> tuple[WeightInfo, ...]:
    if not isinstance(module, Classifier):
        return weights(module)
    head = WeightInfo(name="head.weight", shape=tuple(module.head.weight.shape), role="head")
    inside = (attrs.evolve(info, name=f"model.{info.name}") for info in weights(module.model))
    return (*inside, head, WeightInfo(name="head.bias", shape=(CLASSES,)))


def _first_line(said: object) -> str:
    return next((line.strip() for line in str(said).splitlines() if line.strip()), type(said).__name__)


def row(found: Found, kind: Kind) -> str:
    """A row of the table."""
    cells = [f"`{found.family}`", found.status, str(found.sites or ""), str(found.summed or "")]
    cells += [found.writes] if kind == "causal" else []
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def table(kind: Kind, names: Sequence[str]) -> None:
    """Print what came of the named families, or of all."""
    for name in names or families(kind):
        print(row(examine(name, kind), kind), flush=True)  # noqa: T201 - it is a table


if __name__ == "__main__":
    torch.set_num_threads(1)
    table("encoder" if sys.argv[1:2] == ["encoder"] else "causal", sys.argv[2:])
