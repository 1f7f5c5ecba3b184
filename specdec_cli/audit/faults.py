"""Bugs of kinds that have shipped elsewhere, to be planted: an audit that does not see them proves nothing.

Each damages the roles of a method, or the chance that they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from specdec_cli.audit.exact import Chance, Damage, fresh, intact
from specdec_cli.audit.toys import SampledLaw, ToyTarget
from specdec_cli.drafting.base import Drafter
from specdec_cli.engine.roles import Roles
from specdec_cli.runtime.build import sampling_of
from specdec_cli.sampling.distribution import residual
from specdec_cli.sampling.randomness import Key, Purpose, Randomness, accepting, emitting
from specdec_cli.settings import Settings
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import Rows, Verdict
from specdec_cli.verification.walk import Coins, walk_down


@dataclass(frozen=True)
class Fault:
    """A bug to plant.

    Attributes:
        name: what goes wrong.
        settings: of the method that it befalls.
        damage: to the roles.
        chance: what the roles draw from instead of fresh randomness.
    """

    name: str
    settings: dict[str, object]
    damage: Damage = intact
    chance: Chance = fresh


class _StaleChance:
    """Forgets when it is asked, as noise does that is made once for a text: for each node, each position."""

    def __init__(self, randomness: Randomness, position: int) -> None:
        self._randomness = randomness

    def bernoulli(self, probability: float, key: Key) -> bool:
        return self._randomness.bernoulli(probability, self._stale(key))

    def categorical(self, probs: Tensor, key: Key) -> int:
        return self._randomness.categorical(probs, self._stale(key))

    def categoricals(self, probs: Tensor, keys: Sequence[Key]) -> Tensor:
        return self._randomness.categoricals(probs, [self._stale(key) for key in keys])

    def exponentials(self, tokens: Tensor, key: Key) -> Tensor:
        return self._randomness.exponentials(tokens, key)

    def _stale(self, key: Key) -> Key:
        if key.purpose is Purpose.DRAFT:
            return key._replace(position=0, start=0)
        return key if key.purpose is Purpose.EMIT else key._replace(start=0)


def _skip_duplicates(roles: Roles, settings: Settings) -> Roles:
    """Duplicates are passed over, and the residual does not move on for them."""

    def rule(
        tokens: Sequence[int], proposals: Sequence[Tensor], target: Tensor, coins: Coins
    ) -> int | Tensor:
        remaining = target
        for sibling, (token, proposal) in enumerate(zip(tokens, proposals, strict=True)):
            if token in tokens[:sibling]:
                continue
            if coins.accepts(float(remaining[token]) / float(proposal[token]), sibling):
                return sibling
            remaining = residual(remaining, proposal)
        return remaining

    def verify(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        return walk_down(tree, target, randomness, position, rule)

    return replace(roles, verify=verify)


def _unscaled_block(roles: Roles, settings: Settings) -> Roles:
    """A block is judged by its running ratio, and its residual is not scaled by it."""

    def verify(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        kept, ratio = 0, 1.0
        for node, token in enumerate(tree.tokens):
            row = target[node]
            ratio = min(1.0, ratio * float(row[token]) / float(tree.proposal(node, row)[token]))
            if randomness.bernoulli(ratio, accepting(position + node, position)):
                kept = node + 1
        last = target[kept]
        law = last if kept == len(tree) else residual(last, tree.proposal(kept, last))
        return Verdict(tuple(range(kept)), randomness.categorical(law, emitting(position + kept)))

    return replace(roles, verify=verify)


class _Misrecorded:
    """A drafter whose record of its proposals is flatter than what it drew from."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter

    @property
    def forward_seconds(self) -> float:
        return self._drafter.forward_seconds

    def begin(self, prompt: Sequence[int]) -> None:
        self._drafter.begin(prompt)

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        tree = self._drafter.propose(position, depth, randomness)
        flatter = tuple(None if each is None else each.sqrt() / each.sqrt().sum() for each in tree.proposals)
        return replace(tree, proposals=flatter)

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        self._drafter.commit(path, tokens)


def _temperature_ignored(roles: Roles, settings: Settings) -> Roles:
    return replace(roles, drafter=_Misrecorded(roles.drafter))


def _filter_on_one_side(roles: Roles, settings: Settings) -> Roles:
    """The draft's nucleus is cut, the target's is not."""
    target = roles.target
    if not isinstance(target, ToyTarget) or not isinstance(target.law, SampledLaw):
        raise TypeError("only a toy can forget its filter")
    return replace(roles, target=ToyTarget(target.law.under(replace(sampling_of(settings), top_p=1.0))))


def _bonus_off_by_one(roles: Roles, settings: Settings) -> Roles:
    """The token after a fully accepted branch is drawn where the branch's last token was."""

    def verify(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        return roles.verify(tree, _LastRowRepeated(tree, target), randomness, position)

    return replace(roles, verify=verify)


class _LastRowRepeated:
    def __init__(self, tree: TokenTree, target: Rows) -> None:
        self._tree = tree
        self._target = target
        self._inner = {ROOT, *tree.parents}

    def __getitem__(self, row: int) -> Tensor:
        node = row - 1
        return self._target[row if node in self._inner else self._tree.parents[node] + 1]


FAULTS = (
    Fault("noise used again in the next step", {"method": "rrsw", "tree": "1x1"}, chance=_StaleChance),
    Fault("duplicates skipped without a trace", {"method": "specinfer", "tree": "2^2"}, _skip_duplicates),
    Fault("block residual not scaled", {"method": "sps", "verify": "block"}, _unscaled_block),
    Fault("the draft's temperature ignored", {"method": "sps"}, _temperature_ignored),
    Fault("top-p on one side only", {"method": "rrsw", "tree": "2^2", "top_p": 0.7}, _filter_on_one_side),
    Fault("last token drawn one row too early", {"method": "spechub", "tree": "2x1"}, _bonus_off_by_one),
)
