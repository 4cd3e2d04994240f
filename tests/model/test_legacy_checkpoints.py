"""The config can say the models of older toolkits exactly: their weights, moved here by hand, give their
log-probabilities. Needs the checkpoints in ../shared, which are not part of this repository.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_rnn_seq2seq import RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration

FOLDER = Path(__file__).parents[3] / "shared" / "legacy_checkpoints"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no checkpoints of older toolkits in {FOLDER}")
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
OLD = {
    "embedding_size": 32,
    "tie_word_embeddings": False,
    "share_encoder_decoder_embeddings": False,
    "scale_embedding": False,
    "scale_attention": False,
    "pad_token_id": None,
}


def build(fields: dict, weights: dict) -> RnnSeq2SeqForConditionalGeneration:
    """A model with these weights, all of them; biases that are not named are 0."""
    model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig(**{**OLD, **fields}))
    biases = {name: torch.zeros_like(p) for name, p in model.named_parameters() if name.endswith("bias")}
    model.load_state_dict({**biases, **weights})
    return model.eval()


def load(name: str, file: str) -> dict:
    return torch.load(FOLDER / name / file, map_location="cpu", weights_only=False)


def move_recurrence(weights: dict, ours: str, old: dict, theirs: str, old_suffix: str = "", suffix: str = "_l0"):
    for part in PARTS:
        weights[f"{ours}.{part}{suffix}"] = old[f"{theirs}.{part}{old_suffix}"]


def from_opennmt() -> RnnSeq2SeqForConditionalGeneration:
    checkpoint = load("opennmt_brnn_lstm_general_inputfeed", "model.pt")
    old, generator = checkpoint["model"], checkpoint["generator"]
    tables = {side: next(old[name] for name in old if name.startswith(side) and "emb_luts" in name) for side in SIDES}
    weights = {f"model.{side}.embed_tokens.weight": table for side, table in tables.items()}
    for layer in range(2):
        for side in ("", "_reverse"):
            move_recurrence(
                weights, f"model.encoder.layers.{layer}.rnn", old, "encoder.rnn", f"_l{layer}{side}", f"_l0{side}"
            )
        move_recurrence(weights, f"model.decoder.layers.{layer}.rnn", old, f"decoder.rnn.layers.{layer}")
    weights["model.decoder.attention.memory_proj.weight"] = old["decoder.attn.linear_in.weight"].T
    weights["model.decoder.readout.proj.weight"] = old["decoder.attn.linear_out.weight"]
    weights |= {f"lm_head.{name.rpartition('.')[2]}": value for name, value in generator.items()}
    fields = {"num_encoder_layers": 2, "num_decoder_layers": 2, "encoder_hidden_size": 24, "decoder_hidden_size": 48}
    fields |= {"bridge_type": "copy", "decoder_type": "input_feeding", "vocab_size": 404, "decoder_vocab_size": 429}
    return build(fields, weights)


def from_fairseq() -> RnnSeq2SeqForConditionalGeneration:
    old = load("fairseq_bilstm_1layer", "model.pt")["model"]
    weights = {f"model.{side}.embed_tokens.weight": old[f"{side}.embed_tokens.weight"] for side in SIDES}
    for side in ("", "_reverse"):
        move_recurrence(weights, "model.encoder.layers.0.rnn", old, "encoder.lstm", f"_l0{side}", f"_l0{side}")
    move_recurrence(weights, "model.decoder.layers.0.rnn", old, "decoder.layers.0")
    for part in ("hidden", "cell"):
        for kind in ("weight", "bias"):
            weights[f"model.decoder.bridge.{part}_proj.{kind}"] = old[f"decoder.encoder_{part}_proj.{kind}"]
    weights["model.decoder.attention.memory_proj.weight"] = old["decoder.attention.input_proj.weight"].T
    weights["model.decoder.readout.proj.weight"] = old["decoder.attention.output_proj.weight"]
    # two linear layers without an activation between them are one
    top = old["decoder.fc_out.weight"]
    weights["lm_head.weight"] = top @ old["decoder.additional_fc.weight"]
    weights["lm_head.bias"] = top @ old["decoder.additional_fc.bias"] + old["decoder.fc_out.bias"]
    fields = {"encoder_hidden_size": 40, "decoder_hidden_size": 48, "bridge_type": "dense"}
    return build({**fields, "decoder_type": "input_feeding", "vocab_size": 404, "decoder_vocab_size": 429}, weights)


def from_joeynmt() -> RnnSeq2SeqForConditionalGeneration:
    old = load("joeynmt_lstm_luong_inputfeed", "best.ckpt")["model_state"]
    weights = {
        "model.encoder.embed_tokens.weight": old["src_embed.lut.weight"],
        "model.decoder.embed_tokens.weight": old["trg_embed.lut.weight"],
        "model.decoder.bridge.hidden_proj.weight": old["decoder.bridge_layer.weight"],
        "model.decoder.bridge.hidden_proj.bias": old["decoder.bridge_layer.bias"],
        "model.decoder.attention.memory_proj.weight": old["decoder.attention.key_layer.weight"],
        # there the query comes before the context
        "model.decoder.readout.proj.weight": old["decoder.att_vector_layer.weight"].roll(-40, dims=1),
        "model.decoder.readout.proj.bias": old["decoder.att_vector_layer.bias"],
        "lm_head.weight": old["decoder.output_layer.weight"],
    }
    for side in ("", "_reverse"):
        move_recurrence(weights, "model.encoder.layers.0.rnn", old, "encoder.rnn", f"_l0{side}", f"_l0{side}")
    move_recurrence(weights, "model.decoder.layers.0.rnn", old, "decoder.rnn", "_l0")
    fields = {"encoder_hidden_size": 24, "decoder_hidden_size": 40, "bridge_cell": "hidden"}
    return build({**fields, "decoder_type": "input_feeding", "vocab_size": 404, "decoder_vocab_size": 429}, weights)


def from_marian() -> RnnSeq2SeqForConditionalGeneration:
    """Ids are one higher here: id 0, whose embedding is zero, starts the target."""
    with np.load(FOLDER / "marian_s2s_gru" / "model.npz") as file:
        old = {name: torch.tensor(file[name]) for name in file.files if not name.startswith("special")}

    def move_gru(ours: str, theirs: str, suffix: str = "", *, is_final: bool = False):
        gates, candidate = old[f"{theirs}b"].flatten(), old[f"{theirs}bx"].flatten()
        none = torch.zeros_like(candidate)
        weights[f"{ours}.weight_ih{suffix}"] = torch.cat([old[f"{theirs}W"], old[f"{theirs}Wx"]], dim=1).T
        weights[f"{ours}.weight_hh{suffix}"] = torch.cat([old[f"{theirs}U"], old[f"{theirs}Ux"]], dim=1).T
        weights[f"{ours}.bias_ih{suffix}"] = torch.cat([gates, none if is_final else candidate])
        weights[f"{ours}.bias_hh{suffix}"] = torch.cat([torch.zeros_like(gates), candidate if is_final else none])

    def shift(table: torch.Tensor, first: float = 0.0) -> torch.Tensor:
        return torch.cat([torch.full_like(table[:1], first), table])

    readout = "decoder_ff_logit_l1_"
    weights = {
        "model.encoder.embed_tokens.weight": shift(old["encoder_Wemb"]),
        "model.decoder.embed_tokens.weight": shift(old["decoder_Wemb"]),
        "model.decoder.bridge.hidden_proj.weight": old["decoder_ff_state_W"].T,
        "model.decoder.bridge.hidden_proj.bias": old["decoder_ff_state_b"].flatten(),
        "model.decoder.attention.memory_proj.weight": old["decoder_Wc_att"].T,
        "model.decoder.attention.query_proj.weight": old["decoder_W_comb_att"].T,
        "model.decoder.attention.query_proj.bias": old["decoder_b_att"].flatten(),
        "model.decoder.attention.energy_vector": old["decoder_U_att"].flatten(),
        "model.decoder.readout.proj.weight": torch.cat([old[f"{readout}W{number}"] for number in (2, 1, 0)]).T,
        "model.decoder.readout.proj.bias": sum(old[f"{readout}b{number}"].flatten() for number in range(3)),
        "lm_head.weight": shift(old["decoder_ff_logit_l2_Wt"]),
        "lm_head.bias": shift(old["decoder_ff_logit_l2_b"].flatten(), -1e9),
    }
    move_gru("model.encoder.layers.0.rnn", "encoder_bi_", "_l0")
    move_gru("model.encoder.layers.0.rnn", "encoder_bi_r_", "_l0_reverse")
    move_gru("model.decoder.layers.0.cells.0", "decoder_cell1_")
    move_gru("model.decoder.layers.0.cells.1", "decoder_cell2_", is_final=True)
    fields = {"cell_type": "gru", "encoder_hidden_size": 48, "decoder_hidden_size": 48, "attention_size": 96}
    fields |= {"bridge_input": "mean", "decoder_type": "conditional", "attention_type": "additive"}
    fields |= {"readout_size": 32, "pad_token_id": 0, "vocab_size": 403, "decoder_vocab_size": 428}
    return build(fields, weights)


SIDES = ("encoder", "decoder")
TOOLKITS = {
    "opennmt_brnn_lstm_general_inputfeed": (from_opennmt, 0),
    "fairseq_bilstm_1layer": (from_fairseq, 0),
    "joeynmt_lstm_luong_inputfeed": (from_joeynmt, 0),
    "marian_s2s_gru": (from_marian, 1),
}


@torch.no_grad()
@pytest.mark.parametrize("name", TOOLKITS)
def test_model_of_an_older_toolkit_gives_its_log_probabilities(name):
    build_model, shift = TOOLKITS[name]
    model = build_model()
    expected = json.loads((FOLDER / name / "expected.json").read_text(encoding="utf-8"))
    for sentence in expected["sentences"]:
        source = torch.tensor([sentence["source_ids"]]) + shift
        # Marian starts from a zero vector, written as null
        started = [0 if token is None else token + shift for token in sentence["decoder_input_ids"]]
        logits = model(input_ids=source, decoder_input_ids=torch.tensor([started])).logits[0]
        target = torch.tensor(sentence["target_ids"])[:, None] + shift
        found = logits.log_softmax(-1).gather(1, target).squeeze(1)
        torch.testing.assert_close(found, torch.tensor(sentence["token_logprobs"]), rtol=0, atol=1e-5)
