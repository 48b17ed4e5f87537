"""Generation by vLLM, with a second copy of the model that is synchronised with training."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import (
    Completion,
    Examples,
    GenerationRequest,
    GenerativeModel,
    InferenceEngine,
    ModelSource,
    Site,
    Tokens,
)
from ...engine.errors import RunError, UsageError
from ...engine.foundation.atomic import write_arrays
from ...engine.foundation.cache import arrays_sha256
from ...engine.foundation.options import Limit, option, whole
from ...engine.foundation.process_group import process_info
from ...engine.hookspecs import hookimpl

OLDEST = (0, 9)
"""The first version with V1's `collective_rpc` by name and `worker_extension_cls`."""
EXTENSION = "boostlora.plugins.generators._vllm_worker.BoostloraWeights"
part = Limit("more than 0 and at most 1", lambda x: 0 < x <= 1)


@attrs.frozen(kw_only=True)
class Vllm:
    """vLLM on the same GPUs as training. Written to its documented interface, and not yet tested on a GPU.

    It holds a second copy of the base model. Before it generates, adapted weights that have changed are pushed to it. Greedy text can
    differ from the backend's if two tokens nearly tie, since the kernels differ. Sampled text has the same distribution, but other
    draws: vLLM samples with one seed per sequence, derived from the engine's draws. A run is so as reproducible as vLLM is
    (batching can change last bits), tokens differ from those of `native`, and `verify` cannot replay them. Temperatures below 0.01 are
    raised to 0.01. Log-probabilities of the old policy come from the backend, as with `native`.
    """

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = option(
        "auto", "dtype of its copy, preferably backend.dtype; auto: the model's own"
    )
    memory: float = option(
        0.3, "share of GPU memory for its weights and cache; the rest is for training", part
    )
    gpus: int = option(1, "number of GPUs (tensor parallel)", whole)
    max_length: int = option(0, "maximum tokens of prompt and answer; 0: the model's limit", min=0)
    prefix_caching: bool = option(True, "cache common prefixes of prompts until weights change")
    eager: bool = option(False, "no CUDA graphs: faster start and less memory, slower generation")

    def check(self) -> None:
        """Raise `UsageError` for a missing or old vLLM, a missing GPU, or several processes."""
        if process_info().shared:
            raise UsageError(
                "generator vllm runs in one process, and torchrun has started several; use generator.use = "
                '"native", which shards the work, or start boostlora without torchrun and set generator.gpus'
            )
        if importlib.util.find_spec("vllm") is None:
            raise UsageError("generator vllm needs vLLM: pip install vllm")
        vllm, platforms = importlib.import_module("vllm"), importlib.import_module("vllm.platforms")
        found = re.match(r"(\d+)\.(\d+)", str(getattr(vllm, "__version__", "")))
        if found is not None and (int(found[1]), int(found[2])) < OLDEST:
            raise UsageError(
                f"generator vllm needs vLLM {OLDEST[0]}.{OLDEST[1]} or newer, and this is {vllm.__version__}: pip install -U vllm"
            )
        if not platforms.current_platform.is_cuda_alike():
            raise UsageError('generator vllm needs a GPU; generator.use = "native" writes anywhere')

    def open(self, source: ModelSource, sites: Sequence[Site]) -> InferenceEngine:
        """Start the engine with the base model. Raises `UsageError` for a model that it could not keep in step."""
        folder, stored = _folder(source), _stored(source, sites)
        vllm: Any = importlib.import_module("vllm")
        more: dict[str, Any] = {"max_model_len": self.max_length} if self.max_length else {}
        llm = vllm.LLM(
            model=str(folder),
            dtype=self.dtype,
            seed=0,
            tensor_parallel_size=self.gpus,
            gpu_memory_utilization=self.memory,
            enable_prefix_caching=self.prefix_caching,
            enforce_eager=self.eager,
            worker_extension_cls=EXTENSION,
            **more,
        )
        return VllmEngine(llm=llm, params=vllm.SamplingParams, stored=stored)


@attrs.frozen
class Stored:
    """A site's weight in the checkpoint: its name, and whether it is stored as `(d_in, d_out)`."""

    name: str
    transposed: bool


@attrs.define(kw_only=True, eq=False)
class VllmEngine:
    """One run's engine, and the hashes of its current weights."""

    llm: Any
    params: Callable[..., Any]
    """`vllm.SamplingParams`."""
    stored: Mapping[str, Stored]
    known: dict[str, str] = attrs.field(factory=dict)
    """Hashes of the engine's weights by site; empty before the first generation."""

    def write(
        self, generative_model: GenerativeModel, examples: Examples, request: GenerationRequest
    ) -> list[Completion]:
        """Completions with the model's current weights, in example order."""
        tokens = examples.inputs
        if not isinstance(tokens, Tokens):
            raise UsageError("generator vllm needs token sequences; this task's inputs are of another kind")
        if not len(tokens) or not request.max_new_tokens:  # vLLM generates at least one token
            return [Completion(np.empty(0, dtype=np.int32))] * len(tokens)
        self._push(generative_model)
        starts = tokens.starts.tolist()
        prompts = [{"prompt_token_ids": tokens.sequence(i)[:n].tolist()} for i, n in enumerate(starts)]
        asked = [self.params(**_parameters(request, i)) for i in range(len(prompts))]
        answers = self.llm.generate(prompts, asked, use_tqdm=False)
        if len(answers) != len(prompts):
            raise RunError(f"vLLM gave {len(answers)} answers to {len(prompts)} prompts")
        return [_written(answer.outputs[0], request) for answer in answers]

    def _push(self, generative_model: GenerativeModel) -> None:
        """Send changed weights to the engine through a file, which works in all versions without pickle."""
        changed, hashes = dict[str, NDArray[np.float32]](), dict[str, str]()
        for site, there in self.stored.items():
            weight = generative_model.weight(site).astype(np.float32)
            sha256 = arrays_sha256({"W": weight})
            if self.known.get(site) != sha256:
                changed[there.name] = weight.T if there.transposed else weight
                hashes[site] = sha256
        if not changed:
            return
        for site in hashes:  # unknown until the update succeeds
            self.known.pop(site, None)
        with TemporaryDirectory(prefix="boostlora-vllm-") as folder:
            file = Path(folder, "weights.safetensors")
            write_arrays(file, changed)
            counts = self.llm.collective_rpc("boostlora_load", args=(str(file),))
        if not counts or not all(counts):
            raise RunError(
                f"vLLM updated no parameters ({', '.join(list(changed)[:3])}, …); use generator native"
            )
        self.llm.reset_prefix_cache()  # cached prefixes belong to the old weights
        self.known |= hashes


def _parameters(request: GenerationRequest, index: int) -> dict[str, Any]:
    """VLLM's sampling parameters for one sequence. Only the request's end tokens apply, not those of the model's configuration."""
    common: dict[str, Any] = {
        "max_tokens": request.max_new_tokens,
        "ignore_eos": True,
        "stop_token_ids": list(request.end_tokens),
        "stop": list(request.stop) or None,
        "detokenize": bool(request.stop),
        "skip_special_tokens": True,  # special tokens among the stop strings act as end tokens
    }
    if request.sampling is None:
        return {**common, "temperature": 0.0}
    if request.draws is None:
        raise ValueError("sampling needs draws")
    sampling, seed = request.sampling, _seed(request.draws[index])
    return {**common, "temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}


def _seed(draws: NDArray[np.float64]) -> int:
    """A seed in `[0, 2^62)`: a hash of the draws."""
    digest = hashlib.sha256(np.ascontiguousarray(draws, dtype=np.float64).tobytes()).digest()
    return int.from_bytes(digest[:8], "little") >> 2


def _written(output: Any, request: GenerationRequest) -> Completion:
    """The completion, cut at the first end token, or where `finished` returns True."""
    tokens = list[int]()
    for token in output.token_ids:
        if token in request.end_tokens:
            return Completion(np.array(tokens, dtype=np.int32), int(token))
        tokens.append(int(token))
        if request.finished is not None and request.finished(np.array(tokens, dtype=np.int32)):
            return Completion(np.array(tokens, dtype=np.int32))
    reason = getattr(output, "stop_reason", None)  # an end token that vLLM excluded from the tokens
    end = reason if isinstance(reason, int) and reason in request.end_tokens else None
    return Completion(np.array(tokens, dtype=np.int32), end)


def _folder(source: ModelSource) -> Path:
    """The model's folder in Hugging Face's layout, which vLLM loads. Raises `UsageError`."""
    if not source.blueprint.architecture.startswith("causal-lm/"):
        raise UsageError(f"generator vllm needs a causal language model, not {source.blueprint.architecture}")
    folder = source.files[0].parent
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"{folder}: no config.json next to the weights, as in a converted model (GGUF, .bin); generator vllm "
            "needs a folder of safetensors in Hugging Face's layout"
        )
    return folder


def _stored(source: ModelSource, sites: Sequence[Site]) -> dict[str, Stored]:
    """The stored weight of every site. Raises `UsageError` for an output layer tied to the embedding."""
    infos = {info.name: info for info in source.blueprint.weights}
    hf: Mapping[str, Any] = source.blueprint.config.get("hf", {})
    for site in sites:
        if infos[site.name].role == "head" and hf.get("tie_word_embeddings"):
            raise UsageError(
                f"{site.name} is tied to the embedding, and vLLM would change both: exclude it (sites.exclude), or use generator native"
            )
    return {
        site.name: Stored(infos[site.name].stored or site.name, infos[site.name].transposed) for site in sites
    }


@hookimpl
def register_generators(register: Callable[[str, type[Any]], None]) -> None:
    """Register `vllm`."""
    register("vllm", Vllm)
