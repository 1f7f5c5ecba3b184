"""What is promised of a text beside the one that plain decoding writes with the same settings and seed."""

from __future__ import annotations

from typing import Literal

from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.build import sampling_of
from specdec_cli.settings import Settings
from specdec_cli.settings.ensembles import execution_name, member_names

Promise = Literal["bitwise", "up to ties"]
BITWISE: Promise = "bitwise"
UP_TO_TIES: Promise = "up to ties"


def identical(settings: Settings, bitwise: bool) -> Promise | None:
    """Whether a text is the one that plain decoding writes: what `identical` says wherever it is shown.

    Args:
        settings: of the run.
        bitwise: whether every model whose logits decide the text gives a row the same bits in every pass: the
            target, all members of an ensemble, with SpecEM all that draft or judge. A draft decides nothing.

    Returns:
        "bitwise": the same text, token for token. "up to ties": the same where no two tokens are so near each
        other that rounding decides. None: another sample of the same law, by chance of its own.
    """
    if not (sampling_of(settings).is_greedy or _emits_own_sample(settings)):
        return None
    return BITWISE if bitwise else UP_TO_TIES


def _emits_own_sample(settings: Settings) -> bool:
    """Whether each token is drawn from the law by the noise of its position, whatever was guessed."""
    method = METHODS[settings.method]
    if not method.is_ensemble:
        return method.emits_own_sample
    return execution_name(settings) == "plain" or len(member_names(settings)) == 1
