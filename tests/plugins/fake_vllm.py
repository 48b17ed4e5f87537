"""vLLM's documented interface in front of Hugging Face's modules: what is called otherwise than documented, it refuses.

Like vLLM it says that it keeps query, key and value as one parameter, takes a checkpoint's weights under the checkpoint's names in any number at a time,
caches prompts until it is told to forget them, and lets a worker be extended by a class it is given by name.
"""

import importlib
import json
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import attrs
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

FUSED = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj"}
MADE = []
"""Every engine that was started."""


@attrs.frozen(kw_only=True)
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int = attrs.field(default=16, validator=attrs.validators.ge(1))
    detokenize: bool = True
    skip_special_tokens: bool = True

    def __attrs_post_init__(self):
        if self.stop and not self.detokenize:
            raise ValueError("stop strings are only supported when detokenize is True")
        if self.seed is not None and not -(2**63) <= self.seed < 2**63:
            raise ValueError("seed must be an int64")


class Model:
    """The engine's own module: what it takes, it takes by the checkpoint's names."""

    def __init__(self, module):
        self.module, self.given = module, []

    def load_weights(self, weights):
        parameters, loaded = dict(self.module.named_parameters()), set()
        for name, tensor in weights:
            assert isinstance(tensor, torch.Tensor)
            target = parameters[name]
            assert target.shape == tensor.shape, name
            target.data.copy_(tensor)
            self.given.append(name)
            part = name.split(".")[-2]
            loaded.add(name.replace(part, FUSED.get(part, part)))
        return loaded


class Worker:
    """A worker before it is extended."""

    def __init__(self, model):
        self.model_runner = types.SimpleNamespace(model=model)


class LLM:
    def __init__(
        self,
        model,
        *,
        dtype="auto",
        seed=None,
        tensor_parallel_size=1,
        gpu_memory_utilization=0.9,
        enforce_eager=False,
        enable_prefix_caching=True,
        worker_extension_cls="",
        max_model_len=None,
    ):
        self.arguments = {k: v for k, v in locals().items() if k != "self"}
        MADE.append(self)
        config = AutoConfig.from_pretrained(model)
        assert json.loads(Path(model, "config.json").read_text())["model_type"] == config.model_type
        module = AutoModelForCausalLM.from_pretrained(
            model, config=config, dtype=torch.float32, local_files_only=True
        ).eval()
        home, _, name = worker_extension_cls.rpartition(".")
        extension = getattr(importlib.import_module(home), name)
        assert not {n for n in vars(extension) if not n.startswith("__")} & set(dir(Worker)), "a conflict"
        self.model = Model(module)
        kind = type("Extended", (Worker, extension), {})
        self.workers = [kind(self.model) for _ in range(tensor_parallel_size)]
        self.asked, self.pushed, self.cached = [], [], {}

    def collective_rpc(self, method, timeout=None, args=(), kwargs=None):
        if callable(method):
            raise TypeError(
                "Object of type function is not serializable. Set VLLM_ALLOW_INSECURE_SERIALIZATION=1"
            )
        json.dumps([args, kwargs])  # what msgpack takes in every version
        self.pushed.append({name: x.clone() for name, x in load_file(args[0]).items()})
        return [getattr(worker, method)(*args, **(kwargs or {})) for worker in self.workers]

    def reset_prefix_cache(self):
        self.cached.clear()
        return True

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True):
        assert use_tqdm is False
        assert len(prompts) == len(sampling_params)
        self.asked += list(zip(prompts, sampling_params, strict=True))
        return [self._answer(prompt, params) for prompt, params in zip(prompts, sampling_params, strict=True)]

    def _answer(self, prompt, params):
        (key,) = prompt
        assert key == "prompt_token_ids"
        assert all(type(token) is int for token in prompt[key])
        first = tuple(prompt[key])
        generator = None if params.seed is None else torch.Generator().manual_seed(params.seed)
        tokens, reason = [], None
        while len(tokens) < params.max_tokens:
            logits = self._logits([*prompt[key], *tokens], first if not tokens else None)
            token = self._choose(logits, params, generator)
            tokens.append(token)
            if token in (params.stop_token_ids or []):
                reason = token
                break
        output = types.SimpleNamespace(token_ids=tokens, stop_reason=reason, text="")
        return types.SimpleNamespace(outputs=[output], prompt_token_ids=prompt[key])

    def _logits(self, ids, remembered):
        if remembered is not None and remembered in self.cached:
            return self.cached[remembered]
        with torch.no_grad():
            logits = self.model.module(input_ids=torch.tensor([ids])).logits[0, -1]
        if remembered is not None:
            self.cached[remembered] = logits
        return logits

    def _choose(self, logits, params, generator):
        if params.temperature == 0.0:
            return int(logits.argmax())
        assert generator is not None, "a draw without a seed"
        p = torch.softmax(logits.double() / params.temperature, dim=-1)
        return int(torch.multinomial(p, 1, generator=generator))


def modules(*, version="0.22.1", cuda=True):
    """What `import vllm` and `import vllm.platforms` find."""
    vllm, platforms = types.ModuleType("vllm"), types.ModuleType("vllm.platforms")
    vllm.__spec__, platforms.__spec__ = ModuleSpec("vllm", None), ModuleSpec("vllm.platforms", None)
    vllm.LLM, vllm.SamplingParams, vllm.__version__ = LLM, SamplingParams, version
    platforms.current_platform = types.SimpleNamespace(is_cuda_alike=lambda: cuda)
    return {"vllm": vllm, "vllm.platforms": platforms}
