"""Tokenisation with the model's limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Message, Prompts, Texts, Tokens
from ....engine.errors import UsageError
from ....engine.foundation.options import shortened
from .folder import Folder
from .library import as_usage_error, fixed_date

UNKNOWN = 10**9
"""Tokenizers without a length limit report a number above this."""
CONTEXT = 32
"""Prompt tokens that are decoded together with a completion."""
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
"""Families whose positions start at the padding token's id + 1, which reduces the maximum length."""


@attrs.frozen(kw_only=True, eq=False)
class Reader:
    """A tokenizer, the model's maximum length (None: unlimited), and its end tokens."""

    tokenizer: Any
    limit: int | None
    vocabulary: int | None
    end_tokens: tuple[int, ...]
    takes_types: bool

    @classmethod
    def of(cls, folder: Folder, config: Any, max_length: int) -> Reader:
        """The folder's tokenizer; `max_length` 0 means the model's limit."""
        tokenizer = folder.tokenizer()
        own = _model_limit(config, tokenizer)
        if max_length and own and max_length > own:
            raise UsageError(f"model.max_length = {max_length}; {folder} supports at most {own} tokens")
        return cls(
            tokenizer=tokenizer,
            limit=max_length or own,
            vocabulary=getattr(config, "vocab_size", None),
            end_tokens=_end_tokens(folder, config, tokenizer),
            takes_types=getattr(config, "type_vocab_size", 0) > 1
            and "token_type_ids" in tokenizer.model_input_names,
        )

    def texts(self, texts: Texts) -> Tokens:
        """Tokenise texts with special tokens; in a pair, the longer text is truncated first."""
        if len({len(row) for row in texts.rows}) > 1:
            raise UsageError("texts must be all single, or all pairs")
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
                raise UsageError(f"{_example(i, texts.rows[i][0])}: the tokenizer returns no tokens for it")
        self._check(ids)
        cut = np.isin(np.arange(len(ids)), long).tolist()
        return Tokens.join(ids, cut=cut, types=types if self.takes_types and len(columns) == 2 else None)

    def prompts(self, prompts: Prompts, *, chat: bool, end: bool = True) -> Tokens:
        """Tokenise prompt and completion separately, so that no token spans their boundary; append an end token if `end`.

        A prompt that is too long is truncated on the left, after its opening token. Raises `UsageError` naming an example whose
        completion is empty or does not fit.
        """
        if not len(prompts):
            return Tokens.join([])
        texts = (
            [self._rendered([{"role": "user", "content": p}]) for p in prompts.prompts]
            if chat
            else list(prompts.prompts)
        )
        openings = [] if chat else self._opening()
        heads = self._tokenise(texts, add_special_tokens=False)["input_ids"]
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

    def chat(self, messages: Sequence[Message]) -> Tokens:
        """Tokenise a conversation up to the next answer, for which a placeholder stands: generation starts at its position.

        Raises `UsageError` without a chat template, and for a conversation that leaves no room for an answer.
        """
        (head,) = self._tokenise([self._rendered(messages)], add_special_tokens=False)["input_ids"]
        if not head:
            raise UsageError("the tokenizer returns no tokens for the conversation")
        if self.limit is not None and len(head) >= self.limit:
            raise UsageError(
                f"the conversation has {len(head)} tokens, and the model takes {self.limit} with its answer"
            )
        self._check([head])
        return Tokens.join([[*head, head[-1]]], [len(head)])

    def decode(self, tokens: NDArray[np.int32], after: NDArray[np.int32] | None = None) -> str:
        """Decode tokens without special tokens and without cleaning up spaces.

        After a prompt, the result is what the tokens add to its text, since SentencePiece tokenizers drop a text's leading space.
        """
        before = [] if after is None else after[-CONTEXT:].tolist()
        head, whole = self._text(before), self._text([*before, *tokens.tolist()])
        return whole.removeprefix(head) if whole.startswith(head) else self._text(tokens.tolist())

    def _text(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def special_token(self, text: str) -> int | None:
        """The added token written as `text` that decodes to nothing; None if there is none."""
        token = self.tokenizer.get_added_vocab().get(text)
        return token if token is not None and not self._text([token]) else None

    def _completions(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts that continue others, without a leading-space token.

        If the tokenizer adds a space before every text, a line break is prepended and its tokens are removed afterwards.
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
        with as_usage_error("the tokenizer fails"):
            return self.tokenizer(
                *columns,
                return_attention_mask=False,
                return_token_type_ids=self.takes_types,
                verbose=False,
                **how,
            )

    def _rendered(self, messages: Sequence[Message]) -> str:
        """A conversation in the tokenizer's chat template. Raises `UsageError` if there is none, or if it rejects the conversation.

        The date is fixed, so that a resumed run has the same prompts.
        """
        if not getattr(self.tokenizer, "chat_template", None):
            raise UsageError("model.chat_template: the tokenizer has no chat template")
        try:
            with fixed_date():
                return self.tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=True
                )
        except Exception as error:
            raise UsageError(
                f"model.chat_template: the tokenizer's template fails: {shortened(str(error) or type(error).__name__, 300)}"
            ) from error

    def _opening(self) -> list[int]:
        """The tokens that the tokenizer adds before a text, such as BOS."""
        full, plain = (self._tokenise(["a"], add_special_tokens=s)["input_ids"][0] for s in (True, False))
        ends = (k for k in range(len(full)) if full[k : k + len(plain)] == plain)
        return full[: next(ends, 0)]

    def _first(self) -> list[int]:
        """The token before a completion with an empty prompt: BOS, else an end or padding token."""
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
                f"the tokenizer returns token {highest}, but the model has {self.vocabulary}: they do not belong together"
            )


def _model_limit(config: Any, tokenizer: Any) -> int | None:
    positions = getattr(config, "max_position_embeddings", None)
    if positions and config.model_type in OFFSET_POSITIONS:
        positions -= (getattr(config, "pad_token_id", None) or 0) + 1
    limits = [n for n in (positions, tokenizer.model_max_length) if n and 0 < n < UNKNOWN]
    return min(limits) if limits else None


def _end_tokens(folder: Folder, config: Any, tokenizer: Any) -> tuple[int, ...]:
    """End tokens of the generation configuration, the configuration and the tokenizer, in this order, each once."""
    from transformers import GenerationConfig  # noqa: PLC0415

    named = list[Any]()
    if (folder.path / "generation_config.json").is_file() and not folder.gguf:
        with as_usage_error(f"{folder}: generation_config.json"):
            named.append(GenerationConfig.from_pretrained(folder.path, local_files_only=True).eos_token_id)
    named += [getattr(config, "eos_token_id", None), tokenizer.eos_token_id]
    flat = [i for ids in named for i in (ids if isinstance(ids, list | tuple) else [ids]) if i is not None]
    return tuple(dict.fromkeys(int(i) for i in flat))


def _example(index: int, text: str) -> str:
    return f'example {index + 1} ("{shortened(text)}")'
