"""Location of the base model for `from_pretrained`."""

from __future__ import annotations

import re

import attrs

from ....engine.contracts import Exportable
from ...models._hf.model import HfModel

COMMIT = re.compile(r"[0-9a-f]{40}")


@attrs.frozen(kw_only=True)
class Location:
    """Arguments of `from_pretrained`: a Hugging Face id with a revision, or an absolute folder."""

    name: str
    revision: str | None = None

    def arguments(self) -> str:
        """The arguments as Python source."""
        return repr(self.name) + (f", revision={self.revision!r}" if self.revision else "")


def base_location(ensemble: Exportable) -> Location:
    """The location of the base model.

    A model from the Hub has its id and commit. Weights from a GGUF file were dequantised into a cache folder, and that folder is
    the base: loading the GGUF file again may give another dtype.
    """
    weights = ensemble.source.files[0].parent.absolute()
    if isinstance(ensemble.model, HfModel):
        folder = ensemble.model.folder()
        if folder.repository and not folder.gguf:
            commit = folder.path.name if COMMIT.fullmatch(folder.path.name) else folder.revision
            return Location(name=folder.repository, revision=commit or None)
    return Location(name=str(weights))


def tokenizer_location(ensemble: Exportable) -> Location:
    """The location of the tokenizer: that of the base, unless it is a converted copy with weights only."""
    base = base_location(ensemble)
    if isinstance(ensemble.model, HfModel) and not base.revision:
        return Location(name=str(ensemble.model.folder().path.absolute()))
    return base
