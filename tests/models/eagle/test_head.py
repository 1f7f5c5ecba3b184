"""An EAGLE head computes in trees, step after step, what its definition says."""

import random
from typing import Any

import pytest
import torch
from random_models import ARCHITECTURES, CONTEXT, VOCABULARY, random_model, random_tokens, random_tree
from safetensors.torch import save_file

from specdec_cli.errors import SpecdecError
from specdec_cli.models.eagle.forward import EagleForward
from specdec_cli.models.eagle.head import head_shape, new_eagle_head
from specdec_cli.models.eagle.runner import EagleRunner
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.reduced_vocab_head import REDUCED, ReducedHead, likely_tokens, reduce_vocabulary
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.tree import ROOT, TokenTree

EXACT: dict[str, Any] = {"atol": 1e-9, "rtol": 0}
KNOWN = torch.tensor([0, 3, 4, 17, 30, 31, 60])


@pytest.fixture(scope="module", params=["llama", "gemma", "gpt2"])
def target(request):
    return random_model(ARCHITECTURES[request.param]())


@pytest.fixture(scope="module")
def head(target):
    torch.manual_seed(1)
    made = new_eagle_head(target.get_input_embeddings(), KNOWN, 2, head_shape(target.config), torch.float64)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.requires_grad:
                weight.normal_(0, 0.3)
    return made.eval().requires_grad_(False)


def runners(target, head):
    of_target = Runner(HFForward(target), CONTEXT)
    return of_target, EagleRunner(EagleForward(head), CONTEXT, of_target)


def by_definition(target, head, text, guesses):
    """Logits of known tokens after the text and after each of a chain of guesses, every row computed anew."""
    tokens = torch.tensor([*text, *guesses])
    features = target(tokens[None], output_hidden_states=True).hidden_states[-1]
    outputs = head.unrolled(tokens[None], features, len(guesses) + 1)
    last = len(text) - 1
    rows = torch.stack([outputs[step][0, last + step] for step in range(len(guesses) + 1)])
    return head.inner.get_output_embeddings().inner(rows)


def path_to(tree, node):
    path: list[int] = []
    while node != ROOT:
        path.insert(0, node)
        node = tree.parents[node]
    return path


def test_every_node_of_a_tree_is_what_its_path_alone_gives(target, head):
    text = random_tokens(11, 2)
    tree = random_tree(12, random.Random(3))
    of_target, drafting = runners(target, head)
    of_target.begin(text)
    drafting.begin(text)
    rows = drafting.score(tree)
    for node in range(len(tree)):
        path = path_to(tree, node)
        right = by_definition(target, head, text, [tree.tokens[each] for each in path])[-1]
        torch.testing.assert_close(rows[node + 1, KNOWN], right, **EXACT)


def test_nodes_added_together_equal_nodes_added_one_by_one(target, head):
    text = random_tokens(7, 4)
    of_target, drafting = runners(target, head)
    of_target.begin(text)
    drafting.begin(text)
    alone = drafting.score(TokenTree((5, 6, 7, 8, 9), (ROOT, ROOT, 0, 0, 1)))
    drafting.root()
    together = torch.cat((drafting.grow([5, 6], [ROOT, ROOT]), drafting.grow([7, 8, 9], [0, 0, 1])))
    torch.testing.assert_close(together, alone[1:, KNOWN], **EXACT)


def test_after_accepted_guesses_the_head_reads_the_target_again(target, head):
    """Step after step, what it says is what a head says that was never told of the guesses."""
    chance = random.Random(5)
    text = random_tokens(9, 6)
    of_target, drafting = runners(target, head)
    of_target.begin(text)
    drafting.begin(text)
    for _ in range(4):
        drafting.root()
        tree = random_tree(6, chance)
        for token, parent in zip(tree.tokens, tree.parents, strict=True):
            drafting.grow([token], [parent])
        of_target.score(tree)
        node = chance.randrange(-1, 6)
        path = path_to(tree, node)
        emitted = [*(tree.tokens[each] for each in path), chance.randrange(VOCABULARY)]
        of_target.commit(path, emitted)
        drafting.commit(path, emitted)
        text = [*text, *emitted]
        right = by_definition(target, head, text, [])[0]
        torch.testing.assert_close(drafting.root(), right, **EXACT)


def test_after_steps_that_did_not_ask_it_the_head_reads_all_of_them_as_text(target, head):
    text = random_tokens(9, 7)
    of_target, drafting = runners(target, head)
    of_target.begin(text)
    drafting.begin(text)
    drafting.root()
    for emitted in ([5, 6, 7], [8], [9, 10]):
        of_target.score(TokenTree.chain(emitted[:-1]))
        of_target.commit(range(len(emitted) - 1), emitted)
        drafting.commit((), emitted)
        text = [*text, *emitted]
    torch.testing.assert_close(drafting.root(), by_definition(target, head, text, [])[0], **EXACT)


def test_the_fused_pass_and_the_module_keep_the_same_hidden_states(target):
    text, tree = random_tokens(9, 9), random_tree(5, random.Random(1))
    kept = []
    for forward in (new_forward(target), HFForward(target)):
        runner = Runner(forward, CONTEXT)
        runner.keep_features()
        runner.begin(text)
        runner.score(tree)
        path = path_to(tree, 4)
        emitted = [*(tree.tokens[each] for each in path), 7]
        runner.commit(path, emitted)
        kept.append(runner.features([*text, *emitted][:-1]))
    torch.testing.assert_close(*kept, atol=1e-5, rtol=0)


def test_a_single_token_is_text_enough(target, head):
    of_target, drafting = runners(target, head)
    of_target.begin([3])
    drafting.begin([3])
    torch.testing.assert_close(drafting.root(), by_definition(target, head, [3], [])[0], **EXACT)


def test_a_head_can_be_told_a_text_that_its_target_stands_elsewhere_in(target, head):
    of_target, drafting = runners(target, head)
    text = random_tokens(8, 7)
    of_target.begin(random_tokens(5, 8))
    drafting.begin(text)
    torch.testing.assert_close(drafting.root(), by_definition(target, head, text, [])[0], **EXACT)


def test_the_reduced_vocabulary_is_all_that_can_be_proposed(target, head):
    of_target, drafting = runners(target, head)
    of_target.begin([1, 2, 3])
    drafting.begin([1, 2, 3])
    narrow, wide = drafting.root(), drafting.score(TokenTree())[0]
    assert drafting.vocabulary.tolist() == KNOWN.tolist()
    assert (narrow.shape, wide.shape) == (KNOWN.shape, (VOCABULARY,))
    assert wide.isfinite().nonzero()[:, 0].tolist() == KNOWN.tolist()
    torch.testing.assert_close(wide[KNOWN], narrow, **EXACT)


def test_a_reduced_head_is_the_full_one_where_it_speaks():
    full = torch.nn.Linear(8, 20, bias=False)
    tokens = torch.tensor([1, 4, 19])
    inner = torch.nn.Linear(8, 3, bias=False)
    inner.weight.data = full.weight.data[tokens]
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(ReducedHead(inner, tokens, 20)(x)[..., tokens], full(x)[..., tokens])


@pytest.mark.parametrize(
    "tokens",
    [[], [0, 2, 2, 5], [2, 0, 5], [-1, 3], [3, VOCABULARY]],
    ids=["none", "one twice", "not in order", "negative", "beyond the vocabulary"],
)
def test_a_reduced_vocabulary_that_would_misname_its_tokens_is_refused(tokens, tmp_path):
    """A proposal with one id in two places would not be what was drawn."""
    save_file({"tokens": torch.tensor(tokens, dtype=torch.int64)}, tmp_path / REDUCED)
    with pytest.raises(SpecdecError, match="its tokens are not ids in order"):
        reduce_vocabulary(random_model(ARCHITECTURES["llama"]()), tmp_path)


def test_the_likely_tokens_are_the_commonest_and_those_always_wanted():
    counts = torch.tensor([5, 0, 9, 1, 0, 7])
    assert likely_tokens(counts, 3, frozenset({4})).tolist() == [2, 4, 5]
    assert likely_tokens(counts, 99, frozenset()).tolist() == [0, 2, 3, 5]


def test_a_text_told_bit_by_bit_reads_as_if_told_at_once_and_the_target_reads_it_before(target, head):
    text = random_tokens(9, 12)
    of_target, drafting = runners(target, head)
    drafting.prepare(text)
    before = of_target.forward_seconds
    drafting.begin(text[:5])
    for length in range(5, 9):
        (row,) = drafting.score(TokenTree())
        torch.testing.assert_close(row[KNOWN], by_definition(target, head, text[:length], [])[0], **EXACT)
        drafting.commit((), [text[length]])
    assert of_target.forward_seconds == before
