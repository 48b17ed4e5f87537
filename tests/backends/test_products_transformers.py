"""Products with gradients and activations of transformers: agreement of backends, padding, memory, cleanup."""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference.backend import Reference
from boostlora.backends.torch.backend import Torch
from boostlora.engine.contracts import Batch, Tokens
from boostlora.engine.errors import NonFiniteError
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.products import EMPTY, unit_columns

from ..support.hf_modules import DECODERS, ENCODERS, texts, torch
from .policy_cases import answered, batch_of
from .test_torch_transformers import Watch
from .training_transformers import opened

KINDS = [*DECODERS, *ENCODERS]
KNOWN = [kind for kind in KINDS if kind != "gpt2"]  # to the reference
DOUBLE = Torch(device="cpu", dtype="float64")
WAYS = {
    "whole": DOUBLE,
    "in-parts": attrs.evolve(DOUBLE, micro_batch=2, eval_tokens=8),
    "one-by-one": attrs.evolve(DOUBLE, micro_batch=1, eval_tokens=1),
    "checkpoints": attrs.evolve(DOUBLE, checkpointing=True),
}
BATCHES = [
    Batch(indices=np.array([4, 1, 4, 0, 6]), weights=np.array([1.0, 0.5, 2.0, 1.5, 0.7])),
    EMPTY,
    Batch(indices=np.array([2, 5]), weights=np.array([0.3, 1.2])),
]


def asked(model, sites, examples, batches, count=3):
    """Everything that can be asked, of all sites; the last site is asked from the left alone, the first from the right."""
    names = [site.name for site in sites]
    right, left = unit_columns(model, names[:-1], 1, count), unit_columns(model, names[1:], 0, count)
    found = model.gradient_products(examples, batches, right=right, left=left)
    heard = model.activation_products(examples, batches, right)
    return {
        **{f"{site}: right": found[site].right for site in right},
        **{f"{site}: left": found[site].left for site in left},
        **{f"{site}: activations": heard[site] for site in right},
    }


def assert_agree(found, expected, share):
    """Products off by no more than a share of the largest of their kind."""
    assert set(found) == set(expected)
    for kind in ("right", "left", "activations"):
        size = max(np.abs(x).max() for name, x in expected.items() if name.endswith(kind))
        for name in (name for name in expected if name.endswith(kind)):
            assert_close(found[name], expected[name], atol=share * size, what=name)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kind", KNOWN)
def test_products_equal_the_references_up_to_float64_rounding(kind, way, tmp_path):
    """Texts are of unequal lengths, so that there is padding; the reference has none."""
    examples = texts(kind)
    assert len(set(examples.inputs.lengths.tolist())) > 4
    truth = asked(*opened(kind, tmp_path, Reference()), examples, BATCHES)
    # Two layers in float64, whose roundings gradients take along: measured to be off by 2e-15 of the largest.
    assert_agree(asked(*opened(kind, tmp_path, way), examples, BATCHES), truth, 1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_products_equal_those_of_the_gradients_of_all_batches(kind, tmp_path):
    """GPT-2's weights are stored transposed, and the reference does not know it."""
    model, sites = opened(kind, tmp_path, DOUBLE)
    found, names = asked(model, sites, texts(kind), BATCHES), [site.name for site in sites]
    right, left = unit_columns(model, names[:-1], 1, 3), unit_columns(model, names[1:], 0, 3)
    for site in names:
        one, _, two = (model.gradient(site, texts(kind), b) if len(b) else None for b in BATCHES)
        G = (5 * one + 2 * two) / 7
        atol = 1e-12 * np.abs(G).max()
        if site in right:
            assert_close(found[f"{site}: right"], G @ right[site], atol=atol, what=f"{site}: right")
        if site in left:
            assert_close(found[f"{site}: left"], G.T @ left[site], atol=atol, what=f"{site}: left")


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_products_of_rollouts_equal_the_references_and_the_gradients(kind, tmp_path):
    examples, tokens = texts(kind), answered(texts(kind))
    truth, sites = opened(kind, tmp_path, Reference())
    log_p = -np.random.default_rng(3).uniform(2.0, 6.0, int(tokens.targets.sum()))
    off = batch_of(tokens, log_p, old=True, kl=0.1, temperature=0.8)
    on = batch_of(answered(examples, 1), log_p).take(np.array([0, 3]))
    expected = asked(truth, sites, examples, [off, on])
    for way in WAYS.values():
        assert_agree(asked(*opened(kind, tmp_path, way), examples, [off, on]), expected, 1e-13)
    site = sites[0].name
    right = unit_columns(truth, [site], 1, 3)[site]
    G = (5 * truth.gradient(site, examples, off) + 2 * truth.gradient(site, examples, on)) / 7
    assert_close(expected[f"{site}: right"], G @ right, atol=1e-13 * np.abs(G).max(), what="of rollouts")


@pytest.mark.parametrize("kind", KINDS)
def test_activation_products_do_not_depend_on_batching(kind, tmp_path):
    """A short text beside a long one has padding, alone it has none."""
    model, sites = opened(kind, tmp_path, DOUBLE)
    right = unit_columns(model, [site.name for site in sites], 1, 3)
    whole = Batch(indices=np.arange(7), weights=np.ones(7))
    alone = [whole.take(np.array([i])) for i in (6, 0, 2, 1, 5, 3, 4)]
    one, other = (model.activation_products(texts(kind), batches, right) for batches in ([whole], alone))
    lengths = texts(kind).inputs.lengths
    each = [model.activation_products(texts(kind), [batch], right) for batch in alone]
    for site in right:
        atol = 1e-13 * np.abs(one[site]).max()
        assert_close(other[site], one[site], atol=atol, what=f"{site}: one by one")
        if "lm_head" in site or site == "head.weight":
            continue  # rows that are not one a token
        mean = sum(lengths[b.indices[0]] * p[site] for b, p in zip(alone, each, strict=True)) / lengths.sum()
        assert_close(mean, one[site], atol=atol, what=f"{site}: every token is a row")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["llama", "esm"])
def test_low_precision_products_agree_with_float64_up_to_rounding(kind, dtype, tmp_path):
    expected = asked(*opened(kind, tmp_path, DOUBLE), texts(kind), BATCHES)
    found = asked(*opened(kind, tmp_path, Torch(device="cpu", dtype=dtype)), texts(kind), BATCHES)
    unit = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}[dtype]
    assert_agree(
        found, expected, 64 * unit
    )  # some tens of roundings of random sign on the way through two layers


def test_loss_scale_keeps_small_gradients_in_float16(tmp_path):
    """Gradients of 1e-7 and less have few bits in float16; a share among many batches must not take these too."""
    (double, sites), (half, _) = (
        opened("llama", tmp_path, backend) for backend in (DOUBLE, attrs.evolve(DOUBLE, dtype="float16"))
    )
    examples = texts("llama")
    batches = [Batch(indices=np.array([i % 7]), weights=np.array([1e-3])) for i in range(40)]
    right = unit_columns(double, [sites[0].name], 1, 3)
    expected, found = (
        m.gradient_products(examples, batches, right=right, left={})[sites[0].name].right
        for m in (double, half)
    )
    assert_close(found, expected, atol=0.05 * np.abs(expected).max(), what="a small gradient in float16")


@pytest.mark.parametrize("way", ["whole", "checkpoints"])
@pytest.mark.parametrize("kind", KINDS)
def test_products_allocate_no_tensor_of_weight_size(kind, way, tmp_path):
    model, sites = opened(kind, tmp_path, WAYS[way])
    names = [site.name for site in sites]
    right, left = unit_columns(model, names, 1, 3), unit_columns(model, names, 0, 2)
    weights = {site.shape for site in sites} | {site.shape[::-1] for site in sites}
    examples = texts(kind)
    known = {p.untyped_storage().data_ptr() for p in model.net.module.parameters()}
    assert model.unreached_sites(examples) == ()
    with Watch(known) as seen:
        model.gradient_products(examples, BATCHES, right=right, left=left)
        model.gradient_products(examples, BATCHES, right=right, left={})
        model.activation_products(examples, BATCHES, right)
    assert len(seen.shapes) > 20, "nothing was watched"
    assert not seen.shapes & weights


def test_layers_keep_only_projected_inputs_for_the_right_product(tmp_path):
    model, sites = opened("llama", tmp_path, DOUBLE)
    lone = [site for site in sites if site.name.endswith("down_proj.weight")]
    names, kept = [site.name for site in lone], {}
    tokens = int(texts("llama").inputs.lengths.max()) * 7

    def saved(**sides):
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: shapes.append(tuple(x.shape)) or x, lambda x: x
        ):
            batch = Batch(indices=np.arange(7), weights=np.ones(7))
            model.gradient_products(texts("llama"), [batch], **sides)
        return shapes

    right, left = unit_columns(model, names, 1, 3), unit_columns(model, names, 0, 3)
    kept["right"], kept["left"] = saved(right=right, left={}), saved(right={}, left=left)
    width = lone[0].shape[1]
    assert kept["right"].count((tokens, 3)) == len(lone)
    assert kept["right"].count((tokens, width)) == 0
    assert kept["left"].count((tokens, width)) == len(lone)


@pytest.mark.parametrize("way", ["whole", "checkpoints"])
@pytest.mark.parametrize("kind", KINDS)
def test_products_leave_the_module_tree_unchanged_after_an_error_too(kind, way, tmp_path):
    model, sites = opened(kind, tmp_path, WAYS[way])
    module, names = model.net.module, [site.name for site in sites]

    def state():
        return (
            [(name, type(m), sorted(vars(m)), m.training) for name, m in module.named_modules()],
            [(n, p.shape, p.dtype, p.requires_grad, p.grad) for n, p in module.named_parameters()],
            # Hugging Face's own switch leaves a hook on the embeddings, each time that checkpointing is turned on.
            [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules() if way == "whole"],
        )

    asked(model, sites, texts(kind), BATCHES)  # some modules keep tables from their first call on
    before = state()
    asked(model, sites, texts(kind), BATCHES)
    assert state() == before
    right = unit_columns(model, names, 1, 2)
    broken = attrs.evolve(BATCHES[0], weights=np.full(5, np.nan))
    with pytest.raises(NonFiniteError, match="loss of a batch is nan"):
        model.gradient_products(texts(kind), [*BATCHES, broken], right=right, left={})
    assert state() == before
    huge = attrs.evolve(
        texts(kind), inputs=attrs.evolve(texts(kind).inputs, ids=texts(kind).inputs.ids + 1000)
    )
    for ask in (
        lambda: model.activation_products(huge, BATCHES, right),
        lambda: model.gradient_products(huge, BATCHES, right=right, left={}),
    ):
        with pytest.raises(IndexError):
            ask()
        assert state() == before


def test_activation_products_that_overflow_are_refused_by_both_backends(tmp_path):
    for backend in (Reference(dtype="float32"), Torch(device="cpu")):
        model, sites = opened("llama", tmp_path, backend)
        right = unit_columns(model, [sites[0].name], 1, 2)
        with pytest.raises(NonFiniteError, match=r"q_proj.*activations"):
            model.activation_products(texts("llama"), BATCHES, {k: 1e39 * x for k, x in right.items()})


def test_float32_reference_returns_float64_arrays_of_float32_values(tmp_path):
    found = asked(*opened("qwen2", tmp_path, Reference(dtype="float32")), texts("qwen2"), BATCHES)
    expected = asked(*opened("qwen2", tmp_path, Reference()), texts("qwen2"), BATCHES)
    assert_agree(found, expected, 64 * 2.0**-24)
    for value in found.values():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, value.astype(np.float32))
    assert any(np.abs(found[name] - expected[name]).max() > 0 for name in found)


def test_tokens_of_rollouts_are_the_rows_of_activation_products(tmp_path):
    """Not those of the examples that were answered."""
    model, sites = opened("qwen2", tmp_path, DOUBLE)
    examples, tokens = texts("qwen2"), answered(texts("qwen2"))
    batch = batch_of(tokens, np.zeros(int(tokens.targets.sum())))
    right = unit_columns(model, [site.name for site in sites], 1, 3)
    asked_of = attrs.evolve(
        examples.take(np.arange(5)), inputs=Tokens.join(list(tokens), tokens.starts.tolist())
    )
    plain = Batch(indices=np.arange(5), weights=np.ones(5))
    one = model.activation_products(examples, [batch], right)
    two = model.activation_products(asked_of, [plain], right)
    for site in right:
        assert_close(one[site], two[site], atol=1e-13 * np.abs(two[site]).max(), what=site)
