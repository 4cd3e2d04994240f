"""Several models as one: mean probabilities, under every search."""

import itertools

import pytest
import torch

from hf_rnn_seq2seq import EnsembleForConditionalGeneration, score, train_tokenizer, translate
from hf_rnn_seq2seq.decoding.ensemble import check_same_tokens
from tests.conftest import build_model, pad

# of different architectures
MEMBERS = [
    {},
    {"decoder_type": "input_feeding", "cell_type": "gru"},
    {"attention_type": "none"},
    {"copy_attention": True, "attention_type": "additive", "attention_feedback": "coverage"},
]


def build_members(vocab_size=13):
    members = []
    for number, fields in enumerate(MEMBERS):
        member = build_model(vocab_size=vocab_size, **fields)
        torch.manual_seed(number)
        for parameter in member.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.3)
        members.append(member)
    return members


def test_probabilities_are_the_mean_of_the_members():
    members = build_members()
    ensemble = EnsembleForConditionalGeneration(members)
    ids, mask = pad([[4, 5, 6, 2], [7, 2]], "left")
    target = torch.tensor([[1, 5, 6], [1, 8, 9]])
    inputs = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": target}
    expected = torch.stack([member(**inputs).logits.softmax(-1) for member in members]).mean(0)
    output = ensemble(**inputs, output_attentions=True)
    torch.testing.assert_close(output.logits.exp().double(), expected, rtol=0, atol=1e-6)
    (weights,) = output.cross_attentions
    assert weights.shape == (2, 1, 3, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@torch.no_grad()
def test_beam_search_finds_the_best_of_all_sequences():
    ensemble = EnsembleForConditionalGeneration(build_members(vocab_size=5))
    source = torch.tensor([[3, 4, 2]])
    # two tokens that do not end, so that every sequence is as long
    options = {"max_new_tokens": 2, "min_new_tokens": 2, "return_dict_in_generate": True, "output_scores": True}
    output = ensemble.generate(input_ids=source, num_beams=25, **options)
    sequences = torch.tensor([[1, a, b] for a, b in itertools.product([0, 1, 3, 4], range(5))])
    logits = ensemble(source.expand(len(sequences), -1), decoder_input_ids=sequences[:, :-1]).logits
    scores = logits.gather(2, sequences[:, 1:, None]).squeeze(2)
    # transformers renormalises nothing: what `min_new_tokens` forbids is left out
    scores[sequences[:, 1:] == 2] = -float("inf")
    best = scores.sum(1).argmax()
    assert output.sequences[0].tolist() == sequences[best].tolist()
    assert float(output.sequences_scores[0]) == pytest.approx(float(scores[best].sum()) / 2, abs=1e-5)


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 1}, {"num_beams": 3, "use_cache": False}])
def test_batches_and_caches_change_nothing(options):
    ensemble = EnsembleForConditionalGeneration(build_members())
    sources = [[4, 5, 6, 2], [7, 2], [8, 9, 10, 11, 2]]
    ids, mask = pad(sources, "left")
    together = ensemble.generate(input_ids=ids, attention_mask=mask, max_new_tokens=6, **options)
    for row, source in enumerate(sources):
        alone = ensemble.generate(input_ids=torch.tensor([source]), max_new_tokens=6, num_beams=options["num_beams"])
        assert together[row, : alone.shape[1]].tolist() == alone[0].tolist()


def test_an_ensemble_of_one_model_twice_translates_as_the_model():
    tokenizer = train_tokenizer(["a b c"] * 3, kind="word")
    model = build_model(vocab_size=len(tokenizer))
    model.generation_config.update(num_beams=3, max_new_tokens=6, eos_token_id=2, pad_token_id=0)
    ensemble = EnsembleForConditionalGeneration([model, model])
    texts = ["b a c", "a", "c c b"]
    assert translate(ensemble, tokenizer, texts) == translate(model, tokenizer, texts)
    ours, theirs = (score(m, tokenizer, texts, texts)[0].log_probabilities for m in (ensemble, model))
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_members_of_other_vocabularies_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must share `vocab_size`, got \[13, 9\]"):
        EnsembleForConditionalGeneration([build_model(), build_model(vocab_size=9)])
    with pytest.raises(ValueError, match="needs at least two `members`, got 1"):
        EnsembleForConditionalGeneration([build_model()])
    with pytest.raises(NotImplementedError, match="save each of its `members`"):
        EnsembleForConditionalGeneration([build_model(), build_model()]).save_pretrained(tmp_path)


def test_what_an_ensemble_does_not_have_is_said():
    ensemble = EnsembleForConditionalGeneration(build_members()[:2])
    source, target = torch.tensor([[4, 5, 2]]), torch.tensor([[1, 5]])
    with pytest.raises(ValueError, match="needs `input_ids`, got none"):
        ensemble.generate(inputs_embeds=torch.zeros(1, 3, 5, dtype=torch.float64), max_new_tokens=3)
    for wish in ({"labels": target}, {"output_hidden_states": True}):
        with pytest.raises(ValueError, match="neither a loss nor hidden states; ask each of its `members`"):
            ensemble(source, decoder_input_ids=target, **wish)


def test_members_of_other_tokenizers_are_refused():
    first = train_tokenizer(["a b c"], ["x y z"], kind="word", joint=False)
    options = {"num_target": first.target_vocab_size, "name": "other"}
    check_same_tokens(first, first, **options)
    for texts in ((["a b d"], ["x y z"]), (["a b c"], ["x y w"])):
        other = train_tokenizer(*texts, kind="word", joint=False)
        with pytest.raises(ValueError, match="must share one tokenizer, got another one in 'other'"):
            check_same_tokens(first, other, **options)
