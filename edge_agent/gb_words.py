"""A GB/T 26875.3 packet for a person: the objects of `drivers.codecs.gb26875.meaning` in the words of the standard."""

from collections.abc import Iterator, Mapping
from typing import Final

from drivers.codecs.gb26875.tables import COMPONENT_TYPES, QUANTITIES, SYSTEM_TYPES, TYPE_NAMES
from edge_agent.texts import text

Fields = Mapping[str, object]

# ASCII units of the codec as people write them.
_UNITS: Final[Mapping[str, str]] = {"degC": "°C", "m3/min": "m³/min"}


def head_line(packet: Fields, lang: str) -> str:
    """Command, serial number, addresses and send time of a packet."""
    name, code = packet.get("command_name"), packet.get("command")
    if name in ("user_defined", "reserved"):
        command = text("gb.user_code" if name == "user_defined" else "gb.reserved_code", lang, code=code)
    else:
        command = text("gb.code", lang, name=text(f"gb.command_{name}", lang), code=code)
    return text(
        "gb.head",
        lang,
        command=command,
        serial=packet.get("serial"),
        source=packet.get("source"),
        target=packet.get("destination"),
        time=_time(packet, "time", lang, "frame_time_bcd"),
    )


def unit_lines(unit: object, lang: str) -> Iterator[str]:
    """The type of a data unit, its problems, and a line for each object. `unit` None: it is empty."""
    if not isinstance(unit, Mapping):
        yield text("gb.unit_empty", lang)
        return
    problems = unit.get("problems", [])
    said = [text("gb.unit", lang, type=_code(unit["type"], TYPE_NAMES, "type", lang), count=unit["object_count"])]
    said += [text(f"gb.problem_{problem}", lang) for problem in problems]
    if "body_hex" in unit:
        said.append(text("gb.unit_raw", lang, hex=unit["body_hex"] or "-"))
    yield "  ".join(said)
    for item in unit["objects"]:
        yield "- " + "  ".join(_object(item, lang))


def _object(item: Fields, lang: str) -> Iterator[str]:
    if "system_type" in item:
        name = _code(item["system_type"], SYSTEM_TYPES, "system", lang)
        yield text("gb.system", lang, name=name, address=item["system_address"])
    if "component_address_hex" in item:
        yield _component(item, lang)
    if "status_raw" in item:
        yield text("gb.status", lang, value=item["status_raw"], bits=_bits(item, "status", lang))
    if "operation_raw" in item:
        bits = _bits(item, "operation", lang)
        yield text("gb.operation", lang, value=item["operation_raw"], bits=bits, operator=item["operator"])
    if "analog_type" in item:
        yield _analogue(item, lang)
    if item.get("description"):
        yield text("gb.description", lang, text=item["description"])
    if "text" in item:
        yield text("gb.text", lang, text=item["text"] or "-")
    if "version" in item:
        yield text("gb.version", lang, version=item["version"])
    if "record_count" in item:
        time = _time(item, "start_time", lang)
        yield text("gb.records", lang, count=item["record_count"], time=time)
    if "timeout_min" in item:
        yield text("gb.minutes", lang, minutes=item["timeout_min"])
    if "time" in item:
        yield text("gb.time", lang, time=_time(item, "time", lang))
    if "trailing_time" in item:
        yield text("gb.trailing_time", lang, time=_time(item, "trailing_time", lang))


def _component(item: Fields, lang: str) -> str:
    where = {
        "hex": item["component_address_hex"],
        "low": item["address_low_u16"],
        "high": item["address_high_u16"],
    }
    if "component_type" not in item:
        return text("gb.component_address", lang, **where)
    return text("gb.component", lang, name=_code(item["component_type"], COMPONENT_TYPES, "component", lang), **where)


def _analogue(item: Fields, lang: str) -> str:
    names = {code: quantity.name for code, quantity in QUANTITIES.items()}
    name = _code(item["analog_type"], names, "quantity", lang)
    value = item.get("value")
    if value is None:
        return text("gb.analogue_raw", lang, name=name, raw=item["analog_raw"])
    unit = str(item["unit"])
    return text("gb.analogue", lang, name=name, value=value, unit=_UNITS.get(unit, unit))


def _code(code: object, names: Mapping[int, str], table: str, lang: str) -> str:
    """A code of one of the standard's tables, in words with its number."""
    assert isinstance(code, int)
    if code not in names:
        return text("gb.user_code" if code >= 128 else "gb.reserved_code", lang, code=code)
    name = names[code]
    keys = {
        "type": f"gb.type_{name}",
        "system": f"gb.system_{name}",
        "component": f"gb.component_{name}",
        "quantity": f"gb.quantity_{name}",
    }
    return text("gb.code", lang, name=text(keys[table], lang), code=code)


def _bits(item: Fields, what: str, lang: str) -> str:
    known, reserved = item[f"{what}_bits"], item.get("reserved_bits", [])
    assert isinstance(known, list) and isinstance(reserved, list)
    said = [text(f"gb.bit_{name}", lang) for name in known]
    return ", ".join(said + [text("gb.reserved_bit", lang, bit=bit) for bit in reserved]) or "-"


def _time(item: Fields, name: str, lang: str, bcd_name: str = "") -> str:
    """The time under `name`; read as BCD where only that makes one; its bytes where nothing does."""
    if (at := item.get(name)) is not None:
        return _written(at)
    if (in_bcd := item.get(bcd_name or f"{name}_bcd")) is not None:
        return text("gb.time_bcd", lang, time=_written(in_bcd))
    return text("gb.time_none", lang, hex=item.get(f"{name}_hex"))


def _written(at: object) -> str:
    return str(at).replace("T", " ")
