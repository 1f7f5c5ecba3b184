"""The tokenizer that a GGUF file describes, its switches as llama.cpp and the original tokenizers read them.

Two kinds are read. `gpt2` is byte-level BPE; which pieces the text is first cut into is `tokenizer.ggml.pre`.
`llama` is SentencePiece's BPE, whose merges follow from the tokens' scores. Others (`bert`, `t5`, `rwkv`...)
are refused by name, as is every switch that would change the tokens and is not known here.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from specdec_cli.models.gguf.header import GgufHeader
from specdec_cli.models.gguf.tokenizer_engines import (
    CONTROL,
    GGML,
    USER_DEFINED,
    WHOLE_FIRST,
    byte_level,
    cutting_name,
    flag,
    refused,
    sentence_piece,
    token_id,
    token_list,
    token_types,
)

ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")
ROLES = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}
READ = {
    *(GGML + role for role in (*ENDS, *ROLES.values())),
    *(GGML + key for key in ("model", "pre", "tokens", "scores", "token_type", "merges")),
    *(GGML + key for key in ("add_bos_token", "add_eos_token", "add_space_prefix")),
}
# Ids for other uses (infilling, classification), and copies of what is read from elsewhere.
HARMLESS = {
    *(GGML + key for key in ("seperator_token_id", "cls_token_id", "mask_token_id", "token_type_count")),
    *(GGML + f"fim_{part}_token_id" for part in ("pre", "suf", "mid", "pad", "rep", "sep")),
    *(GGML + f"{part}_token_id" for part in ("prefix", "suffix", "middle")),
    "tokenizer.huggingface.json",
}
NEUTRAL = {GGML + "add_sep_token": False, GGML + "remove_extra_whitespaces": False}


def build_tokenizer(header: GgufHeader) -> Any:
    """The tokenizer that the file describes, as a fast Hugging Face tokenizer.

    Raises:
        InputError: it is of another kind, damaged, or has a switch that is not known here.
    """
    from transformers import PreTrainedTokenizerFast

    keys = header.keys
    _require_known(header)
    tokens = token_list(header)
    kind = keys.get(GGML + "model")
    if kind == "gpt2":
        engine = byte_level(header, tokens)
    elif kind == "llama":
        engine = sentence_piece(header, tokens)
    else:
        raise refused(header, f"its tokenizer is of the kind {kind!r}, and only gpt2 and llama are read")
    roles = {role: tokens[number] for role, number in _roles(header, len(tokens)).items()}
    _add_special(header, engine, tokens, set(roles.values()))
    _open_and_close(header, engine, roles)
    make: Any = PreTrainedTokenizerFast  # it has no annotations
    inner = make(tokenizer_object=engine, **roles)
    inner.chat_template = _templates(header)
    return inner


def end_ids(header: GgufHeader) -> list[int]:
    """Tokens that end a text or a turn: eos, and eot and eom where the file has them."""
    count = len(token_list(header))
    ends = [token_id(header, name, count) for name in ENDS]
    return list(dict.fromkeys(each for each in ends if each is not None))


def role_ids(header: GgufHeader) -> dict[str, int]:
    """Ids of the opening, closing, unknown and filling tokens, by transformers' names of them."""
    return _roles(header, len(token_list(header)))


def vocabulary_size(header: GgufHeader) -> int:
    """How many tokens the file lists."""
    return len(token_list(header))


def _require_known(header: GgufHeader) -> None:
    for key, value in header.keys.items():
        known = key in READ or key in HARMLESS or key.startswith("tokenizer.chat_template")
        neutral = key in NEUTRAL and value == NEUTRAL[key]
        if key.startswith("tokenizer.") and not known and not neutral:
            raise refused(
                header, f"{key[:60]} = {str(value)[:40]} changes the tokens in a way not known here"
            )


def _roles(header: GgufHeader, count: int) -> dict[str, int]:
    found = {role: token_id(header, name, count) for role, name in ROLES.items()}
    return {role: number for role, number in found.items() if number is not None}


def _add_special(header: GgufHeader, engine: Tokenizer, tokens: list[str], roles: set[str]) -> None:
    """Control tokens are special; user-defined ones are whole too, but text."""
    types = token_types(header, len(tokens))
    strips = _strips_after(header)
    control = [
        AddedToken(token, normalized=False, special=True, rstrip=strips(token))
        for token, kind in zip(tokens, types, strict=True)
        if kind == CONTROL or token in roles
    ]
    engine.add_special_tokens(control)
    own = [
        AddedToken(token, normalized=False, special=False)
        for token, kind in zip(tokens, types, strict=True)
        if kind == USER_DEFINED and token not in roles and engine.token_to_id(token) is not None
    ]
    if own:
        engine.add_tokens(own)


def _strips_after(header: GgufHeader) -> Any:
    """Phi-3's special tokens swallow the white space behind them; no key says so: llama.cpp goes by name."""
    name = str(header.keys.get("general.name", "")).lower()
    phi3 = header.keys.get(GGML + "model") == "llama" and ("phi-3" in name or "phi3" in name)
    return lambda token: phi3 and token not in ("<unk>", "<s>", "<|endoftext|>")


def _open_and_close(header: GgufHeader, engine: Tokenizer, roles: dict[str, str]) -> None:
    kind, pre = header.keys.get(GGML + "model"), cutting_name(header)
    opens = flag(header, "add_bos_token", kind == "llama" or pre in WHOLE_FIRST)
    closes = flag(header, "add_eos_token", False)
    for wanted, role in ((opens, "bos_token"), (closes, "eos_token")):
        if wanted and role not in roles and GGML + f"add_{role}" in header.keys:
            raise refused(header, f"{GGML}add_{role} is set, and the file names no such token")
    before = [roles["bos_token"]] if opens and "bos_token" in roles else []
    after = [roles["eos_token"]] if closes and "eos_token" in roles else []
    if before or after:
        special = [(token, engine.token_to_id(token)) for token in {*before, *after}]
        engine.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *after], pair=[*before, "$A", "$B", *after], special_tokens=special
        )


def _templates(header: GgufHeader) -> Any:
    """The chat template, or all of them by name."""
    prefix = "tokenizer.chat_template."
    default = header.keys.get("tokenizer.chat_template")
    named = {key.removeprefix(prefix): text for key, text in header.keys.items() if key.startswith(prefix)}
    wrong = [text for text in (default, *named.values()) if not isinstance(text, str | None)]
    if wrong:
        raise refused(header, "its chat template is no text")
    if not named:
        return default
    return named if default is None else {"default": default, **named}
