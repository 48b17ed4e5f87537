"""Boosting and verifying real pretrained models on real data."""

import json
import re

import pytest

from ..support.places import ROOT

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

pytestmark = [
    pytest.mark.slow(reason="real models on real data"),
    # One of the peptides that the head is fitted to is among those that are tested: these are the data as they are published.
    pytest.mark.filterwarnings("ignore:task text-classification. 1 of 150 test examples:RuntimeWarning"),
]

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PEPTIDES = """
name = "peptides"
rounds = {rounds}
[task]
use = "text-classification"
path = "peptides.csv"
text = "sequence"
source = "probe.csv"
validation = 0.3
test = 0.3
[model]
use = "hf-classifier"
path = "{minilm}"
[optimizer]
lr = 0.03
steps = 8
batch_size = 32
over_rounds = "linear"
[backend]
use = "torch"
device = "cpu"
threads = 1
"""
GSM8K = """
name = "gsm8k"
rounds = {rounds}
[task]
use = "language-modelling"
path = "gsm8k.jsonl"
prompt = "Question: {{question}}\\nAnswer:"
completion = " {{answer}}"
correct = "loss"
threshold = 1.2
validation = 0.3
test = 0.3
[model]
use = "hf-causal-lm"
path = "{smollm2}"
gguf = "{gguf}"
[optimizer]
lr = 0.01
steps = 6
batch_size = 4
[backend]
use = "torch"
device = "cpu"
threads = 1
"""


def rounds_of(done):
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [event for event in events if event["event"] == "round_finished"]


def test_minilm_boosted_on_peptides_improves_on_held_out_ones(boostlora, minilm, peptides, tmp_path):
    (tmp_path / "spec.toml").write_text(PEPTIDES.format(rounds=4, minilm=minilm))
    rounds = rounds_of(boostlora("run", "spec.toml", "--json"))
    first, last = rounds[0], rounds[-1]
    assert last["validation"]["loss"] < first["validation"]["loss"]
    assert last["test"]["loss"] < first["test"]["loss"]
    assert set(last["rank"].values()) == {16}  # 4 rounds of rank 4, at every one of the 36 sites
    assert last["overlap"] < 1e-10


def test_smollm2_boosted_on_gsm8k_answers_has_a_lower_loss_on_held_out_ones(
    boostlora, smollm2, gsm8k, tmp_path
):
    (tmp_path / "spec.toml").write_text(GSM8K.format(rounds=2, smollm2=smollm2, gguf=GGUF))
    rounds = rounds_of(boostlora("run", "spec.toml", "--json"))
    first, last = rounds[0], rounds[-1]
    assert last["validation"]["loss"] < first["validation"]["loss"]
    assert last["test"]["loss"] < first["test"]["loss"]
    assert len(last["rank"]) == 210
    assert set(last["rank"].values()) == {8}


def test_minilm_is_verified_against_the_reference(boostlora, minilm, peptides, tmp_path):
    (tmp_path / "spec.toml").write_text(PEPTIDES.format(rounds=2, minilm=minilm))
    done = boostlora(
        "verify", "spec.toml", "--examples", "12", "--steps", "3", "--set", "optimizer.batch_size=8"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_smollm2_is_verified_against_the_reference_on_a_few_examples(boostlora, smollm2, gsm8k, tmp_path):
    (tmp_path / "spec.toml").write_text(GSM8K.format(rounds=2, smollm2=smollm2, gguf=GGUF))
    layers = ("--set", "sites.layers=[0, 15, 29]")  # 21 of 210 sites; all layers compute
    slice_ = ("--examples", "3", "--steps", "2", "--set", "optimizer.batch_size=2", *layers)
    done = boostlora("verify", "spec.toml", *slice_)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("document", ["README.md", "docs/guides/own-model.md"])
def test_documented_specs_for_real_models_are_valid(document, boostlora, minilm, smollm2, tmp_path):
    blocks = dict(re.findall(r"```toml\n# file: (\S+)\n(.*?)```", (ROOT / document).read_text(), re.DOTALL))
    (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(f"word {i},{i % 2}\n" for i in range(40)))
    rows = [json.dumps({"question": f"{i} + 1?", "answer": f"It is {i + 1}"}) for i in range(40)]
    (tmp_path / "train.jsonl").write_text("\n".join(rows) + "\n")
    packaged = {
        "reviews.toml": ("sentence-transformers/all-MiniLM-L6-v2", minilm, ()),
        "sums.toml": ("Qwen/Qwen2.5-0.5B-Instruct", smollm2, ("--set", f"model.gguf={GGUF}")),
    }
    shown = packaged.keys() & blocks.keys()
    assert shown
    for name in shown:
        hub, folder, more = packaged[name]
        assert hub in blocks[name]
        (tmp_path / name).write_text(blocks[name].replace(hub, str(folder)))
        done = boostlora("check", name, *more)
        assert done.returncode == 0, done.stderr
        assert "trained parameters" in done.stdout
