"""What is to be said of rounds beside what was compared."""

from __future__ import annotations

CONVERGED = "the sampler chose no example: nothing is left to learn"
UNFITTED = "no earlier round has been merged whose cores could be trained again"
UNKEPT = "the answers that its basis heard were not kept, so its frames were taken as recorded"
UNFINISHED = "the candidate could not finish it; no further round was compared"


class Notes:
    """What is to be said of rounds, each thing once."""

    def __init__(self) -> None:
        self._rounds = dict[str, list[int]]()

    def add(self, number: int, text: str) -> None:
        """Say it of a round; nothing is not said."""
        if text:
            self._rounds.setdefault(text, []).append(number)

    def lines(self) -> tuple[str, ...]:
        """`rounds 1, 2: …`."""
        return tuple(
            f"round{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}: {text}"
            for text, numbers in self._rounds.items()
        )
