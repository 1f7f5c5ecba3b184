"""specdec: speculative decoding for any Hugging Face causal language model."""

from typing import Any

__version__ = "0.2.0"
__all__ = ["SpeculativeDecoder", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the Python API on first use, so that the command line starts without torch."""
    if name == "SpeculativeDecoder":
        from specdec_cli.api import SpeculativeDecoder

        return SpeculativeDecoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
