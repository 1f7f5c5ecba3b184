"""A completion as the user sees it: text as it comes, a line of figures, or a JSON record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from specdec_cli.engine.completion import Completion
from specdec_cli.engine.stats import RunStats
from specdec_cli.engine.text import Piece
from specdec_cli.reporting.console import err, out
from specdec_cli.runtime.promise import Promise
from specdec_cli.settings import Settings

SCHEMA_VERSION = 1
ACCEPTED_STYLE = "bold green"
OWNER_STYLES = ("bold green", "bold blue", "bold magenta", "bold yellow", "bold cyan", "bold red")


def show_pieces(pieces: Sequence[Piece], show_accepted: bool) -> None:
    """Print pieces of text to stdout without a line end.

    On a terminal, tokens that were guessed are green, those of an ensemble in the colour of their model.
    """
    if not pieces:
        return
    text = Text.assemble(*((piece.text, _style(piece) if show_accepted else "") for piece in pieces))
    console = out()
    if show_accepted and console.is_terminal:
        console.print(text, end="", soft_wrap=True)
    else:
        console.file.write(text.plain)
    console.file.flush()


def _style(piece: Piece) -> str:
    if piece.owner is not None:
        return OWNER_STYLES[piece.owner % len(OWNER_STYLES)]
    return ACCEPTED_STYLE if piece.drafted else ""


def report_members(names: Sequence[str]) -> None:
    """Print to stderr which colour is which model's; what all agreed on beyond the guesses has none."""
    parts: list[tuple[str, str] | str] = []
    for index, name in enumerate(names):
        parts += [(name, OWNER_STYLES[index % len(OWNER_STYLES)]), " · "]
    err().print(Text.assemble(*parts, "plain: the law of all of them"), soft_wrap=True)


def shows_colour() -> bool:
    """Whether accepted tokens can be told from the others on stdout."""
    return out().is_terminal and not out().is_dumb_terminal


def end_line() -> None:
    """End the line of the text."""
    out().out("", highlight=False)


def report_stats(stats: RunStats, members: Sequence[str] = (), note: str = "") -> None:
    """Print the line of figures to stderr, and what they depend on besides the machine."""
    err().print(Text(stats_line(stats, members) + note, style="dim"), soft_wrap=True)


def stats_line(stats: RunStats, members: Sequence[str] = ()) -> str:
    """Tokens, speed, tokens per pass, acceptance rate, passes and time to the first token."""
    if not stats.passes:
        return "0 tokens"
    parts = [
        f"{stats.tokens} tokens",
        f"{stats.tokens_per_second:.1f} tok/s",
        f"{stats.tokens_per_pass:.2f} tokens per pass",
    ]
    if stats.acceptance_rate is not None:
        parts.append(f"acceptance rate {stats.acceptance_rate:.0%} ({stats.accepted}/{stats.drafted})")
    if stats.calls_per_token is None:
        parts.append(f"{stats.passes} target passes")
    else:
        parts.append(f"{stats.calls_per_token:.2f} calls per token ({_by_member(stats, members)})")
    parts.append(f"first token after {stats.first_token_seconds:.2f} s")
    return " · ".join(parts)


def _by_member(stats: RunStats, members: Sequence[str]) -> str:
    """Calls of each model of an ensemble, and how many of its guesses were accepted."""
    parts = []
    for name, share in zip(members, stats.shares, strict=True):
        rate = f", {share.accepted}/{share.drafted} accepted" if share.drafted else ""
        parts.append(f"{name}: {share.calls}{rate}")
    return "; ".join(parts)


def _ensemble_record(completion: Completion) -> dict[str, Any]:
    """What a record says of an ensemble's models; nothing of a single model."""
    stats = completion.stats
    if not stats.shares:
        return {}
    members = [
        asdict(share) | {"acceptance_rate": share.accepted / share.drafted if share.drafted else None}
        for share in stats.shares
    ]
    return {
        "ensemble": {
            "owners": completion.owners,
            "calls_per_token": stats.calls_per_token,
            "members": members,
        }
    }


def completion_record(
    prompt: str,
    prompt_tokens: Sequence[int],
    completion: Completion,
    settings: Settings,
    models: Mapping[str, object],
    machine: Mapping[str, str | int],
    identical: Promise | None,
) -> dict[str, Any]:
    """Everything about a run, for JSON; times are in seconds, `identical` is of `runtime.promise`."""
    stats = completion.stats
    return {
        "schema_version": SCHEMA_VERSION,
        "prompt": prompt,
        "text": completion.text,
        "token_ids": completion.tokens,
        "finish_reason": completion.finish_reason,
        "identical": identical,
        "accepted_lengths": stats.accepted_lengths,
        "stats": {
            "prompt_tokens": len(prompt_tokens),
            "tokens": stats.tokens,
            "target_passes": stats.passes,
            "drafted": stats.drafted,
            "accepted": stats.accepted,
            "acceptance_rate": stats.acceptance_rate,
            "tokens_per_pass": stats.tokens_per_pass,
            "tokens_per_second": stats.tokens_per_second,
        },
        "timings": {
            "prefill_seconds": stats.prefill_seconds,
            "first_token_seconds": stats.first_token_seconds,
            "decode_seconds": stats.decode_seconds,
            "draft_seconds": stats.draft_seconds,
            "target_seconds": stats.target_seconds,
            "overhead_seconds": stats.overhead_seconds,
        },
        "settings": asdict(settings),
        "models": dict(models),
        "machine": dict(machine),
    } | _ensemble_record(completion)
