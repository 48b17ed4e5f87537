import json
import shlex

TINY = [
    "--set",
    "rounds=3",
    "--set",
    "model.hidden=[24, 16]",
    "--set",
    "model.epochs=15",
    "--set",
    "adapter.rank=2",
]


def test_advice_on_the_quickstart_is_a_table_and_lines_for_the_spec(boostlora, tmp_path):
    done = boostlora("advise", "paper/digits", *TINY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    named = {line.split()[0] for line in lines if line}
    assert {
        "gradient",
        "rotate",
        "fixed",
        "random",
        "basis",
        "core",
        "rank",
        "sites",
        "rounds",
        "refits",
        "sampler",
    } <= named
    assert any(line.startswith("rotate *") for line in lines)
    assert "in the spec:" in done.stdout
    assert max(map(len, lines)) <= 120
    assert list(tmp_path.iterdir()) == []  # nothing is written


def test_lines_for_the_spec_are_a_spec_and_the_command_runs_it(boostlora, tmp_path):
    done = boostlora("advise", "paper/digits", *TINY, "--set", "basis.use=fixed")
    text = "\n".join(indented(done.stdout, "in the spec:"))
    first, _, tables = text.partition("[")
    (tmp_path / "mine.toml").write_text(f'extends = "paper/digits"\n{first}\n[{tables}')
    assert boostlora("check", "mine.toml").returncode == 0
    words = typed(done.stdout)
    assert words[:3] == ["boostlora", "run", "paper/digits"]
    assert "basis.use=gradient" in words
    assert "basis.use=fixed" not in words
    checked = boostlora("check", *words[2:], "--resolved")
    assert 'use = "gradient"' in checked.stdout
    assert "hidden = [\n    24," in checked.stdout  # what the user set and nothing speaks against stays


def indented(text, title):
    """Lines under a title."""
    lines = text.splitlines()
    found = lines[lines.index(title) + 1 :]
    end = next((i for i, line in enumerate(found) if line and not line.startswith("  ")), len(found))
    return [line.removeprefix("  ") for line in found[:end]]


def typed(text):
    """The words of the command that is printed, as a shell reads its lines."""
    return shlex.split("\n".join(indented(text, "or:")).replace("\\\n", ""))


def test_study_is_advised_a_valid_arm(boostlora, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'extends = "paper/digits"\nname = "mine"\n[ablate]\nbaseline = "plain"\nseeds = 1\n'
        '[[ablate.budget]]\nhold = "steps"\nby = "optimizer.steps"\nat = 120\ntolerance = 0.2\n'
        '[[ablate.case]]\nname = "plain"\n'
    )
    done = boostlora("advise", "mine.toml", *TINY)
    assert "run it:\n  boostlora ablate mine.toml --set rounds=3" in done.stdout
    arm = "\n".join(indented(done.stdout, "in the study, as an arm:"))
    assert 'set."basis.use" = "gradient"' in arm
    with (tmp_path / "mine.toml").open("a") as file:
        file.write(f"{arm}\n")
    checked = boostlora("check", "mine.toml", *TINY)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "advised" in checked.stdout


def test_advice_as_json_has_findings_and_advice(boostlora):
    done = boostlora("advise", "paper/digits", *TINY, "--json", "--examples", "100")
    content = json.loads(done.stdout)
    assert content["rank"] == 2
    assert {basis["name"] for basis in content["bases"]} >= {"rotate", "gradient"}
    assert [one["topic"] for one in content["advice"]] == [
        "basis",
        "core",
        "rank",
        "sites",
        "rounds",
        "refits",
        "sampler",
    ]
    assert abs(sum(site["share"] for site in content["sites"]) - 1.0) < 1e-9  # shares of one sum


def test_wrong_spec_and_wrong_requests_exit_with_2(boostlora):
    done = boostlora("advise", "paper/digits", "--set", "basis.use=rotat")
    assert done.returncode == 2
    assert 'did you mean "rotate"?' in done.stderr
    assert boostlora("advise").returncode == 2
    assert boostlora("advise", "paper/digits", "--run", "x").returncode == 2
    assert boostlora("advise", "--run", "x", "--set", "rounds=2").returncode == 2
    done = boostlora("advise", "paper/digits", *TINY, "--rank", "40")
    assert done.returncode == 2
    assert "--rank 16 or less" in done.stderr


def test_run_is_analysed_after_any_round(boostlora):
    boostlora("run", "paper/digits", *TINY, "--quiet")
    done = boostlora("advise", "--run", "paper-digits@2", "--json")
    content = json.loads(done.stdout)
    assert (content["number"], content["rounds_ahead"]) == (3, 1)
    assert content["model"] == "paper-digits after round 2"
    assert 0.0 < content["used"]["captured"] < 1.0
    base = json.loads(boostlora("advise", "--run", "paper-digits@0", "--json").stdout)
    spec = json.loads(boostlora("advise", "paper/digits", *TINY, "--json").stdout)
    assert base["bases"] == spec["bases"]
    assert boostlora("advise", "--run", "paper-digits@9").returncode == 2


def test_run_that_needs_a_refit_gets_the_command_to_continue(boostlora):
    settings = (*TINY, "--set", "rounds=6", "--set", "optimizer.steps=5")
    boostlora("run", "paper/digits", *settings, "--quiet")
    done = boostlora("advise", "--run", "paper-digits@4")
    assert "train all earlier cores again in round 5" in done.stdout
    words = typed(done.stdout)
    gone_on = boostlora(*words[1:])
    assert (gone_on.returncode, gone_on.stderr) == (0, "")
    rows = [line for line in gone_on.stdout.splitlines() if line.rstrip().endswith("refit")]
    assert [row.split()[0] for row in rows] == ["5"]
