"""Schedules against their formulas."""

import math

import pytest

from hf_rnn_seq2seq.training.learning_rate import LearningRate


@pytest.mark.parametrize("schedule", ["constant", "inverse_sqrt", "cosine", "plateau"])
def test_warmup_rises_linearly_to_the_peak(schedule):
    rate = LearningRate(peak=0.5, schedule=schedule, warmup_updates=10, num_updates=100)
    assert [rate.rate(update) for update in (1, 5, 10)] == pytest.approx([0.05, 0.25, 0.5])


def test_inverse_sqrt_falls_with_the_root_of_the_update():
    rate = LearningRate(peak=1.0, schedule="inverse_sqrt", warmup_updates=100)
    assert rate.rate(400) == pytest.approx(0.5)
    assert rate.rate(10000) == pytest.approx(0.1)


def test_cosine_ends_at_zero_and_stays():
    rate = LearningRate(peak=1.0, schedule="cosine", warmup_updates=0, num_updates=100)
    assert rate.rate(50) == pytest.approx(0.5)
    assert rate.rate(25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert rate.rate(100) == pytest.approx(0)
    assert rate.rate(150) == pytest.approx(0)


def test_plateau_falls_after_patience_validations_without_a_best():
    rate = LearningRate(peak=1.0, schedule="plateau", factor=0.5, patience=2)
    for improved, expected in [
        (True, 1),
        (False, 1),
        (True, 1),
        (False, 1),
        (False, 0.5),
        (False, 0.5),
        (False, 0.25),
    ]:
        rate.report_validation(improved)
        assert rate.rate(7) == expected


def test_state_survives_a_round_trip():
    rate = LearningRate(peak=1.0, schedule="plateau", patience=2)
    for _ in range(3):
        rate.report_validation(False)
    resumed = LearningRate(peak=1.0, schedule="plateau", patience=2)
    resumed.load_state_dict(rate.state_dict())
    resumed.report_validation(False)
    assert resumed.rate(1) == 0.25


def test_cosine_needs_an_end():
    with pytest.raises(ValueError, match="must know where training ends"):
        LearningRate(peak=1.0, schedule="cosine")
