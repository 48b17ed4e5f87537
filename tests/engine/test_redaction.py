"""Credentials and homes are recognised in every form, and nothing else is taken for one."""

import json
import time

import attrs
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.foundation import redaction
from boostlora.engine.foundation.redaction import (
    CUT,
    cleaned,
    command_without_credentials,
    credential_in,
    names_credential,
    publishable,
    without_credentials,
    without_homes,
)
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.runs.provenance import provenance
from boostlora.engine.spec import SpecError
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.study.cell_runner import record_failure
from boostlora.engine.study.states import failure_path

SECRET = "hunter2x99"  # noqa: S105 - nobody's
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----"
FORMS = [
    f"http://bob:{SECRET}@host:5000/path",
    f"https://{SECRET}@host/path",
    f"redis://:{SECRET}@host",
    f"postgresql://bob:a/b@c#{SECRET}@host/db",
    f"https://host/?token={SECRET}",
    f"https://host/?a=1&access_token={SECRET}&b=2",
    f"https://host/?key={SECRET}",
    f"https://host/?sig={SECRET}",
    f"?sig={SECRET}",
    f"s3://bucket/x?X-Amz-Signature={SECRET}",
    f"https://host/#apiKey={SECRET}",
    f"password={SECRET}",
    f"MLFLOW_TRACKING_PASSWORD={SECRET}",
    f"Server=db;Uid=bob;Pwd={SECRET};",
    f'password = "{SECRET} and more"',
    f"{{'api_key': '{SECRET}'}}",
    f'{{"token": "{SECRET}"}}',
    f"token: {SECRET}",
    f"os.environ['HF_TOKEN'] = '{SECRET}'",
    f'{{\\"token\\": \\"{SECRET} and more\\"}}',
    f"Authorization: Basic {SECRET}",
    f"Bearer {SECRET}",
    f"hf_{SECRET}",
    f"sk-{SECRET}",
    f"sk-proj-{SECRET}_abc",
    f"ghp_{SECRET}",
    f"github_pat_{SECRET}",
    f"AKIA{SECRET.upper()}ABCD",
    f"xoxb-{SECRET}",
    f"eyJhbGciOi.{SECRET}.{SECRET}",
    KEY,
]
PLAIN = [
    "http://host:5000/path?x=a@b",
    "http://[::1]:5000",
    "sqlite:///runs.db",
    "file:///srv/runs",
    "hf://datasets/a/b",
    "task.max_new_tokens=512 eval_tokens=8 end_token=false",
    "eos_token=<|end|>",
    "pad_token=abc",
    "hf_classifier.py and hf_causal_lm",
    "scikit-learn, sk-learn",
    "--set basis.use=random",
    "tokens: 512",
    "token={token}",
    "key=value",
    "the bearer certificates",
    "error: token: bad",
    "name@example.org",
    "Answer: 42",
]


@pytest.mark.parametrize("text", FORMS)
def test_credentials_of_every_form_are_redacted(text):
    assert credential_in(text)
    for whole in (text, f"before {text}\nafter", f"uri = {text}"):
        clean = without_credentials(whole)
        assert SECRET not in clean.lower()
        assert CUT in clean
        assert without_credentials(clean) == clean
    assert without_credentials(f"before {text}\nafter").startswith("before ")


@pytest.mark.parametrize(
    ("before", "after", "shortest"),
    [("password=", "", 3), ("password = ", "", 3), ("password: ", "", 6), ('"password": "', '"', 3), ("password='", "'", 3)],
)  # fmt: skip
def test_short_values_are_no_credentials(before, after, shortest):
    """A word behind a colon may be prose; behind an equals sign, or in quotes, it is a value."""
    secret = "x7q2w9"[:shortest]
    assert without_credentials(f"{before}{secret}{after}") == f"{before}{CUT}{after}"
    kept = f"{before}{secret[:-1]}{after}"
    assert without_credentials(kept) == kept


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_a_credential_is_unchanged(text):
    assert without_credentials(text) == text
    assert credential_in(text) == ""


def test_user_name_in_an_address_is_redacted_but_refused_only_for_http():
    assert without_credentials("ssh://git@github.com/a") == f"ssh://{CUT}@github.com/a"
    assert credential_in("ssh://git@github.com/a") == ""
    assert credential_in("https://git@github.com/a")


@pytest.mark.parametrize(
    "name", ["password", "db.passwd", "HF_TOKEN", "token", "apiKey", "x.secret", "DB_PASS"]
)
def test_names_of_credentials(name):
    assert names_credential(name)


@pytest.mark.parametrize(
    "name", ["eos_token", "tokens", "key", "compass", "x.max_new_tokens", "token_file", ""]
)
def test_names_that_are_no_credentials(name):
    assert not names_credential(name)


def test_credentials_in_command_lines_are_redacted():
    words = [
        "run",
        "--api-key",
        "two words",
        "--set",
        "trackers.x.password=two words",
        f"http://a:{SECRET}@h",
        "-q",
    ]
    assert command_without_credentials(words) == [
        "run", "--api-key", CUT, "--set", f"trackers.x.password={CUT}", f"http://{CUT}@h", "-q",
    ]  # fmt: skip


def test_tree_is_cleaned_through_tables_lists_and_objects():
    @attrs.frozen
    class Note:
        text: str
        number: int = 3

    tree = {
        "password": "any words",
        "list": [f"sk-{SECRET}", 2],
        "note": Note(f"token={SECRET}"),
        "pair": (None,),
    }
    clean = cleaned(tree)
    assert clean == {"password": CUT, "list": [CUT, 2], "note": Note(f"token={CUT}"), "pair": (None,)}


def test_redaction_of_hostile_text_takes_linear_time():
    for part in ("a=", "a.", "-a", "://", "a:b@", "sk-", '"', "token=", "x ", "Bearer ", "eyJ."):
        began = time.process_time()
        without_credentials(part * (100_000 // len(part)))
        assert time.process_time() - began < 5.0  # minutes, were it quadratic


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/bob/x", "~/x"),
        ("/home/bob", "~"),
        ("/Users/jane/a b", "~/a b"),
        (r"C:\Users\jane\x", r"~\x"),
        ("/srv/me/data", "/srv/user/data"),
        ("/srv/of/me/x and /srv/of/me2", "/srv/of/me/x and /srv/of/me2".replace("/me/", "/user/")),
        ("/mine/x", "~/x"),
        ("/mine2/x", "/mine2/x"),
        ("https://example.org/home/x", "https://example.org/home/x"),
    ],
)
def test_home_folders_and_user_names_are_redacted(monkeypatch, text, expected):
    monkeypatch.setattr(redaction, "_me", lambda: ("/mine", "me"))
    assert without_homes(text) == expected
    assert publishable(f"{text} password={SECRET}") == f"{expected} password={CUT}"


# -- Where it is refused, and where it is cut out


@pytest.mark.parametrize("text", [form for form in FORMS if form != KEY])
def test_spec_and_setting_with_a_credential_are_refused_without_showing_it(tmp_path, text):
    import tomli_w

    spec = tmp_path / "spec.toml"
    spec.write_text(
        'extends = "quickstart"\n' + tomli_w.dumps({"trackers": {"mlflow": {"tags": ["a=b", text]}}})
    )
    for arguments in ((spec, ()), ("quickstart", (f"trackers.mlflow.uri={json.dumps(text)}",))):
        with pytest.raises(SpecError) as caught:
            load_spec(arguments[0], Registry.load(), arguments[1])
        message = str(caught.value)
        assert SECRET not in message.lower()
        assert "specs are stored and published" in message
        assert "MLFLOW_TRACKING_PASSWORD" in message


def test_every_credential_of_a_spec_is_reported_with_its_position(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(f'name = "a"\n[trackers.x]\npassword = ["{SECRET}"]\nuri = "http://a:{SECRET}@h"\n')
    with pytest.raises(SpecError) as caught:
        load_spec(spec, Registry.load())
    assert [fault.position().rpartition("/")[2] for fault in caught.value.faults] == [
        "spec.toml:3:13",
        "spec.toml:4:7",
    ]
    assert SECRET not in str(caught.value)


def test_quoted_line_of_a_fault_has_no_credential(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(f'uri = "http://a:{SECRET}@h" oops\n')
    with pytest.raises(SpecError, match="not valid TOML") as caught:
        load_spec(spec, Registry.load())
    assert SECRET not in str(caught.value)
    assert CUT in str(caught.value)


def test_spec_built_in_python_with_a_credential_is_not_stored(tmp_path):
    from boostlora.plugins.trackers.mlflow import Mlflow

    spec = load_spec("quickstart", Registry.load())
    spec = attrs.evolve(spec, trackers={"mlflow": Mlflow(uri=f"http://a:{SECRET}@h")})
    with pytest.raises(UsageError, match=r"trackers\.mlflow\.uri") as caught:
        RunDirectory.create(tmp_path / "run", spec)
    assert SECRET not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_provenance_and_failures_are_written_without_credentials(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["boostlora", "--token", SECRET, f"https://h/?token={SECRET}"])
    assert provenance({}, 0)["command"] == ["boostlora", "--token", CUT, f"https://h/?token={CUT}"]
    record_failure(tmp_path, "cell", f"no answer from http://a:{SECRET}@h", f"Traceback\npassword={SECRET}")
    written = failure_path(tmp_path, "cell").read_text()
    assert SECRET not in written
    assert written.count(CUT) == 2


def test_run_record_has_no_credentials_of_reason_and_task(run_cell, monkeypatch):
    from boostlora.engine.boosting import loop
    from boostlora.plugins.tasks.digits import Digits

    told = {"address": f"http://a:{SECRET}@h", "token": SECRET}
    monkeypatch.setattr(Digits, "origin", lambda _: told, raising=False)
    monkeypatch.setattr(
        loop, "ProvenanceTask", Digits
    )  # the protocol would remember for ever that digits are one
    monkeypatch.setattr(loop, "_run_rounds", lambda *_: ("failed", f"no answer from http://a:{SECRET}@h"))
    _, directory = run_cell("rounds=1")
    assert directory.result()["reason"] == f"no answer from http://{CUT}@h"
    assert directory.provenance()["task"] == {"address": f"http://{CUT}@h", "token": CUT}
    assert not [p for p in directory.path.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    ("home", "text", "expected"),
    [("/srv/anna", "/srv/anna/runs", "~/runs"), ("/", "/srv/runs", "/srv/runs")],
)
def test_home_folder_is_redacted_unless_it_is_the_root(
    monkeypatch: pytest.MonkeyPatch, home: str, text: str, expected: str
) -> None:
    monkeypatch.setattr(redaction.Path, "home", lambda: redaction.Path(home))
    redaction._me.cache_clear()
    try:
        assert without_homes(text) == expected
    finally:
        redaction._me.cache_clear()
