"""What we, as the centre, ask a GB/T 26875.3-2011 device that has been away: how that stands which we still take for active.

While we were down, or it was, an alarm may have ended, and the device does not say so twice: so it is read (types 61, 62 and 81,
clause 8.4), one question at a time, each sent at most four times (6.5.4). A device that denies or never answers leaves things
as they are: an alarm that may be over is kept. Nothing is ordered.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs.gb26875 import ANSWERS, Command, Dialect, Frame, encode_adu, join_component
from drivers.codecs.gb26875.objects import ComponentQuery, DeviceQuery, SystemQuery

ANSWER_S: Final = 10.0
TRANSMISSIONS: Final = 4
AWAY_S: Final = 40.0  # four transmissions: what a device had to tell meanwhile it has given up
QUESTIONS_MAX: Final = 256  # of one device at a time
PEERS_MAX: Final = 256
SERIALS: Final = 1 << 16

Standing = Callable[
    [str], Iterable[tuple[str, str]]
]  # device as the wire names it -> what is active of it: point, event kind


@dataclass(slots=True)
class _Peer:
    heard_ns: int
    said: Frame | None = None  # its last upload: addresses and versions as it has them
    waiting: deque[bytes] = field(default_factory=deque)  # data units
    asked: bytes = b""  # the open question, b"": none
    serial: int = 0
    sent: int = 0
    due_ns: int = 0


class Questions:
    """All open questions, over all connections of the devices."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._peers: OrderedDict[str, _Peer] = OrderedDict()
        self._serial = 0

    def is_back(self, who: str, at_ns: int) -> bool:
        """The device is heard. Whether it was away, so that it has to be asked."""
        peer = self._peers.pop(who, None)
        back = peer is None or at_ns - peer.heard_ns >= AWAY_S * 1e9
        self._peers[who] = peer = peer or _Peer(at_ns)
        while len(self._peers) > PEERS_MAX:
            self._peers.popitem(last=False)
        peer.heard_ns = at_ns
        return back

    def ask(self, who: str, wheres: Iterable[str]) -> None:
        """Ask how these points of the device stand, in place of what it was asked before."""
        peer = self._peers[who]
        units = dict.fromkeys(unit for where in wheres if (unit := question(where, self._dialect)))
        peer.waiting, peer.asked = deque(list(units)[:QUESTIONS_MAX]), b""

    def due(self, who: str, upload: Frame | None, sent: Callable[[Frame], bytes], at_ns: int) -> Frame | None:
        """The packet that is to go to the device now. `upload` is what it has just sent, `sent` gives the time tag."""
        peer = self._peers.get(who)
        if peer is None:
            return None
        peer.said = upload or peer.said
        if peer.said is None or (peer.asked and at_ns < peer.due_ns):
            return None
        if peer.asked and peer.sent >= TRANSMISSIONS:  # it takes no questions: the others would fare no better
            peer.waiting.clear()
            peer.asked = b""
        if not peer.asked:
            if not peer.waiting:
                return None
            peer.asked, peer.sent = peer.waiting.popleft(), 0
            peer.serial, self._serial = self._serial, (self._serial + 1) % SERIALS
        peer.sent += 1
        peer.due_ns = at_ns + round(ANSWER_S * 1e9)
        said = peer.said
        return said._replace(
            serial=peer.serial,
            sent=sent(said),
            source=said.target,
            target=said.source,
            command=Command.REQUEST,
            adu=peer.asked,
        )

    def answers(self, who: str, frame: Frame) -> bool:
        """Whether a response or denial ends the open question of the device, and is what was asked for."""
        peer = self._peers.get(who)
        if peer is None or not peer.asked or frame.serial != peer.serial or frame.command == Command.CONFIRM:
            return False
        wanted = ANSWERS[peer.asked[0]]
        if frame.command == Command.RESPONSE and frame.adu[:1] != bytes((wanted,)):
            return False  # it is asked again
        peer.asked = b""
        return frame.command == Command.RESPONSE


def question(where: str, dialect: Dialect) -> bytes:
    """The data unit that asks about a point, by its name behind the device's (`GbTalk`); b"" where none can."""
    parts = where.split("-")
    try:
        if where == "device":
            return encode_adu(81, [DeviceQuery()], dialect)
        system = int(parts[0]), int(parts[1])
        if len(parts) == 2:
            return encode_adu(61, [SystemQuery(*system)], dialect)
        return encode_adu(62, [ComponentQuery(*system, _address(parts[2:], dialect))], dialect)
    except (ValueError, IndexError, OverflowError):  # a point of another component_address, from before it was changed
        return b""


def _address(parts: list[str], dialect: Dialect) -> bytes:
    if dialect.component_address == "raw":
        (written,) = parts
        raw = bytes.fromhex(written)
        if len(raw) != 4:
            raise ValueError(written)
        return raw
    if dialect.component_address == "u32":
        (written,) = parts
        return int(written).to_bytes(4, "little")
    loop, point = parts
    return join_component(int(loop), int(point), dialect.component_address)


def rank_of(where: str) -> int:
    """0 the device, 1 a system, 2 a component."""
    return 0 if where == "device" else min(where.count("-"), 2)
