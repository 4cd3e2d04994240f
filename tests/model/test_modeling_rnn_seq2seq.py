"""The whole model: its plain-loop twin, padding, cache, generation, the transformers contract."""

import itertools

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM

from hf_rnn_seq2seq import RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration, RnnSeq2SeqModel
from tests import reference
from tests.conftest import SOURCES, TINY, build_model, encode_batch, pad


@pytest.mark.parametrize(("scale_embedding", "scale"), [(True, 5**0.5), (False, 1.0)])
def test_embeddings_are_scaled_by_the_root_of_their_width(scale_embedding, scale):
    embed_tokens = build_model(scale_embedding=scale_embedding).get_input_embeddings()
    torch.testing.assert_close(embed_tokens(torch.tensor([7])), embed_tokens.weight[7:8] * scale)


@pytest.mark.parametrize(
    ("fields", "scale"),
    [
        ({}, 6**-0.5),
        ({"scale_attention": False}, 1.0),
        ({"attention_type": "dot"}, 6**-0.5),
        # two heads of two entries each
        ({"attention_type": "dot", "num_attention_heads": 2}, 2**-0.5),
    ],
)
def test_energies_are_scaled_by_the_root_of_what_is_summed(fields, scale):
    assert build_model(**fields).get_decoder().attention.scale == scale


def test_holes_in_the_mask_are_skipped():
    model = build_model()
    mask = torch.tensor([[1, 0, 1, 1, 0]])
    labels = torch.tensor([[5, 2]])
    with_holes = model(input_ids=torch.tensor([[4, 9, 5, 2, 9]]), attention_mask=mask, labels=labels)
    without = model(input_ids=torch.tensor([[4, 5, 2]]), labels=labels)
    torch.testing.assert_close(with_holes.logits, without.logits, rtol=0, atol=1e-12)


def test_row_of_padding_only_is_finite_and_does_not_depend_on_its_neighbours(cell_type, decoder_type):
    model = build_model(cell_type=cell_type, decoder_type=decoder_type)
    ids, mask = pad([SOURCES[0], []])
    labels = torch.tensor([[5, 2], [5, 2]])
    both = model(input_ids=ids, attention_mask=mask, labels=labels)
    narrow = model(input_ids=ids[1:, :1], attention_mask=mask[1:, :1], labels=labels[1:])
    torch.testing.assert_close(both.logits[1:], narrow.logits, rtol=0, atol=1e-12)
    both.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_tuple_and_embedding_inputs_equal_the_usual_ones(cell_type):
    model = build_model(cell_type=cell_type)
    batch = encode_batch()
    usual = model(**batch)
    as_tuple = model(**batch, return_dict=False)
    torch.testing.assert_close(as_tuple[0], usual.loss)
    torch.testing.assert_close(as_tuple[1], usual.logits)
    encoder = model.get_encoder()
    inputs = {"attention_mask": batch["attention_mask"], "labels": batch["labels"]}
    encoded = encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], return_dict=False)
    torch.testing.assert_close(model(encoder_outputs=encoded, **inputs).logits, usual.logits)
    everything = {"attention_mask": batch["attention_mask"], "output_hidden_states": True}
    encoded = encoder(input_ids=batch["input_ids"], return_dict=False, **everything)
    assert len(model(encoder_outputs=encoded, **inputs).encoder_hidden_states) == 3
    embeds = encoder.embed_tokens(batch["input_ids"])
    torch.testing.assert_close(model(inputs_embeds=embeds, **inputs).logits, usual.logits)
    shifted = model.prepare_decoder_input_ids_from_labels(batch["labels"])
    decoder_embeds = model.get_decoder().embed_tokens(shifted)
    torch.testing.assert_close(model(**batch, decoder_inputs_embeds=decoder_embeds).logits, usual.logits)


def test_hidden_states_are_embeddings_and_every_layer(decoder_type):
    model = build_model(decoder_type=decoder_type)
    outputs = model(**encode_batch("left"), output_hidden_states=True)
    assert [tuple(h.shape) for h in outputs.encoder_hidden_states] == [(3, 5, 5), (3, 5, 6), (3, 5, 6)]
    assert [tuple(h.shape) for h in outputs.decoder_hidden_states] == [(3, 5, 5), (3, 5, 6), (3, 5, 6)]
    torch.testing.assert_close(outputs.encoder_hidden_states[-1], outputs.encoder_last_hidden_state)


def test_labels_are_shifted_right_and_padding_is_not_minus_100():
    model = build_model()
    shifted = model.prepare_decoder_input_ids_from_labels(torch.tensor([[5, 4, 2], [7, 2, -100]]))
    assert shifted.tolist() == [[1, 5, 4], [1, 7, 2]]
    shifted = model.prepare_decoder_input_ids_from_labels(torch.tensor([[7, 2, -100, -100]]))
    assert shifted.tolist() == [[1, 7, 2, 0]]


def test_num_items_in_batch_makes_accumulation_exact():
    model = build_model()
    batch = encode_batch()
    whole = model(**batch).loss
    num_items = (batch["labels"] != -100).sum()
    parts = sum(
        model(**{name: tensor[row : row + 1] for name, tensor in batch.items()}, num_items_in_batch=num_items).loss
        for row in range(3)
    )
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)


@torch.no_grad()
def greedy_by_hand(model, source, max_new_tokens):
    tokens = [model.config.decoder_start_token_id]
    while len(tokens) <= max_new_tokens and tokens[-1] != model.config.eos_token_id:
        log_probabilities, _ = reference.log_probabilities(model, source, tokens)
        tokens.append(int(log_probabilities[-1].argmax()))
    return tokens


def test_greedy_equals_step_by_step_argmax(cell_type, decoder_type):
    model = build_model(cell_type=cell_type, decoder_type=decoder_type)
    ids, mask = pad(SOURCES, "left")
    generated = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=6, do_sample=False)
    for row, source in enumerate(SOURCES):
        expected = greedy_by_hand(model, source, 6)
        assert generated[row, : len(expected)].tolist() == expected


@torch.no_grad()
def test_beam_scores_are_log_probabilities_of_the_returned_sequences(decoder_type):
    model = build_model(decoder_type=decoder_type)
    output = model.generate(
        input_ids=torch.tensor([SOURCES[0]]),
        num_beams=4,
        num_return_sequences=4,
        max_new_tokens=5,
        return_dict_in_generate=True,
        output_scores=True,
    )
    assert len({tuple(sequence.tolist()) for sequence in output.sequences}) == 4
    for sequence, score in zip(output.sequences, output.sequences_scores, strict=True):
        tokens = sequence[1:].tolist()
        tokens = tokens[: tokens.index(2) + 1] if 2 in tokens else tokens
        log_probabilities, _ = reference.log_probabilities(model, SOURCES[0], [1, *tokens[:-1]])
        total = sum(float(log_probabilities[step, token]) for step, token in enumerate(tokens))
        assert float(score) == pytest.approx(total / len(tokens), abs=1e-5)


def test_sampling_with_several_sequences_and_attentions():
    model = build_model()
    ids, mask = pad(SOURCES)
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        num_return_sequences=2,
        max_new_tokens=4,
        return_dict_in_generate=True,
        output_attentions=True,
        output_logits=True,
    )
    assert output.sequences.shape[0] == 6
    for (weights,) in output.cross_attentions:
        assert weights.shape == (6, 1, 1, 5)
        torch.testing.assert_close(weights.sum(-1), torch.ones(6, 1, 1, dtype=torch.float64))
    again = model.compute_transition_scores(output.sequences, output.logits, normalize_logits=True)
    assert (again <= 0).all()


TIES = list(itertools.product([True, False], repeat=2))


@pytest.mark.parametrize(("tie_word_embeddings", "share_encoder_decoder_embeddings"), TIES)
def test_saved_model_loads_by_auto_classes_with_its_ties(
    tmp_path, tie_word_embeddings, share_encoder_decoder_embeddings
):
    model = build_model(
        tie_word_embeddings=tie_word_embeddings,
        share_encoder_decoder_embeddings=share_encoder_decoder_embeddings,
        decoder_vocab_size=13 if share_encoder_decoder_embeddings else 17,
    )
    source, target, output = (
        model.model.encoder.embed_tokens.weight,
        model.model.decoder.embed_tokens.weight,
        model.lm_head.weight,
    )
    assert (source is target) == share_encoder_decoder_embeddings
    assert (target is output) == tie_word_embeddings
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, dtype=torch.float64)
    assert type(loaded) is RnnSeq2SeqForConditionalGeneration
    assert (loaded.lm_head.weight is loaded.model.decoder.embed_tokens.weight) == tie_word_embeddings
    assert (
        loaded.model.decoder.embed_tokens.weight is loaded.model.encoder.embed_tokens.weight
    ) == share_encoder_decoder_embeddings
    batch = encode_batch()
    torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits, rtol=0, atol=1e-14)
    assert type(AutoConfig.from_pretrained(tmp_path)) is type(model.config)
    assert type(AutoModel.from_pretrained(tmp_path)) is RnnSeq2SeqModel


@pytest.mark.parametrize("tie_word_embeddings", [True, False])
def test_resized_model_keeps_its_old_tokens_and_loads(tmp_path, tie_word_embeddings):
    model = build_model(tie_word_embeddings=tie_word_embeddings)
    before = model(**encode_batch()).logits
    model.resize_token_embeddings(16)
    after = model(**encode_batch()).logits
    assert after.shape[-1] == 16
    torch.testing.assert_close(after[..., :13], before, rtol=0, atol=1e-14)
    assert (model.config.vocab_size, model.config.decoder_vocab_size) == (16, 16)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, dtype=torch.float64)
    torch.testing.assert_close(loaded(**encode_batch()).logits, after, rtol=0, atol=1e-14)
    bare = AutoModel.from_pretrained(tmp_path)
    bare.resize_token_embeddings(20)
    assert (bare.config.vocab_size, bare.config.decoder_vocab_size) == (20, 20)
    assert bare.decoder.embed_tokens.weight is bare.encoder.embed_tokens.weight


TWO_VOCABULARIES = {"decoder_vocab_size": 17, "share_encoder_decoder_embeddings": False}


@pytest.mark.parametrize("tie_word_embeddings", [True, False])
@pytest.mark.parametrize("side", ["source", "target"])
def test_one_side_is_resized_with_its_output_layer(tmp_path, side, tie_word_embeddings):
    model = build_model(tie_word_embeddings=tie_word_embeddings, **TWO_VOCABULARIES)
    batch = encode_batch()
    before = model(**batch).logits
    embeddings = model.resize_token_embeddings(20, side=side)
    assert embeddings.num_embeddings == 20
    after = model(**batch).logits
    torch.testing.assert_close(after[..., :17], before, rtol=0, atol=1e-12)
    sizes = (20, 17) if side == "source" else (13, 20)
    assert (model.config.vocab_size, model.config.decoder_vocab_size) == sizes
    assert after.shape[-1] == len(model.lm_head.bias) == sizes[1]
    output, target = model.lm_head.weight, model.get_decoder().embed_tokens.weight
    assert (output is target) == tie_word_embeddings
    # new tokens of either side can be read, and the model saved
    ids = torch.full((1, 2), sizes[0] - 1)
    labels = torch.full((1, 2), sizes[1] - 1)
    loss = model(input_ids=ids, labels=labels).loss
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, dtype=torch.float64)
    torch.testing.assert_close(loaded(input_ids=ids, labels=labels).loss, loss)


def test_resizing_says_which_side_it_wants():
    with pytest.raises(ValueError, match="`side` of `resize_token_embeddings` must be 'source' or 'target'.*got None"):
        build_model(**TWO_VOCABULARIES).resize_token_embeddings(20)
    with pytest.raises(
        ValueError, match="`side` must be left out where both sides share one vocabulary, got 'source'"
    ):
        build_model().resize_token_embeddings(20, side="source")


def test_copying_follows_a_resized_vocabulary():
    model = build_model(copy_attention=True)
    model.resize_token_embeddings(20)
    logits = model(input_ids=torch.tensor([[19, 4, 2]]), decoder_input_ids=torch.tensor([[1]])).logits
    torch.testing.assert_close(logits.exp().sum(), torch.ones((), dtype=torch.float64))
    # the new token can be copied at once
    assert logits[0, 0, 19] > logits[0, 0, 18]


# torch says that embeddings of token ids, the first inputs, need no gradient
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad", "ignore:`gradient_checkpointing_enable`")
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_changes_no_gradient(architecture, use_reentrant):
    model = build_model(**architecture).train()
    batch = encode_batch()
    gradients = []
    for is_checkpointing in (False, True):
        if is_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": use_reentrant})
        model.zero_grad()
        model(**batch).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain, rtol=0, atol=1e-12)


def test_gradient_checkpointing_keeps_fewer_tensors():
    """What autograd keeps of additive attention `(B, T, S, A)` is made again, not kept."""
    model = build_model(attention_type="additive", attention_size=64, decoder_type="bahdanau").train()
    ids, target = torch.full((2, 30), 5), torch.full((2, 30), 6)
    sizes = []
    for is_checkpointing in (False, True):
        kept = {}
        if is_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

        def keep(tensor, kept=kept):
            # a tensor kept twice is kept once
            kept[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(input_ids=ids, labels=target)
        sizes.append(sum(kept.values()))
    assert sizes[1] < sizes[0] / 4


def test_frames_are_read_in_place_of_tokens():
    """Twelve numbers a frame, nine frames, three layers that each halve: a memory of three slots."""
    fields = {"embedding_size": 12, "decoder_embedding_size": 5, "encoder_stride": 2, "num_encoder_layers": 3}
    model = build_model(vocab_size=1, decoder_vocab_size=13, share_encoder_decoder_embeddings=False, **fields)
    torch.manual_seed(0)
    frames = torch.randn(2, 9, 12, dtype=torch.float64)
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    encoded = model.get_encoder()(inputs_embeds=frames, attention_mask=mask)
    assert encoded.last_hidden_state.shape == (2, 3, 6)
    assert encoded.memory_mask.tolist() == [[True] * 3, [True, False, False]]
    options = {"num_beams": 3, "max_new_tokens": 6}
    together = model.generate(inputs_embeds=frames, attention_mask=mask, **options)
    alone = model.generate(inputs_embeds=frames[1:, :4], **options)
    assert together[1, : alone.shape[1]].tolist() == alone[0].tolist()
    with pytest.raises(ValueError, match="`inputs_embeds` must be 12 wide, as embeddings are here, got 5"):
        model.get_encoder()(inputs_embeds=frames[..., :5])


def test_encoder_outputs_without_final_states_are_refused():
    model = build_model()
    memory = torch.zeros(1, 3, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match="must carry the encoder's final states"):
        model(encoder_outputs=(memory,), labels=torch.tensor([[5, 2]]))


def test_foreign_cache_is_refused():
    from transformers import DynamicCache

    model = build_model()
    with pytest.raises(ValueError, match="must be a `RnnSeq2SeqCache`, got DynamicCache"):
        model(**encode_batch(), past_key_values=DynamicCache())


def test_missing_or_double_inputs_are_refused():
    model = build_model()
    with pytest.raises(ValueError, match="Exactly one of `input_ids` and `inputs_embeds` must be given, got neither"):
        model(labels=torch.tensor([[5, 2]]))
    with pytest.raises(ValueError, match="`decoder_input_ids` and `decoder_inputs_embeds` must be given, got neither"):
        model(input_ids=torch.tensor([[5, 2]]))


def test_foreign_ids_and_misshapen_masks_are_refused():
    model = build_model()
    with pytest.raises(ValueError, match="`input_ids` must lie between 0 and 12, got 2 to 99; use the tokenizer"):
        model(input_ids=torch.tensor([[99, 2]]), labels=torch.tensor([[5, 2]]))
    with pytest.raises(ValueError, match="`decoder_input_ids` must lie between 0 and 12, got -100 to 5"):
        model(input_ids=torch.tensor([[4, 2]]), decoder_input_ids=torch.tensor([[5, -100]]))
    with pytest.raises(ValueError, match=r"a value for each of \(1, 2\) source positions, got shape \(1, 3\)"):
        model(input_ids=torch.tensor([[4, 2]]), attention_mask=torch.ones(1, 3), labels=torch.tensor([[5, 2]]))


def test_padding_of_the_target_is_on_the_right(decoder_type):
    model = build_model(decoder_type=decoder_type)
    source = torch.tensor([[4, 5, 2]])
    whole = model(input_ids=source, decoder_input_ids=torch.tensor([[1, 5, 6]])).logits
    padded = model(
        input_ids=source,
        decoder_input_ids=torch.tensor([[1, 5, 6, 0]]),
        decoder_attention_mask=torch.tensor([[1, 1, 1, 0]]),
    ).logits
    torch.testing.assert_close(padded[:, :3], whole, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="must have its padding on the right, got a 0 before a 1"):
        model(
            input_ids=source,
            decoder_input_ids=torch.tensor([[0, 1, 5]]),
            decoder_attention_mask=torch.tensor([[0, 1, 1]]),
        )


def test_training_needs_start_and_padding_ids():
    model = build_model()
    model.config.decoder_start_token_id = None
    with pytest.raises(ValueError, match="must be set to train, got None and 0"):
        model(**encode_batch())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_model_generates_and_trains(architecture, dtype):
    model = build_model(**architecture).to(dtype)
    batch = encode_batch()
    loss = model(**batch).loss
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    generated = model.generate(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], num_beams=2, max_new_tokens=5
    )
    assert generated.shape[0] == 3


def test_training_step_runs_under_bf16_autocast(architecture):
    model = build_model(**architecture).float().train()
    batch = encode_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**batch).loss
    loss.backward()
    exact = model(**batch).loss
    assert loss.item() == pytest.approx(exact.item(), rel=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_weights_that_a_checkpoint_lacks_are_drawn(architecture):
    config = RnnSeq2SeqConfig(**{**TINY, **architecture})
    model = RnnSeq2SeqForConditionalGeneration.from_pretrained(None, config=config, state_dict={})
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        assert parameter.abs().max() < 3, name
        # of matrices no entry is forgotten, but for the embedding of padding and what a paper sets to 0
        is_whole = parameter.ndim > 1 and "embed_tokens" not in name and "lm_head" not in name
        is_whole = is_whole and not (config.init_std and "energy_vector" in name)
        assert not is_whole or (parameter != 0).all(), name
    for name, parameter in model.named_parameters():
        if "gain" in name:
            assert (parameter == config.attention_size**-0.5).all()
        if name.endswith("norm.weight"):
            assert (parameter == 1).all()


def test_dropout_acts_in_training_only(decoder_type):
    model = build_model(decoder_type=decoder_type, embedding_dropout=0.5, layer_dropout=0.5, output_dropout=0.5)
    batch = encode_batch()
    torch.testing.assert_close(model(**batch).logits, model(**batch).logits, rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(**batch).logits, model(**batch).logits)
