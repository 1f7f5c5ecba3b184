"""Settings that are right one by one and contradict each other."""

from __future__ import annotations

from collections.abc import Mapping

from specdec_cli.errors import InputError
from specdec_cli.registry.drafts import NGRAM
from specdec_cli.registry.methods import METHODS
from specdec_cli.settings.ensembles import check_ensemble
from specdec_cli.settings.fields import Settings
from specdec_cli.settings.sizes import parse_size


def check_together(settings: Settings, places: Mapping[str, str]) -> None:
    """Refuse settings that are right one by one and contradict each other.

    Args:
        settings: all of them.
        places: where each was given, to name in an error.

    Raises:
        InputError: they do.
    """
    _check_offload(settings, places)
    method = METHODS[settings.method]
    if settings.node_budget is None and "max_budget" in method.reads and not method.ranks_guesses:
        problem = f"{places['max_budget']} auto needs guesses with probabilities, for --method specexec."
        raise InputError(problem, "Give a number, such as 32.")
    check_ensemble(settings, places)
    if settings.verify not in method.verify:
        takers = [name for name, each in METHODS.items() if settings.verify in each.verify]
        problem = f"{places['verify']} {settings.verify} does not go with the method {settings.method}."
        hint = f"Add --method {' or '.join(takers)}, or --verify {next(iter(method.verify))}."
        raise InputError(problem, hint)
    if settings.tree is not None and not method.takes_tree:
        takers = [name for name, each in METHODS.items() if each.takes_tree]
        problem = f"{places['tree']} {settings.tree} has no use: the method {settings.method} takes no tree."
        raise InputError(problem, f"Leave it out, or choose one of {', '.join(takers)}.")
    if settings.hub_above > 0 and not method.has_hubs:
        problem = f"{places['hub_above']} has no use: the method {settings.method} has no hubs."
        raise InputError(problem, "Leave it out, or add --method spechub.")
    if settings.coupled and not method.ranks_guesses:
        problem = f"{places['coupled']} has no use: the method {settings.method} ranks no guesses."
        raise InputError(problem, "Leave it out, or add --method specexec.")
    if settings.coupled and settings.temperature == 0:
        problem = (
            f"{places['coupled']} has no use at temperature 0, where the target draws nothing by chance."
        )
        raise InputError(problem, "Leave it out, or add --temperature 1, for example.")
    if method.drafter == NGRAM and settings.draft not in (None, NGRAM):
        problem = f"{places['draft']} {settings.draft} has no use: "
        problem += f"the method {settings.method} drafts from the text itself."
        raise InputError(problem, "Add --draft ngram, or choose another --method.")


def _check_offload(settings: Settings, places: Mapping[str, str]) -> None:
    if settings.memory_limit is not None:
        parse_size(settings.memory_limit, places["memory_limit"])
    if settings.offload == "none":
        for name in ("resident_layers", "memory_limit", "link_gbps"):
            if getattr(settings, name) is not None:
                problem = f"{places[name]} has no use: the target is not offloaded."
                raise InputError(problem, "Leave it out, or add --offload disk.")
    elif METHODS[settings.method].is_ensemble:
        problem = f"{places['offload']} {settings.offload} does not go with an ensemble."
        raise InputError(problem, "Leave it out, or choose a method of one target.")
    elif settings.quantize != "none":
        problem = f"{places['quantize']} {settings.quantize} does not go with an offloaded target."
        hint = "An offloaded target keeps its own weights. Round its draft instead: --draft self:int4."
        raise InputError(problem, hint)
