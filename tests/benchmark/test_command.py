"""The command that measures speed."""

import json

import pytest

from hf_rnn_seq2seq.benchmark import command, scaling, training
from hf_rnn_seq2seq.benchmark.timing import Timing, fast_paths, race
from hf_rnn_seq2seq.benchmark.workloads import WORKLOADS, Workload
from hf_rnn_seq2seq.cli import main
from hf_rnn_seq2seq.model.modeling_fast_paths import SWITCH

TINY = {
    "vocab_size": 60,
    "decoder_vocab_size": 60,
    "embedding_size": 8,
    "encoder_hidden_size": 8,
    "decoder_hidden_size": 16,
    "attention_size": 16,
}


@pytest.fixture
def small(monkeypatch):
    for name in list(WORKLOADS):
        workload = WORKLOADS[name]
        tiny = Workload(name, {**workload.config, **TINY}, preset=workload.preset, batch_size=4)
        monkeypatch.setitem(WORKLOADS, name, tiny)
    for name in ("LENGTHS", "VOCABULARIES", "BATCHES", "BEAMS"):
        monkeypatch.setattr(scaling, name, [20, 40] if name == "VOCABULARIES" else [1, 2])


def test_benchmark_prints_tables_and_keeps_the_numbers(small, monkeypatch, tmp_path, capsys):
    peaks = {"fast": 2**20, "plain": 2**21}
    monkeypatch.setattr(command, "measure_memory", lambda name, dtype_name: peaks)
    words = ["--workload", "w1_input_feeding", "--runs", "1", "--batches", "2", "--sentences", "8", "--dtype", "fp32"]
    assert main(["benchmark", *words, "--output", str(tmp_path)]) == 0
    facts = json.loads((tmp_path / "benchmark.json").read_text())
    (row,) = facts["training"]
    assert (row["workload"], len(row["fast_seconds"]), len(row["plain_seconds"])) == ("w1_input_feeding", 1, 1)
    assert facts["memory"] == [{"workload": "w1_input_feeding", "dtype": "fp32", **peaks}]
    shares = [value for value in facts["profile"][0].values() if isinstance(value, float)]
    assert sum(shares) == pytest.approx(1)
    assert len(facts["decoding"]) == 6
    assert list(facts["scaling"]["fp32"]["training: vocabulary"]) == ["20", "40"]
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    for title in ("| training | dtype |", "| training, memory", "| training, share of time", "| decoding | dtype |"):
        assert title in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "all"], "`--part` must be one of training, memory, profile, decoding, scaling, got 'all'."),
        (["--dtype", "fp16"], "`--dtype` must be one of fp32, bf16, got 'fp16'."),
        (["--workload", "w3"], "`--workload` must be one of w1, "),
    ],
)
def test_unknown_names_are_refused(words, message, capsys):
    assert main(["benchmark", *words]) == 1
    assert message in capsys.readouterr().err


def test_memory_is_measured_in_a_process_of_its_own(small, capsys):
    training.print_peak("w1", "fp32", True)
    assert int(capsys.readouterr().out) >= 0


def test_contestants_run_in_turn():
    order = []
    timings = race({name: lambda name=name: order.append(name) or len(order) for name in "ab"}, 2)
    assert order == list("ababab")
    assert timings["a"] == Timing([3, 5])
    assert timings["a"].rate(15) == "4 (3 to 5)"


def test_switch_is_put_back(monkeypatch):
    import os

    for before in (None, "0", "1"):
        monkeypatch.delenv(SWITCH, raising=False) if before is None else monkeypatch.setenv(SWITCH, before)
        with fast_paths(False):
            assert os.environ[SWITCH] == "0"
        assert os.environ.get(SWITCH) == before
