"""Base class of tasks that are evaluated on generated text."""

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
    """Decoding options, and the failure rule.

    An example fails if fewer than `required` of its `samples` answers are correct; with `samples = 1` at `temperature = 0`, if the greedy
    answer is wrong.
    """

    samples: int = option(1, "answers per example; more than one needs a temperature", whole)
    required: int = option(1, "correct answers that an example needs to count as correct", whole)
    temperature: float = option(0.0, "sampling temperature; 0: greedy decoding", min=0.0)
    top_p: float = option(1.0, "nucleus sampling: probability mass of the nucleus", nucleus)
    max_new_tokens: int = option(256, "maximum tokens of an answer", whole)

    def check_completions(self) -> None:
        """Raise `ValueError` for contradictory options."""
        if self.samples > 1 and self.temperature == 0.0:
            raise ValueError(f'"samples" = {self.samples} answers would all be the same; set a "temperature"')
        if self.required > self.samples:
            raise ValueError(f'"required" = {self.required} of "samples" = {self.samples} answers')
        if self.top_p < 1.0 and self.temperature == 0.0:
            raise ValueError('"top_p" has a meaning only with a "temperature"')

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures besides accuracy and loss."""
        return self.pass_measures

    @property
    def pass_measures(self) -> tuple[str, ...]:
        """`pass_1` and `pass_K` for K samples; empty for one."""
        return ("pass_1", f"pass_{self.samples}") if self.samples > 1 else ()

    def decoding_with(self, stop: tuple[str, ...]) -> Decoding:
        """Decoding settings with these stop strings."""
        drawn = Sampling(temperature=self.temperature, top_p=self.top_p) if self.temperature else None
        return Decoding(max_new_tokens=self.max_new_tokens, stop=stop, samples=self.samples, sampling=drawn)

    def outcome(
        self, examples: Examples, predictions: Predictions, judged: Sequence[Judgement], *, k: int = 0
    ) -> Outcome:
        """Apply the failure rule; with several samples, measure `pass_1`, `pass_K` and, if given, `pass_k`."""
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
    """The generated texts. Raises `RunError` if there are none."""
    if predictions.texts is None:
        raise RunError("the backend generated no texts, but the task needs them")
    return predictions.texts
