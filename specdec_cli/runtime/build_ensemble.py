"""Settings and models become an ensemble and its execution."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.ensemble.combiners import Combiner, Contrastive, LogitSum, WeightedAverage
from specdec_cli.ensemble.execution import Execution, lengths
from specdec_cli.ensemble.members import Ensemble, Member
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.build import VERIFIERS, sampling_of
from specdec_cli.settings import Settings
from specdec_cli.settings.ensembles import alpha_of, combined_of, combiner_name, execution_name, weights_of


def combiner_of(settings: Settings) -> Combiner:
    """The law that these settings declare."""
    name, processed = combiner_name(settings), combined_of(settings) == "logits"
    if name == "weighted":
        return WeightedAverage(weights_of(settings))
    if name == "geometric":
        return LogitSum(weights_of(settings), processed)
    alpha = alpha_of(settings)
    if name == "proxy":
        return LogitSum((1.0, alpha, -alpha), processed)
    return Contrastive(alpha, settings.plausibility, processed)


def ensemble_of(settings: Settings, members: Sequence[Member], vocab_size: int) -> Ensemble:
    """Members under the law of these settings.

    Args:
        settings: of the law and the sampling.
        members: in the order in which the settings name them.
        vocab_size: of the shared vocabulary.
    """
    weights = weights_of(settings) if combiner_name(settings) == "weighted" else None
    return Ensemble(tuple(members), combiner_of(settings), sampling_of(settings), vocab_size, weights)


def execution_of(settings: Settings, sizes: Sequence[float]) -> Execution:
    """How these settings sample the law; `--exec auto` is decided in `ensemble/auto.py`.

    Args:
        settings: checked.
        sizes: cost of each member.
    """
    kind = execution_name(settings)
    verify = VERIFIERS[METHODS[settings.method].verify[settings.verify]]
    return Execution(kind, lengths(kind, settings.gammas, sizes), verify)
