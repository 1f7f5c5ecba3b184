"""Rotary positions that depend on the text length: rows are rotated as in transformers' own decoding."""

import pytest
import torch
from random_models import COMMON, CONTEXT, HEADS, random_model, random_tokens
from transformers import Gemma3TextConfig, LlamaConfig, Phi3Config, PhimoeConfig, Qwen3Config

from specdec_cli.errors import MismatchError
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.runner import model_runner as runner_module
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.tree import ROOT, TokenTree

SWITCH = 20
COUNT = 18
ROUNDING = 1e-6  # transformers gives logits in float32 whatever the model computes in
LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 3.0, 5.0, 9.0],
    "original_max_position_embeddings": SWITCH,
}
FACTOR = {"factor": 8.0}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
PLAIN = {"rope_type": "default", "rope_theta": 1e4}
SHORT = {**COMMON, "max_position_embeddings": SWITCH}
CASES = {
    "llama, longrope": lambda: LlamaConfig(**COMMON, rope_parameters={**LONG, **FACTOR}),
    "llama, dynamic": lambda: LlamaConfig(**SHORT, rope_parameters={**DYNAMIC}),
    "qwen3, dynamic": lambda: Qwen3Config(**{**HEADS, **SHORT}, rope_parameters={**DYNAMIC, "factor": 2.5}),
    "gemma3, longrope in one kind of layer": lambda: Gemma3TextConfig(
        **{**HEADS, "num_hidden_layers": 7},
        sliding_window=8,
        rope_parameters={"full_attention": {**LONG, **FACTOR}, "sliding_attention": {**PLAIN}},
    ),
    "phi3, which reads its text again": lambda: Phi3Config(
        **COMMON, sliding_window=None, original_max_position_embeddings=SWITCH, rope_parameters={**LONG}
    ),
}
PROMPTS = (SWITCH - 7, SWITCH, SWITCH + 1, SWITCH + 9)


def generated(model, prompt):
    """transformers' own greedy text, and the logits that each of its tokens was chosen by: (COUNT, V)."""
    ids = torch.tensor([prompt])
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=COUNT, do_sample=False, pad_token_id=0,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    return output.sequences[0, len(prompt) :].tolist(), torch.cat(output.logits)


def follow(runner, prompt, tokens):
    """Score trees of the text's next tokens beside wrong ones, accept more or fewer: logits (COUNT, V)."""
    runner.begin(prompt)
    found, done, turn = {}, 0, 0
    while done < len(tokens):
        ahead = tokens[done : done + 6]
        wrong = [(token + 1) % 61 for token in ahead[:2]]
        # Beside each of the first tokens stands a wrong one, so rows move when the path is accepted.
        parents = [ROOT, ROOT, *range(1, len(ahead)), 0][: len(ahead) + 1]
        rows = runner.score(TokenTree((wrong[0], *ahead), tuple(parents)))
        found[done] = rows[0]
        for number in range(1, len(ahead)):
            found[done + number] = rows[number + 1]
        accepted = min(turn % 4, len(ahead) - 1)
        runner.commit(range(1, accepted + 1), tokens[done : done + accepted + 1])
        done, turn = done + accepted + 1, turn + 1
    return torch.stack([found[number] for number in range(len(tokens))])


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.mark.parametrize("length", PROMPTS)
def test_rows_of_trees_are_turned_as_plain_decoding_turns_them(case, length, monkeypatch):
    monkeypatch.setattr(runner_module, "PREFILL_CHUNK", 5)  # a prompt is read in several passes
    prompt = random_tokens(length, seed=length)
    tokens, expected = generated(random_model(case()), prompt)
    found = follow(Runner(new_forward(random_model(case())), CONTEXT), prompt, tokens)
    assert (found - expected).abs().max() <= ROUNDING


def test_a_text_is_not_rotated_for_the_longer_one_before_it(case):
    model = random_model(case())
    runner = Runner(new_forward(model), CONTEXT)
    for length in (SWITCH + 30, SWITCH + 5, 4):
        prompt = random_tokens(length, seed=length)
        tokens, expected = generated(random_model(case()), prompt)
        assert (follow(runner, prompt, tokens) - expected).abs().max() <= ROUNDING


def test_rows_kept_from_the_last_text_are_read_again_where_they_would_be_turned_otherwise(case):
    runner = Runner(new_forward(random_model(case())), CONTEXT)
    runner.reuse = True
    whole = random_tokens(SWITCH + 8, seed=1)
    for length in (SWITCH - 6, SWITCH - 3, SWITCH + 2, SWITCH + 8, SWITCH - 8):
        tokens, expected = generated(random_model(case()), whole[:length])
        assert (follow(runner, whole[:length], tokens) - expected).abs().max() <= ROUNDING


def test_experts_with_scales_of_their_own_for_short_and_long_texts():
    rope = {**LONG, "short_mscale": 1.0, "long_mscale": 1.3}
    fields = {**COMMON, "num_local_experts": 2, "original_max_position_embeddings": SWITCH}
    config = PhimoeConfig(**fields, rope_parameters=rope)
    prompt = random_tokens(SWITCH - 4, seed=3)
    tokens, expected = generated(random_model(config).float(), prompt)
    found = follow(Runner(new_forward(random_model(config).float()), CONTEXT), prompt, tokens)
    assert (found - expected).abs().max() <= 1e-3


def test_a_tree_stays_within_what_one_pass_scores():
    def reach(case, length):
        runner = Runner(new_forward(random_model(CASES[case]())), CONTEXT)
        runner.begin(random_tokens(length, seed=0))
        return runner.reach

    again = "phi3, which reads its text again"
    assert [reach(again, length) for length in (SWITCH - 5, SWITCH)] == [5, 0]
    assert reach(again, SWITCH + 1) > CONTEXT
    assert reach("llama, longrope", SWITCH - 5) > CONTEXT


def test_a_chain_that_is_read_on_is_refused_where_the_text_must_be_read_again():
    runner = Runner(new_forward(random_model(CASES["phi3, which reads its text again"]())), CONTEXT)
    runner.begin(random_tokens(SWITCH - 2, seed=0))
    runner.read_on([5, 6])
    with pytest.raises(MismatchError, match=f"reads its text again past {SWITCH} tokens"):
        runner.read_on([7])
