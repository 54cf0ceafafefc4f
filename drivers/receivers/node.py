"""Our own detector nodes in sealed datagrams: each record a state, confirmed once it is kept.

A node sends one record at a time and the next when this one is confirmed, so what comes twice is the newest again.
"""

from collections.abc import Mapping
from typing import Final

from drivers.codecs import node_frame
from drivers.codecs.base import Refused
from drivers.codecs.node_frame import NodeRecord
from drivers.receivers.desk import Heard, Message, Told, Value

# Flag -> what begins and what ends. `muted` is neither.
_EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "smoke": ("fire", "fire_restore"),
    "gas": ("gas_alarm", "gas_restore"),
    "pressure_low": ("supervisory", "supervisory_restore"),
    "pressure_high": ("supervisory", "supervisory_restore"),
    "tilt": ("supervisory", "supervisory_restore"),
    "tamper": ("tamper", "tamper_restore"),
    "fault": ("fault", "fault_restore"),
    "dirty": ("dirty", "dirty_restore"),
    "battery_low": ("battery_fault", "battery_ok"),
}


class NodeTalk:
    """One datagram. `keys`: node -> its key."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._nodes: dict[bytes, list[tuple[str, bytes]]] = {}
        self._tested: dict[str, bool] = {}
        self._lost: dict[str, int] = {}
        for node, key in keys.items():
            self._nodes.setdefault(node_frame.tag_of(node), []).append((node, key))

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        why = "nobody"
        for node, key in self._nodes.get(data[1:5], ()):
            try:
                record = node_frame.read(data, key)
            except ValueError as fault:
                why = str(fault)
                continue
            return [self._message(node, key, record, data)]
        return [Refused(why, data, at_ns)]

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []

    def _message(self, node: str, key: bytes, record: NodeRecord, data: bytes) -> Message:
        fields = {"epoch": record.epoch.hex(), "n": record.n, "age_s": record.age_s, "why": record.why}
        told = [
            Told(name, begin if record.flags[name] else end, fields, is_state=True)
            for name, (begin, end) in _EVENTS.items()
        ]
        told.sort(key=lambda one: one.event not in ("fire", "gas_alarm"))  # an alarm of the record goes first
        told += self._changes(node, record)
        values = [Value(name, value) for name, value in record.values.items()]
        values += [
            Value("test", record.flags["test"]),
            Value("muted", record.flags["muted"]),
            Value("lost", record.lost),
        ]
        unique = data[5:13] + data[17 : -node_frame.MARK_BYTES]  # epoch, number and all but the age
        return Message(who=node, raw=data, key=unique, told=told, values=values, yes=node_frame.ack(record, key))

    def _changes(self, node: str, record: NodeRecord) -> list[Told]:
        """What is an event only when it changes: a person's test, records the node had to drop."""
        told: list[Told] = []
        if (testing := record.flags["test"]) != self._tested.get(node, False):
            told.append(Told("test", "test" if testing else "test_restore"))
        if (more := record.lost - self._lost.get(node, 0)) > 0:
            fields = {"reason": "records_lost", "count": more}
            told += [
                Told("lost_records", "fault", fields),
                Told("lost_records", "fault_restore", fields, is_state=True),
            ]
        self._tested[node], self._lost[node] = testing, record.lost
        return told
