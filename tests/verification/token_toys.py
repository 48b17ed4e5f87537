"""A language model of two tiny layers, and a task for it, made without any library."""

import attrs
import numpy as np
from safetensors.numpy import save_file

from boostlora.engine.contracts import (
    Blueprint,
    Examples,
    ModelSource,
    Outcome,
    Prompts,
    Splits,
    Tokens,
    WeightInfo,
)
from boostlora.engine.foundation.atomic import file_sha256

WORDS, WIDTH, INNER = 13, 16, 10
HF = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_theta": 100.0, "rope_type": "default"},
}
LAYER = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (WIDTH // 2, WIDTH),
    "self_attn.v_proj": (WIDTH // 2, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (INNER, WIDTH),
    "mlp.up_proj": (INNER, WIDTH),
    "mlp.down_proj": (WIDTH, INNER),
    "input_layernorm": (WIDTH,),
    "post_attention_layernorm": (WIDTH,),
}
OUTSIDE = {"model.embed_tokens": (WORDS, WIDTH), "model.norm": (WIDTH,), "lm_head": (WORDS, WIDTH)}


def weights():
    """Every weight of the model."""
    for name, shape in OUTSIDE.items():
        yield WeightInfo(name=f"{name}.weight", shape=shape)
    for layer in range(2):
        for name, shape in LAYER.items():
            role = "linear" if len(shape) == 2 else "other"
            yield WeightInfo(name=f"model.layers.{layer}.{name}.weight", shape=shape, role=role, layer=layer)


@attrs.frozen(kw_only=True)
class TinyDecoder:
    """Random weights; a letter is a token."""

    end_tokens = ()

    def blueprint(self, splits):
        del splits
        return Blueprint(architecture="causal-lm/llama", config={"hf": HF}, weights=tuple(weights()))

    def source(self, splits, context, rng):
        file = context.cache / "tiny-decoder.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        tensors = {w.name: (len(w.shape) == 1) + 0.4 * rng.standard_normal(w.shape) for w in weights()}
        save_file({name: x.astype(np.float32) for name, x in tensors.items()}, file)
        return ModelSource(blueprint=self.blueprint(splits), files=(file,), sha256=file_sha256(file))

    def encode(self, examples):
        rows = zip(examples.inputs.prompts, examples.inputs.completions, strict=True)
        sequences = [[ord(c) - ord("a") for c in p + c_] for p, c_ in rows]
        starts = [len(p) for p in examples.inputs.prompts]
        return attrs.evolve(examples, inputs=Tokens.join(sequences, starts))

    def special_token(self, text):
        del text

    def decode(self, tokens, after=None):
        del after
        return "".join(chr(ord("a") + t) for t in tokens)


@attrs.frozen(kw_only=True)
class Letters:
    """Random words to be continued by random words."""

    def load(self, rng):
        def word():
            return "".join(chr(ord("a") + i) for i in rng.integers(0, WORDS, rng.integers(2, 6)))

        def split(first):
            n = 12
            inputs = Prompts(tuple(word() for _ in range(n)), tuple(word() for _ in range(n)))
            return Examples(
                ids=np.arange(first, first + n), inputs=inputs, labels=np.zeros(n, dtype=np.int64)
            )

        return Splits(train=split(0), validation=split(100), test=split(200), classes=())

    def judge(self, examples, predictions):
        correct = predictions.output == predictions.targets
        return Outcome(
            ids=examples.ids,
            prediction=predictions.output,
            loss=predictions.loss,
            correct=correct,
            reward=correct.astype(float),
        )
