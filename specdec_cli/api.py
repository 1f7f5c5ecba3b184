"""A small Python API: speculative sampling behind one class."""

from __future__ import annotations

from specdec_cli.engine.stats import RunStats
from specdec_cli.runtime.session import Session
from specdec_cli.settings import load_settings


class SpeculativeDecoder:
    """Continues texts with a target model, several guesses of a smaller one at a time.

    The text is continued as it is, in no chat template, and comes back in front of its continuation.
    The text is distributed as the target's own: Leviathan et al. (2023), https://arxiv.org/abs/2211.17192.

    >>> decoder = SpeculativeDecoder("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-7B", gamma=4, max_tokens=64)
    >>> print(decoder.speculative_sample("Tell me a fun fact about space."))

    Args:
        approx_model_name: the draft: a hub id, folder, `.gguf` file, registry name, `layers:N` or `ngram`.
        target_model_name: the target: a hub id, folder, `.gguf` file or registry name.
        gamma: tokens drafted at a time.
        max_tokens: tokens to generate at most.
        device: "auto", "cpu", "cuda" or "cuda:N".
        temperature: divides the logits; 0 is greedy.
        top_p: share of the likeliest mass to keep.
        seed: the same seed gives the same text.
        dtype: "auto" (bfloat16 where the hardware computes it, else float32), "float32", "bfloat16" or
            "float16". Variables such as SPECDEC_DTYPE are the command line's and play no part here.

    Attributes:
        stats: what the last call measured; None before the first.

    Raises:
        SpecdecError: an argument out of range, a model that cannot be had, or two that do not fit together.
    """

    def __init__(
        self,
        approx_model_name: str,
        target_model_name: str,
        gamma: int = 4,
        max_tokens: int = 20,
        device: str = "auto",
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        dtype: str = "auto",
    ) -> None:
        resolved = load_settings(
            flags={
                "method": "sps",
                "draft": approx_model_name,
                "target": target_model_name,
                "gamma": gamma,
                "max_tokens": max_tokens,
                "device": device,
                "dtype": dtype,
                "temperature": temperature,
                "top_p": top_p,
                "seed": seed,
                "chat": False,
            },
            environ={},
        )
        self._session = Session.load(resolved.settings)
        self.stats: RunStats | None = None

    def speculative_sample(self, input_text: str) -> str:
        """The text and what the target says next.

        Raises:
            InputError: the text is empty, or too long for the target's context.
        """
        prompt = self._session.encode(input_text)
        completion = self._session.completion(prompt)
        for step in self._session.steps(prompt):
            completion.add(step)
        completion.finish()
        self.stats = completion.stats
        return input_text + completion.text
