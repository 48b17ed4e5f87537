"""Tasks that are judged by what the model writes: how much, how often, and how many of it must be right."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ....engine.contracts import Decoding, Examples, Outcome, Predictions, Sampling
from ....engine.errors import RunError
from ....engine.foundation.options import Limit, option, whole
from ....engine.sdk.judge import Judgement, judge_answers, pass_at_k

nucleus = Limit("more than 0 and at most 1", lambda x: 0 < x <= 1)


@attrs.frozen(kw_only=True, slots=False)  # beside another base with slots of its own
class GenerativeTask:
    """The options of tasks whose answers are written, and what follows from them.

    An example is wrong where the likeliest answer is (`samples = 1` at `temperature = 0`), or where fewer than `required` of `samples`
    answers are right: the failure rule.
    """

    samples: int = option(1, "answers an example; more than one needs a temperature", whole)
    required: int = option(1, "how many of them must be right for the example to be right", whole)
    temperature: float = option(0.0, "0: the likeliest token, always; else tokens are drawn at it", min=0.0)
    top_p: float = option(1.0, "draw from the likeliest tokens whose probabilities add up to this", nucleus)
    max_new_tokens: int = option(256, "tokens of an answer at most", whole)

    def check_completions(self) -> None:
        """Options that contradict each other. Raises ValueError."""
        if self.samples > 1 and self.temperature == 0.0:
            raise ValueError(f'"samples" = {self.samples} answers would all be the same; set a "temperature"')
        if self.required > self.samples:
            raise ValueError(f'"required" = {self.required} of "samples" = {self.samples} answers')
        if self.top_p < 1.0 and self.temperature == 0.0:
            raise ValueError('"top_p" has a meaning only with a "temperature"')

    @property
    def measures(self) -> tuple[str, ...]:
        """What is measured beside accuracy and loss."""
        return self.pass_measures

    @property
    def pass_measures(self) -> tuple[str, ...]:
        """`pass_1` and `pass_K`, where there are several answers."""
        return ("pass_1", f"pass_{self.samples}") if self.samples > 1 else ()

    def decoding_with(self, stop: tuple[str, ...]) -> Decoding:
        """How the model is to write."""
        drawn = Sampling(temperature=self.temperature, top_p=self.top_p) if self.temperature else None
        return Decoding(max_new_tokens=self.max_new_tokens, stop=stop, samples=self.samples, sampling=drawn)

    def outcome(
        self, examples: Examples, predictions: Predictions, judged: Sequence[Judgement], *, k: int = 0
    ) -> Outcome:
        """The failure rule applied; with several answers, `pass_1` and `pass_K` (and `pass_k`) are measured."""
        found = judge_answers(examples, predictions, judged, self.required)
        texts = len(judged) // max(len(examples), 1)
        if texts == 1:
            return found
        right = (found.reward * texts).round().astype(int)
        wanted: set[int] = {1, texts} | ({k} if 0 < k <= texts else set())
        return attrs.evolve(
            found,
            measures={**found.measures, **{f"pass_{n}": pass_at_k(right, texts, n) for n in sorted(wanted)}},
        )


def texts_of(predictions: Predictions) -> tuple[str, ...]:
    """What was written. Raises `RunError` where nothing was."""
    if predictions.texts is None:
        raise RunError("the backend generated no texts, but the task judges texts")
    return predictions.texts
