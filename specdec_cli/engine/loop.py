"""The one decoding loop: draft, score, verify, extend.

It knows roles, not classes; it never turns tokens into text and never prints. Streaming, statistics and
tables are consumers of its steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter

from specdec_cli.engine.roles import Roles, Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.sampling.randomness import Randomness


def decode(prompt: Sequence[int], roles: Roles, randomness: Randomness, stopping: Stopping) -> Iterator[Step]:
    """Extend `prompt` until `stopping` ends it, one pass of the target at a time.

    The tokens of all steps together are distributed as the target's own would be (Leviathan, Kalman & Matias
    2023, https://arxiv.org/abs/2211.17192, for one guess a position; for trees see each verifier's paper).

    Args:
        prompt: token ids, at least one.
        roles: who guesses, who scores, who decides.
        randomness: chance; every draw has a key of its own.
        stopping: what ends the text; it counts what is emitted, so that each text needs one of its own.

    Yields:
        What each pass of the target came to.

    Raises:
        NotFiniteError: a model gives no distribution.
    """
    target, drafter, verify = roles.target, roles.drafter, roles.verify
    begun = perf_counter()
    target.begin(prompt)
    drafter.begin(prompt)
    prefill_seconds = perf_counter() - begun
    position = len(prompt)
    finish_reason = None
    while finish_reason is None:
        begun, draft_before, target_before = perf_counter(), drafter.forward_seconds, target.forward_seconds
        # A step emits one token beyond what it accepts, so leave room for it.
        depth = min(stopping.remaining - 1, target.reach)
        tree = drafter.propose(position, depth, randomness)
        verdict = verify(tree, target.score(tree), randomness, position)
        emitted = [*(tree.tokens[node] for node in verdict.path), verdict.next_token]
        kept, finish_reason = stopping.cut(emitted)
        if finish_reason is None:
            target.commit(verdict.path, emitted)
            drafter.commit(verdict.path, emitted)
        yield Step(
            tokens=tuple(emitted[:kept]),
            accepted=min(kept, len(verdict.path)),
            drafted=len(tree),
            depth=max(tree.depths(), default=0),
            seconds=perf_counter() - begun,
            draft_seconds=drafter.forward_seconds - draft_before,
            target_seconds=target.forward_seconds - target_before,
            prefill_seconds=prefill_seconds,
            least_score=min(tree.scores, default=None),
            finish_reason=finish_reason,
        )
        prefill_seconds = 0.0
        position += kept
