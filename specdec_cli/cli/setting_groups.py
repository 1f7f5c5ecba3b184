"""Groups of settings that commands take or leave out together, and reasons that several have in common.

A setting that no group has is in no command: tests/cli/test_settings_taken.py asks each command for it.
"""

from __future__ import annotations

from specdec_cli.cli.setting_options import because
from specdec_cli.settings import ensembles

COMPUTING = ("device", "dtype", "compile", "threads")
ORIGIN = ("revision", "trust_remote_code")
TARGET = ("target", *COMPUTING, "quantize", *ORIGIN)
DRAFT = ("draft", "draft_device", "draft_quantize")
OFFLOADING = ("offload", "resident_layers", "memory_limit", "link_gbps")
FILTERS = ("top_p", "top_k", "min_p")
LAW = ("temperature", *FILTERS, "seed")  # of the tokens, and where its randomness starts
ENDING = ("max_tokens", "stop", "ignore_eos")
ASKING = ("chat", "system")
SAMPLING = (*LAW, *ENDING, *ASKING)
METHOD = ("method", "verify")
TREE = ("tree", "hub_above")  # that is drafted, where it does not grow
GROWTH = ("max_budget", "max_n_beams", "max_beam_len", "max_branch_width", "min_log_prob", "decay", "coupled")
SHAPE = ("gamma", *TREE, *GROWTH, "ngram_size")  # of what is drafted
SEGMENTS = ensembles.SEGMENTS
ENSEMBLE = tuple(name for name in ensembles.OWN if name != "gammas")  # which --gamma gives

NO_SEGMENTS = because(
    "only `specdec ensemble` runs algorithms of segments, and refuses what has no use without one",
    "algorithm",
    *SEGMENTS,
)
GAMMAS_BY_GAMMA = {"gammas": "--gamma takes several numbers, which are these"}
