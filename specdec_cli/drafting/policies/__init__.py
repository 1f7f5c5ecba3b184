"""How the children of a tree node are chosen from the draft's distribution: a `propose` in each file."""

from __future__ import annotations

from importlib import import_module

from specdec_cli.drafting.policies.base import Policy


def policy(name: str) -> Policy:
    """The policy of the module of that name."""
    found: Policy = import_module(f"{__name__}.{name}").propose
    return found
