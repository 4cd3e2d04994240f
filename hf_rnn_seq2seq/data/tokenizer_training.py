"""Train tokenizers for a parallel corpus: five kinds, joint or one for each side."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from ..model.tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer

TokenizerKind = Literal["bpe", "unigram", "wordpiece", "word", "char"]
Normalization = Literal["nfkc", "nfc", "none"]

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
SPECIAL_TOKENS = [PAD, BOS, EOS, UNK]
# a piece that begins with this mark begins a word; it makes decoding exact
WORD_MARK = "▁"


def train_tokenizer(
    source: Iterable[str] | str | Path,
    target: Iterable[str] | str | Path | None = None,
    *,
    kind: TokenizerKind = "bpe",
    vocab_size: int = 8000,
    target_vocab_size: int | None = None,
    joint: bool = True,
    normalization: Normalization = "nfkc",
    lowercase: bool = False,
    min_frequency: int = 1,
) -> PreTrainedTokenizerFast | RnnSeq2SeqTokenizer:
    """Train a tokenizer that appends `</s>` to every text and decodes back to clean text.

    Ids 0 to 3 are `<pad>`, `<s>` (where decoding starts), `</s>` and `<unk>`. Words are split at white space and
    around punctuation, and remember the space before them.

    Args:
        source (iterable of `str`, or path of a text file): source sentences.
        target (iterable of `str`, or path of a text file, *optional*): target sentences.
        kind (`str`): `"bpe"` (Sennrich et al. 2016), `"unigram"` (Kudo 2018), `"wordpiece"` (Schuster and Nakajima
            2012), `"word"` (whole words) or `"char"` (single characters).
        vocab_size (`int`): number of tokens, special tokens included; fewer if the text does not hold as many.
        target_vocab_size (`int`, *optional*): the target's number when `joint=False`, `vocab_size` if not given.
        joint (`bool`): True: one vocabulary learnt from both sides. False: one for each.
        normalization (`str`): Unicode form, `"nfkc"`, `"nfc"` or `"none"`.
        lowercase (`bool`): lower-case all text, source and target.
        min_frequency (`int`): leave out what is seen less often (`"unigram"` decides by itself).

    Returns:
        `PreTrainedTokenizerFast` if joint, else `RnnSeq2SeqTokenizer`; both load with `AutoTokenizer`.

    Raises:
        ValueError: if `kind` or `normalization` is unknown, `vocab_size` leaves no room for text, the text is empty,
            or `joint=False` comes without `target`.
    """
    _check_arguments(kind, vocab_size, normalization)
    if not joint and target is None:
        raise ValueError("`joint=False` trains a vocabulary for each side and needs `target`, got None.")

    def train(texts: Iterable[str], size: int) -> Tokenizer:
        return _train_one(texts, kind, size, normalization, lowercase, min_frequency)

    names = {"pad_token": PAD, "bos_token": BOS, "eos_token": EOS, "unk_token": UNK}
    if joint:
        texts = _chain(source, *([] if target is None else [target]))
        tokenizer = train(texts, vocab_size)
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    return RnnSeq2SeqTokenizer(
        tokenizer_object=train(_chain(source), vocab_size),
        target_tokenizer_object=train(_chain(target), target_vocab_size or vocab_size),
        **names,
    )


def _check_arguments(kind: str, vocab_size: int, normalization: str) -> None:
    if kind not in _BUILDERS:
        raise ValueError(f"`kind` must be one of {', '.join(_BUILDERS)}, got {kind!r}.")
    if normalization not in _UNICODE_FORMS:
        raise ValueError(f"`normalization` must be one of {', '.join(_UNICODE_FORMS)}, got {normalization!r}.")
    if vocab_size <= len(SPECIAL_TOKENS):
        raise ValueError(
            f"`vocab_size` must be larger than the {len(SPECIAL_TOKENS)} special tokens, got {vocab_size}."
        )


def _chain(*sides: Iterable[str] | str | Path) -> Iterator[str]:
    """Sentences of all sides; a string or path names a text file."""
    for side in sides:
        if isinstance(side, str | Path):
            with open(side, encoding="utf-8", newline="\n") as lines:
                yield from (line.rstrip("\n") for line in lines)
        else:
            yield from side


def _train_one(texts, kind, vocab_size, normalization, lowercase, min_frequency) -> Tokenizer:
    tokenizer, trainer = _BUILDERS[kind](vocab_size, min_frequency)
    tokenizer.normalizer = _build_normalizer(normalization, lowercase)
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() <= len(SPECIAL_TOKENS):
        raise ValueError("The training text is empty: no token was found; check the files or columns given.")
    eos = (EOS, tokenizer.token_to_id(EOS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B:1 {EOS}:1", special_tokens=[eos]
    )
    return tokenizer


_UNICODE_FORMS: dict[str, Callable | None] = {"nfkc": normalizers.NFKC, "nfc": normalizers.NFC, "none": None}


def _build_normalizer(normalization: str, lowercase: bool) -> normalizers.Normalizer:
    form = _UNICODE_FORMS[normalization]
    steps = [form()] if form else []
    if lowercase:
        steps.append(normalizers.Lowercase())
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence(steps)


def _split_words(tokenizer: Tokenizer) -> None:
    """Split at white space, keeping it as a mark, and around every character that is no letter, digit or mark."""
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=WORD_MARK, prepend_scheme="always"),
            pre_tokenizers.Split(Regex(rf"{WORD_MARK}?[^\w\s{WORD_MARK}]"), behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement=WORD_MARK, prepend_scheme="always")


def _build_bpe(vocab_size: int, min_frequency: int):
    tokenizer = Tokenizer(models.BPE(unk_token=UNK, fuse_unk=True))
    _split_words(tokenizer)
    return tokenizer, trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=SPECIAL_TOKENS, show_progress=False
    )


def _build_unigram(vocab_size: int, min_frequency: int):
    tokenizer = Tokenizer(models.Unigram())
    _split_words(tokenizer)
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL_TOKENS, unk_token=UNK, show_progress=False
    )


def _build_wordpiece(vocab_size: int, min_frequency: int):
    # words already carry their mark, so pieces inside a word need no "##"
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK, continuing_subword_prefix=""))
    _split_words(tokenizer)
    return tokenizer, trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=SPECIAL_TOKENS,
        continuing_subword_prefix="",
        show_progress=False,
    )


def _build_word(vocab_size: int, min_frequency: int):
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
    _split_words(tokenizer)
    return tokenizer, trainers.WordLevelTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=SPECIAL_TOKENS, show_progress=False
    )


def _build_char(vocab_size: int, min_frequency: int):
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=WORD_MARK, prepend_scheme="never", split=False),
            pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace(WORD_MARK, " "), decoders.Fuse()])
    return tokenizer, trainers.WordLevelTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=SPECIAL_TOKENS, show_progress=False
    )


_BUILDERS = {
    "bpe": _build_bpe,
    "unigram": _build_unigram,
    "wordpiece": _build_wordpiece,
    "word": _build_word,
    "char": _build_char,
}
