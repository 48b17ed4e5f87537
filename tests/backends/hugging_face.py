"""Hugging Face modules as the judge: in float64 for true, with random weights, on padded batches."""

import json
import types

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import modeling_rope_utils
from transformers.models.bert import modeling_bert
from transformers.models.esm import modeling_esm
from transformers.models.llama import modeling_llama
from transformers.models.qwen2 import modeling_qwen2

from boostlora.engine.contracts import Blueprint, ModelSource, WeightInfo

MODULES = (modeling_rope_utils, modeling_bert, modeling_esm, modeling_llama, modeling_qwen2)
PAD = 1


class _Float64Torch(types.ModuleType):
    """`torch`, where float32 means float64: the modules compute norms, angles and softmax in float32 whatever their dtype."""

    def __getattr__(self, name):
        return torch.float64 if name in {"float", "float32"} else getattr(torch, name)


def in_float64(monkeypatch):
    """Let the modules compute in float64 throughout."""
    for module in MODULES:
        monkeypatch.setattr(module, "torch", _Float64Torch("torch"))
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def randomised(module, seed=0):
    """The module in float64 and evaluation mode with random weights: gains near 1, the rest of a size at which every term counts."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            gain = "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(noise * 0.4 + float(gain))
    return module


class HeadedEncoder(nn.Module):
    """What `classifier/…` means, in torch: hidden states, pooling over real tokens, a linear head."""

    def __init__(self, model, pooling, classes):
        super().__init__()
        self.model, self.pooling = model, pooling
        self.head = nn.Linear(model.config.hidden_size, classes)

    def forward(self, input_ids, attention_mask, **types_of_tokens):
        hidden = self.model(
            input_ids=input_ids, attention_mask=attention_mask, **types_of_tokens
        ).last_hidden_state
        real = attention_mask[..., None].bool()
        last = attention_mask.sum(dim=1) - 1
        pooled = {
            "mean": lambda: hidden.masked_fill(~real, 0.0).sum(dim=1) / real.sum(dim=1),
            "max": lambda: hidden.masked_fill(~real, -torch.inf).amax(dim=1),
            "cls": lambda: hidden[:, 0],
            "last": lambda: hidden[torch.arange(len(last)), last],
        }[self.pooling]()
        return self.head(pooled)


def padded(tokens, filler=PAD):
    """A batch padded on the right, with its mask and token types, as torch takes it."""
    width = int(tokens.lengths.max())
    ids, mask, kinds = (np.full((len(tokens), width), value, dtype=np.int64) for value in (filler, 0, 0))
    for i, sequence in enumerate(tokens):
        ids[i, : len(sequence)], mask[i, : len(sequence)] = sequence, 1
        if tokens.types is not None:
            kinds[i, : len(sequence)] = tokens.types[tokens.offsets[i] : tokens.offsets[i + 1]]
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    return batch if tokens.types is None else {**batch, "token_type_ids": torch.from_numpy(kinds)}


def judged(module, tokens):
    """Logits by torch: of a classifier `(n, classes)`, of a language model a row for every token to be predicted."""
    with torch.no_grad():
        answer = module(**padded(tokens))
    if isinstance(module, HeadedEncoder):
        return answer.numpy()
    spans = zip(answer.logits.numpy(), tokens.starts, tokens.lengths, strict=True)
    return np.concatenate([rows[start - 1 : length - 1] for rows, start, length in spans])


def source_of(module, folder, dtype=torch.float64):
    """The module's parameters in safetensors files; a classifier's body is stored without its prefix, its head in a second file."""
    tensors = {name: x.detach().to(dtype).contiguous() for name, x in module.named_parameters()}
    if isinstance(module, HeadedEncoder):
        config, family = module.model.config, "classifier"
        more = {"pooling": module.pooling, "classes": module.head.out_features}
        stored = {name: name.removeprefix("model.") for name in tensors}
    else:
        config, family, more, stored = module.config, "causal-lm", {}, {name: name for name in tensors}
    heads = {name for name in tensors if name.startswith("head.")}
    parts = {"body": tensors.keys() - heads, "head": heads}
    files = tuple(folder / f"{part}.safetensors" for part, names in parts.items() if names)
    for file, names in zip(files, parts.values(), strict=False):
        save_file({stored[name]: tensors[name] for name in names}, file)
    weights = tuple(
        WeightInfo(name=name, shape=tuple(x.shape), stored=stored[name]) for name, x in tensors.items()
    )
    hf = json.loads(json.dumps(config.to_dict()))
    blueprint = Blueprint(
        architecture=f"{family}/{config.model_type}", config={"hf": hf, **more}, weights=weights
    )
    return ModelSource(blueprint=blueprint, files=files, sha256="")
