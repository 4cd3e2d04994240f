"""Plain-loop twins of the model's parts, written from the equations: one sentence, one step, one slot at a time.

Slow and obvious. They take the parameters of the real modules, so that autograd gives gradients to compare.
"""

import torch


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def normalise(x):
    """(x - mean) / sqrt(variance + 1e-5)."""
    mean = x.sum() / len(x)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).sum() / len(x) + 1e-5)


def normalise_gates(norm, x):
    """Each gate on its own, then gain and bias."""
    number, size = norm.gates
    gates = [normalise(x[k * size : (k + 1) * size]) for k in range(number)]
    return torch.cat(gates) * norm.weight + norm.bias


def lstm_step(x, u, hidden, cell, show=lambda cell: cell):
    """i, f, o = sigmoid(x + u); g = tanh(...); c' = f c + i g; h' = o tanh(c'); x = W x + b, u = U h + c."""
    size = hidden.shape[0]
    i, f, g, o = (x[k : k + size] + u[k : k + size] for k in range(0, 4 * size, size))
    cell = sigmoid(f) * cell + sigmoid(i) * torch.tanh(g)
    return sigmoid(o) * torch.tanh(show(cell)), cell


def gru_step(x, u, hidden):
    """r, z = sigmoid(x + u); n = tanh(x + r u); h' = (1 - z) n + z h."""
    size = hidden.shape[0]
    rows = [slice(k, k + size) for k in range(0, 3 * size, size)]
    r, z = (sigmoid(x[k] + u[k]) for k in rows[:2])
    n = torch.tanh(x[rows[2]] + r * u[rows[2]])
    return ((1 - z) * n + z * hidden,)


def step_by_name(cell_type, x, u, state, show=lambda cell: cell):
    if cell_type == "lstm":
        return lstm_step(x, u, *state, show)
    if cell_type == "gru":
        return gru_step(x, u, *state)
    return ({"rnn_tanh": torch.tanh, "rnn_relu": torch.relu}[cell_type](x + u),)


def name_cell(rnn):
    return {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}[rnn.mode]


def torch_step(rnn, x, state, suffix=""):
    """One step of torch's recurrent module on one vector; `state` is `(hidden,)` or `(hidden, cell)`."""
    w_ih, w_hh, b_ih, b_hh = (
        getattr(rnn, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return step_by_name(name_cell(rnn), w_ih @ x + b_ih, w_hh @ state[0] + b_hh, state)


def cell_step(cell, x, state):
    """One step of our `RecurrentCell`, `x` None for a transition."""
    u = cell.weight_hh @ state[0]
    wx = torch.zeros_like(u) if x is None else cell.weight_ih @ x
    show = lambda c: c  # noqa: E731
    if cell.layer_norm:
        u = normalise_gates(cell.recurrent_norm, u)
        wx = wx if x is None else normalise_gates(cell.input_norm, wx)
        show = (lambda c: normalise_gates(cell.cell_norm, c)) if cell.cell_type == "lstm" else show
    else:
        u, wx = u + cell.bias_hh, wx + cell.bias_ih
    return step_by_name(cell.cell_type, wx, u, state, show)


def layer_step(layer, x, state, direction=0):
    """One step of either kind of layer in one direction."""
    if hasattr(layer, "rnn"):
        return torch_step(layer.rnn, x, state, ["", "_reverse"][direction])
    for cell in layer.directions[direction]:
        state = cell_step(cell, x, state)
        x = None
    return state


def run_direction(layer, steps, hidden_size, num_tensors, direction=0, state=None):
    """Outputs and last state of one direction over a list of vectors."""
    state = tuple(steps[0].new_zeros(hidden_size) for _ in range(num_tensors)) if state is None else state
    outputs = []
    for x in steps:
        state = layer_step(layer, x, state, direction)
        outputs.append(state[0])
    return outputs, state


def run_layer(layer, steps, hidden_size, num_tensors, bidirectional=False, state=None):
    """Outputs and last state; of both directions joined at each step."""
    forward, forward_state = run_direction(layer, steps, hidden_size, num_tensors, state=state)
    if not bidirectional:
        return forward, forward_state
    backward, backward_state = run_direction(layer, steps[::-1], hidden_size, num_tensors, 1)
    outputs = [torch.cat(pair) for pair in zip(forward, backward[::-1], strict=True)]
    return outputs, tuple(torch.cat(pair) for pair in zip(forward_state, backward_state, strict=True))


def embed(embed_tokens, token):
    """sqrt(E) times a row of the matrix, or the row itself."""
    return embed_tokens.weight[token] * embed_tokens.scale


def encode(encoder, steps):
    """Memory (list of vectors) and final state of each layer for one sentence of embeddings without padding."""
    config, finals = encoder.config, []
    num_tensors = 2 if config.cell_type == "lstm" else 1
    steps = steps[::-1] if config.reverse_source else steps
    for number, layer in enumerate(encoder.layers, start=1):
        below = steps
        if number > 1 and config.encoder_stride > 1:
            stride, zero = config.encoder_stride, torch.zeros_like(steps[0])
            steps = steps + [zero] * (-len(steps) % stride)
            steps = [torch.cat(steps[k : k + stride]) for k in range(0, len(steps), stride)]
        both = config.bidirectional is True or (config.bidirectional == "first" and number == 1)
        steps, final = run_layer(layer, steps, config.encoder_hidden_size, num_tensors, both)
        if config.residual_from_layer is not None and number >= config.residual_from_layer:
            steps = [output + x for output, x in zip(steps, below, strict=True)]
        finals.append(final)
    return steps[::-1] if config.reverse_source and config.encoder_stride == 1 else steps, finals


def energy(attention, query, slot, past=None):
    """Score of one query and one memory slot, for each head; `past` is what feedback adds inside the tanh."""
    name = type(attention).__name__
    if name == "DotAttention":
        return [attention.scale * (query @ slot)]
    if name == "GeneralAttention":
        return [attention.scale * (query @ (attention.memory_proj.weight @ slot))]
    q = attention.query_proj.weight @ query + attention.query_proj.bias
    k = attention.memory_proj.weight @ slot
    width = len(q) // attention.num_heads
    heads = [slice(n * width, (n + 1) * width) for n in range(attention.num_heads)]
    if name == "MultiHeadDotAttention":
        return [attention.scale * (q[rows] @ k[rows]) for rows in heads]
    past = torch.zeros_like(q) if past is None else past
    scores = []
    for n, rows in enumerate(heads):
        v = attention.energy_vector[rows]
        if attention.gain is not None:
            v = attention.gain[n] * v / torch.sqrt((v**2).sum())
        scores.append(v @ torch.tanh(q[rows] + k[rows] + past[rows]))
    return scores


def read_past(attention, past_weights):
    """What coverage or location feedback adds inside the tanh, for each slot."""
    project = attention.feedback_proj.weight
    if attention.feedback == "coverage":
        return [project[:, 0] * weight for weight in past_weights]
    filters = attention.location_filters.weight[:, 0]  # (C, width)
    half, number = filters.shape[1] // 2, len(past_weights)
    added = []
    for place in range(number):
        seen = [past_weights[place + k] if 0 <= place + k < number else 0.0 for k in range(-half, half + 1)]
        feature = sum(filters[:, k] * weight for k, weight in enumerate(seen))
        added.append(project @ feature)
    return added


def attend(attention, query, memory, past_weights=None):
    """Context, weights of each head, and what feedback remembers: softmax over slots, weighted sum of slots."""
    has_feedback = getattr(attention, "feedback", "none") != "none"
    if has_feedback and past_weights is None:
        past_weights = [query.new_zeros(()) for _ in memory]
    past = read_past(attention, past_weights) if has_feedback else [None] * len(memory)
    scores = [torch.stack(energy(attention, query, slot, added)) for slot, added in zip(memory, past, strict=True)]
    scores = torch.stack(scores, dim=1)  # (N, S)
    if attention.local_window is not None:
        window = attention.local_window
        center = len(memory) * sigmoid(window.place_proj.weight[0] @ torch.tanh(window.hidden_proj.weight @ query))
        distances = torch.arange(len(memory)) - center
        gaussian = torch.exp(-(distances**2) / (2 * (window.window / 2) ** 2))
        scores = torch.exp(scores) * torch.where(distances.abs() <= window.window, gaussian, 0.0)
    else:
        scores = torch.exp(scores)
    weights = scores / scores.sum(1, keepdim=True)
    values = memory
    if attention.value_proj is not None:
        values = [attention.value_proj.weight @ slot for slot in memory]
    width = len(values[0]) // attention.num_heads
    context = torch.cat(
        [
            sum(weights[n, place] * slot[n * width : (n + 1) * width] for place, slot in enumerate(values))
            for n in range(attention.num_heads)
        ]
    )
    if has_feedback:
        latest = list(weights[0])
        is_sum = attention.feedback == "coverage"
        past_weights = [a + b for a, b in zip(past_weights, latest, strict=True)] if is_sum else latest
    return context, weights, past_weights


def start_states(config, bridge, memory, finals, context=None):
    """Start state of each decoder layer."""
    number, size = config.num_decoder_layers, config.decoder_hidden_size
    has_cell = config.cell_type == "lstm"
    half = config.memory_size // 2
    cut = {"forward": slice(0, half), "backward": slice(half, None)}.get(config.bridge_input, slice(None))
    if config.bridge_type == "zeros":
        return [tuple(memory[0].new_zeros(size) for _ in range(1 + has_cell)) for _ in range(number)]
    if config.bridge_type == "copy":
        states = [tuple(tensor[cut] for tensor in final) for final in finals]
        return [(h, h) for h, *_ in states] if has_cell and config.bridge_cell == "hidden" else states
    hidden = sum(memory) / len(memory) if config.bridge_input == "mean" else finals[-1][0][cut]
    hidden = hidden if context is None else context
    hidden = bridge.hidden_proj.weight @ hidden + bridge.hidden_proj.bias
    projected = [torch.tanh(hidden) if config.bridge_type == "dense_tanh" else hidden]
    if has_cell and config.bridge_cell == "hidden":
        projected.append(projected[0])
    elif has_cell:
        projected.append(bridge.cell_proj.weight @ finals[-1][1][cut] + bridge.cell_proj.bias)
    return [tuple(p[k * size : (k + 1) * size] for p in projected) for k in range(number)]


def affine(linear, x):
    return linear.weight @ x + linear.bias


def read_out(readout, *parts):
    kind, joined = readout.readout_type, torch.cat(parts)
    if kind in ("state", "concat"):
        return joined
    if kind == "context_gate":
        z = sigmoid(affine(readout.gate_proj, joined))
        rest = affine(readout.rest_proj, torch.cat(parts[1:]))
        return torch.tanh((1 - z) * rest + z * affine(readout.context_proj, parts[0]))
    joined = affine(readout.proj, joined)
    if kind == "maxout":
        return torch.stack([torch.maximum(joined[k], joined[k + 1]) for k in range(0, len(joined), 2)])
    return torch.tanh(joined) if kind == "tanh" else joined


def decode(decoder, memory, finals, ids):
    """For each step of one target: features, attention weights (mean over heads), logit of the copy gate."""
    config, attention = decoder.config, decoder.attention
    kind, context, past = config.decoder_type, None, None
    weights = None
    is_fixed = config.attention_type == "none" and kind == "bahdanau"
    if is_fixed:
        context = torch.tanh(attention.proj.weight @ finals[-1][0])
    states = start_states(config, decoder.bridge, memory, finals, context)
    feed = memory[0].new_zeros(config.readout_size)
    features, all_weights, gates = [], [], []
    for token in ids:
        embedding = x = embed(decoder.embed_tokens, token)
        if kind == "bahdanau":
            if not is_fixed:
                context, weights, past = attend(attention, states[-1][0], memory, past)
            x = torch.cat([x, context])
        if kind == "input_feeding":
            x = torch.cat([x, feed])
        for index, layer in enumerate(decoder.layers):
            below = x
            if kind == "conditional" and index == 0:
                state = cell_step(layer.cells[0], x, states[0])
                context, weights, past = attend(attention, state[0], memory, past)
                state = cell_step(layer.cells[1], context, state)
                for cell in layer.cells[2:]:
                    state = cell_step(cell, None, state)
            else:
                state = layer_step(layer, torch.cat([x, context]) if kind == "gnmt" and index else x, states[index])
            states[index], x = state, state[0]
            if config.residual_from_layer is not None and index + 1 >= config.residual_from_layer:
                x = x + below
            if kind == "gnmt" and index == 0:
                context, weights, past = attend(attention, x, memory, past)
        if kind in ("luong", "input_feeding") and attention is not None:
            context, weights, past = attend(attention, x, memory, past)
        parts = [x] if context is None or config.readout_type == "state" else [context, x]
        if kind in ("bahdanau", "conditional") and config.readout_type != "state":
            parts.append(embedding)
        features.append(read_out(decoder.readout, *parts))
        feed = features[-1]
        all_weights.append(None if weights is None else weights.sum(0) / len(weights))
        if decoder.copy_gate is not None:
            gates.append(affine(decoder.copy_gate, torch.cat([context, x, embedding])))
    return features, all_weights, gates


def log_probabilities(model, source_ids, decoder_ids):
    """Log-probabilities of every next token, `(T, V)`, and attention weights `(T, S)`, for one sentence pair."""
    encoder = model.model.encoder
    memory, finals = encode(encoder, [embed(encoder.embed_tokens, token) for token in source_ids])
    features, weights, gates = decode(model.model.decoder, memory, finals, decoder_ids)
    logits = torch.stack([affine(model.lm_head, feature) for feature in features])
    probabilities = torch.exp(logits) / torch.exp(logits).sum(-1, keepdim=True)
    if gates:
        rows = []
        for row, gate, step_weights in zip(probabilities, gates, weights, strict=True):
            p = sigmoid(gate[0])
            copied = [
                sum((w for w, source in zip(step_weights, source_ids, strict=True) if source == token), 0 * p)
                for token in range(len(row))
            ]
            rows.append(p * row + (1 - p) * torch.stack(copied))
        probabilities = torch.stack(rows)
    return torch.log(probabilities), None if weights[0] is None else torch.stack(weights)


def coverage_loss(weights):
    """Sum over steps of `sum over i of min(a_i, c_i)`, c the sum of earlier a."""
    coverage, total = [0.0 * w for w in weights[0]], 0.0
    for step in weights:
        total = total + sum(torch.minimum(a, c) for a, c in zip(step, coverage, strict=True))
        coverage = [c + a for c, a in zip(coverage, step, strict=True)]
    return total
