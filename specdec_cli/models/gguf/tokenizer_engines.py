"""What cuts and merges text, of the two kinds of tokenizer that are read from GGUF files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from specdec_cli.errors import InputError
from specdec_cli.models.gguf.header import GgufHeader, unreadable

GGML = "tokenizer.ggml."
HINT = "Use the checkpoint that the file was made from."
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPACE = "\u2581"
# SentencePiece's own ids, where a file of that kind leaves them out.
USUAL = {"unknown_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

# Vocabularies whose pieces are looked up whole before any merge, and that begin with their bos token.
WHOLE_FIRST = {
    "llama3",
    "llama-v3",
    "llama-bpe",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "tekken",
}
# Cut as GPT-2 cuts; in the second row after every digit was set apart.
AS_GPT2 = {
    "",
    "default",
    "gpt-2",
    "phi-2",
    "mpt",
    "olmo",
    "jais",
    "roberta-bpe",
    "a.x-4.0",
    "mellum",
    "gigachat",
}
DIGITS_FIRST = {"smollm", "starcoder", "refact", "command-r", "codeshell"}
COMPOSED = {"qwen2", "qwen35", "deepseek-r1-qwen"}  # their originals normalise to NFC
AS_ANOTHER = {"stablelm2": "qwen2"}
WITH_SPLITS = "transformers.integrations.gguf.gguf_tokenizer_mapping"


def byte_level(header: GgufHeader, tokens: list[str]) -> Tokenizer:
    """Byte-level BPE, without its special tokens.

    Raises:
        InputError: a switch or a way of cutting that is not known, or merges that do not fit the tokens.
    """
    keys = header.keys
    if flag(header, "add_space_prefix", False):
        raise refused(header, f"{GGML}add_space_prefix is set for a byte-level tokenizer")
    pre = cutting_name(header)
    merges = keys.get(GGML + "merges")
    if not isinstance(merges, list) or not all(isinstance(each, str) for each in merges):
        raise refused(header, f"it has no merges ({GGML}merges)")
    pairs = [(each[:at], each[at + 1 :]) for each in merges if (at := each.find(" ", 1)) > 0]
    if len(pairs) != len(merges):
        raise refused(header, "one of its merges is no pair of tokens")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    try:
        model = models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=pre in WHOLE_FIRST)
    except Exception as error:  # the library raises a bare Exception
        raise refused(header, f"its merges do not fit its tokens: {error}") from error
    engine = Tokenizer(model)
    engine.pre_tokenizer = _cutting(header, pre)
    engine.decoder = decoders.ByteLevel()
    if pre in COMPOSED:
        engine.normalizer = normalizers.NFC()
    return engine


def cutting_name(header: GgufHeader) -> str:
    """How the file says that text is cut before it is merged; empty if it does not.

    Raises:
        InputError: it is no word.
    """
    name = header.keys.get(GGML + "pre", "")
    if not isinstance(name, str):
        raise refused(header, f"{GGML}pre is no word")
    return name


def sentence_piece(header: GgufHeader, tokens: list[str]) -> Tokenizer:
    """SentencePiece's BPE, without its special tokens.

    Raises:
        InputError: scores that do not fit the tokens.
    """
    from transformers.tokenization_utils_base import generate_merges

    scores: Any = header.keys.get(GGML + "scores")
    numbers = isinstance(scores, list) and all(type(each) is float and each == each for each in scores)
    if not numbers or len(scores) != len(tokens):
        raise refused(header, f"{GGML}scores has not one entry for each of {len(tokens)} tokens")
    plain, types = _spelled(tokens), token_types(header, len(tokens))
    vocabulary = {token: number for number, token in enumerate(plain)}
    if str(header.keys.get("general.architecture", "")).startswith("gemma"):
        scores = [-number for number in range(len(plain))]  # its scores are not in the order of its merges
    joined = {
        token: score
        for token, score, kind in zip(plain, scores, types, strict=True)
        if kind in (NORMAL, USER_DEFINED, UNUSED)
    }
    merges = generate_merges(
        vocabulary, joined, {t for t, k in zip(plain, types, strict=True) if k == CONTROL}
    )
    unknown = token_id(header, "unknown_token_id", len(tokens))
    engine = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=None if unknown is None else tokens[unknown],
            fuse_unk=True,
            byte_fallback=BYTE in types,
        )
    )
    prefix = flag(header, "add_space_prefix", True)
    spaces = normalizers.Replace(" ", SPACE)
    engine.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), spaces]) if prefix else spaces
    back = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    engine.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if prefix else back)
    return engine


def token_list(header: GgufHeader) -> list[str]:
    """The tokens by id.

    Raises:
        InputError: there is no list, or two are the same.
    """
    tokens = header.keys.get(GGML + "tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(each, str) for each in tokens):
        raise refused(header, f"it has no list of tokens ({GGML}tokens)")
    if len(set(tokens)) != len(tokens):
        seen: set[str] = set()
        twice = next(each for each in tokens if each in seen or seen.add(each))  # type: ignore[func-returns-value]
        raise refused(header, f"two of its tokens are {twice[:40]!r}")
    return tokens


def token_types(header: GgufHeader, count: int) -> list[int]:
    """The type of each token: `NORMAL`, `CONTROL`...

    Raises:
        InputError: there are more or fewer than tokens.
    """
    types = header.keys.get(GGML + "token_type", [NORMAL] * count)
    if not isinstance(types, list) or len(types) != count:
        raise refused(header, f"{GGML}token_type has not one entry for each of {count} tokens")
    return types


def token_id(header: GgufHeader, name: str, count: int) -> int | None:
    """The id that the file gives a role, such as "eos_token_id"; None if it has none.

    Raises:
        InputError: it is none of the tokens.
    """
    number = header.keys.get(GGML + name)
    if number is None and header.keys.get(GGML + "model") == "llama" and USUAL.get(name, count) < count:
        special = token_types(header, count)[USUAL[name]] in (CONTROL, UNKNOWN)
        return USUAL[name] if special else None
    if number is None:
        return None
    if type(number) is int and 0 <= number < count:
        return number
    if name in ("unknown_token_id", "padding_token_id"):
        return None  # llama.cpp warns and goes on, and neither is ever chosen here
    raise refused(header, f"{GGML}{name} is {number!r}, which is none of its {count} tokens")


def flag(header: GgufHeader, name: str, default: bool) -> bool:
    """A switch of the tokenizer.

    Raises:
        InputError: it is neither true nor false.
    """
    value = header.keys.get(GGML + name, default)
    if type(value) is not bool:
        raise refused(header, f"{GGML}{name} is {value!r}, neither true nor false")
    return value


def refused(header: GgufHeader, why: str) -> InputError:
    """The error for a tokenizer that is not read."""
    return unreadable(header.path, why, HINT)


def _cutting(header: GgufHeader, pre: Any) -> Any:
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre in AS_GPT2:
        return whole
    if pre in DIGITS_FIRST:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])
    try:
        split = import_module(WITH_SPLITS).GGUF_PRE_TOKENIZER_SPLITS.get(AS_ANOTHER.get(pre, pre))
    except (ImportError, AttributeError):  # before transformers 5.23
        split = None
    if split is None:
        raise refused(header, f"{GGML}pre is {pre!r}, a way of cutting text that is not known here")
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), behavior="isolated"), pieces])


def _spelled(tokens: list[str]) -> list[str]:
    """The tokens as merges spell them: Gemma's files have runs of spaces as spaces."""
    known = set(tokens)
    runs = {each: SPACE * len(each) for each in tokens if len(each) > 1 and not each.strip(" ")}
    return [each if runs.get(each, each) in known else runs[each] for each in tokens]
