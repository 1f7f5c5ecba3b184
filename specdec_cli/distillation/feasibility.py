"""What of a recipe cannot be done with a target, said before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.distillation.chat_turns import Frame
from specdec_cli.distillation.recipe import Recipe
from specdec_cli.distillation.students import require_plain_head
from specdec_cli.errors import InputError
from specdec_cli.models.loader import LoadedModel


def require_possible(target: LoadedModel, recipe: Recipe) -> None:
    """Check that a target can teach a draft by a recipe.

    Raises:
        InputError: texts longer than the target's context, or a draft with as many layers as the target.
        MismatchError: no draft can learn from it.
    """
    if recipe.length > target.context:
        problem = (
            f"--length {recipe.length:,} exceeds the context of {target.name}, {target.context:,} tokens."
        )
        raise InputError(problem, f"Use --length {target.context} or less.")
    if recipe.layers >= target.layers:
        problem = (
            f"--layers {recipe.layers} makes no smaller model than {target.name}, which has {target.layers}."
        )
        raise InputError(problem, "Use fewer layers, or a larger target.")
    require_plain_head(target)


def openings_that_fit(
    openings: Sequence[Sequence[int]], frame: Frame, *, whole: bool, length: int
) -> list[Sequence[int]]:
    """The openings that leave the target a token to say; a text without one has nothing to learn from.

    Args:
        openings: see `Dialogue`.
        frame: of the target.
        whole: see `Dialogue`.
        length: of the texts.

    Raises:
        InputError: none of them does.
    """
    around = len(frame.before) + (len(frame.after_user) if whole else 0)
    found = [each for each in openings if around + len(each) < length]
    if not found:
        shortest = around + min(len(each) for each in openings) + 1
        problem = f"--length {length} holds no more than a chat template with its prompt."
        raise InputError(problem, f"Use --length {shortest} at least, and better a multiple of that.")
    return found
