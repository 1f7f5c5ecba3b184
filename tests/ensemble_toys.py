"""Ensembles of toys: laws over a few tokens whose acceptance rates are known."""

import torch

from specdec_cli.audit.ensembles import ToyReader
from specdec_cli.engine.roles import Share
from specdec_cli.engine.stopping import Stopping
from specdec_cli.ensemble.combiners import WeightedAverage
from specdec_cli.ensemble.execution import Execution, lengths, run
from specdec_cli.ensemble.members import Ensemble, Member
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.sampling.randomness import SeededRandomness

PROMPT = (0, 1, 0)


def constant(*probs):
    """A law that does not look at the text."""
    law = torch.tensor(probs, dtype=torch.float64)
    return lambda text: law


def averaged(laws, weights=None, temperature=1.0, sizes=None):
    """The average of these laws, each member of the size given."""
    weights = weights or (1 / len(laws),) * len(laws)
    sizes = sizes or [1.0] * len(laws)
    readers = [ToyReader(law) for law in laws]
    members = [
        Member(reader, str(index), sizes[index], len(reader.law(PROMPT)), reader.context)
        for index, reader in enumerate(readers)
    ]
    return Ensemble(tuple(members), WeightedAverage(weights), Sampling(temperature), weights)


def steps(ensemble, kind, length, gammas=(), seed=0):
    """The steps of a text of that length."""
    sizes = [member.size for member in ensemble.members]
    execution = Execution(kind, lengths(kind, gammas, sizes))
    return list(run(ensemble, execution, PROMPT, SeededRandomness(seed), Stopping(length)))


def tokens(made):
    return [token for step in made for token in step.tokens]


def totals(made):
    """Each member's share of all steps."""
    found = [Share()] * len(made[0].shares)
    for step in made:
        found = [old + new for old, new in zip(found, step.shares, strict=True)]
    return found


def calls_per_token(made):
    return sum(share.calls for share in totals(made)) / len(tokens(made))
