"""transformers' own generation decodes by our law, once, and says nothing of its own."""

from logging import WARNING
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from specdec_cli.models.hf.generation import only_errors, same_law

GUESSES = 4
TOKENS = 50
PROMPT = torch.arange(8)[None]
SEEN = torch.ones_like(PROMPT)


def model() -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = LlamaConfig(vocab_size=48, max_position_embeddings=512, initializer_range=0.9, **sizes)
    made = LlamaForCausalLM(config).eval().float()
    made.generation_config = GenerationConfig(
        eos_token_id=3, repetition_penalty=1.3, temperature=0.3, top_k=2, num_assistant_tokens=GUESSES,
        num_assistant_tokens_schedule="constant", assistant_confidence_threshold=0.0,
    )  # fmt: skip
    return made


def law(**changes: object) -> dict[str, Any]:
    plain = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "max_tokens": TOKENS}
    return same_law(**{**plain, "ends": (), "vocabulary": 48, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 0.5}, {"temperature": 1.0}, {"temperature": 2.0}, {"top_p": 0.7, "temperature": 1.5},
     {"min_p": 0.2, "temperature": 2.0}, {"top_k": 5, "temperature": 0.7}],
)  # fmt: skip
def test_of_a_model_that_assists_itself_every_guess_is_accepted(changes: dict[str, float]) -> None:
    target, assistant = model(), model()
    passes = 0

    def counted(tokens: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        nonlocal passes
        passes += 1
        return torch.zeros(1, dtype=torch.bool)

    torch.manual_seed(1)
    with only_errors():
        made = target.generate(
            PROMPT, assistant_model=assistant, stopping_criteria=[counted], **law(**changes)
        )
    assert made.shape[1] == PROMPT.shape[1] + TOKENS
    assert passes == TOKENS // (GUESSES + 1)


def test_what_a_checkpoint_sets_does_not_change_the_law() -> None:
    target = model()
    made = target.generate(PROMPT, attention_mask=SEEN, **law(temperature=0.0))
    text = PROMPT
    for _ in range(TOKENS):
        text = torch.cat([text, target(text).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert made.tolist() == text.tolist()


def test_an_end_ends_the_text_unless_it_is_ignored() -> None:
    target = model()
    whole = target.generate(PROMPT, attention_mask=SEEN, **law(temperature=0.0))[0, 8:].tolist()
    target.generation_config.eos_token_id = whole[4]
    given = law(temperature=0.0, ends=[whole[4]])
    ended = target.generate(PROMPT, attention_mask=SEEN, **given)[0, 8:].tolist()
    assert ended == whole[: whole.index(whole[4]) + 1]
    assert target.generate(PROMPT, attention_mask=SEEN, **law(temperature=0.0))[0, 8:].tolist() == whole


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_library_prints_nothing_amid_the_table(
    capfd: pytest.CaptureFixture[str], temperature: float
) -> None:
    from transformers.utils import logging

    logging.set_verbosity_warning()
    with only_errors():
        model().generate(PROMPT, attention_mask=SEEN, assistant_model=model(), **law(temperature=temperature))
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == WARNING
