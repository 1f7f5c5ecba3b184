"""Flags of `specdec ensemble` that would change nothing beside what else was asked for: they are refused."""

from __future__ import annotations

from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.setting_options import Given
from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft
from specdec_cli.settings.ensembles import execution_name

PLAIN_MEMBERS = "without --method the models draft by plain decoding"
NO_CHAINS = ("plain", "mixture", "auto")


def refuse_if(useless: object, flag: str, reason: str, hint: str) -> None:
    """Refuse a flag.

    Raises:
        InputError: it is useless.
    """
    if useless:
        raise InputError(f"{flag} has no use: {reason}.", hint)


def require_no_shape(flags: Given, reason: str, hint: str = "Leave it out.") -> None:
    """Check that no flag says what trees are drafted, where none are.

    Args:
        flags: as given.
        reason: why none are.
        hint: what to do about it.

    Raises:
        InputError: one does.
    """
    for name in (*groups.TREE, *groups.GROWTH):
        refuse_if(name in flags, f"--{name.replace('_', '-')}", reason, hint)


def require_used_by_tokens(flags: Given, settings: Settings, cache: bool) -> None:
    """Check the flags of an algorithm that decodes token by token.

    Raises:
        InputError: one of them changes nothing.
    """
    out = "Leave it out."
    copies = settings.draft is not None and parse_draft(settings.draft).is_ngram
    refuse_if("ngram_size" in flags and not copies, "--ngram-size", "no proposal is copied here", out)
    refuse_if(not cache, "--no-cache", "only the rounds of specem can read everything anew", out)
    if settings.gammas:
        execution = execution_name(settings)
        reason = f"--exec {execution} takes no proposal lengths"
        hint = "Leave it out, or add --exec sd or --exec chef."
        refuse_if("gamma" in flags and execution in NO_CHAINS, "--gamma", reason, hint)


def require_used_by_segments(flags: Given, settings: Settings, show_owners: bool) -> None:
    """Check the flags of an algorithm of segments.

    Args:
        flags: as given.
        settings: of the members, as they will draft.
        show_owners: whether `--show-owners` was given.

    Raises:
        InputError: one of them changes nothing.
    """
    plain = METHODS[settings.method].is_plain
    alone, hint = PLAIN_MEMBERS, "Leave it out, or add --method sps."
    refuse_if(plain and "ngram_size" in flags, "--ngram-size", alone, hint)
    refuse_if("max_tokens" in flags, "--max-tokens", "specem counts words", "Use --max-words.")
    refuse_if("target" in flags, "--target", "--models names all models", "Name it with --models.")
    refuse_if(plain and "draft" in flags, "--draft", alone, hint)
    refuse_if(plain and "gamma" in flags, "--gamma", alone, hint)
    many = "all models draft chains of one length"
    refuse_if(len(settings.gammas) > 1, "--gamma", many, "Give one, such as --gamma 5.")
    refuse_if(show_owners, "--show-owners", "the rounds that are told name their winners", "Leave it out.")


def require_used_by_files(stream: bool | None, show_owners: bool, as_json: bool) -> None:
    """Check the flags of a run over many prompts.

    Raises:
        InputError: one of them changes nothing.
    """
    given = {"--stream": stream, "--show-owners": show_owners, "--json": as_json}
    for flag, useless in given.items():
        refuse_if(useless, flag, "with --input the answers go to the file of --output", "Leave it out.")
