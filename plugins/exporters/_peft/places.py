"""Where the base model is, in words that outlive this package."""

from __future__ import annotations

import re

import attrs

from ....engine.contracts import Exportable
from ...models._hf.model import HfModel

COMMIT = re.compile(r"[0-9a-f]{40}")


@attrs.frozen(kw_only=True)
class Place:
    """What `from_pretrained` takes: a Hugging Face id with a revision, or an absolute folder."""

    name: str
    revision: str | None = None

    def arguments(self) -> str:
        """As they stand in a line of Python."""
        return repr(self.name) + (f", revision={self.revision!r}" if self.revision else "")


def base_of(ensemble: Exportable) -> Place:
    """The model that the rounds are added to.

    It is the id on the hub where the run took it from there, with the commit that it got. Weights from a GGUF file were
    dequantised into a folder of the cache, and that folder is the base: loading the file again may give another dtype.
    """
    weights = ensemble.source.files[0].parent.absolute()
    if isinstance(ensemble.model, HfModel):
        folder = ensemble.model.folder()
        if folder.repository and not folder.gguf:
            commit = folder.path.name if COMMIT.fullmatch(folder.path.name) else folder.revision
            return Place(name=folder.repository, revision=commit or None)
    return Place(name=str(weights))


def tokenizer_of(ensemble: Exportable) -> Place:
    """Where the tokenizer is: with the base, unless that is a converted copy of the weights alone."""
    base = base_of(ensemble)
    if isinstance(ensemble.model, HfModel) and not base.revision:
        return Place(name=str(ensemble.model.folder().path.absolute()))
    return base
