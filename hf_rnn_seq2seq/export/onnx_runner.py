"""Translate with the ONNX files of a model: greedy and beam search on ONNX Runtime, in NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from transformers import AutoTokenizer, GenerationConfig

_PRECISIONS = {"fp32": "", "int8": ".int8"}
# settings of a generation config that the search here knows, and those that change nothing in it
_KNOWN = {"num_beams", "max_new_tokens", "max_length", "length_penalty", "early_stopping"}
_WITHOUT_EFFECT = {
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "use_cache", "transformers_version",
    "output_attentions", "output_hidden_states", "output_scores", "return_dict_in_generate",
}  # fmt: skip
# values that switch a setting off
_NEUTRAL = {
    "do_sample": False, "num_return_sequences": 1, "min_length": 0, "min_new_tokens": 0, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0,
    "num_beam_groups": 1, "diversity_penalty": 0.0, "remove_invalid_values": False,
}  # fmt: skip
_IMPOSSIBLE = np.float32(-1e9)


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Attributes:
        num_beams (`int`): 1 is greedy.
        max_new_tokens (`int`): longest output.
        length_penalty (`float`): finished beams are compared by log-probability divided by length to this power.
        early_stopping (`bool` or `"never"`): as of transformers' beam search.
    """

    num_beams: int
    max_new_tokens: int
    length_penalty: float = 1.0
    early_stopping: bool | str = False


class OnnxTranslator:
    """A model exported by `export_onnx`.

    Args:
        folder (`Path`): as `export_onnx` leaves it.
        precision (`str`): `"fp32"`, or `"int8"` for the quantised files.
        num_threads (`int`, *optional*): threads within an operator; ONNX Runtime's choice if not given.

    Raises:
        ValueError: if `precision` is unknown, or the saved generation config asks for more than this search does.
        FileNotFoundError: if an ONNX file is missing.

    Example:

    ```python
    >>> from hf_rnn_seq2seq.export.onnx_runner import OnnxTranslator

    >>> OnnxTranslator("runs/dates_onnx").translate(["12/24/1999"])
    ['24. Dezember 1999']
    ```
    """

    def __init__(self, folder: str | Path, *, precision: str = "fp32", num_threads: int | None = None):
        if precision not in _PRECISIONS:
            raise ValueError(f"`precision` must be one of {', '.join(_PRECISIONS)}, got {precision!r}.")
        options = onnxruntime.SessionOptions()
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        self.encoder, self.decoder_step = (
            _open(Path(folder) / f"{name}{_PRECISIONS[precision]}.onnx", options)
            for name in ("encoder", "decoder_step")
        )
        self.state_names = [output.name for output in self.encoder.get_outputs()][2:]
        self.carried_names = [entry.name for entry in self.decoder_step.get_inputs()][5:]
        self.carried_sizes = [entry.shape[-1] for entry in self.decoder_step.get_inputs()][5:]
        self.vocab_size = self.decoder_step.get_outputs()[0].shape[-1]
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.generation_config = GenerationConfig.from_pretrained(folder)
        self.settings = _read_settings(self.generation_config)

    def translate(self, texts: Sequence[str], *, batch_size: int = 32, **settings) -> list[str]:
        """Translate texts.

        Args:
            texts: source sentences.
            batch_size (`int`): sentences decoded at a time, those of similar length together.
            settings: fields of [`SearchSettings`] in place of the saved ones.
        """
        search = SearchSettings(**{**vars(self.settings), **settings})
        encoded = self.tokenizer(list(texts))["input_ids"] if texts else []
        order = sorted((i for i, text in enumerate(texts) if text.strip()), key=lambda i: -len(encoded[i]))
        results = [""] * len(texts)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            for index, ids in zip(chosen, self.generate([encoded[i] for i in chosen], search), strict=True):
                results[index] = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return results

    def generate(self, sentences: Sequence[Sequence[int]], search: SearchSettings) -> list[list[int]]:
        """Target ids of source ids, the end included where it was reached."""
        lengths = np.array([len(ids) for ids in sentences])
        input_ids = np.full((len(sentences), lengths.max()), self.generation_config.pad_token_id or 0)
        for row, ids in enumerate(sentences):
            input_ids[row, : len(ids)] = ids
        keys, values, *states = self.encoder.run(None, {"input_ids": input_ids, "lengths": lengths})
        source = {"keys": keys, "values": values, "lengths": lengths}
        # the attentional vector of input feeding starts at zero, states where the encoder ended
        states += [
            np.zeros((len(sentences), size), np.float32) for size in self.carried_sizes[len(self.state_names) :]
        ]
        decode = self._search_greedily if search.num_beams == 1 else self._search_beams
        return decode(source, states, search)

    def step(
        self, tokens: np.ndarray, source: dict, carried: list[np.ndarray], num_candidates: int
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """One decoder step: log-probabilities and ids `(B, K, num_candidates)` of the best next tokens, new states."""
        names = ["log_probs", "ids", *[f"new_{name}" for name in self.carried_names]]
        candidates = np.array([min(num_candidates, self.vocab_size)])
        inputs = dict(zip(self.carried_names, carried, strict=True))
        log_probs, ids, *carried = self.decoder_step.run(
            names, {"input_ids": tokens, "num_candidates": candidates, **source, **inputs}
        )
        return log_probs, ids, carried

    def _search_greedily(self, source: dict, states: list[np.ndarray], search: SearchSettings) -> list[list[int]]:
        results: list[list[int]] = [[] for _ in source["lengths"]]
        alive = np.arange(len(results))
        tokens = np.full((len(results), 1), self.generation_config.decoder_start_token_id)
        carried = [state[:, None] for state in states]
        for _ in range(search.max_new_tokens):
            _, ids, carried = self.step(tokens, source, carried, 1)
            tokens = ids[:, :, 0]
            for row, token in zip(alive, tokens[:, 0].tolist(), strict=True):
                results[row].append(token)
            goes_on = ~self._is_end(tokens[:, 0])
            if not goes_on.any():
                break
            alive, tokens = alive[goes_on], tokens[goes_on]
            source, carried = _select(source, carried, goes_on)
        return results

    def _search_beams(self, source: dict, states: list[np.ndarray], search: SearchSettings) -> list[list[int]]:
        beams, batch = search.num_beams, len(source["lengths"])
        # enough to go on with where every beam could end in every way
        num_candidates = max(2, 1 + np.size(self.generation_config.eos_token_id)) * beams
        results: list[list[int]] = [[] for _ in range(batch)]
        alive = np.arange(batch)
        tokens = np.full((batch, beams), self.generation_config.decoder_start_token_id)
        # all beams start alike: only the first may be continued
        scores = np.where(np.arange(beams) == 0, np.float32(0), _IMPOSSIBLE)[None].repeat(batch, 0)
        carried = [state[:, None].repeat(beams, 1) for state in states]
        prefixes: list[list[list[int]]] = [[[]] * beams for _ in range(batch)]
        finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(batch)]
        for length in range(1, search.max_new_tokens + 1):
            log_probs, ids, carried = self.step(tokens, source, carried, num_candidates)
            totals = (scores[:, :, None] + log_probs).reshape(len(alive), -1)
            best = np.argsort(-totals, axis=1, kind="stable")[:, :num_candidates]
            totals = np.take_along_axis(totals, best, 1)
            parents = best // ids.shape[2]
            chosen = np.take_along_axis(ids.reshape(len(alive), -1), best, 1)
            is_end = self._is_end(chosen) | (length == search.max_new_tokens)
            self._collect(finished, prefixes, totals, parents, chosen, is_end, length, search)
            # the best of those that go on; `stable` keeps their order
            kept = np.argsort(is_end, axis=1, kind="stable")[:, :beams]
            scores, parents, tokens = (np.take_along_axis(a, kept, 1) for a in (totals, parents, chosen))
            goes_on = np.array(
                [_can_improve(done, row[0], length, search) for done, row in zip(finished, scores, strict=True)]
            )
            if length == search.max_new_tokens:
                goes_on[:] = False
            for row in np.flatnonzero(~goes_on):
                results[alive[row]] = max(finished[row], key=lambda pair: pair[0])[1]
            if not goes_on.any():
                break
            prefixes = [
                [
                    prefixes[row][parent] + [token]
                    for parent, token in zip(parents[row], tokens[row].tolist(), strict=True)
                ]
                for row in np.flatnonzero(goes_on)
            ]
            finished = [finished[row] for row in np.flatnonzero(goes_on)]
            carried = [np.take_along_axis(state, parents[:, :, None], 1) for state in carried]
            alive, tokens, scores = alive[goes_on], tokens[goes_on], scores[goes_on]
            source, carried = _select(source, carried, goes_on)
        return results

    def _collect(
        self, finished, prefixes, totals, parents, chosen, is_end, length: int, search: SearchSettings
    ) -> None:
        """Add the candidates that end now to the finished ones, of which each sentence keeps the best."""
        # a candidate behind the first `num_beams` is only there to go on
        for row, rank in zip(*np.nonzero(is_end[:, : search.num_beams]), strict=True):
            ids = prefixes[row][parents[row, rank]] + [int(chosen[row, rank])]
            finished[row].append((float(totals[row, rank]) / length**search.length_penalty, ids))
            finished[row].sort(key=lambda pair: -pair[0])
            del finished[row][search.num_beams :]

    def _is_end(self, tokens: np.ndarray) -> np.ndarray:
        return np.isin(tokens, self.generation_config.eos_token_id)


def _can_improve(finished: list, best_running: float, length: int, search: SearchSettings) -> bool:
    """Whether a running beam may still beat the worst of `num_beams` finished ones, as transformers judges it."""
    if len(finished) < search.num_beams:
        return True
    if search.early_stopping is True:
        return False
    is_patient = search.early_stopping == "never" and search.length_penalty > 0
    reachable = search.max_new_tokens if is_patient else length
    return best_running / reachable**search.length_penalty > finished[-1][0]


def _select(source: dict, carried: list[np.ndarray], rows: np.ndarray) -> tuple[dict, list[np.ndarray]]:
    """The rows of sentences that are not finished."""
    if rows.all():
        return source, carried
    return {name: array[rows] for name, array in source.items()}, [array[rows] for array in carried]


def _open(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; write it with `hf-rnn-seq2seq export`.")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _read_settings(config: GenerationConfig) -> SearchSettings:
    given = {name: value for name, value in config.to_diff_dict().items() if value is not None}
    given = {name: value for name, value in given.items() if value != _NEUTRAL.get(name)}
    unknown = {name for name in given if not name.startswith("_")} - _KNOWN - _WITHOUT_EFFECT
    if unknown:
        raise ValueError(
            f"The generation config asks for {', '.join(f'`{name}`' for name in sorted(unknown))}, which the search "
            "on ONNX Runtime does not have; remove it from generation_config.json, or translate with PyTorch."
        )
    # `max_length` counts the start token
    longest = given.get("max_new_tokens") or given.get("max_length", 21) - 1
    names = ("num_beams", "length_penalty", "early_stopping")
    chosen = {name: given[name] for name in names if name in given}
    return SearchSettings(**{"num_beams": 1, **chosen}, max_new_tokens=longest)
