"""The console of commands that print tables and styles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from .terminal import safe


class Console(rich.console.Console):
    """Rich's console, with texts escaped: only Rich's own codes control the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """A text with its markup, escaped before it is measured."""
        return super().render_str(safe(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of text with their styles."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(safe(segment.text), segment.style)
