"""Updates offered to the nodes of one broker, and how far each is. Pure.

The offer is a retained message, so a node that sleeps finds it; a node asks for one part after the other, so it sets the pace and
nothing piles up here. An offer ends when the node runs that version, or says why it will not have it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drivers.codecs.node_update import PART_BYTES, NodeUpdate, read_word

PREFIX: Final = "zg119/node"
ANYONE: Final = f"{PREFIX}/+/want"
WAITING_MAX: Final = 8  # parts the broker has not taken yet; a node asks again


@dataclass(frozen=True, slots=True)
class Say:
    """One message to a node."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(slots=True)
class Offer:
    """One update for one node, and how far it is: offered | fetching | starting | done | refused."""

    update: NodeUpdate
    state: str = "offered"
    have: int = 0
    why: str = ""  # refused
    version: int = 0  # what runs there, as the node said last


@dataclass(frozen=True, slots=True)
class Ended:
    """An offer came to its end: `why` "" is that it runs."""

    device: str
    offer: Offer


class NodeUpdates:
    """`nodes`: device -> what it is called in its topics."""

    def __init__(self, nodes: Mapping[str, str]) -> None:
        self.nodes = nodes
        self._devices = {f"{PREFIX}/{name}/want": device for device, name in nodes.items()}
        self.offers: dict[str, Offer] = {}  # device -> the last one, also once it has ended
        self.ready = False  # what was offered before a restart is known again

    def offer(self, device: str, update: NodeUpdate) -> Say:
        """Offer it to a device, in place of what was offered before."""
        self.offers[device] = Offer(update)
        return self.retained(device)

    def withdraw(self, device: str) -> Say:
        """Take back what was offered."""
        self.offers.pop(device, None)
        return self.retained(device)

    def standing(self) -> list[Say]:
        """What a broker should keep, said anew at each connection: it may have forgotten, or not heard of an end."""
        return [self.retained(device) for device in self.offers]

    def is_word(self, topic: str) -> bool:
        """Whether a message on this topic is for `hear`."""
        return topic in self._devices

    def hear(self, topic: str, payload: bytes) -> Say | Ended | None:
        """What a node said: the part it wants, or the end; if it speaks of what is not offered, what is. Raise ValueError."""
        device, word = self._devices[topic], read_word(payload)
        offer = self.offers.get(device)
        if offer is None or word.tag != offer.update.tag or offer.state in ("done", "refused"):
            return self.retained(device) if self.ready else None
        offer.version = word.version
        if word.refused:
            runs = word.version == offer.update.version
            offer.state, offer.why = ("done", "") if runs else ("refused", word.refused)
            return Ended(device, offer)
        if not 0 <= word.begin < len(offer.update.data):
            return None
        part = offer.update.part(word.begin)
        offer.have = word.begin
        offer.state = "fetching" if word.begin + PART_BYTES < len(offer.update.data) else "starting"
        return Say(f"{PREFIX}/{self.nodes[device]}/part", part)

    def retained(self, device: str) -> Say:
        """What a broker should keep for a node: the head of an offer that stands, nothing otherwise."""
        offer = self.offers.get(device)
        stands = offer is not None and offer.state not in ("done", "refused")
        payload = offer.update.head if offer is not None and stands else b""
        return Say(f"{PREFIX}/{self.nodes[device]}/offer", payload, retain=True)
