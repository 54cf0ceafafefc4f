"""GB/T 26875.3-2011, the alarm transmission network protocol: packets, data units and objects in both directions, no I/O.

    reader = FrameReader()
    for item in reader.feed(data, now_ns):          # Frame | Rejected
        adu = decode_adu(item.adu, dialect, uplink=True)
    frame.answer(Command.CONFIRM, write_time(now, bcd=dialect.bcd)).encode()

The standard is silent or the field disagrees on time coding, addresses, recovery and more: that is a `Dialect`.
"""

from drivers.codecs.gb26875.addresses import device_address, join_component, show_device, split_component
from drivers.codecs.gb26875.adu import Adu, decode_adu, encode_adu, fitting, room_for
from drivers.codecs.gb26875.dialect import DIALECTS, STANDARD, Dialect
from drivers.codecs.gb26875.frame import Frame, Rejected
from drivers.codecs.gb26875.reader import FrameReader
from drivers.codecs.gb26875.tables import ANSWERS, CONTROLS, Command
from drivers.codecs.gb26875.texts import cut, read_text, write_description
from drivers.codecs.gb26875.times import Time, read_time, write_time

__all__ = [
    "ANSWERS",
    "CONTROLS",
    "DIALECTS",
    "STANDARD",
    "Adu",
    "Command",
    "Dialect",
    "Frame",
    "FrameReader",
    "Rejected",
    "Time",
    "cut",
    "decode_adu",
    "device_address",
    "encode_adu",
    "fitting",
    "join_component",
    "read_text",
    "read_time",
    "room_for",
    "show_device",
    "split_component",
    "write_description",
    "write_time",
]
