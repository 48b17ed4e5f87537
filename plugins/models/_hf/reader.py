"""Between texts and tokens: one tokenizer with the model's limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Prompts, Texts, Tokens
from ....engine.errors import UsageError
from ....engine.foundation.options import shortened
from .folder import Folder
from .library import same_day, told

UNKNOWN = 10**9
"""A tokenizer that knows no limit of its model names a number above this."""
CONTEXT = 32
"""Tokens of a prompt that are decoded with what follows it."""
BREAK = "\n"
OFFSET_POSITIONS = (
    "camembert",
    "data2vec-text",
    "esm",
    "longformer",
    "mpnet",
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
)
"""Families that count positions from the padding token's id + 1, and so have room for as many tokens less."""


@attrs.frozen(kw_only=True, eq=False)
class Reader:
    """A tokenizer, how many tokens the model takes (None: as many as there are), and which of them end a text."""

    tokenizer: Any
    limit: int | None
    vocabulary: int | None
    end_tokens: tuple[int, ...]
    takes_types: bool

    @classmethod
    def of(cls, folder: Folder, config: Any, max_length: int) -> Reader:
        """The folder's tokenizer; `max_length` 0 stands for the model's own limit."""
        tokenizer = folder.tokenizer()
        own = _own_limit(config, tokenizer)
        if max_length and own and max_length > own:
            raise UsageError(f"model.max_length = {max_length}; {folder} takes {own} tokens at most")
        return cls(
            tokenizer=tokenizer,
            limit=max_length or own,
            vocabulary=getattr(config, "vocab_size", None),
            end_tokens=_end_tokens(folder, config, tokenizer),
            takes_types=getattr(config, "type_vocab_size", 0) > 1
            and "token_type_ids" in tokenizer.model_input_names,
        )

    def texts(self, texts: Texts) -> Tokens:
        """Texts with the tokenizer's special tokens, the longer one of a pair cut first where they are too long."""
        if len({len(row) for row in texts.rows}) > 1:
            raise UsageError("texts to be classified must all be single, or all be pairs")
        if not len(texts):
            return Tokens.join([])
        columns = [list(column) for column in zip(*texts.rows, strict=True)]
        found = self._tokenise(*columns, add_special_tokens=True)
        ids, types = found["input_ids"], found.get("token_type_ids")
        long = [i for i, row in enumerate(ids) if self.limit is not None and len(row) > self.limit]
        if long:
            again = self._tokenise(
                *([column[i] for i in long] for column in columns),
                add_special_tokens=True,
                truncation=True,
                max_length=self.limit,
            )
            for place, i in enumerate(long):
                ids[i] = again["input_ids"][place]
                if types is not None:
                    types[i] = again["token_type_ids"][place]
        for i, row in enumerate(ids):
            if not row:
                raise UsageError(f"{_example(i, texts.rows[i][0])}: the tokenizer finds nothing in it")
        self._check(ids)
        cut = np.isin(np.arange(len(ids)), long).tolist()
        return Tokens.join(ids, cut=cut, types=types if self.takes_types and len(columns) == 2 else None)

    def prompts(self, prompts: Prompts, *, chat: bool, end: bool = True) -> Tokens:
        """Prompt, completion, and where wanted an end token. Prompt and completion are tokenised apart, so that no token spans their border.

        A prompt that is too long is cut from the left, behind its opening token. Raises `UsageError` naming the example for
        a completion that is empty, or does not fit.
        """
        if not len(prompts):
            return Tokens.join([])
        asked = [self._in_chat(p) for p in prompts.prompts] if chat else list(prompts.prompts)
        openings = [] if chat else self._opening()
        heads = self._tokenise(asked, add_special_tokens=False)["input_ids"]
        tails = self._completions(prompts.completions)
        last = self._end() if end else []
        sequences, starts, cut = list[list[int]](), list[int](), list[bool]()
        for i, (head, tail) in enumerate(zip(heads, tails, strict=True)):
            if not tail:
                raise UsageError(f"{_example(i, prompts.prompts[i])}: its completion is empty")
            opening = openings or ([] if head else self._first())
            answer = [*tail, *last]
            room = len(head) if self.limit is None else self.limit - len(opening) - len(answer)
            if room < min(1, len(head)):
                raise UsageError(
                    f"{_example(i, prompts.prompts[i])}: its completion of {len(answer)} tokens does not fit into the "
                    f"model's {self.limit} with a token before it (model.max_length)"
                )
            kept = head[max(0, len(head) - room) :]
            sequences.append([*opening, *kept, *answer])
            starts.append(len(opening) + len(kept))
            cut.append(len(kept) < len(head))
        self._check(sequences)
        return Tokens.join(sequences, starts, cut=cut)

    def decode(self, tokens: NDArray[np.int32], after: NDArray[np.int32] | None = None) -> str:
        """The text of tokens, special ones left out, spaces as they are.

        Behind a prompt it is what they add to its text: tokenizers in SentencePiece's manner drop the space that opens a text.
        """
        before = [] if after is None else after[-CONTEXT:].tolist()
        head, whole = self._text(before), self._text([*before, *tokens.tolist()])
        return whole.removeprefix(head) if whole.startswith(head) else self._text(tokens.tolist())

    def _text(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def special_token(self, text: str) -> int | None:
        """The token that is written as `text` and has no text of its own; None where there is none."""
        token = self.tokenizer.get_added_vocab().get(text)
        return token if token is not None and not self._text([token]) else None

    def _completions(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts that go on behind others: no token of theirs stands for a space that opens a text.

        Where a tokenizer puts one before every text, it is given one that ends in a line break, whose tokens are then taken off.
        """
        plain = self._tokenise(list(texts), add_special_tokens=False)["input_ids"]
        letter, mark, both = self._tokenise(["a", BREAK, f"{BREAK}a"], add_special_tokens=False)["input_ids"]
        if both == [*mark, *letter] or both[: len(mark)] != mark:
            return plain
        behind = self._tokenise([BREAK + text for text in texts], add_special_tokens=False)["input_ids"]
        return [
            after[len(mark) :] if after[: len(mark)] == mark and len(after) > len(mark) else alone
            for alone, after in zip(plain, behind, strict=True)
        ]

    def _tokenise(self, *columns: list[str], **how: Any) -> Any:
        with told("the tokenizer fails"):
            return self.tokenizer(
                *columns,
                return_attention_mask=False,
                return_token_type_ids=self.takes_types,
                verbose=False,
                **how,
            )

    def _in_chat(self, prompt: str) -> str:
        """The prompt in the tokenizer's chat template. Raises `UsageError` where there is none, or where it refuses the prompt.

        A template that asks for the date is told always the same one, so that a run goes on tomorrow with the prompts of today.
        """
        if not getattr(self.tokenizer, "chat_template", None):
            raise UsageError("model.chat_template: the tokenizer has no chat template")
        message = [{"role": "user", "content": prompt}]
        try:
            with same_day():
                return self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        except Exception as error:
            raise UsageError(
                f"model.chat_template: the tokenizer's template fails: {shortened(str(error) or type(error).__name__, 300)}"
            ) from error

    def _opening(self) -> list[int]:
        """The tokens that the tokenizer itself puts before a text, such as BOS."""
        full, plain = (self._tokenise(["a"], add_special_tokens=s)["input_ids"][0] for s in (True, False))
        ends = (k for k in range(len(full)) if full[k : k + len(plain)] == plain)
        return full[: next(ends, 0)]

    def _first(self) -> list[int]:
        """What stands before a completion without a prompt: BOS, else an end or padding token."""
        known = (self.tokenizer.bos_token_id, *self.end_tokens, self.tokenizer.pad_token_id)
        found = next((token for token in known if token is not None), None)
        if found is None:
            raise UsageError("an empty prompt needs a BOS, end or padding token, and the tokenizer has none")
        return [found]

    def _end(self) -> list[int]:
        own = self.tokenizer.eos_token_id
        return [own] if own is not None else list(self.end_tokens[:1])

    def _check(self, sequences: Iterable[Sequence[int]]) -> None:
        highest = max(max(row) for row in sequences)
        if self.vocabulary is not None and highest >= self.vocabulary:
            raise UsageError(
                f"the tokenizer gives token {highest}, and the model knows {self.vocabulary}: they do not belong together"
            )


def _own_limit(config: Any, tokenizer: Any) -> int | None:
    positions = getattr(config, "max_position_embeddings", None)
    if positions and config.model_type in OFFSET_POSITIONS:
        positions -= (getattr(config, "pad_token_id", None) or 0) + 1
    limits = [n for n in (positions, tokenizer.model_max_length) if n and 0 < n < UNKNOWN]
    return min(limits) if limits else None


def _end_tokens(folder: Folder, config: Any, tokenizer: Any) -> tuple[int, ...]:
    """The ids that generation configuration, configuration and tokenizer name, in this order, each once."""
    from transformers import GenerationConfig  # noqa: PLC0415

    named = list[Any]()
    if (folder.path / "generation_config.json").is_file() and not folder.gguf:
        with told(f"{folder}: generation_config.json"):
            named.append(GenerationConfig.from_pretrained(folder.path, local_files_only=True).eos_token_id)
    named += [getattr(config, "eos_token_id", None), tokenizer.eos_token_id]
    flat = [i for ids in named for i in (ids if isinstance(ids, list | tuple) else [ids]) if i is not None]
    return tuple(dict.fromkeys(int(i) for i in flat))


def _example(index: int, text: str) -> str:
    return f'example {index + 1} ("{shortened(text)}")'
