"""What transformers' `generate` promises of a model, on several architectures."""

import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from tests.conftest import build_model, pad

SOURCES = [[4, 5, 6, 7, 2], [8, 9, 2], [10, 2]]
# a fast and a slow decoder, without attention, and with everything that beams must carry along
ARCHITECTURES = {
    "luong": {},
    "input_feeding": {"decoder_type": "input_feeding", "cell_type": "gru"},
    "conditional_coverage": {
        "decoder_type": "conditional",
        "attention_type": "additive",
        "attention_feedback": "coverage",
        "copy_attention": True,
    },
    "none": {"attention_type": "none", "decoder_type": "bahdanau"},
    "heads": {"attention_type": "dot", "num_attention_heads": 2, "decoder_type": "gnmt"},
}


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    return build_model(**ARCHITECTURES[request.param]).float()


def generate(model, **options):
    ids, mask = pad(SOURCES, "left")
    return model.generate(input_ids=ids, attention_mask=mask, **{"max_new_tokens": 6, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True, "top_k": 3},
        {"do_sample": True, "top_p": 0.5, "temperature": 2.0},
        {"do_sample": True, "num_beams": 3, "num_return_sequences": 2},
    ],
    ids=["top_k", "top_p", "beam_sampling"],
)
def test_sampling_follows_the_seed_and_gives_several_sequences(model, options):
    torch.manual_seed(0)
    first = generate(model, **{"num_return_sequences": 4, "min_new_tokens": 6, **options})
    torch.manual_seed(0)
    assert torch.equal(first, generate(model, **{"num_return_sequences": 4, "min_new_tokens": 6, **options}))
    assert not torch.equal(first, generate(model, **{"num_return_sequences": 4, "min_new_tokens": 6, **options}))
    assert len(first) == 3 * options.get("num_return_sequences", 4)


def test_sampling_draws_from_the_models_distribution(model):
    """4,000 first tokens: their shares are the probabilities, but for 4 standard deviations."""
    source = torch.tensor([SOURCES[0]])
    torch.manual_seed(0)
    drawn = model.generate(input_ids=source, do_sample=True, top_k=0, num_return_sequences=4000, max_new_tokens=1)
    shares = torch.bincount(drawn[:, 1], minlength=13) / 4000
    probabilities = model(input_ids=source, decoder_input_ids=torch.tensor([[1]])).logits[0, 0].softmax(-1)
    assert ((shares - probabilities).abs() < 4 * (probabilities * (1 - probabilities) / 4000).sqrt() + 1e-3).all()


@pytest.mark.parametrize("num_beams", [1, 3])
def test_forced_and_forbidden_tokens_are_obeyed(model, num_beams):
    forced = generate(model, num_beams=num_beams, forced_bos_token_id=7, forced_eos_token_id=2, min_new_tokens=6)
    assert (forced[:, 1] == 7).all()
    assert (forced[:, -1] == 2).all()
    favourite = int(generate(model, num_beams=num_beams, min_new_tokens=1)[0, 1])
    without = generate(model, num_beams=num_beams, bad_words_ids=[[favourite]], min_new_tokens=6)
    assert not (without == favourite).any()


@pytest.mark.parametrize("num_beams", [1, 3])
def test_no_pair_of_tokens_comes_twice(model, num_beams):
    free = generate(model, num_beams=num_beams, max_new_tokens=20, min_new_tokens=20)
    blocked = generate(model, num_beams=num_beams, max_new_tokens=20, min_new_tokens=20, no_repeat_ngram_size=2)
    repeats = []
    for found in (free, blocked):
        pairs = [list(zip(row, row[1:], strict=False)) for row in found.tolist()]
        repeats.append(sum(len(row) - len(set(row)) for row in pairs))
    assert repeats[0] > 0
    assert repeats[1] == 0


@pytest.mark.parametrize("num_beams", [1, 3])
def test_prefix_is_kept_and_gone_on_from(model, num_beams):
    prefix = torch.tensor([[1, 9, 5]]).expand(3, -1)
    found = generate(model, num_beams=num_beams, decoder_input_ids=prefix)
    assert torch.equal(found[:, :3], prefix)
    if num_beams == 1:
        following = model(input_ids=torch.tensor([SOURCES[1]]), decoder_input_ids=prefix[:1]).logits[0, -1].argmax()
        assert found[1, 3] == following


def test_length_penalty_prefers_long_or_short_ones(model):
    long, short = (generate(model, num_beams=4, length_penalty=penalty, max_new_tokens=12) for penalty in (4.0, -4.0))
    assert ((long != 0) & (long != 2)).sum() >= ((short != 0) & (short != 2)).sum()


def test_processors_and_criteria_of_ones_own_are_called(model):
    class OnlyEleven(LogitsProcessor):
        def __call__(self, input_ids, scores):
            only = torch.full_like(scores, -float("inf"))
            only[:, 11] = 0.0
            return only

    class AfterTwo(StoppingCriteria):
        def __call__(self, input_ids, scores, **kwargs):
            return torch.full((len(input_ids),), input_ids.shape[1] >= 3)

    found = generate(
        model,
        logits_processor=LogitsProcessorList([OnlyEleven()]),
        stopping_criteria=StoppingCriteriaList([AfterTwo()]),
    )
    assert found.tolist() == [[1, 11, 11]] * 3


def test_streamer_gets_every_token(model):
    class Collect:
        def __init__(self):
            self.tokens, self.has_ended = [], False

        def put(self, value):
            self.tokens += value.flatten().tolist()

        def end(self):
            self.has_ended = True

    streamer = Collect()
    found = model.generate(input_ids=torch.tensor([SOURCES[0]]), max_new_tokens=6, streamer=streamer)
    assert streamer.tokens == found[0].tolist()
    assert streamer.has_ended


@torch.no_grad()
@pytest.mark.parametrize("num_beams", [1, 3])
def test_transition_scores_are_the_log_probabilities_of_the_sequence(model, num_beams):
    output = generate(model, num_beams=num_beams, return_dict_in_generate=True, output_scores=True, min_new_tokens=6)
    beams = output.get("beam_indices")
    # greedy scores are logits, those of beams log-probabilities
    found = model.compute_transition_scores(output.sequences, output.scores, beams, normalize_logits=num_beams == 1)
    for row, source in enumerate(SOURCES):
        sequence = output.sequences[row]
        # `min_new_tokens` forbids `</s>`, which greedy's scores are normalised without
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=sequence[None, :-1]).logits[0]
        if num_beams == 1:
            logits[:, 2] = -float("inf")
        expected = logits.log_softmax(-1).gather(1, sequence[1:, None]).squeeze(1)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_attentions_and_hidden_states_of_every_step_are_returned(model, num_beams):
    options = {"output_attentions": True, "output_hidden_states": True, "return_dict_in_generate": True}
    output = generate(model, num_beams=num_beams, min_new_tokens=6, **options)
    config, rows = model.config, 3 * num_beams
    assert len(output.decoder_hidden_states) == 6
    for step in output.decoder_hidden_states:
        assert [tuple(tensor.shape) for tensor in step] == [(rows, 1, 5), (rows, 1, 6), (rows, 1, 6)]
    for step in output.cross_attentions or ():
        if config.attention_type == "none":
            assert step is None
        else:
            assert [tuple(tensor.shape) for tensor in step] == [(rows, config.num_attention_heads, 1, 5)]


def test_source_can_be_embeddings(model):
    ids, mask = pad(SOURCES, "left")
    embeds = model.get_encoder().embed_tokens(ids)
    if model.config.copy_attention:
        with pytest.raises(ValueError, match="`input_ids` must be given to a model with `copy_attention=True`"):
            model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=6)
        return
    found = model.generate(inputs_embeds=embeds, attention_mask=mask, num_beams=3, max_new_tokens=6)
    assert torch.equal(found, generate(model, num_beams=3))
