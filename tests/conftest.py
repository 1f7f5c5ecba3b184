"""One thread (tiny models are slower with two), no hub, no colour, no settings from outside but two.

SPECDEC_CACHE says where the default model of `make test-model` lies.

Machines differ in what `--dtype auto` is: bfloat16 where the processor multiplies it, else float32. With
SPECDEC_DTYPE set, the suite runs as on a machine of that kind: the variable reaches what reads settings, and
here also what loads models without. A test whose claim holds in one format only names it: by `dtype=`, or by
the fixture `float32`.
"""

import gc
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["NO_COLOR"] = "1"
import pytest
import torch

from specdec_cli.models import hardware

KEPT = ("SPECDEC_CACHE", "SPECDEC_DTYPE")
for variable in [name for name in os.environ if name.startswith("SPECDEC_") and name not in KEPT]:
    del os.environ[variable]
torch.set_num_threads(1)


def be_on_a_processor(patch: pytest.MonkeyPatch, *, with_bfloat16: bool) -> None:
    """Models see a processor that computes bfloat16, or one that does not."""
    patch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    patch.setattr(hardware, "_cpu_flags", lambda: frozenset({"bf16"} if with_bfloat16 else ()))


FORMAT = os.environ.get("SPECDEC_DTYPE", "auto")
if FORMAT != "auto":
    be_on_a_processor(pytest.MonkeyPatch(), with_bfloat16=FORMAT == "bfloat16")


def pytest_collection_finish() -> None:
    """Spare every later collection of garbage the million objects that torch and transformers are made of."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are loaded in float32 unless a test says otherwise: what texts and logits are compared in."""
    monkeypatch.setenv("SPECDEC_DTYPE", "float32")
    be_on_a_processor(monkeypatch, with_bfloat16=False)
