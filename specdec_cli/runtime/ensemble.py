"""The models of a session as members of its ensembles: loaded once, each copy with a runner of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, replace

from specdec_cli.drafting.base import Drafter
from specdec_cli.engine.roles import Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.ensemble.auto import Choice, choose
from specdec_cli.ensemble.execution import Execution, run
from specdec_cli.ensemble.members import Ensemble, Member
from specdec_cli.runtime.build import ensemble_of, execution_of
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.settings import Settings
from specdec_cli.settings.ensembles import execution_name, member_names


class MemberPool:
    """The members of a session's ensembles.

    Args:
        new_member: makes a member of a model's name and of how many members of that name there are already.

    Attributes:
        choices: what `--exec auto` came to, one for each ensemble that asked for it.
    """

    def __init__(self, new_member: Callable[[str, int], Member]) -> None:
        self._new_member = new_member
        self._members: dict[tuple[str, int], Member] = {}
        self._auto: dict[object, Choice] = {}

    @property
    def choices(self) -> list[Choice]:
        return list(self._auto.values())

    def gather(self, names: Sequence[str]) -> list[Member]:
        """The members of these names; one that is named twice is two members of one model.

        Raises:
            SpecdecError: a model cannot be had, or does not fit the others.
        """
        found = []
        for index, name in enumerate(names):
            key = name, names[:index].count(name)
            if key not in self._members:
                self._members[key] = self._new_member(*key)
            found.append(self._members[key])
        return found

    def context(self, names: Sequence[str]) -> int:
        """Positions that the models of these names can all tell apart."""
        return min(member.context for member in self.gather(names))

    def ensemble(self, settings: Settings) -> Ensemble:
        """The ensemble that settings ask for.

        Raises:
            SpecdecError: a model cannot be had, or the settings name none.
        """
        return ensemble_of(settings, self.gather(member_names(settings)))

    def steps(
        self,
        prompt: Sequence[int],
        settings: Settings,
        randomness: Randomness,
        stopping: Stopping,
        drafter: Drafter | None = None,
    ) -> Iterator[Step]:
        """Extend a prompt by the law of an ensemble; see `execution.run`.

        Args:
            prompt: token ids.
            settings: name the members, the law and how it is sampled.
            randomness: chance.
            stopping: what ends the text.
            drafter: for sd, one that is no member and proposes instead of them.

        Raises:
            SpecdecError: a model cannot be had, or the settings name none.
        """
        ensemble = self.ensemble(settings)
        execution = self._execution(settings, ensemble, prompt)
        return run(ensemble, execution, prompt, randomness, stopping, drafter)

    def _execution(self, settings: Settings, ensemble: Ensemble, prompt: Sequence[int]) -> Execution:
        if execution_name(settings) != "auto":
            return execution_of(settings, [member.size for member in ensemble.members])
        asked = astuple(replace(settings, seed=0, max_tokens=1, stop=()))
        if asked not in self._auto:
            self._auto[asked] = choose(ensemble, prompt)
        return self._auto[asked].execution
