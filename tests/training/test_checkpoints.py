"""Checkpoints: which are kept, that half-written ones do not count, and averaging."""

import pytest
import torch

from hf_rnn_seq2seq.training.checkpoints import STATE_FOLDER, CheckpointKeeper, load_average
from tests.conftest import build_model


def write(keeper, update, metric):
    draft = keeper.begin(update)
    (draft / STATE_FOLDER).mkdir()
    (draft / "model.safetensors").write_text(str(update))
    keeper.commit(draft, update=update, metric=metric)


def names(keeper):
    return sorted(path.name for path in keeper.folder.iterdir() if path.is_dir())


@pytest.mark.parametrize(
    ("averaging", "expected"),
    [
        ("last", ["step-00000002", "step-00000004", "step-00000005"]),
        ("best", ["step-00000002", "step-00000003", "step-00000005"]),
    ],
)
def test_best_last_and_those_to_average_are_kept(tmp_path, averaging, expected):
    keeper = CheckpointKeeper(tmp_path, num_averaged=2, averaging=averaging)
    for update, metric in [(1, 0.1), (2, 0.9), (3, 0.8), (4, 0.3), (5, 0.2)]:
        write(keeper, update, metric)
    assert names(keeper) == expected
    assert (keeper.best.update, keeper.last.update) == (2, 5)
    again = CheckpointKeeper(tmp_path, num_averaged=2, averaging=averaging)
    assert again.kept == keeper.kept


def test_only_the_newest_can_be_resumed_from(tmp_path):
    keeper = CheckpointKeeper(tmp_path, num_averaged=3, averaging="last")
    for update in (1, 2):
        write(keeper, update, 0.0)
    assert [(tmp_path / name / STATE_FOLDER).is_dir() for name in names(keeper)] == [False, True]


def test_half_written_checkpoint_does_not_count(tmp_path):
    keeper = CheckpointKeeper(tmp_path, num_averaged=1, averaging="last")
    write(keeper, 1, 0.5)
    keeper.begin(2)  # the process ends here
    again = CheckpointKeeper(tmp_path, num_averaged=1, averaging="last")
    assert again.last.update == 1
    write(again, 2, 0.6)
    assert names(again) == ["step-00000002"]


def test_average_is_the_mean_of_the_weights_and_keeps_ties(tmp_path):
    models = [build_model(tie_word_embeddings=tie) for tie in (True,) * 3]
    for number, model in enumerate(models):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * (number + 1))
        model.save_pretrained(tmp_path / str(number))
    target = build_model()
    load_average(target, [tmp_path / str(number) for number in range(3)])
    for name, parameter in target.named_parameters():
        expected = sum(model.get_parameter(name) for model in models) / 3
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-14)
    assert target.lm_head.weight is target.model.encoder.embed_tokens.weight


def test_average_of_nothing_is_refused():
    with pytest.raises(ValueError, match="Averaging needs at least one checkpoint"):
        load_average(build_model(), [])
