"""`boostlora generate` and `boostlora chat`: completions and conversations of a tiny language model."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boostlora.engine.cli.terminal import safe
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext

from ..support.shared import Shared

pytest.importorskip("transformers", reason="needs transformers")

Command = Callable[..., Any]
PROMPTS = ["1 + 1 =", "20 + 6 ="]
FEW = ("--max-new-tokens", "6")
SAMPLED = ("--temperature", "1", "--samples", "2")


def _run(shared: Shared, cache: Path, name: str, *, chat: bool) -> Path:
    from ..support.export_runs import causal_run

    return shared.made(name, lambda folder: causal_run(folder, cache, bos=True, chat=chat)) / "run"


@pytest.fixture(scope="session")
def talker(shared: Shared, shared_cache: Path) -> Path:
    """A run of a tiny Llama whose tokenizer has a chat template."""
    return _run(shared, shared_cache, "generate-chat", chat=True)


@pytest.fixture(scope="session")
def ensemble(talker: Path, shared_cache: Path) -> Ensemble:
    return Ensemble.open(talker, context=RunContext(cache=shared_cache))


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_prompt_is_completed_greedily_by_the_best_rounds(
    talker: Path, ensemble: Ensemble, boostlora: Command
) -> None:
    done = boostlora("generate", talker, PROMPTS[0], *FEW)
    (expected,) = ensemble.generate(PROMPTS[:1], "best", max_new_tokens=6)
    assert (done.returncode, done.stdout) == (0, safe(expected) + "\n")
    assert done.stderr == f"rounds {ensemble.choose('best').describe()} (best on validation)\n"
    base = boostlora("generate", talker, PROMPTS[0], *FEW, "--rounds", "0")
    assert base.stdout == safe(ensemble.generate(PROMPTS[:1], 0, max_new_tokens=6)[0]) + "\n"
    assert base.stderr == "rounds 0 (the base)\n"


def test_prompts_of_files_and_of_standard_input_are_completed_alike(
    talker: Path, boostlora: Command, tmp_path: Path, standard_input: Callable[[str], None]
) -> None:
    lines = "".join(f"{prompt}\n" for prompt in PROMPTS)
    (tmp_path / "prompts.txt").write_text(f"{PROMPTS[0]}\n\n{PROMPTS[1]}\n")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in PROMPTS))
    answers = [boostlora("generate", talker, "--file", f, "--json", *FEW) for f in ("prompts.txt", "prompts.jsonl")]  # fmt: skip
    standard_input(lines)
    answers.append(boostlora("generate", talker, "--json", *FEW))
    assert len({answer.stdout for answer in answers}) == 1
    rows = [json.loads(line) for line in answers[0].stdout.splitlines()]
    assert [(row["number"], row["prompt"], row["sample"]) for row in rows] == [
        (1, PROMPTS[0], 1),
        (2, PROMPTS[1], 1),
    ]
    assert safe(rows[1]["completion"]) + "\n" == boostlora("generate", talker, PROMPTS[1], *FEW).stdout
    plain = boostlora("generate", talker, "--file", "prompts.txt", *FEW).stdout
    assert plain.startswith(f"--- prompt 1: {PROMPTS[0]}\n")
    assert f"\n--- prompt 2: {PROMPTS[1]}\n" in plain


def test_samples_depend_on_the_seed_and_nothing_else(talker: Path, boostlora: Command) -> None:
    def drawn(*more: str) -> list[str]:
        done = boostlora("generate", talker, PROMPTS[0], "--json", *FEW, *SAMPLED, *more)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["completion"] for line in done.stdout.splitlines()]

    first = drawn()
    assert len(first) == 2
    assert first[0] != first[1]
    assert drawn() == first
    assert drawn("--seed", "1") != first
    narrow = drawn("--top-p", "1e-9")
    assert safe(narrow[0]) == safe(narrow[1]) == boostlora("generate", talker, PROMPTS[0], *FEW).stdout[:-1]


def test_a_completion_ends_before_a_stop_string(talker: Path, ensemble: Ensemble, boostlora: Command) -> None:
    (whole,) = ensemble.generate(PROMPTS[:1], "best", max_new_tokens=6)
    stop = whole[2]
    done = boostlora("generate", talker, PROMPTS[0], *FEW, "--stop", stop)
    assert done.stdout == safe(whole[: whole.index(stop)]) + "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "--samples", "2"), "greedy decoding gives one completion; samples and top_p need a temperature above 0, such as 1"),
        (("a", "--stop", ""), "a stop string must not be empty"),
        (("a", "--file", "empty.txt"), "give a PROMPT or --file, not both"),
        (("--file", "empty.txt"), "empty.txt: it has no prompt; give one a line"),
        (("--file", "bad.jsonl"), 'bad.jsonl: line 1 has no text "prompt"'),
        (("a", "--rounds", "9"), "no round 9; there are: 1 to 3"),
    ],
)  # fmt: skip
def test_requests_without_sense_are_refused(
    arguments: tuple[str, ...], message: str, talker: Path, boostlora: Command, tmp_path: Path
) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n')
    done = boostlora("generate", talker, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {message}\n"


def test_a_model_that_writes_no_text_is_refused(
    shared: Shared, shared_cache: Path, boostlora: Command
) -> None:
    from ..ensemble.card_runs import mlp_run_of

    run = shared.made("generate-rows", lambda folder: mlp_run_of(folder, shared_cache)) / "run"
    for command, message in [
        (("generate", run, "a"), "model mlp does not generate text"),
        (("chat", run), "model mlp takes no conversations; it has no chat template"),
    ]:
        done = boostlora(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == f"error: {message}"


# -- Conversations


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_conversation_keeps_its_history_until_it_is_reset(
    talker: Path, ensemble: Ensemble, boostlora: Command, standard_input: Callable[[str], None]
) -> None:
    standard_input("the cat\n\nand a dog\n/reset\nthe cat\n")
    done = boostlora("chat", talker, *FEW)
    first = ensemble.reply([_user("the cat")], "best", max_new_tokens=6)
    messages = [_user("the cat"), {"role": "assistant", "content": first}, _user("and a dog")]
    second = ensemble.reply(messages, "best", max_new_tokens=6)
    assert (done.returncode, done.stdout) == (0, safe(f"{first}\n{second}\n{first}\n"))
    assert done.stderr.splitlines()[1:] == ["a new conversation begins"]
    assert second != first
    # The template opens a conversation itself: no <s> before it, as a prompt would have.
    assert ensemble.spec.model.encode_chat([_user("the cat")]).inputs.sequence(0)[0] == 3


def test_a_conversation_ends_at_exit_and_at_an_interrupt(
    talker: Path, boostlora: Command, monkeypatch: pytest.MonkeyPatch, standard_input: Callable[[str], None]
) -> None:
    standard_input("/exit\nthe cat\n")
    done = boostlora("chat", talker)
    assert (done.returncode, done.stdout) == (0, "")

    class Interrupted(io.StringIO):
        def readline(self, size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    done = boostlora("chat", talker)
    assert (done.returncode, done.stdout) == (0, "")
    assert "interrupted" not in done.stderr


def test_a_conversation_that_is_too_long_goes_on_without_its_last_message(
    talker: Path, ensemble: Ensemble, boostlora: Command, standard_input: Callable[[str], None]
) -> None:
    standard_input(f"{'0 1 2 3 ' * 30}\nthe cat\n")
    done = boostlora("chat", talker, *FEW)
    assert done.stdout == safe(ensemble.reply([_user("the cat")], "best", max_new_tokens=6)) + "\n"
    assert "the model takes 64 with its answer; /reset starts a new conversation" in done.stderr


def test_a_tokenizer_without_chat_template_is_refused(
    shared: Shared, shared_cache: Path, boostlora: Command
) -> None:
    run = _run(shared, shared_cache, "generate-plain", chat=False)
    done = boostlora("chat", run)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "error: model.chat_template: the tokenizer has no chat template"
    with pytest.raises(UsageError, match="the tokenizer has no chat template"):
        Ensemble.open(run, context=RunContext(cache=shared_cache)).reply([_user("hello")])
