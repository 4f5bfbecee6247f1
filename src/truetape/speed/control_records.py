"""The speed layer's records on the control topic: orders, last words, history."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from truetape.broker.control_topic import ControlTopic
from truetape.speed.history import History
from truetape.speed.order import NO_ORDER, Desired, State
from truetape.speed.record_json import decode, encode
from truetape.speed.takeover import Ended


@dataclass(frozen=True, slots=True)
class Board:
    """One layer's records, as of the last `refresh`. Layers are named by their topic of trades."""

    control: ControlTopic
    layer: str

    def refresh(self) -> Self:
        """Read what is new; TransientError when Kafka does not answer."""
        self.control.refresh()
        return self

    @property
    def desired(self) -> Desired:
        """Return the newest order."""
        value = self.control.value(self._key("order"))
        return NO_ORDER if value is None else decode(Desired, value)

    @property
    def ends(self) -> list[Ended]:
        """Return the last words that nobody has dealt with yet, by epoch."""
        found = self.control.values(self._key("ended:")).values()
        return sorted((decode(Ended, value) for value in found), key=lambda one: one.epoch)

    @property
    def history(self) -> History:
        """Return the launches of late."""
        value = self.control.value(self._key("history"))
        return History() if value is None else decode(History, value)

    def order(self, state: State, reason: str, who: str) -> Desired:
        """Give an order; a driver under an older one ends after its batch."""
        number = self.refresh().desired.number + 1
        desired = Desired(state, number, reason, who, datetime.now(UTC))
        self.control.put(self._key("order"), encode(desired))
        return desired

    def remember(self, history: History) -> None:
        """Write the history. Of two supervisors at once, the later one is believed."""
        self.control.put(self._key("history"), encode(history))

    def say(self, ended: Ended) -> None:
        """Leave a driver's last word; needs no lease."""
        self.control.put(self._key(f"ended:{ended.epoch}"), encode(ended))

    def forget(self, epoch: int) -> None:
        """Remove a last word that was dealt with."""
        self.control.put(self._key(f"ended:{epoch}"), None)

    def _key(self, name: str) -> str:
        return f"speed:{self.layer}:{name}"
