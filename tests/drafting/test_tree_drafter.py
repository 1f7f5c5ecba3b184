"""Static trees: which nodes get children, what fills the shape, and where a tree is cut."""

from itertools import pairwise

import pytest
import torch
from tree_toys import DRAFT, POLICIES

from specdec_cli.audit.enumeration import law_of
from specdec_cli.audit.exact import PROMPT, VOCAB_SIZE
from specdec_cli.audit.toys import ToyDraftModel
from specdec_cli.drafting import tree_drafter
from specdec_cli.drafting.policies import hub, top_k, with_replacement, without_replacement
from specdec_cli.drafting.shapes import parse_tree
from specdec_cli.sampling.distribution import Sampling


def test_a_duplicate_is_kept_and_nothing_grows_below_it():
    model = ToyDraftModel(lambda text: torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    drafter = tree_drafter.TreeDrafter(
        model, parse_tree("3x2"), with_replacement.propose, Sampling(), VOCAB_SIZE
    )
    drafter.begin(PROMPT)

    (tokens,) = law_of(lambda randomness: drafter.propose(len(PROMPT), 2, randomness).tokens)
    assert tokens == (0, 0, 0, 0, 0)  # three of one token, and two children of the first alone


@pytest.mark.parametrize("policy", ["without replacement", "hub", "top k", "switched"])
def test_where_a_draft_runs_out_of_tokens_the_likeliest_others_are_guessed_for_certain(policy):
    draft = ToyDraftModel(lambda text: torch.tensor([0.6, 0.3, 0.08, 0.02], dtype=torch.float64))
    for sampling in (Sampling(0.0), Sampling(1.0, top_k=2)):
        drafter = tree_drafter.TreeDrafter(draft, parse_tree("4"), POLICIES[policy], sampling, 4)
        drafter.begin(PROMPT)

        def program(randomness, drafter=drafter):
            tree = drafter.propose(len(PROMPT), 1, randomness)
            outside = [token for token, proposal in zip(tree.tokens, tree.proposals, strict=True)
                       if token >= 2 and proposal is None]  # fmt: skip
            return tuple(sorted(tree.tokens)), tuple(outside)

        assert set(law_of(program)) == {((0, 1, 2, 3), (2, 3))}


@pytest.mark.parametrize("method", ["rrsw", "spechub", "topk"])
def test_greedy_trees_are_as_large_as_asked(method):
    law = lambda text: torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)  # noqa: E731
    policy = {"rrsw": without_replacement, "spechub": hub, "topk": top_k}[method].propose
    drafter = tree_drafter.TreeDrafter(
        ToyDraftModel(law), parse_tree("2x2"), policy, Sampling(0.0), VOCAB_SIZE
    )
    drafter.begin(PROMPT)
    assert set(law_of(lambda chance: len(drafter.propose(len(PROMPT), 2, chance)))) == {6}


def test_a_tree_is_cut_where_the_text_or_the_context_ends():
    model = ToyDraftModel(DRAFT, context=len(PROMPT) + 2)
    drafter = tree_drafter.TreeDrafter(
        model, parse_tree("2x1x1"), without_replacement.propose, Sampling(), VOCAB_SIZE
    )
    drafter.begin(PROMPT)
    depths = law_of(lambda randomness: max(drafter.propose(len(PROMPT), 9, randomness).depths()))
    assert set(depths) == {2}
    assert set(law_of(lambda randomness: len(drafter.propose(len(PROMPT), 0, randomness)))) == {0}


def tree_shape(shape):
    def program(randomness):
        drafter = tree_drafter.TreeDrafter(ToyDraftModel(DRAFT), shape, top_k.propose, Sampling(), VOCAB_SIZE)
        drafter.begin(PROMPT)
        tree = drafter.propose(len(PROMPT), 9, randomness)
        assert all(a <= b for a, b in pairwise(tree.depths()))
        return tree.parents

    return program


def test_nodes_with_different_numbers_of_children_keep_every_node_with_its_parent():
    """Nodes with different numbers of children go to the policy in groups; each must get its own back."""
    shape = parse_tree("[-1, -1, -1, 0, 2, 2]")
    seen = law_of(tree_shape(shape))
    assert set(seen) == {(-1, -1, -1, 0, 2, 2)}
