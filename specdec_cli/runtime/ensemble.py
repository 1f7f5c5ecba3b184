"""The models of a session as members: loaded once, each place in an ensemble with a runner of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace

from specdec_cli.drafting.base import Drafter
from specdec_cli.engine.roles import Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.ensemble.auto import Choice, choose
from specdec_cli.ensemble.execution import Execution, run
from specdec_cli.ensemble.members import Ensemble, Member, Reader
from specdec_cli.runtime.build_ensemble import ensemble_of, execution_of
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.settings import Settings
from specdec_cli.settings.ensembles import execution_name, member_names


@dataclass(frozen=True, slots=True)
class Seat:
    """What a member is made of.

    Attributes:
        reader: a runner that no other member uses.
        vocab_size: of its logits.
        size: bytes of the model's weights, which a pass reads.
        context: positions that it can tell apart.
    """

    reader: Reader
    vocab_size: int
    size: int
    context: int


class MemberPool:
    """The members of a session's ensembles.

    Args:
        seat: gives the model of a name in its n-th place (0 is the first) of an ensemble.

    Attributes:
        choices: what `--exec auto` came to.
    """

    def __init__(self, seat: Callable[[str, int], Seat]) -> None:
        self._seat = seat
        self._members: dict[tuple[str, int], tuple[Member, Seat]] = {}
        self._auto: dict[object, Choice] = {}

    @property
    def choices(self) -> list[Choice]:
        return list(self._auto.values())

    def gather(self, names: Sequence[str]) -> list[tuple[Member, Seat]]:
        """The members of these names; one that is named twice is two members of one model."""
        found = []
        for place, name in enumerate(names):
            key = name, names[:place].count(name)
            if key not in self._members:
                seat = self._seat(*key)
                self._members[key] = Member(seat.reader, name, float(seat.size)), seat
            found.append(self._members[key])
        return found

    def context(self, names: Sequence[str]) -> int:
        """Positions that all of them can tell apart."""
        return min(seat.context for _, seat in self.gather(names))

    def vocab_size(self, names: Sequence[str]) -> int:
        """Size V of the vocabulary that they share: what a model pads beyond it has no chance."""
        return min(seat.vocab_size for _, seat in self.gather(names))

    def ensemble(self, settings: Settings) -> Ensemble:
        """The ensemble that settings ask for."""
        names = member_names(settings)
        return ensemble_of(settings, [member for member, _ in self.gather(names)], self.vocab_size(names))

    def steps(
        self,
        prompt: Sequence[int],
        settings: Settings,
        randomness: Randomness,
        stopping: Stopping,
        drafter: Drafter | None = None,
    ) -> Iterator[Step]:
        """Extend a prompt by the law of an ensemble; see `execution.run`."""
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
