import json

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
        "sampler",
    } <= named
    assert any(line.startswith("rotate *") for line in lines)
    assert "in the spec:" in done.stdout
    assert max(map(len, lines)) <= 120
    assert list(tmp_path.iterdir()) == []  # nothing is written


def test_lines_for_the_spec_are_a_spec(boostlora, tmp_path):
    lines = boostlora("advise", "paper/digits", *TINY).stdout.splitlines()
    start = lines.index("in the spec:") + 1
    end = next(i for i, line in enumerate(lines) if line.startswith("or: "))
    text = "\n".join(line.removeprefix("  ") for line in lines[start:end])
    first, _, tables = text.partition("[")
    (tmp_path / "mine.toml").write_text(f'extends = "paper/digits"\n{first}\n[{tables}')
    assert boostlora("check", "mine.toml").returncode == 0
    settings = lines[end].removeprefix("or: ").split()
    assert boostlora("check", "paper/digits", *settings).returncode == 0


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


def test_run_is_looked_at_after_any_of_its_rounds(boostlora):
    boostlora("run", "paper/digits", *TINY, "--quiet")
    done = boostlora("advise", "--run", "paper-digits@2", "--json")
    content = json.loads(done.stdout)
    assert (content["number"], content["looked"]) == (3, 1)
    assert content["moment"] == "paper-digits after round 2"
    assert 0.0 < content["used"] < 1.0
    base = json.loads(boostlora("advise", "--run", "paper-digits@0", "--json").stdout)
    spec = json.loads(boostlora("advise", "paper/digits", *TINY, "--json").stdout)
    assert base["bases"] == spec["bases"]
    assert boostlora("advise", "--run", "paper-digits@9").returncode == 2
