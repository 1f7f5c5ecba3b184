"""Draft trees of a generation, drawn in the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.text import Text
from rich.tree import Tree

from specdec_cli.reporting.console import out
from specdec_cli.tracing.inspection import ACCEPTED, REJECTED, UNREACHED, Guess, StepPicture

SCHEMA_VERSION = 1
STYLES = {ACCEPTED: "bold green", REJECTED: "red", UNREACHED: "dim"}
MARKS = {ACCEPTED: "+", REJECTED: "-", UNREACHED: " "}
VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"})
LEGEND = "+ accepted  - rejected  = what came instead  t, d: target's, draft's probability"


def show_legend() -> None:
    """Print what the marks mean."""
    out().print(Text(LEGEND, style="dim"))


def show_step(picture: StepPicture) -> None:
    """Print one step's tree; no line of it is wrapped inside a word where the screen is wide enough."""
    out().print(step_tree(picture))


def step_tree(picture: StepPicture) -> Tree:
    """One step: the guesses as a tree, and below the last accepted one the token that came instead."""
    drawn = Tree(_heading(picture), guide_style="dim")
    branches = {-1: drawn}
    last = -1
    for node, guess in enumerate(picture.guesses):
        branches[node] = branches[guess.parent].add(_guess(guess))
        if guess.fate == ACCEPTED:
            last = node
    branches[last].add(_came(picture))
    return drawn


def visible(text: str) -> str:
    """A token's text with its whitespace made visible."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text.translate(VISIBLE))


def inspection_record(prompt: str, pictures: Iterable[StepPicture], settings: object) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "prompt": prompt,
        "settings": settings,
        "steps": [asdict(each) for each in pictures],
    }


def _heading(picture: StepPicture) -> Text:
    guessed = len(picture.guesses)
    counts = f"{picture.accepted} of {guessed} accepted" if guessed else "nothing drafted"
    ending = f", ends: {picture.finish_reason}" if picture.finish_reason else ""
    return Text.assemble(
        (f"step {picture.number}", "bold"),
        f" at {picture.position}: {counts}, +{picture.emitted}{ending}  ",
        (visible(picture.after), "dim"),
    )


def _guess(guess: Guess) -> Text:
    style = STYLES[guess.fate]
    return Text.assemble(
        (f"{MARKS[guess.fate]} {visible(guess.text)}", style), *_chances(guess.target, guess.draft)
    )


def _came(picture: StepPicture) -> Text:
    text = Text(f"= {visible(picture.next_text)}", style="bold yellow")
    return Text.assemble(text, *_chances(picture.next_probability, None))


def _chances(target: float | None, draft: float | None) -> list[tuple[str, str]]:
    named = (("t", target), ("d", draft))
    return [(f"  {name} {chance:.3f}", "dim") for name, chance in named if chance is not None]
