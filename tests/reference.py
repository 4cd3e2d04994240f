"""Plain-loop twins of the model's parts, written from the equations: one sentence, one step, one slot at a time.

Slow and obvious. They take the parameters of the real modules, so that autograd gives gradients to compare.
"""

import torch


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def lstm_step(x, hidden, cell, w_ih, w_hh, b_ih, b_hh):
    """i, f, o = sigmoid(W x + U h + b); g = tanh(...); c' = f c + i g; h' = o tanh(c')."""
    size = hidden.shape[0]
    i, f, g, o = (w_ih[k : k + size] @ x + b_ih[k : k + size] + w_hh[k : k + size] @ hidden + b_hh[k : k + size]
                  for k in range(0, 4 * size, size))  # fmt: skip
    cell = sigmoid(f) * cell + sigmoid(i) * torch.tanh(g)
    return sigmoid(o) * torch.tanh(cell), cell


def gru_step(x, hidden, w_ih, w_hh, b_ih, b_hh):
    """r, z = sigmoid(W x + U h + b); n = tanh(W x + b + r (U h + b)); h' = (1 - z) n + z h."""
    size = hidden.shape[0]
    rows = [slice(k, k + size) for k in range(0, 3 * size, size)]
    r, z = (sigmoid(w_ih[k] @ x + b_ih[k] + w_hh[k] @ hidden + b_hh[k]) for k in rows[:2])
    n = torch.tanh(w_ih[rows[2]] @ x + b_ih[rows[2]] + r * (w_hh[rows[2]] @ hidden + b_hh[rows[2]]))
    return (1 - z) * n + z * hidden


def cell_step(rnn, x, state, suffix=""):
    """One step of an `nn.LSTM` or `nn.GRU`'s parameters on one vector; `state` is `(hidden,)` or `(hidden, cell)`."""
    weights = [getattr(rnn, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    if len(state) == 2:
        return lstm_step(x, *state, *weights)
    return (gru_step(x, *state, *weights),)


def zero_state(rnn, like):
    number = 2 if isinstance(rnn, torch.nn.LSTM) else 1
    return tuple(like.new_zeros(rnn.hidden_size) for _ in range(number))


def run_layer(rnn, steps, state=None, suffix=""):
    """Outputs and last state of one direction over a list of vectors."""
    state = zero_state(rnn, steps[0]) if state is None else state
    outputs = []
    for x in steps:
        state = cell_step(rnn, x, state, suffix)
        outputs.append(state[0])
    return outputs, state


def run_bidirectional_layer(rnn, steps):
    """Forward and backward outputs joined at each step, and the joined last states."""
    forward, forward_state = run_layer(rnn, steps)
    backward, backward_state = run_layer(rnn, steps[::-1], suffix="_reverse")
    outputs = [torch.cat(pair) for pair in zip(forward, backward[::-1], strict=True)]
    return outputs, tuple(torch.cat(pair) for pair in zip(forward_state, backward_state, strict=True))


def embed(embed_tokens, token):
    """sqrt(E) times a row of the matrix, or the row itself."""
    return embed_tokens.weight[token] * embed_tokens.scale


def encode(encoder, ids):
    """Memory (list of vectors) and final state of each layer for one sentence of token ids without padding."""
    steps = [embed(encoder.embed_tokens, token) for token in ids]
    finals = []
    for layer in encoder.layers:
        run = run_bidirectional_layer if layer.rnn.bidirectional else run_layer
        steps, final = run(layer.rnn, steps)
        finals.append(final)
    return steps, finals


def energy(attention, query, slot):
    """Luong's dot and general, Bahdanau's additive score of one query and one memory slot."""
    name = type(attention).__name__
    if name == "DotAttention":
        return attention.scale * (query @ slot)
    if name == "GeneralAttention":
        return attention.scale * (query @ (attention.memory_proj.weight @ slot))
    hidden = torch.tanh(attention.query_proj.weight @ query + attention.memory_proj.weight @ slot)
    return attention.energy_proj.weight[0] @ hidden


def attend(attention, query, memory):
    """Context and weights: softmax over slots, weighted sum of slots."""
    scores = torch.stack([torch.exp(energy(attention, query, slot)) for slot in memory])
    weights = scores / scores.sum()
    return sum(weight * slot for weight, slot in zip(weights, memory, strict=True)), weights


def start_states(bridge, final):
    """tanh(W h + b) and, LSTM, W c + b, cut into layers."""
    projected = [torch.tanh(bridge.hidden_proj.weight @ final[0] + bridge.hidden_proj.bias)]
    if bridge.cell_proj is not None:
        projected.append(bridge.cell_proj.weight @ final[1] + bridge.cell_proj.bias)
    size = projected[0].shape[0] // bridge.num_layers
    return [tuple(p[k * size : (k + 1) * size] for p in projected) for k in range(bridge.num_layers)]


def read_out(readout, *parts):
    return torch.tanh(readout.proj.weight @ torch.cat(parts) + readout.proj.bias)


def decode(decoder, memory, finals, ids):
    """Features and attention weights of each step for one target."""
    kind = decoder.config.decoder_type
    states = start_states(decoder.bridge, finals[-1])
    feed = memory[0].new_zeros(decoder.config.readout_size)
    features, all_weights = [], []
    for token in ids:
        embedding = embed(decoder.embed_tokens, token)
        x = embedding
        if kind == "bahdanau":
            context, weights = attend(decoder.attention, states[-1][0], memory)
            x = torch.cat([x, context])
        if kind == "input_feeding":
            x = torch.cat([x, feed])
        for index, layer in enumerate(decoder.layers):
            states[index] = cell_step(layer.rnn, x, states[index])
            x = states[index][0]
        if kind == "bahdanau":
            feature = read_out(decoder.readout, context, x, embedding)
        else:
            context, weights = attend(decoder.attention, x, memory)
            feature = feed = read_out(decoder.readout, context, x)
        features.append(feature)
        all_weights.append(weights)
    return features, all_weights


def log_probabilities(model, source_ids, decoder_ids):
    """Log-probabilities of every next token, `(T, V)`, and attention weights `(T, S)`, for one sentence pair."""
    memory, finals = encode(model.model.encoder, source_ids)
    features, weights = decode(model.model.decoder, memory, finals, decoder_ids)
    logits = torch.stack([model.lm_head.weight @ feature + model.lm_head.bias for feature in features])
    return logits - torch.log(torch.exp(logits).sum(-1, keepdim=True)), torch.stack(weights)
