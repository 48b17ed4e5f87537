"""`humaneval`: its suite, programs found in answers, verdicts, measures, and what it refuses."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from boostlora.engine.contracts import Decoding, Examples, GeneratingTask, Outcome, ProvenanceTask, Sampling
from boostlora.engine.errors import UsageError
from boostlora.engine.testing import TaskContract
from boostlora.plugins.tasks._code.sandbox import OVERRIDE
from boostlora.plugins.tasks.humaneval import STOPS, HumanEval

from .code_cases import HUMANEVAL, answers, beside, heads, lines, linux
from .text_cases import PARTS, Write, everything, load, message

pytestmark = linux


class Contract(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, write: Write) -> None:
        self.path = write(lines(heads()), "heads.jsonl")


class TestCompletion(Contract):
    def make(self):
        return HumanEval(path=self.path)


class TestChat(Contract):
    def make(self):
        return HumanEval(path=self.path, style="chat", workers=2)


@pytest.fixture
def path(write: Write) -> str:
    return write(lines(heads()), "heads.jsonl")


def one(task: HumanEval) -> Examples:
    """The training example of the first exercise that is there."""
    return load(task).train.take(np.array([0]))


def judged(task: HumanEval, *texts: str) -> Outcome:
    return task.judge(one(task), answers(texts, 1))


def test_humaneval_prompt_is_the_code_and_the_completion_the_solution(path: str) -> None:
    row = heads()[3]
    assert (row["prompt"], row["canonical_solution"]) in everything(load(HumanEval(path=path))).values()


def test_humaneval_decoding_follows_style_and_options(path: str) -> None:
    assert isinstance(HumanEval(path=path), GeneratingTask)
    assert HumanEval(path=path).decoding == Decoding(max_new_tokens=512, stop=STOPS)
    assert HumanEval(path=path, style="chat").decoding == Decoding(max_new_tokens=512)
    drawn = HumanEval(path=path, samples=4, temperature=0.5, stop=("\n\n\n",), max_new_tokens=9)
    assert drawn.decoding == Decoding(
        max_new_tokens=9, samples=4, stop=("\n\n\n",), sampling=Sampling(temperature=0.5)
    )


RIGHT = "    return twice(sum(xs)) + {i}\n"


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("    return twice(sum(xs)) + {i}\n", "passed"),
        ("    return 2 * sum(xs) + {i}\n\ndef other(): return 1 / 0\n", "passed"),
        ("    return 2 * sum(xs) + {i}\nprint(1 / 0)", "passed"),
        ("    return 0\n", "failed"),
        ("    pass\n", "failed"),
        ("    return 1 / 0\n", "error"),
        ("    return (\n", "error"),
        ("    while True: pass\n", "timed-out"),
        ("    return bytearray(10**12)\n", "killed"),
        ("    return object()\n", "unsupported"),
    ],
)
def test_humaneval_completion_gets_its_verdict(path: str, body: str, verdict: str) -> None:
    task = HumanEval(path=path, seconds=0.5)
    i = one(task).inputs.entry_points[0].removeprefix("add_")
    outcome = judged(task, body.format(i=i))
    assert outcome.correct.tolist() == [verdict == "passed"]
    assert outcome.reward.tolist() == [float(verdict == "passed")]
    assert outcome.verdicts == (None if verdict in {"passed", "failed"} else (verdict,))
    shares = {"timed_out": "timed-out", "crashed": "killed", "errors": "error", "unsupported": "unsupported"}
    assert outcome.measures == {name: float(said == verdict) for name, said in shares.items()}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Here it is:\n```python\n{whole}```\nIt adds.", True),
        ("```\n{whole}```", True),
        ("```bash\npip install x\n```\n```python\n{whole}```", True),
        ("```python\n{whole}", True),
        ("  ```python\n{whole}  ```", True),
        ("```python\n{body}```", True),
        ("{whole}", True),
        ("```python\ndef add(xs): return 0\n```\n```python\n{whole}```", False),
        ("I do not know.", False),
        ("", False),
    ],
)
def test_humaneval_chat_takes_the_first_block_behind_the_prompts_imports(
    path: str, text: str, right: bool
) -> None:
    task = HumanEval(path=path, style="chat")
    name = one(task).inputs.entry_points[0]
    body = RIGHT.format(i=name.removeprefix("add_"))
    whole = f"def {name}(xs: List[int]) -> int:\n{body}"
    assert judged(task, text.format(whole=whole, body=body)).correct.tolist() == [right]


def test_humaneval_helpers_of_the_tests_are_the_prompts_own(path: str) -> None:
    """A program that redefines what the tests use changes nothing but itself."""
    task = HumanEval(path=path, style="chat")
    name = one(task).inputs.entry_points[0]
    cheat = f"```python\ndef twice(x): return -{name.removeprefix('add_')}\ndef {name}(xs): return 0\n```"
    assert judged(task, cheat).correct.tolist() == [False]


def test_humaneval_samples_are_judged_each_and_pass_at_k_is_measured(path: str) -> None:
    task = HumanEval(path=path, samples=4, temperature=1.0, pass_k=2, required=2)
    examples = load(task).train.take(np.array([0, 1]))
    first, second = (RIGHT.format(i=name.removeprefix("add_")) for name in examples.inputs.entry_points)
    outcome = task.judge(
        examples,
        answers([first, "    pass", first, "    pass", "    pass", second, "    1/0", "    pass"], 2),
    )
    assert outcome.correct.tolist() == [True, False]
    assert outcome.reward.tolist() == [0.5, 0.25]
    # 1 - C(n - c, k) / C(n, k) for n = 4: c = 2 gives 1/2, 5/6, 1; c = 1 gives 1/4, 1/2, 1
    expected = {"pass_1": (1 / 2 + 1 / 4) / 2, "pass_2": (5 / 6 + 1 / 2) / 2, "pass_4": 1.0}
    assert {k: v for k, v in outcome.measures.items() if k.startswith("pass")} == pytest.approx(
        expected, abs=1e-15
    )
    assert outcome.measures["errors"] == 1 / 8


def test_humaneval_duplicate_program_is_run_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from boostlora.plugins.tasks._code.sandbox import Sandbox

    ran = list[int]()
    real: Callable[..., Any] = Sandbox.judge_all
    monkeypatch.setattr(
        Sandbox,
        "judge_all",
        lambda self, programs, *rest: ran.append(len(programs)) or real(self, programs, *rest),
    )
    task = HumanEval(path=path, samples=4, temperature=1.0)
    assert judged(task, "    pass", "    pass", "    return 1", "    pass").reward.tolist() == [0.0]
    assert ran == [2]


def test_humaneval_reports_the_sandbox_of_the_programs(path: str) -> None:
    task = HumanEval(path=path, seconds=2.0)
    assert isinstance(task, ProvenanceTask)
    said = task.origin()["sandbox"]
    assert said["confined"] is True
    assert said["limits"]["seconds"] == 2.0


def test_humaneval_without_a_sandbox_is_refused_before_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(OVERRIDE, raising=False)
    assert f"set {OVERRIDE}=1" in message(lambda: HumanEval(path="missing.jsonl", unconfined=True))


def test_humaneval_gzipped_file_is_the_same(write: Write, path: str) -> None:
    packed = write(gzip.compress(lines(heads()).encode(), mtime=0), "heads.jsonl.gz")
    assert everything(load(HumanEval(path=packed))) == everything(load(HumanEval(path=path)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no gzip", "not a readable table: Not a gzipped file"),
        (
            gzip.compress(lines(heads()).encode(), mtime=0)[:-20],
            "not a readable table: Compressed file ended",
        ),
        (gzip.compress(b"{}\nno json\n", mtime=0), "line 2 is no JSON"),
        (gzip.compress(b"", mtime=0), "not a readable table: it has no line"),
    ],
)
def test_humaneval_broken_gzipped_file_is_refused_by_its_own_name(
    write: Write, content: bytes, said: str
) -> None:
    path = write(content, "broken.jsonl.gz")
    told = message(lambda: HumanEval(path=path))
    assert told.startswith(path)
    assert said in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"canonical_solution": "  "}, 'row 3: column "canonical_solution" is empty'),
        (
            {"entry_point": "other"},
            'row 3: column "prompt" does not begin the function other of "entry_point"',
        ),
        ({"test": "assert True"}, 'row 3: column "test" defines no check(candidate)'),
        ({"test": "def check(candidate):\n    assert ("}, 'row 3: column "test" is no Python'),
    ],
)
def test_humaneval_invalid_row_is_refused(write: Write, change: dict[str, str], said: str) -> None:
    rows = heads(6)
    rows[2] |= change
    path = write(lines(rows), "heads.jsonl")
    assert said in message(lambda: HumanEval(path=path))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pass_k": 2}, '"pass_k" = 2 of "samples" = 1'),
        ({"prompt": "Do {prompt}"}, '"prompt" has a meaning only with style = "chat"'),
        ({"prompt": "Do it", "style": "chat"}, "must hold {prompt}"),
        ({"memory_mb": 10}, '"memory_mb" must be at least 64'),
        ({"seconds": 0.0}, '"seconds" must be more than 0'),
    ],
)
def test_humaneval_options_that_contradict_each_other_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r".*") as told:
        HumanEval(path="x.jsonl", **options)
    assert said in str(told.value)


@beside
@pytest.mark.slow(reason="164 programs in each style")
@pytest.mark.parametrize("style", ["completion", "chat"])
def test_humaneval_real_solutions_are_right(style: Any) -> None:
    """That broken ones are wrong is tested through the sandbox, and here of a few."""
    task = HumanEval(path=str(HUMANEVAL), style=style, seconds=15.0)
    splits = load(task)
    assert sum(len(getattr(splits, part)) for part in PARTS) == 164
    for part in PARTS:
        examples = getattr(splits, part)
        assert task.judge(examples, answers(examples.inputs.completions)).accuracy == 1.0
        examples = examples.take(np.arange(0, len(examples), 10))
        broken = task.judge(examples, answers(["    return None\n"] * len(examples)))
        assert broken.accuracy == 0.0
        assert broken.verdicts is None


def test_humaneval_wrong_path_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.jsonl"):
        load(HumanEval(path=str(tmp_path / "missing.jsonl")))
    assert attrs.evolve(HumanEval(path="x"), path="y").where == "y"
