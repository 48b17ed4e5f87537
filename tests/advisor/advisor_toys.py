"""Findings made up for rules, and matrices whose energies are known."""

import attrs
import numpy as np

from boostlora.engine.advisor.findings import BasisFinding, Findings, Share, SiteFinding, UsedFinding


def same(value):
    return Share(captured=value, itself=value, held_out=value)


def used(held, agreement=0.6):
    """What earlier rounds' directions hold."""
    return UsedFinding(captured=held, held_out=held, agreement=agreement)


def basis(
    name,
    held,
    *,
    itself=None,
    data_driven=False,
    own=False,
    diagonal=None,
    adapter=None,
    together=None,
    equal=None,
    project=None,
):
    """A basis that holds `held` of what it has not heard."""
    square = Share(captured=itself or held, itself=itself or held, held_out=held)
    first = {
        "square": square,
        "diagonal": same(held if diagonal is None else diagonal),
        "adapter": same(held if adapter is None else adapter),
    }
    beyond = same(held if together is None else together)
    return BasisFinding(
        name=name,
        own=own,
        data_driven=data_driven,
        first=first,
        together={"square": beyond, "diagonal": beyond},
        one_shot=beyond,
        equal=same(held if equal is None else equal),
        equal_rank=16,
        left=held,
        right=held,
        sites={"a": held, "b": held},
        project=project,
    )


def findings(*bases, shares=(0.6, 0.4), wide=7, **changes):
    """A look at a classifier with two sites."""
    made = Findings(
        name="toy",
        spec_sha256="0" * 64,
        model="the base model",
        number=1,
        rank=4,
        rounds=16,
        fresh=16,
        rounds_ahead=16,
        adapter="lora-xs",
        framed=True,
        objective="cross-entropy",
        rewarded=False,
        own_basis=next((basis.name for basis in bases if basis.own), "rotate"),
        sampler="hardest",
        batch_size=32,
        steps=40,
        refit_every=0,
        train=1000,
        failures=400,
        chosen=1000,
        calibration_examples=500,
        energy=2.0,
        error=0.0,
        agreement=0.9,
        leading={1: 0.2, 2: 0.3, 4: 0.5, 8: 0.8, 16: 0.9},
        expected_random=0.001,
        sites=tuple(
            SiteFinding(name=name, shape=(wide + 2, wide), energy=2 * share, error=0.0, share=share)
            for name, share in zip("abcdefgh", shares, strict=False)
        ),
        bases=tuple(bases),
    )
    return attrs.evolve(made, **changes)


def orthonormal(rng, rows, columns):
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]
