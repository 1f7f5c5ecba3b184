"""The default target, fetched if need be: every method says greedily what transformers says."""

import pytest
import torch

from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

NAME = "smollm2-135m"
COUNT = 24
PROMPTS = ("Write a haiku about the sea.", "Repeat after me: one two three, one two three, one two three.")

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def session():
    return Session.load(Settings(target=NAME, dtype="float32", max_tokens=COUNT))


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(
    ("method", "draft"),
    [("autoregressive", None), ("ngram", None), ("sps", "layers:20"), ("specexec", "layers:20")],
)
def test_greedy_tokens_are_those_of_transformers(session, method, draft, prompt):
    tokens = session.encode(prompt)
    read = torch.tensor([tokens])
    made = session.target.model.generate(
        read, attention_mask=torch.ones_like(read), do_sample=False, max_new_tokens=COUNT
    )
    expected = made[0, len(tokens) :].tolist()
    settings = Settings(target=NAME, method=method, draft=draft, dtype="float32", max_tokens=COUNT)
    steps = list(session.steps(tokens, settings))
    assert [token for step in steps for token in step.tokens] == expected
    if draft is not None:
        assert sum(step.accepted for step in steps) > 0
