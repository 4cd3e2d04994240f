"""Text in, translation out: the pipeline behind `pipeline("translation")`, for any encoder-decoder."""

import copy
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch.utils.data import Dataset
from transformers import GenerationConfig
from transformers.pipelines.base import ChunkPipeline

from .pipeline_attention import (
    align_texts,
    format_pharaoh,
    gather_attention,
    measure_sequences,
    name_target_tokens,
)
from .pipeline_unknown import decode_with_source

logger = logging.getLogger(__name__)

# what transformers 4 generated with where neither the caller nor the model says otherwise
_GENERATION_DEFAULTS = {"max_new_tokens": 256, "num_beams": 4}
_TASK = re.compile(r"translation_(?P<source>.+)_to_(?P<target>.+)")
# a full stop ends a sentence after a word or a long number, not after an initial or an ordinal ("J. Smith", "3. Mai")
_SENTENCE_END = re.compile(r"""(?:(?:(?<=[^\W_\d]{2})|(?<=\d{3})|(?<=["'”’»)\]]))\.|[!?…])["'”’»)\]]*\s+|[。！？]""")


class TranslationPipeline(ChunkPipeline):
    """Translates with any encoder-decoder, as the pipeline of transformers 4 did, and more.

    Args at construction and at every call:
        src_lang, tgt_lang (`str`, *optional*): languages, for multilingual models (NLLB, M2M100, mBART). The task
            name `translation_xx_to_yy` gives them too.
        truncation (*optional*): as of the tokenizer; what is cut off is warned about.
        num_return_sequences (`int`, *optional*): translations of each text.
        return_scores (`bool`): add `score`, what beam search ranks by: log-probability in nats divided by
            `length ** length_penalty`; for text in several sentences the mean over them, for blank text None.
        return_alignments (`bool` or `"pharaoh"`): add `alignments`, pairs `(source word, target word)` counted from 0
            in text split at white space: for each target word the source word with most attention. `"pharaoh"` gives
            them as text, `0-0 1-2`.
        return_attention (`bool`): add `attention`, a dict of `source_tokens`, `target_tokens` and `weights`, rows of
            one float for each source token.
        replace_unknown (`bool`): put source words, by attention, in the place of target words that the vocabulary
            lacks.
        split_sentences (`bool` or callable): translate long text sentence by sentence and keep its lines. True splits
            by punctuation; a callable takes a line and returns its sentences.
        return_tensors (`bool`): return `translation_token_ids` in place of text.
        clean_up_tokenization_spaces (`bool`, *optional*): as of `tokenizer.decode`.
        stop_sequence (`str`, *optional*): end where the first token of this text is generated.
        batch_size (`int`, *optional*): sentences translated at a time, 1 if not given.
        generate_kwargs: everything else goes to `generate`.

    Returns:
        For a text, a list of dicts with `translation_text`, one for each of `num_return_sequences`. For a list of
        texts a list, of dicts if each text has one translation, else of lists. A generator or dataset gives an
        iterator.

    Example:

    ```python
    >>> import hf_rnn_seq2seq
    >>> from transformers import pipeline

    >>> translate = pipeline("translation", model="runs/dates")
    >>> translate("12/24/1999")
    [{'translation_text': '24. Dezember 1999'}]
    ```
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    # transformers' own handling of generation settings differs between its versions
    _pipeline_calls_generate = False

    def __call__(self, inputs: str | Iterable[str], **kwargs) -> list[dict] | list[list[dict]] | Iterator[list[dict]]:
        if isinstance(inputs, str):
            return super().__call__(inputs, **kwargs)
        if isinstance(inputs, Sequence):
            # columns of a dataset, tuples
            inputs = list(inputs)
            results = super().__call__(inputs, **kwargs) if inputs else []
            return [result[0] for result in results] if all(len(result) == 1 for result in results) else results
        if isinstance(inputs, Dataset):
            return super().__call__(inputs, **kwargs)
        if isinstance(inputs, Iterable) and not isinstance(inputs, Mapping):
            return super().__call__((text for text in inputs), **kwargs)
        raise TypeError(f"`inputs` must be a string or several of them, got {type(inputs).__name__}.")

    def _sanitize_parameters(
        self,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
        truncation=None,
        split_sentences: bool | Callable[[str], list[str]] | None = None,
        return_scores: bool | None = None,
        return_alignments: bool | str | None = None,
        return_attention: bool | None = None,
        replace_unknown: bool | None = None,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        stop_sequence: str | None = None,
        **generate_kwargs,
    ) -> tuple[dict, dict, dict]:
        if stop_sequence is not None:
            stop_ids = self.tokenizer(text_target=stop_sequence, add_special_tokens=False)["input_ids"]
            generate_kwargs["eos_token_id"] = stop_ids[0]
        if return_text is not None and return_tensors is None:
            return_tensors = not return_text
        preprocess = {
            "src_lang": src_lang,
            "tgt_lang": tgt_lang,
            "truncation": truncation,
            "split_sentences": split_sentences,
        }
        forward = {
            "src_lang": src_lang,
            "tgt_lang": tgt_lang,
            "with_scores": return_scores,
            "with_attention": bool(return_alignments or return_attention or replace_unknown),
        }
        # the pipeline asks for these itself
        for name in ("return_dict_in_generate", "output_scores", "output_logits", "output_attentions"):
            generate_kwargs.pop(name, None)
        postprocess = {
            "truncation": truncation,
            "return_alignments": return_alignments,
            "return_attention": return_attention,
            "replace_unknown": replace_unknown,
            "return_tensors": return_tensors,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        }
        given = [
            {name: value for name, value in parameters.items() if value is not None}
            for parameters in (preprocess, forward, postprocess)
        ]
        given[1].update(generate_kwargs)
        return tuple(given)

    def preprocess(
        self, text: str, src_lang=None, tgt_lang=None, truncation=False, split_sentences=False
    ) -> Iterator[dict]:
        """Token ids of each sentence of `text`, or of all of it at once."""
        if not isinstance(text, str):
            raise TypeError(f"A text to translate must be a string, got {type(text).__name__}: {text!r:.60}.")
        src_lang, tgt_lang = self._complete_languages(src_lang, tgt_lang)
        prefix = self._task_settings(src_lang, tgt_lang).get("prefix") or ""
        chunks, tail = _split_text(text, split_sentences)
        for index, (lead, sentence) in enumerate(chunks):
            is_last = index + 1 == len(chunks)
            tokens = self._tokenize(prefix + sentence, src_lang, tgt_lang, truncation)
            # not what `generate` takes; tokenizers of several families return it
            tokens.pop("token_type_ids", None)
            yield {
                **tokens,
                "sentence": sentence,
                "prefix": prefix,
                "lead": lead,
                "tail": tail if is_last else "",
                "is_last": is_last,
            }

    def _tokenize(self, text: str, src_lang, tgt_lang, truncation) -> dict:
        def tokenize(truncation, is_measured=False) -> dict:
            # the tokenizer itself would warn of what is measured here, not translated
            options = {"return_tensors": "pt", "truncation": truncation, "verbose": not is_measured}
            if hasattr(self.tokenizer, "_build_translation_inputs"):
                return self.tokenizer._build_translation_inputs(text, src_lang=src_lang, tgt_lang=tgt_lang, **options)
            return self.tokenizer(text, **options)

        tokens = dict(tokenize(truncation))
        num_tokens = tokens["input_ids"].shape[1]
        if truncation and num_tokens >= self.tokenizer.model_max_length:
            num_all = tokenize(False, is_measured=True)["input_ids"].shape[1]
            if num_all > num_tokens:
                logger.warning(
                    "`truncation` cut an input from %d to %d tokens; translate it sentence by sentence with "
                    "`split_sentences=True` to lose nothing.",
                    num_all,
                    num_tokens,
                )
        return tokens

    def _forward(
        self,
        model_inputs: dict,
        src_lang=None,
        tgt_lang=None,
        with_scores=False,
        with_attention=False,
        **generate_kwargs,
    ) -> dict:
        names = ("sentence", "prefix", "lead", "tail", "is_last")
        about = {name: model_inputs.pop(name) for name in names}
        # one value for the batch, which collating has made a list
        settings = {name: value[0] if isinstance(value, list) else value for name, value in model_inputs.items()}
        tensors = {name: settings.pop(name) for name in ("input_ids", "attention_mask")}
        if generate_kwargs.get("num_return_sequences", 1) > 1 and not all(_as_list(about["is_last"])):
            raise ValueError("`num_return_sequences` must be 1 for text in several sentences; translate each alone.")
        options = {**self._generation_settings(src_lang, tgt_lang, generate_kwargs), **settings, **generate_kwargs}
        config, others = self._prepare_config(options, with_scores, with_attention)
        output = self.model.generate(**tensors, **others, generation_config=config)
        written = output.sequences if config.return_dict_in_generate else output
        batch_size = len(tensors["input_ids"])
        num_tokens = self._count_tokens(written, config).unflatten(0, (batch_size, -1))  # (B, n)
        sequences = written.unflatten(0, (batch_size, -1))  # (B, n, 1 + T)
        is_blank = [not sentence.strip() for sentence in _as_list(about["sentence"])]
        self._warn_if_cut(sequences, num_tokens, config, is_blank)
        result = {**about, **tensors, "output_ids": sequences, "num_tokens": num_tokens}
        if with_scores:
            result["scores"] = self._score(output, config).unflatten(0, (batch_size, -1))
        if with_attention:
            weights = gather_attention(self.model, output, num_source=tensors["input_ids"].shape[1])
            result["weights"] = weights.unflatten(0, (batch_size, -1))
        return result

    def _prepare_config(self, options: dict, with_scores: bool, with_attention: bool) -> tuple[GenerationConfig, dict]:
        """One generation config for the call, and what of the options is none of its fields."""
        config = copy.deepcopy(options.pop("generation_config", None) or self.model.generation_config)
        others = config.update(**options)
        is_beam = (config.num_beams or 1) > 1
        config.update(
            # a search that has to tell no more than its result is faster
            return_dict_in_generate=with_scores or with_attention,
            output_scores=with_scores and is_beam,
            # as the model gave them, not as sampling bent them
            output_logits=with_scores and not is_beam,
            output_attentions=with_attention,
        )
        return config, others

    def _ends(self, config: GenerationConfig) -> list[int]:
        eos = config.eos_token_id
        eos = self.model.generation_config.eos_token_id if eos is None else eos
        return eos if isinstance(eos, list) else [] if eos is None else [eos]

    def _count_tokens(self, sequences: torch.Tensor, config: GenerationConfig) -> torch.Tensor:
        """Tokens of each sequence after the start token, see `measure_sequences`."""
        return measure_sequences(sequences, self._ends(config))[0]

    def _score(self, output, config: GenerationConfig) -> torch.Tensor:
        """As beam search scores, also where generation was greedy or sampled."""
        if "sequences_scores" in output:
            return output.sequences_scores
        log_probs = torch.stack(output.logits, dim=1).float().log_softmax(-1)  # (B * n, T, V)
        num_steps = log_probs.shape[1]
        tokens = output.sequences[:, -num_steps:]
        log_probs = log_probs.gather(2, tokens[:, :, None]).squeeze(2)
        # tokens before the generated ones are a prefix of the caller's
        lengths = self._count_tokens(output.sequences, config) - (output.sequences.shape[1] - 1 - num_steps)
        is_behind = torch.arange(num_steps, device=tokens.device) >= lengths[:, None]
        penalty = 1.0 if config.length_penalty is None else config.length_penalty
        return log_probs.masked_fill(is_behind, 0.0).sum(1) / lengths.clamp(min=1) ** penalty

    def _warn_if_cut(self, sequences: torch.Tensor, num_tokens: torch.Tensor, config, is_blank: list[bool]) -> None:
        ends = self._ends(config)
        best = sequences[:, 0, 1:]
        last = best.gather(1, num_tokens[:, :1] - 1).squeeze(1).tolist()
        num_cut = sum(token not in ends and not blank for token, blank in zip(last, is_blank, strict=True))
        if ends and num_cut:
            logger.warning(
                "%d of %d translations stopped after %d tokens, before their end; allow more with `max_new_tokens`.",
                num_cut,
                len(sequences),
                best.shape[1],
            )

    def _generation_settings(self, src_lang, tgt_lang, generate_kwargs: dict) -> dict:
        """What transformers 4 added to the caller's settings: those of the task, then defaults for what is not set."""
        if "generation_config" in generate_kwargs:
            return {}
        settings = self._task_settings(*self._complete_languages(src_lang, tgt_lang))
        settings.pop("prefix", None)
        given = {**self.model.generation_config.to_diff_dict(), **settings, **generate_kwargs}
        defaults = {name: value for name, value in _GENERATION_DEFAULTS.items() if name not in given}
        if "max_length" in given:
            defaults.pop("max_new_tokens", None)
        if self.model.generation_config.pad_token_id is None:
            defaults["pad_token_id"] = self.tokenizer.pad_token_id
        # one limit of length at a time: the caller's wins over the task's
        if "max_new_tokens" in generate_kwargs:
            settings.pop("max_length", None)
        return {**defaults, **settings}

    def _task_settings(self, src_lang, tgt_lang) -> dict:
        """What the config says for this task, such as T5's prefix `translate English to German: `."""
        config = self.model.config.to_dict()
        settings = config.get("task_specific_params") or {}
        named = settings.get(f"translation_{src_lang}_to_{tgt_lang}", settings.get(self.task, {}))
        return {"prefix": config.get("prefix"), **named}

    def _complete_languages(self, src_lang, tgt_lang) -> tuple[str | None, str | None]:
        """Languages as given, else from a task name such as `translation_en_to_de`."""
        named = _TASK.fullmatch(self.task or "")
        if src_lang is None and tgt_lang is None and named:
            return named["source"], named["target"]
        return src_lang, tgt_lang

    def postprocess(
        self,
        outputs: list[dict],
        return_alignments=False,
        return_attention=False,
        replace_unknown=False,
        return_tensors=False,
        truncation=False,
        clean_up_tokenization_spaces=None,
    ) -> list[dict]:
        """One record for each of the translations of a text, from the outputs of its sentences."""
        if return_attention and len(outputs) > 1:
            raise ValueError("`return_attention` looks at one sentence, got a text of several; pass each alone.")
        records = []
        for rank in range(outputs[0]["output_ids"].shape[1]):
            texts = self._decode_all(outputs, rank, replace_unknown, truncation, clean_up_tokenization_spaces)
            ids = [output["output_ids"][0, rank] for output in outputs]
            if return_tensors:
                # of blank text the start token alone
                ids = [
                    row if output["sentence"].strip() else row[:1] for output, row in zip(outputs, ids, strict=True)
                ]
                record = {"translation_token_ids": torch.cat(ids)}
            else:
                pieces = [output["lead"] + text for output, text in zip(outputs, texts, strict=True)]
                record = {"translation_text": "".join(pieces) + outputs[-1]["tail"]}
            if "scores" in outputs[0]:
                scores = [output["scores"][0, rank].item() for output in outputs if output["sentence"].strip()]
                record["score"] = sum(scores) / len(scores) if scores else None
            if return_alignments:
                pairs = self._align(outputs, rank, truncation, replace_unknown, texts)
                record["alignments"] = format_pharaoh(pairs) if return_alignments == "pharaoh" else pairs
            if return_attention:
                record["attention"] = self._map_attention(outputs[0], rank)
            records.append(record)
        return records

    def _decode_all(self, outputs: list[dict], rank: int, replace_unknown, truncation, clean_up) -> list[str]:
        """Text of each sentence."""
        options = {} if clean_up is None else {"clean_up_tokenization_spaces": clean_up}
        texts = []
        for output in outputs:
            ids = self._target_ids(output, rank)
            if replace_unknown:
                weights = self._weights(output, rank, len(ids))
                texts.append(
                    decode_with_source(
                        self.tokenizer, output["sentence"], ids, weights, output["prefix"], truncation=truncation
                    )
                )
            else:
                texts.append(self.tokenizer.decode(ids, skip_special_tokens=True, **options))
        return texts

    def _target_ids(self, output: dict, rank: int) -> list[int]:
        """Ids after the start token, without what fills the batch behind the end; none for blank text."""
        if not output["sentence"].strip():
            return []
        return output["output_ids"][0, rank, 1 : 1 + output["num_tokens"][0, rank]].tolist()

    def _weights(self, output: dict, rank: int, num_target: int) -> torch.Tensor:
        """Attention `(T, S)` without the padding of the batch."""
        return output["weights"][0, rank, :num_target, output["attention_mask"][0].bool()]

    def _align(
        self, outputs: list[dict], rank: int, truncation, replace_unknown: bool, texts: list[str]
    ) -> list[tuple[int, int]]:
        pairs, num_source, num_target = [], 0, 0
        for output, text in zip(outputs, texts, strict=True):
            ids = self._target_ids(output, rank)
            found = align_texts(
                self.tokenizer,
                output["sentence"],
                ids,
                self._weights(output, rank, len(ids)),
                output["prefix"],
                replace_unknown,
                truncation=truncation,
            )
            pairs += [(source + num_source, target + num_target) for source, target in found]
            num_source += len(output["sentence"].split())
            num_target += len(text.split())
        return pairs

    def _map_attention(self, output: dict, rank: int) -> dict:
        target_ids = self._target_ids(output, rank)
        source_ids = output["input_ids"][0, output["attention_mask"][0].bool()].tolist()
        return {
            "source_tokens": self.tokenizer.convert_ids_to_tokens(source_ids),
            "target_tokens": name_target_tokens(self.tokenizer, target_ids),
            "weights": self._weights(output, rank, len(target_ids)).tolist(),
        }


def _as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def _split_text(text: str, split_sentences: bool | Callable[[str], list[str]]) -> tuple[list[tuple[str, str]], str]:
    """Sentences, each with what stands before it, and what stands after the last."""
    if not split_sentences:
        return [("", text)], ""
    split = split_sentences if callable(split_sentences) else split_into_sentences
    chunks, lead = [], ""
    for number, line in enumerate(text.split("\n")):
        lead += "\n" if number else ""
        for sentence in split(line):
            if sentence.strip():
                chunks.append((lead, sentence.strip()))
                lead = " "
        lead = "" if lead == " " else lead
    return chunks or [("", "")], lead


def split_into_sentences(line: str) -> list[str]:
    """Sentences of a line, by punctuation: good enough to keep inputs short, unaware of abbreviations."""
    ends = [match.end() for match in _SENTENCE_END.finditer(line) if not line[match.end() : match.end() + 1].islower()]
    starts = [0, *ends]
    return [line[start:end].strip() for start, end in zip(starts, [*ends, len(line)], strict=True)]


__all__ = ["TranslationPipeline", "split_into_sentences"]
