"""How long a prompt may be, by its characters before it is cut into tokens, and by its tokens after."""

from __future__ import annotations

from specdec_cli.errors import InputError

LONGEST_TOKEN = 256  # characters: the longest that tokenizers in use have are runs of 128 spaces
LONGEST_PROMPT = 16 << 20  # characters
LONGER = "Shorten the prompt, or choose a target with a longer context."


def require_characters(prompt: str, context: int) -> None:
    """Refuse a text that no context holds before it is cut into tokens, which takes time.

    Args:
        prompt: the text.
        context: tokens that the model can read.

    Raises:
        InputError: it is empty, or too long.
    """
    if not prompt.strip():
        raise InputError("The prompt is empty.", 'Give some text with -p "...", or -p - for standard input.')
    most = min(LONGEST_PROMPT, context * LONGEST_TOKEN)
    if len(prompt) > most:
        problem = f"The prompt has {len(prompt):,} characters; no more than {most:,} are read here."
        raise InputError(problem, LONGER)


def require_chat(asked: bool | None, system: str | None, has_template: bool) -> None:
    """Refuse a conversation with a model that knows none, and a system message outside of one.

    Args:
        asked: whether prompts go into the chat template; None where the tokenizer decides.
        system: message, if there is one.
        has_template: whether the tokenizer has a chat template.

    Raises:
        InputError: it is so.
    """
    if asked and not has_template:
        raise InputError("The model's tokenizer has no chat template.", "Continue plain text with --raw.")
    if system is not None and not (has_template if asked is None else asked):
        raise InputError("A system message needs a chat template.", "Leave out --system, or use --chat.")


def require_tokens(length: int, wanted: int, context: int, name: str) -> None:
    """Refuse a prompt that has no tokens, or leaves no room in the context for the answer.

    Args:
        length: of the prompt, in tokens.
        wanted: tokens of the answer.
        context: tokens that the model can read.
        name: of the model.

    Raises:
        InputError: it is so.
    """
    if not length:
        raise InputError("The prompt has no tokens: the tokenizer leaves all of it out.", "Give other text.")
    if length >= context:
        problem = f"The prompt has {length:,} tokens and the context of {name} holds {context:,}."
        raise InputError(problem, LONGER)
    if length + wanted > context:
        problem = f"The prompt of {length:,} tokens and {wanted:,} more exceed the context of {context:,}."
        raise InputError(problem, f"Use --max-tokens {context - length} or fewer, or a shorter prompt.")
