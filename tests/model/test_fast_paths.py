"""Hand-written paths against the plain ones: numbers, gradients, and when they are taken."""

import copy
import itertools

import pytest
import torch
from torch.nn import functional

from hf_rnn_seq2seq.model import modeling_loss, modeling_recurrence, modeling_search
from hf_rnn_seq2seq.model.modeling_bptt import pack
from hf_rnn_seq2seq.model.modeling_deferral import DeferredWeightGradients
from hf_rnn_seq2seq.model.modeling_dropout import SequenceDropout
from hf_rnn_seq2seq.model.modeling_fast_paths import SWITCH, has_fast_paths
from hf_rnn_seq2seq.model.modeling_loss import LinearCrossEntropy, summed_cross_entropy
from hf_rnn_seq2seq.model.modeling_padded_lstm import has_padded_lstm, read_padded
from hf_rnn_seq2seq.model.modeling_products import add_product, multiply, tanh_
from hf_rnn_seq2seq.model.modeling_recurrence import RecurrentLayer
from hf_rnn_seq2seq.model.modeling_search import find_largest
from tests.conftest import ARCHITECTURES, CELLS, build_model, pad

LENGTHS = [None, [2, 5, 1, 3]]


def run_both(monkeypatch, run):
    """What `run` gives on the fast path and on the plain one."""
    results = []
    for value in ("1", "0"):
        monkeypatch.setenv(SWITCH, value)
        results.append(run())
    return results


def test_switch_turns_fast_paths_off(monkeypatch):
    assert has_fast_paths(torch.zeros(1))
    monkeypatch.setenv(SWITCH, "0")
    assert not has_fast_paths(torch.zeros(1))


def read_layer(cell_type, bidirectional, lengths):
    torch.manual_seed(0)
    layer = RecurrentLayer(cell_type=cell_type, input_size=6, hidden_size=4, bidirectional=bidirectional).double()
    inputs = torch.randn(4, 5, 6, dtype=torch.float64, requires_grad=True)
    state = torch.randn(4, 8 if bidirectional else 4, dtype=torch.float64, requires_grad=True)
    results = layer(inputs, state, lengths=None if lengths is None else torch.tensor(lengths))
    return results, [inputs, state, *layer.parameters()]


@pytest.mark.parametrize("lengths", LENGTHS, ids=["full", "padded"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell_type", ["gru", "rnn_tanh", "rnn_relu"])
def test_recurrence_over_time_equals_torch_with_gradients(monkeypatch, cell_type, bidirectional, lengths):
    def run():
        results, leaves = read_layer(cell_type, bidirectional, lengths)
        torch.manual_seed(1)
        loss = sum((result * torch.randn(result.shape, dtype=torch.float64)).sum() for result in results)
        return [*results, *torch.autograd.grad(loss, leaves)]

    for fast, plain in zip(*run_both(monkeypatch, run), strict=True):
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cell_type", ["gru", "rnn_tanh", "rnn_relu"])
def test_recurrence_over_time_can_be_differentiated_twice_from_one_forward_pass(cell_type):
    results, leaves = read_layer(cell_type, True, LENGTHS[1])
    first = torch.autograd.grad(results[0].sum(), leaves, retain_graph=True)
    second = torch.autograd.grad(results[0].sum(), leaves)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.skipif(not has_padded_lstm(torch.float32), reason="torch without oneDNN")
@pytest.mark.parametrize("lengths", [[2, 5, 1, 3], [5, 5, 5, 5], [1, 1, 1, 1]])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padded_lstm_equals_a_packed_one_with_gradients(bidirectional, lengths):
    torch.manual_seed(0)
    layer = RecurrentLayer(cell_type="lstm", input_size=6, hidden_size=16, bidirectional=bidirectional)
    inputs, lengths = torch.randn(4, 5, 6), torch.tensor(lengths)
    width = 32 if bidirectional else 16
    slopes = [torch.randn(4, 5, width), torch.randn(4, width), torch.randn(4, width)]

    def run(dtype, read):
        twin, leaf = copy.deepcopy(layer).to(dtype), inputs.to(dtype).requires_grad_()
        results = read(twin, leaf)
        loss = sum((result * slope).sum() for result, slope in zip(results, slopes, strict=True))
        leaves = [leaf, *twin.parameters()]
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)
        again = torch.autograd.grad(loss, leaves)
        assert all(torch.equal(one, other) for one, other in zip(gradients, again, strict=True))
        return [*results, *gradients]

    padded = run(torch.float32, lambda twin, leaf: read_padded(twin.rnn, leaf, lengths))
    packed = run(torch.float64, lambda twin, leaf: twin(leaf, lengths=lengths))
    for one, other in zip(padded, packed, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layer_reads_padded_sentences_alike_with_onednn_and_without(monkeypatch, dtype):
    torch.manual_seed(0)
    layer = RecurrentLayer(cell_type="lstm", input_size=6, hidden_size=16, bidirectional=True).to(dtype)
    inputs, lengths = torch.randn(4, 5, 6, dtype=dtype), torch.tensor([2, 5, 1, 3])
    fast = layer(inputs, lengths=lengths)
    monkeypatch.setattr(modeling_recurrence, "has_padded_lstm", lambda dtype: False)
    plain = layer(inputs, lengths=lengths)
    for one, other in zip(fast, plain, strict=True):
        assert one.dtype == other.dtype == dtype
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("cell_type", CELLS)
def test_layer_under_autocast_is_as_near_the_truth_as_torch(monkeypatch, cell_type):
    torch.manual_seed(0)
    layer = RecurrentLayer(cell_type=cell_type, input_size=24, hidden_size=32)
    inputs, slope = torch.randn(16, 20, 24), torch.randn(16, 20, 32)

    def run(dtype):
        twin = copy.deepcopy(layer).to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
            outputs, *_ = twin(inputs.to(dtype))
        gradients = torch.autograd.grad((outputs * slope).sum(), list(twin.parameters()))
        return [outputs.double(), *(gradient.double() for gradient in gradients)]

    fast, plain = run_both(monkeypatch, lambda: run(torch.float32))
    truth = run(torch.float64)
    for ours, others, exact in zip(fast, plain, truth, strict=True):
        assert (ours - exact).norm() < 2 * (others - exact).norm()


def test_packing_puts_first_tokens_first_and_the_longest_sentence_in_front():
    packing = pack(torch.tensor([1, 3]), 3, 2)
    assert packing.order.tolist() == [1, 0]
    assert packing.sizes == [2, 1, 1]
    # token `row * 3 + step`; the second direction from the end of each sentence
    assert packing.index.tolist() == [[3, 0, 4, 5], [5, 0, 4, 3]]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_has_the_same_loss_and_gradients_without_fast_paths(monkeypatch, name):
    model = build_model(**ARCHITECTURES[name]).double().train()
    ids, mask = pad([[4, 5, 6, 2], [7, 2]])
    labels = torch.tensor([[5, 6, 2], [9, 2, -100]])

    def run():
        loss = model(input_ids=ids, attention_mask=mask, labels=labels, skip_logits=True, smoothing=0.1).loss
        return [loss, *torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)]

    for fast, plain in zip(*run_both(monkeypatch, run), strict=True):
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-10)


def test_deferred_weight_gradients_are_those_of_every_step():
    torch.manual_seed(0)
    weight, bias = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((4, 4), (4,)))

    def run(deferral):
        start = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
        states = [start]
        for _ in range(5):
            with deferral:
                states.append(torch.tanh(functional.linear(states[-1], weight, bias)))
        return start, states

    deferral = DeferredWeightGradients()
    expected, found = run(torch.autograd.set_grad_enabled(True)), run(deferral)
    # a pass that does not ask for the weight, then one over fewer steps: nothing of the first may be left
    for last, wants_weight in ((3, False), (2, True), (5, True)):
        first, second = (
            torch.autograd.grad(
                states[last].sum(), [start, *([weight, bias] if wants_weight else [])], retain_graph=True
            )
            for start, states in (expected, found)
        )
        for one, other in zip(first, second, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_summed_cross_entropy_equals_its_definition(smoothing):
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5)
    labels = torch.tensor([[1, 4, -100], [0, -100, -100]])
    expected = 0.0
    for row, step in ((0, 0), (0, 1), (1, 0)):
        log_probabilities = logits[row, step].log_softmax(-1)
        target = torch.full((5,), smoothing / 5)
        target[labels[row, step]] += 1 - smoothing
        expected -= (target * log_probabilities).sum()
    torch.testing.assert_close(summed_cross_entropy(logits, labels, smoothing), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("factor", [1, 3])
def test_linear_cross_entropy_equals_both_in_turn(monkeypatch, smoothing, factor):
    # blocks of five rows, three at a time
    monkeypatch.setattr(modeling_loss, "BLOCK_SIZE", 55)
    monkeypatch.setattr(modeling_loss, "CHUNK_SIZE", 33)
    torch.manual_seed(0)
    leaves = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((7, 4), (11, 4), (11,))]
    labels = torch.randint(0, 11, (7,))
    fused = LinearCrossEntropy.apply(*leaves, labels, 5.0, smoothing, torch.float64)
    plain = summed_cross_entropy(functional.linear(*leaves)[None], labels[None], smoothing) / 5
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-10)
    for one, other in zip(
        torch.autograd.grad(factor * fused, leaves), torch.autograd.grad(factor * plain, leaves), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_linear_cross_entropy_of_an_improbable_target_is_finite():
    features, weight, bias = torch.ones(1, 1), torch.tensor([[500.0], [0.0]]), torch.zeros(2)
    loss = LinearCrossEntropy.apply(features, weight, bias, torch.tensor([1]), 1.0, 0.0, torch.float32)
    torch.testing.assert_close(loss, torch.tensor(500.0))


def test_loss_without_logits_is_that_with_them():
    model = build_model()
    ids, mask = pad([[4, 5, 6, 2], [7, 2]])
    batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([[5, 6, 2], [9, 2, -100]])}
    full, short = model(**batch), model(**batch, skip_logits=True)
    # transformers computes the other in float32
    torch.testing.assert_close(short.loss.float(), full.loss)
    assert short.logits is None
    assert full.logits is not None


def test_loss_without_logits_sees_what_stands_in_the_place_of_the_output_layer():
    model = build_model()
    batch = {"input_ids": torch.tensor([[4, 5, 2]]), "labels": torch.tensor([[5, 6, 2]])}
    model.lm_head = torch.nn.Sequential(model.lm_head, torch.nn.Tanh())
    short, full = model(**batch, skip_logits=True), model(**batch)
    torch.testing.assert_close(short.loss, full.loss)


def test_products_equal_torch_also_with_gaps_between_rows():
    torch.manual_seed(0)
    wide, weight, bias = torch.randn(5, 16), torch.randn(6, 16), torch.randn(6)
    for inputs, matrix in ((wide, weight), (wide[:, :8], weight[:, :8])):
        expected = functional.linear(inputs, matrix, bias)
        torch.testing.assert_close(multiply(inputs, matrix, bias), expected)
        torch.testing.assert_close(add_product(bias.repeat(5, 1), inputs, matrix), expected)


def test_hyperbolic_tangent_equals_that_of_torch():
    values = torch.linspace(-30, 30, 10001, dtype=torch.float64)
    torch.testing.assert_close(tanh_(values.clone()), values.tanh(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_fast_dropout_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    dropped = SequenceDropout(p)(torch.ones(50, 40, 100))
    assert (dropped == 0).float().mean() == pytest.approx(p, abs=0.005)
    assert dropped.mean() == pytest.approx(1.0, abs=0.005)
    torch.manual_seed(0)
    assert torch.equal(SequenceDropout(p)(torch.ones(50, 40, 100)), dropped)


SEARCHES = [
    {"num_beams": 1},
    {"num_beams": 4},
    {"num_beams": 5, "num_return_sequences": 5, "length_penalty": 0.6},
    {"num_beams": 3, "num_return_sequences": 3, "early_stopping": True},
    {"num_beams": 3, "num_return_sequences": 2, "early_stopping": "never", "length_penalty": 1.5},
    {"num_beams": 3, "length_penalty": 0.0},
    {"num_beams": 2, "length_penalty": -1.0},
    {"num_beams": 2, "decoder_input_ids": [1, 5]},
    {"num_beams": 2, "eos_token_id": [2, 7]},
    {"num_beams": 2, "eos_token_id": None, "pad_token_id": 0},
]


@pytest.mark.parametrize("vocab_size", [29, 3000])
@pytest.mark.parametrize("decoder_type", ["luong", "input_feeding", "bahdanau", "conditional", "gnmt"])
def test_search_finds_what_that_of_transformers_finds(monkeypatch, decoder_type, vocab_size):
    model = build_model(decoder_type=decoder_type, vocab_size=vocab_size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # well apart, so that rounding does not decide
            parameter.mul_(4)
        model.lm_head.bias[2] += 4
    ids, mask = pad([torch.randint(3, vocab_size, (1 + row % 5,)).tolist() + [2] for row in range(9)])
    searches = count_calls(monkeypatch, modeling_search, "_Stepper")
    for options in SEARCHES:
        options = dict(options)
        if "decoder_input_ids" in options:
            options["decoder_input_ids"] = torch.tensor([options["decoder_input_ids"]] * len(ids))
        settings = {"attention_mask": mask, "max_new_tokens": 10, **options}
        fast, plain = run_both(monkeypatch, lambda settings=settings: model.generate(ids, **settings))
        assert torch.equal(fast, plain), options
    assert len(searches) == len(SEARCHES)


def count_calls(monkeypatch, module, name):
    calls, function = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **kwargs: calls.append(name) or function(*args, **kwargs))
    return calls


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True},
        {"no_repeat_ngram_size": 2},
        {"return_dict_in_generate": True, "output_scores": True},
        {"max_time": 60.0},
        {"use_cache": False},
        # more candidates than tokens
        {"num_beams": 20},
    ],
)
def test_search_leaves_what_it_cannot_do_to_transformers(monkeypatch, options):
    searches = count_calls(monkeypatch, modeling_search, "_Stepper")
    model = build_model(vocab_size=29).eval()
    model.generate(torch.tensor([[4, 5, 2]]), max_new_tokens=3, **options)
    assert not searches


def test_search_drops_finished_sentences(monkeypatch):
    model = build_model(vocab_size=29).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
        model.lm_head.bias[2] += 3
    rows, step = [], modeling_search._Stepper.step
    monkeypatch.setattr(modeling_search._Stepper, "step", lambda self, ids: rows.append(len(ids)) or step(self, ids))
    ids, mask = pad([torch.randint(3, 29, (1 + row % 5,)).tolist() + [2] for row in range(40)])
    model.generate(ids, attention_mask=mask, max_new_tokens=20, num_beams=1)
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < rows[0] == 40


@pytest.mark.parametrize(("size", "number"), list(itertools.product([30, 640, 1000, 6401], [1, 3, 10])))
def test_largest_entries_are_found_wherever_they_stand(size, number):
    torch.manual_seed(0)
    values = torch.rand(20, 2, size)
    values[:, :, -number:] += torch.randint(0, 2, (20, 2, 1))
    found, index = find_largest(values, number)
    expected = values.topk(number)
    assert torch.equal(found, expected.values)
    assert torch.equal(values.gather(-1, index), expected.values)
