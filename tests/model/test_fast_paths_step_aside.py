"""Where somebody has changed what a part of the model does, or asks for what hand-written paths cannot do."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize, prune
from transformers import EosTokenCriteria, MaxLengthCriteria, StoppingCriteriaList

from hf_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from hf_rnn_seq2seq.model.modeling_deferral import DeferredWeightGradients
from hf_rnn_seq2seq.model.modeling_dropout import SequenceDropout
from hf_rnn_seq2seq.model.modeling_fast_paths import SWITCH, compute_dtype
from hf_rnn_seq2seq.model.modeling_loss import LinearCrossEntropy
from hf_rnn_seq2seq.model.modeling_products import InferenceProducts, multiply
from hf_rnn_seq2seq.model.modeling_recurrence import RecurrentLayer
from tests.conftest import CELLS, build_model, pad

IDS, MASK = pad([[4, 5, 6, 2], [7, 2]])
LABELS = torch.tensor([[5, 6, 2], [9, 2, -100]])


class _Negative(nn.Module):
    def forward(self, weight):
        return -weight


class _Doubled(torch.Tensor):
    """A weight that is not what its storage says."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is functional.linear:
            inputs, weight, *bias = (arg.as_subclass(torch.Tensor) for arg in args)
            return functional.linear(inputs, 2 * weight, *bias)
        return super().__torch_function__(function, types, args, kwargs or {})


def _prune_recurrence(model):
    for name in ("weight_ih_l0", "weight_hh_l0"):
        prune.l1_unstructured(model.get_encoder().layers[0].rnn, name, amount=0.5)


def _negate_recurrence(model):
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        parametrize.register_parametrization(model.get_encoder().layers[0].rnn, name, _Negative())


def _hook_recurrence(model):
    def double(rnn, args, read):
        outputs, state = read
        return outputs._replace(data=2 * outputs.data), state

    model.get_encoder().layers[0].rnn.register_forward_hook(double)


def _prune_output(model):
    prune.l1_unstructured(model.lm_head, "weight", amount=0.5)


def _hook_output(model):
    model.lm_head.register_forward_hook(lambda layer, args, logits: 2 * logits)


def _wrap_output(model):
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().as_subclass(_Doubled), requires_grad=False)


def _drop_output_bias(model):
    model.lm_head.bias = None


def _replace_loss(model):
    model.loss_function = lambda logits, labels, **sizes: logits.mean()


def _hook_model(model):
    def add(module, args, outputs):
        if outputs.logits is not None:
            outputs.logits[..., 7] += 100
        return outputs

    model.register_forward_hook(add)


def _patch_model(model):
    forward = model.forward

    def patched(*args, **kwargs):
        outputs = forward(*args, **kwargs)
        if outputs.logits is not None:
            outputs.logits[..., 8] += 100
        return outputs

    model.forward = patched


class _Stubborn(RnnSeq2SeqForConditionalGeneration):
    def forward(self, *args, **kwargs):
        outputs = super().forward(*args, **kwargs)
        outputs.logits[..., 6] += 100
        return outputs


ALTERATIONS = [
    _prune_recurrence,
    _negate_recurrence,
    _hook_recurrence,
    _prune_output,
    _hook_output,
    _wrap_output,
    _drop_output_bias,
    _replace_loss,
    _hook_model,
    _patch_model,
]


def _compute_losses(model):
    """Losses of two updates, the second after one on the first's gradients."""
    losses = []
    for _ in range(2):
        loss = model(input_ids=IDS, attention_mask=MASK, labels=LABELS, skip_logits=True).loss
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
        losses.append(loss.detach())
    return losses


@pytest.mark.parametrize("alter", ALTERATIONS)
def test_altered_model_learns_and_searches_alike(monkeypatch, alter):
    found = []
    for value in ("1", "0"):
        monkeypatch.setenv(SWITCH, value)
        model = build_model().float().eval()
        untouched = model(input_ids=IDS, attention_mask=MASK, labels=LABELS).loss.item()
        alter(model)
        with torch.no_grad():
            beams = [model.generate(IDS, attention_mask=MASK, num_beams=n, max_new_tokens=6) for n in (1, 3)]
        found.append([*beams, *_compute_losses(model.train())])
        if alter not in (_drop_output_bias, _hook_model, _patch_model):
            assert abs(found[-1][2].item() - untouched) > 1e-4
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)


def test_subclass_with_its_own_forward_searches_by_it():
    model = build_model().float().eval()
    model.__class__ = _Stubborn
    assert model.generate(IDS[:1], max_new_tokens=3, num_beams=2).tolist()[0][1:] == [6, 6, 6]


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("criterion", [MaxLengthCriteria(4), EosTokenCriteria([5, 6, 7, 8, 9])])
def test_stopping_criteria_of_the_caller_are_kept(monkeypatch, num_beams, criterion):
    model = build_model().float().eval()
    # it does not end by itself
    model.lm_head.bias.data[model.config.eos_token_id] = -100
    found = []
    for value in ("1", "0"):
        monkeypatch.setenv(SWITCH, value)
        criteria = StoppingCriteriaList([criterion])
        options = {"num_beams": num_beams, "max_new_tokens": 9, "stopping_criteria": criteria}
        found.append(model.generate(IDS, attention_mask=MASK, **options))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("cell_type", CELLS)
def test_state_of_another_batch_is_refused(cell_type):
    layer = RecurrentLayer(cell_type=cell_type, input_size=3, hidden_size=2)
    state = [torch.zeros(3, 2)] * (2 if cell_type == "lstm" else 1)
    with pytest.raises(ValueError, match="`state` must have as many rows as `inputs`, 2, got 3"):
        layer(torch.zeros(2, 4, 3), *state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": LABELS, "decoder_input_ids": IDS}, r"`labels` must be of the shape of .* \(2, 4\), got \(2, 3\)"),
        ({"decoder_input_ids": IDS}, "`skip_logits=True` needs `labels`"),
    ],
)
def test_what_a_loss_cannot_be_made_of_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_model()(input_ids=IDS, skip_logits=True, **options)


def test_smoothing_is_not_lost_on_a_loss_function_of_the_caller():
    model = build_model()
    model.loss_function = lambda logits, labels, **sizes: logits.mean()
    with pytest.raises(ValueError, match=r"`smoothing` is for the model's own loss, got 0\.1"):
        model(input_ids=IDS, labels=LABELS, smoothing=0.1)


def test_linear_may_be_called_with_names():
    inputs, weight = torch.randn(2, 3), torch.randn(4, 3, requires_grad=True)
    plain = functional.linear(inputs, weight)
    with DeferredWeightGradients():
        torch.testing.assert_close(functional.linear(input=inputs, weight=weight), plain)
    with torch.no_grad(), InferenceProducts():
        torch.testing.assert_close(functional.linear(input=inputs, weight=weight), plain)


def test_autocast_reaches_products():
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert multiply(torch.randn(2, 3), torch.randn(4, 3)).dtype == torch.bfloat16


def test_autocast_leaves_float64_alone():
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_dtype(torch.zeros(1, dtype=torch.float64)) == torch.float64
        loss = build_model().double()(input_ids=IDS, attention_mask=MASK, labels=LABELS).loss
    loss.backward()


@pytest.mark.parametrize("decoder_type", ["luong", "input_feeding", "bahdanau"])
def test_empty_batch_has_empty_logits(decoder_type):
    model = build_model(decoder_type=decoder_type).eval()
    logits = model(input_ids=IDS[:0], decoder_input_ids=IDS[:0]).logits
    assert logits.shape == (0, 4, model.config.vocab_size)


@pytest.mark.parametrize("p", [1.0, 0.999999])
def test_dropout_of_everything_is_zero(p):
    dropped = SequenceDropout(p)(torch.ones(2, 3, 4))
    assert not dropped.any()


def test_nobody_asks_for_gradients_of_a_validation_loss(monkeypatch):
    asked = []
    apply = LinearCrossEntropy.apply

    def spy(*args):
        asked.append(any(isinstance(arg, torch.Tensor) and arg.requires_grad for arg in args))
        return apply(*args)

    monkeypatch.setattr(LinearCrossEntropy, "apply", spy)
    model = build_model()
    losses = [model(input_ids=IDS, labels=LABELS, skip_logits=True).loss]
    with torch.no_grad():
        losses.append(model(input_ids=IDS, labels=LABELS, skip_logits=True).loss)
    assert asked == [True, False]
    assert losses[0].item() == losses[1].item()


def test_frozen_output_layer_passes_gradients_on():
    features, labels = torch.randn(3, 4, requires_grad=True), torch.tensor([0, 1, 2])
    weight, bias = torch.randn(5, 4), torch.randn(5)
    loss = LinearCrossEntropy.apply(features, weight, bias, labels, 3.0, 0.0, torch.float32)
    twin = functional.cross_entropy(functional.linear(features, weight, bias), labels)
    torch.testing.assert_close(*(torch.autograd.grad(value, features)[0] for value in (loss, twin)))


def test_batch_without_labels_has_gradients_of_zero():
    model = build_model()
    model(input_ids=IDS, labels=torch.full_like(LABELS, -100), skip_logits=True).loss.backward()
    assert not model.lm_head.bias.grad.any()
