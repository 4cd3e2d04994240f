"""Pushing over real HTTP to a small Hub on the loopback interface, and loading from it again."""

import filecmp
import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import huggingface_hub.constants
import pytest
import yaml
from huggingface_hub import HfApi

from hf_rnn_seq2seq import train_tokenizer
from hf_rnn_seq2seq.cli import main
from hf_rnn_seq2seq.demo import space
from hf_rnn_seq2seq.hub import push
from hf_rnn_seq2seq.hub.card import write_model_card
from hf_rnn_seq2seq.hub.folder import collect_files, complete_folder
from hf_rnn_seq2seq.hub.push import PushError, push_folder
from tests.conftest import build_model
from tests.hub.hub_server import READ_TOKEN, WRITE_TOKEN, serve_hub
from tests.hub.test_card import FACTS, RECIPE
from tests.without_package import run_without_package

TRANSLATE = """
from transformers import pipeline
print(pipeline("translation", model={!r}, trust_remote_code=True)("b a")[0]["translation_text"])
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    tokenizer = train_tokenizer(["a b c"], kind="word")
    model = build_model(vocab_size=len(tokenizer)).float()
    model.generation_config.update(num_beams=2, min_new_tokens=3, max_new_tokens=5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # what stays home
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "optimizer.bin").write_bytes(b"x")
    (folder / "training_args.bin").write_bytes(b"x")
    return folder


@pytest.fixture
def hub():
    with serve_hub() as server:
        yield server


@pytest.fixture(autouse=True)
def _online(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
    # this Hub speaks the LFS protocol, which huggingface_hub uses where Xet is turned off
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(push.time, "sleep", lambda seconds: None)


def environment(hub, home):
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": WRITE_TOKEN,
    }


def write_facts(folder):
    (folder / "results.json").write_text(json.dumps(FACTS))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))


def pushed_names(folder):
    names = {path.name for path in folder.iterdir() if path.is_file()} - {"training_args.bin"}
    return names | {"README.md", ".gitattributes"}


def test_push_uploads_the_complete_folder_in_one_commit(hub, folder):
    made = push_folder(folder, "me/dates", private=True, token=WRITE_TOKEN, message="First")
    repository = hub.repositories["models/me/dates"]
    assert repository.private
    assert repository.messages == ["initial commit", "First"]
    tree = repository.commits[made.commit]
    assert tree.keys() == pushed_names(folder)
    for name, data in tree.items():
        # the card names the model
        if (folder / name).is_file() and name != "README.md":
            assert data == (folder / name).read_bytes()
    assert len(hub.lfs_objects) == 1


def test_pushed_model_loads_from_the_hub_byte_by_byte_without_the_package(hub, folder, tmp_path):
    words = [sys.executable, "-m", "hf_rnn_seq2seq.cli", "push", str(folder), "dates", "--private"]
    variables = environment(hub, tmp_path / "home")
    result = subprocess.run(
        words, env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"{hub.url}/me/dates/commit/" in result.stdout, result.stderr
    code = """
from huggingface_hub import snapshot_download
from transformers import pipeline
print(snapshot_download("me/dates"))
print(pipeline("translation", model="me/dates", trust_remote_code=True)("b a")[0]["translation_text"])
"""
    output = run_without_package(code, tmp_path, **variables, HF_MODULES_CACHE=str(tmp_path / "modules"))
    snapshot, translation = output.splitlines()
    names = sorted(pushed_names(folder) - {"README.md", ".gitattributes"})
    assert filecmp.cmpfiles(folder, snapshot, names, shallow=False) == (names, [], [])
    local = (
        'from transformers import pipeline; print(pipeline("translation", model={!r}, trust_remote_code=True)("b a"))'
    )
    assert repr(translation) in run_without_package(local.format(str(folder)), tmp_path)


def test_push_to_a_branch_leaves_main_alone(hub, folder):
    made = push_folder(folder, "me/dates", revision="v2", token=WRITE_TOKEN)
    repository = hub.repositories["models/me/dates"]
    assert repository.branches["v2"] == made.commit != repository.branches["main"]
    assert repository.commits[repository.branches["main"]].keys() == {".gitattributes"}
    push_folder(folder, "me/dates", revision="v2", token=WRITE_TOKEN)
    assert not repository.private


def test_pushing_again_sends_no_weights_twice(hub, folder):
    push_folder(folder, "me/dates", token=WRITE_TOKEN)
    (folder / "results.txt").write_text("new")
    hub.requests.clear()
    push_folder(folder, "me/dates", token=WRITE_TOKEN)
    assert not any(line.startswith("PUT") for line in hub.requests)
    assert len(hub.repositories["models/me/dates"].messages) == 3


def test_transformers_own_push_takes_the_code_along(hub, folder, tmp_path):
    code = f"""
import hf_rnn_seq2seq
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
AutoModelForSeq2SeqLM.from_pretrained({str(folder)!r}).push_to_hub("me/by-transformers")
AutoTokenizer.from_pretrained({str(folder)!r}).push_to_hub("me/by-transformers")
"""
    variables = {**os.environ, **environment(hub, tmp_path / "home")}
    subprocess.run([sys.executable, "-c", code], env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    repository = hub.repositories["models/me/by-transformers"]
    tree = repository.commits[repository.branches["main"]]
    missing = pushed_names(folder) - tree.keys()
    assert missing == set()


def test_wrong_token_is_named_and_nothing_is_made(hub, folder):
    with pytest.raises(PushError, match=r"did not accept the token \(status 401\) while .*Nothing was committed\."):
        push_folder(folder, "me/dates", token="hf_wrong")
    assert hub.repositories == {}


def test_missing_permission_is_named(hub, folder):
    HfApi(token=WRITE_TOKEN).create_repo("me/dates")
    with pytest.raises(PushError, match=r"does not let this token write to me/dates \(status 403\)"):
        push_folder(folder, "me/dates", token=READ_TOKEN)
    assert hub.repositories["models/me/dates"].messages == ["initial commit"]


@pytest.mark.parametrize("step", ["PUT /lfs", "POST /api/models/me/dates/commit"])
def test_server_error_mid_upload_says_that_the_repository_is_empty(hub, folder, step):
    # 501: huggingface_hub itself tries again after 500, with long pauses
    hub.faults.append((step, 501))
    with pytest.raises(PushError) as caught:
        push_folder(folder, "me/dates", token=WRITE_TOKEN)
    assert "The Hub failed (status 501) while uploading" in str(caught.value)
    assert "The new repository me/dates is empty: nothing was committed. Push again later" in str(caught.value)
    assert hub.repositories["models/me/dates"].messages == ["initial commit"]
    # and the next push goes through
    push_folder(folder, "me/dates", token=WRITE_TOKEN)


def test_commit_whose_answer_was_lost_is_reported_as_made(hub, folder):
    hub.faults.append(("POST /api/models/me/dates/commit", "lose the answer"))
    with pytest.raises(PushError, match="The connection dropped 1 times while uploading .* was made all the same"):
        push_folder(folder, "me/dates", token=WRITE_TOKEN, attempts=1)
    assert len(hub.repositories["models/me/dates"].messages) == 2


def test_failure_of_the_transfer_itself_is_told(hub, folder, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("Internal Writer Error")

    monkeypatch.setattr(HfApi, "create_commit", fail)
    with pytest.raises(
        PushError, match=r"failed while uploading \(Internal Writer Error\)\. The new repository me/dates is"
    ):
        push_folder(folder, "me/dates", token=WRITE_TOKEN)


def test_lost_answer_is_asked_for_again(hub, folder):
    hub.faults.append(("POST /api/models/me/dates/commit", "lose the answer"))
    made = push_folder(folder, "me/dates", token=WRITE_TOKEN)
    assert hub.repositories["models/me/dates"].branches["main"] == made.commit


@pytest.mark.parametrize("step", ["POST /api/repos/create", "POST /api/models/me/dates/commit"])
def test_dropped_connections_are_tried_again(hub, folder, step, caplog):
    hub.faults += [(step, "drop")] * 2
    made = push_folder(folder, "me/dates", token=WRITE_TOKEN)
    assert hub.repositories["models/me/dates"].branches["main"] == made.commit
    assert sum(message.startswith("The connection dropped") for message in caplog.messages) == 2


def test_connection_that_keeps_dropping_ends_with_a_message(hub, folder):
    hub.faults += [("POST /api/models/me/dates/commit", "drop")] * 3
    with pytest.raises(PushError, match="The connection dropped 3 times while uploading .* is empty: nothing was com"):
        push_folder(folder, "me/dates", token=WRITE_TOKEN, attempts=3)


def test_commit_that_lacks_a_file_is_not_reported_as_done(hub, folder, monkeypatch):
    monkeypatch.setattr(HfApi, "list_repo_files", lambda *args, **kwargs: ["config.json"])
    with pytest.raises(PushError, match=r"me/dates lacks .*model\.safetensors"):
        push_folder(folder, "me/dates", token=WRITE_TOKEN)


def test_space_gets_a_demo_that_names_the_model(hub, folder, monkeypatch, capsys):
    (folder / "results.json").write_text(json.dumps({"example": "a b"}))
    words = ["push", str(folder), "me/dates", "--space", "me/dates-demo", "--token", WRITE_TOKEN]
    assert main(words) == 0
    assert "demo: " in capsys.readouterr().out
    repository = hub.repositories["spaces/me/dates-demo"]
    assert repository.settings["sdk"] == "gradio"
    tree = repository.commits[repository.branches["main"]]
    assert b"MODEL = 'me/dates'" in tree["app.py"]
    assert b"examples=['a b']" in tree["app.py"]
    assert b"app_file: app.py" in tree["README.md"]
    for name, data in tree.items():
        if name.endswith(".py"):
            compile(data, name, "exec")
            assert b"hf_rnn_seq2seq." not in data


def test_dry_run_lists_and_sends_nothing(hub, folder, capsys, monkeypatch):
    assert main(["push", str(folder), "me/dates", "--dry-run", "--space", "me/demo"]) == 0
    output = capsys.readouterr().out
    for name in pushed_names(folder) - {".gitattributes"}:
        assert f"  {name}\n" in output
    assert "stay home: checkpoints, training_args.bin" in output
    assert "  app.py\n" in output
    assert hub.requests == []


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "without config.json"),
        ("model.safetensors", "must hold model.safetensors"),
        ("tokenizer_config.json", "must hold the tokenizer"),
    ],
)
def test_incomplete_folder_is_refused_before_anything_is_sent(hub, folder, missing, message):
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=message):
        push_folder(folder, "me/dates", token=WRITE_TOKEN)
    assert hub.requests == []


def test_other_peoples_models_are_refused(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "marian"}))
    with pytest.raises(ValueError, match="must hold a model of type 'rnn_seq2seq', got 'marian'"):
        complete_folder(folder)


def test_folder_without_code_or_settings_is_completed(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"], config["custom_pipelines"]
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("modeling_rnn_seq2seq.py", "pipeline_rnn_seq2seq.py", "generation_config.json"):
        (folder / name).unlink()
    complete_folder(folder)
    assert pushed_names(folder) - {".gitattributes"} == collect_files(folder, model_id="me/x").files.keys()
    assert "auto_map" in json.loads((folder / "config.json").read_text())


def test_card_names_the_model_on_the_hub(folder):
    write_facts(folder)
    for _ in range(2):
        # first from the plain card that saving leaves, then from the card of the run
        card = collect_files(folder, model_id="me/x").files["README.md"].decode()
        assert 'pipeline("translation", model="me/x", trust_remote_code=True)' in card
        write_model_card(folder)


def test_card_that_its_owner_has_edited_is_left_alone(folder):
    write_facts(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    files = collect_files(folder, model_id="me/x").files
    assert files["README.md"] == folder / "README.md"


def test_plain_card_gets_the_name_on_the_hub(folder):
    card = collect_files(folder, model_id="me/x").files["README.md"].decode()
    assert 'pipeline("translation", model="me/x", trust_remote_code=True)' in card


def test_files_that_cannot_be_made_leave_nothing_on_the_hub(hub, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(space, "version", _no_version)
    words = ["push", str(folder), "me/dates", "--space", "me/demo", "--token", WRITE_TOKEN]
    assert main(words) == 1
    assert "A Space is made with Gradio" in capsys.readouterr().err
    assert hub.repositories == {}


def _no_version(name):
    raise PackageNotFoundError(name)
