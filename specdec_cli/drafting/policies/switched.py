"""One policy where the draft is sure of its likeliest token, another where it is not.

Hubs win where the draft is peaked, samples without replacement where it is flat. The choice looks at the
draft's distribution alone, before anything is drawn, so it changes no law.
"""

from __future__ import annotations

import torch
from torch import Tensor

from specdec_cli.drafting.policies.base import Children, Draws, Policy


def switched(sure: Policy, unsure: Policy, above: float) -> Policy:
    """`sure` for rows whose likeliest token has more probability than `above`, `unsure` for the others."""

    def propose(draft: Tensor, count: int, draws: Draws) -> Children:
        is_sure = draft.amax(-1) > above
        tokens = draft.new_zeros((len(draft), count), dtype=torch.int64)
        exists = torch.zeros_like(tokens, dtype=torch.bool)
        certain = torch.zeros_like(exists)
        proposals = [torch.zeros_like(draft) for _ in range(count)]
        for chosen, policy in ((is_sure, sure), (~is_sure, unsure)):
            rows = chosen.nonzero()[:, 0]
            if not len(rows):
                continue
            children = policy(draft[rows], count, draws.of(rows.tolist()))
            made = children.tokens.shape[-1]
            tokens[rows, :made] = children.tokens
            exists[rows, :made] = children.exists
            for column, proposal in enumerate(children.proposals):
                if proposal is None:
                    certain[rows, column] = True
                else:
                    proposals[column][rows] = proposal
        return Children(tokens, exists, proposals, certain)

    return propose
