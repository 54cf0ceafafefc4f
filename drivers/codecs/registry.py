"""Which protocols there are: by name for `edge-agent decode`, and the codec of a panel profile. Loaded when first used.

To add one: a panel protocol gets a line in `_BUILDERS` and a profile that names it, anything else a line in `_OTHERS`.
"""

import functools
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from drivers.codecs.base import Codec, decode_stream

if TYPE_CHECKING:
    from drivers.codecs.frame_fields import Field
    from drivers.codecs.text_lines import Pattern
    from drivers.profile import Profile

Decode = Callable[[bytes], list[dict[str, object]]]

# Names whose decoders stand alone: module and function(data) -> objects.
_OTHERS: Final[Mapping[str, tuple[str, str]]] = {
    "at": ("drivers.codecs.at.decode", "decode"),
    "contact-id": ("drivers.codecs.contact_id", "decode"),
    "ctwing-json": ("drivers.codecs.ctwing", "decode"),
    "dlt645-1997": ("drivers.codecs.dlt645_items", "decode_frames"),
    "dlt645-2007": ("drivers.codecs.dlt645_items", "decode_frames"),
    "elec-4g-7b7b": ("drivers.codecs.elec_7b7b", "decode"),
    "edge-node-frame": ("drivers.codecs.node_frame", "decode"),
    "espa444": ("drivers.codecs.espa444", "decode"),
    "gb26875.3": ("drivers.codecs.gb26875.meaning", "decode_packets"),
    "gb26875.3-adu": ("drivers.codecs.gb26875.meaning", "decode_units"),
    "gb26875.3-dialect": ("drivers.codecs.gb26875.meaning", "decode_dialects"),
    "huaqiang-nb": ("drivers.codecs.huaqiang_nb", "decode"),
    "ks-breaker-68": ("drivers.codecs.ks_breaker", "decode"),
    "modbus-afd-xy16": ("drivers.codecs.modbus", "decode_frames"),
    "modbus-eastron": ("drivers.codecs.modbus", "decode_eastron_frames"),
    "pn532": ("drivers.codecs.pn532", "decode"),
    "rdm6300": ("drivers.codecs.rdm6300", "decode"),
    "sia-dc09": ("drivers.codecs.sia_dc09", "decode"),
    "wanlin-nb-ascii": ("drivers.codecs.wanlin_nb", "decode_ascii"),
    "wanlin-nb-json": ("drivers.codecs.wanlin_nb", "decode_json"),
    "zigbee-ias-zone": ("drivers.codecs.zigbee_ias", "decode"),
}


PATTERNS_MAX: Final = 50  # every line is held against all of them, and against every word
WORDS_MAX: Final = 1000
VALUE_SHOWN: Final = 200  # of what is wrong


class BadMeaning(ValueError):
    """`where` in a profile `value` means nothing; `code` says why (the text profile.fault_<code>)."""

    def __init__(self, code: str, where: str, value: object = "") -> None:
        super().__init__(f"{code}: {where}: {value}")
        self.code, self.where, self.value = code, where, value


class Tables:
    """The tables of a profile as a codec's builder reads them. Raises BadMeaning naming the key that is wrong."""

    def __init__(self, data: Mapping[str, object]) -> None:
        meaning = data.get("meaning", {})
        if not isinstance(meaning, dict):
            raise BadMeaning("not_a_table", "meaning", meaning)
        self._meaning: dict[str, object] = meaning
        self._data = data

    def table(self, key: str) -> dict[str, object]:
        """[meaning.<key>], empty if it is left out."""
        value = self._meaning.get(key, {})
        if not isinstance(value, dict):
            raise BadMeaning("not_a_table", f"meaning.{key}", value)
        return value

    def codes(self, key: str) -> dict[int, str]:
        """[meaning.<key>] with hexadecimal keys and event names."""
        found: dict[int, str] = {}
        for code, event in self.table(key).items():
            if not isinstance(event, str):
                raise BadMeaning("not_an_event", f"meaning.{key}.{code}", event)
            try:
                found[int(code, 16)] = event
            except ValueError:
                raise BadMeaning("not_hex_key", f"meaning.{key}", code) from None
        if not found:
            raise BadMeaning("missing", f"meaning.{key}")
        return found

    def events(self, key: str) -> dict[str, str]:
        """[meaning.<key>] with any text as key and event names."""
        found = self.table(key)
        for word, event in found.items():
            if not isinstance(event, str):
                raise BadMeaning("not_an_event", f"meaning.{key}.{word}", event)
        if not found:
            raise BadMeaning("missing", f"meaning.{key}")
        return {word: str(event) for word, event in found.items()}

    def tables(self, key: str) -> list[dict[str, object]]:
        """[[meaning.<key>]]."""
        value = self._meaning.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise BadMeaning("not_tables", f"meaning.{key}", value)
        return value

    def hex_texts(self, key: str) -> dict[int, str]:
        """[<key>] at the top: hexadecimal byte -> the maker's word."""
        value = self._data.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise BadMeaning("not_hex_texts", key, value)
        try:
            return {int(code, 16): text for code, text in value.items()}
        except ValueError:
            raise BadMeaning("not_hex_texts", key, value) from None

    def types(self, key: str) -> frozenset[int]:
        """meaning.<key>: a list of device type numbers."""
        value = self._meaning.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise BadMeaning("not_numbers", f"meaning.{key}", value)
        return frozenset(value)

    def number(self, key: str, default: float) -> float:
        """meaning.<key>."""
        value = self._meaning.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
            raise BadMeaning("bad_number", f"meaning.{key}", f"{value}; 0-1000000")
        return value

    def text(self, key: str, default: str) -> str:
        """meaning.<key>."""
        value = self._meaning.get(key, default)
        if not isinstance(value, str):
            raise BadMeaning("not_a_text", f"meaning.{key}", value)
        return value

    def texts(self, key: str) -> list[str]:
        """meaning.<key>: a list of texts."""
        value = self._meaning.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise BadMeaning("not_texts", f"meaning.{key}", value)
        return value

    def device_types(self) -> dict[int, str]:
        """[device_types]: decimal number -> the maker's word."""
        value = self._data.get("device_types", {})
        if not isinstance(value, dict) or not all(str(k).isdigit() and isinstance(v, str) for k, v in value.items()):
            raise BadMeaning("not_number_texts", "device_types", value)
        return {int(number): text for number, text in value.items()}


def _layer_bus(tables: Tables) -> Codec:
    from drivers.codecs.gst_layer_bus import GstLayerBus

    return GstLayerBus(
        kinds=tables.codes("kinds"),
        device_types=tables.device_types(),
        manual_types=tables.types("manual_types"),
        dedupe_s=tables.number("dedupe_s", 1.0),
    )


def _crt500(tables: Tables) -> Codec:
    from drivers.codecs.gst_crt500 import GstCrt500

    return GstCrt500(
        device_types=tables.device_types(),
        supervisory_types=tables.types("supervisory_types"),
        acting_above=int(tables.number("acting_above", 255)),
        manual_types=tables.types("manual_types"),
    )


def _lida(tables: Tables) -> Codec:
    from drivers.codecs.lida_ld128e import LidaLd128e

    return LidaLd128e(commands=tables.codes("commands"))


def _jbf(tables: Tables) -> Codec:
    from drivers.codecs.jbf_11s_old import Jbf11sOld

    return Jbf11sOld(codes=tables.codes("codes"))


def _printer(tables: Tables) -> Codec:
    from drivers.codecs.gst9000_printer import LinePrinter, Word

    words: dict[str, Word] = {}
    for text, meaning in tables.table("words").items():
        first = meaning.get("first_fire") if isinstance(meaning, dict) else None
        event = meaning.get("event") if isinstance(meaning, dict) else meaning
        if not isinstance(event, str) or not isinstance(first, bool | None):
            raise BadMeaning("not_an_event", f"meaning.words.{text}", meaning)
        words[text] = Word(event, first)
    if not words:
        raise BadMeaning("missing", "meaning.words")
    try:
        strip = [bytes.fromhex(sequence) for sequence in tables.texts("strip")]
    except ValueError:
        raise BadMeaning("not_hex", "meaning.strip", tables.texts("strip")) from None
    return LinePrinter(
        words=words,
        address=tables.text("address", "loop-point"),
        time=tables.text("time", "MM/DD/YY HH:MM"),
        strip=strip,
        fire_words=tables.texts("fire_words"),
        manual_texts=tables.texts("manual_texts"),
        idle_s=tables.number("idle_s", 1.0),
    )


def _utd_digit(tables: Tables) -> Codec:
    from drivers.codecs.gst_utd_digit import GstUtdDigit

    return GstUtdDigit(events=tables.codes("events"), dedupe_s=tables.number("dedupe_s", 30.0))


def _gst100(tables: Tables) -> Codec:
    from drivers.codecs.gst100_printer import Gst100Printer

    supplies = tables.codes("supplies") if tables.table("supplies") else {}
    return Gst100Printer(words=tables.codes("words"), devices=tables.hex_texts("devices"), supplies=supplies)


def _jbf_193k(tables: Tables) -> Codec:
    from drivers.codecs.jbf_193k import Jbf193k

    return Jbf193k(codes=tables.codes("codes"), dedupe_s=tables.number("dedupe_s", 0.0))


def _jb3208(tables: Tables) -> Codec:
    from drivers.codecs.jb3208_crt import Jb3208Crt

    return Jb3208Crt(manual_types=tables.types("manual_types"), dedupe_s=tables.number("dedupe_s", 5.0))


def _fuan(tables: Tables) -> Codec:
    from drivers.codecs.fuan_fs5101w import FuanFs5101w

    return FuanFs5101w(states=tables.codes("states"))


def _aorina(tables: Tables) -> Codec:
    from drivers.codecs.aorina_oxx20 import AorinaOxx20

    return AorinaOxx20(tags=tables.events("tags"))


def _text_lines(tables: Tables) -> Codec:
    from drivers.codecs.text_lines import AUTO_ENCODING, Layout, TextLines

    start, rule, encoding = tables.text("start", ""), tables.text("rule", ""), tables.text("encoding", "gb18030")
    terminator = tables.text("terminator", "")
    if len(terminator) > 8 or not terminator.isascii():
        raise BadMeaning("bad_terminator", "meaning.terminator", terminator)
    try:
        strip = tuple(bytes.fromhex(sequence) for sequence in tables.texts("strip"))
    except ValueError:
        raise BadMeaning("not_hex", "meaning.strip", tables.texts("strip")) from None
    try:
        if encoding != AUTO_ENCODING:
            bytes(range(256)).decode(encoding, "replace")  # whatever a port says
    except (LookupError, ValueError):
        raise BadMeaning("unknown_encoding", "meaning.encoding", encoding) from None
    patterns = tables.tables("pattern")
    if len(patterns) > PATTERNS_MAX or len(tables.table("words")) > WORDS_MAX:
        raise BadMeaning("too_many", "meaning", f"pattern {PATTERNS_MAX}, words {WORDS_MAX}")
    return TextLines(
        words=tables.events("words"),
        patterns=[_pattern(table, f"meaning.pattern {number}") for number, table in enumerate(patterns, 1)],
        layout=Layout(
            encoding=encoding,
            terminator=terminator,
            start=_expression(start, "meaning.start") if start else None,
            rule=_expression(rule, "meaning.rule") if rule else None,
            lines=int(tables.number("lines", 1)),
            idle_s=tables.number("idle_s", 1.0),
            strip=strip,
        ),
        point_id=tables.text("point_id", ""),
        fire_words=tables.texts("fire_words"),
        manual_texts=tables.texts("manual_texts"),
    )


def _expression(regex: str, where: str) -> re.Pattern[str]:
    from drivers.regex_guard import UnsafeRegex, compile_safely

    try:
        return compile_safely(regex)
    except UnsafeRegex as fault:
        raise BadMeaning(f"regex_{fault.code}", where, fault.detail or regex) from None


def _pattern(table: Mapping[str, object], where: str) -> "Pattern":
    from drivers.codecs.text_lines import Pattern

    regex, fixed, whole = table.get("regex"), table.get("fixed", {}), table.get("whole", [])
    if not isinstance(regex, str) or not isinstance(fixed, dict) or not isinstance(whole, list):
        raise BadMeaning("bad_pattern", where, regex)
    compiled = _expression(regex, where)
    if "event" not in compiled.groupindex:
        raise BadMeaning("no_event_group", where, regex)
    return Pattern(compiled, fixed, frozenset(str(name) for name in whole))


def _ct11(tables: Tables) -> Codec:
    from drivers.codecs.siemens_ct11 import SiemensCt11

    return SiemensCt11(sectors=tables.events("sectors"), codes=tables.events("codes"))


def _simplex_cpi(tables: Tables) -> Codec:
    from drivers.codecs.simplex_cpi import SimplexCpi

    return SimplexCpi(types=tables.events("types"), dedupe_s=tables.number("dedupe_s", 10.0))


def _v3818(tables: Tables) -> Codec:
    from drivers.codecs.fse_v3818 import FseV3818

    return FseV3818(commands=tables.codes("commands"))


def _frame_fields(tables: Tables) -> Codec:
    from drivers.codecs.frame_fields import CHECKS, FRAME_BYTES_MAX, Command, FrameFields, Shape

    frame = tables.table("frame")
    known = {
        "start",
        "end",
        "length",
        "length_at",
        "length_plus",
        "length_max",
        "check",
        "check_from",
        "repeat",
        "count_at",
    }
    if unknown := set(frame) - known:
        raise BadMeaning("unknown_key", f"meaning.frame.{min(unknown)}", f"known: {', '.join(sorted(known))}")
    numbers = {key: _whole(frame, key, default, FRAME_BYTES_MAX) for key, default in _FRAME_NUMBERS.items()}
    check = str(frame.get("check", "none"))
    if check not in CHECKS:
        raise BadMeaning("unknown_check", "meaning.frame.check", f"{check}; {', '.join(CHECKS)}")
    try:
        start, end = bytes.fromhex(str(frame.get("start", ""))), bytes.fromhex(str(frame.get("end", "")))
    except ValueError:
        raise BadMeaning("not_hex", "meaning.frame.start, end") from None
    if not start or not (end or numbers["length"] or numbers["length_at"] >= 0):
        raise BadMeaning("frame_without_end", "meaning.frame")
    if numbers["repeat"] and numbers["count_at"] < 0:
        raise BadMeaning("missing", "meaning.frame.count_at")
    shape = Shape(start=start, end=end, check=check, **numbers)
    ignored = tables.texts("ignored")
    named = tables.events("bits") if tables.table("bits") else {}
    if not all(bit.isdecimal() and int(bit) < 64 for bit in named):
        raise BadMeaning("bad_bit", "meaning.bits", min(named))
    bits = {int(bit): event for bit, event in named.items()}
    command, active = None, tables.table("active")
    if place := tables.table("command"):
        commands = {code.upper(): event for code, event in tables.events("commands").items()}
        command = Command(_frame_field({"name": "command", **place}), str(place.get("records", "")).upper(), commands)
    return FrameFields(
        shape,
        _frame_field({"name": "code", **tables.table("code")}),
        [_frame_field(table) for table in tables.tables("field")],
        {} if bits else {code.upper(): event for code, event in tables.events("events").items()},
        frozenset(code.upper() for code in ignored),
        tables.number("dedupe_s", 0.0),
        bits,
        command=command,
        active=_frame_field({"name": "active", **active}) if active else None,
    )


def _whole(table: Mapping[str, object], key: str, default: int, most: int) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= most:
        raise BadMeaning("bad_number", f"meaning.frame.{key}", f"{value}; 0-{most}")
    return value


_FRAME_NUMBERS: Final = {
    "length": 0,
    "length_at": -1,
    "length_plus": 0,
    "length_max": 64,
    "check_from": 0,
    "repeat": 0,
    "count_at": -1,
}


def _frame_field(table: Mapping[str, object]) -> "Field":
    from drivers.codecs.frame_fields import SHAPES, Field

    name, at, size, scale = table.get("name"), table.get("at"), table.get("size", 1), table.get("scale", 1)
    shape = str(table.get("as", "byte"))
    if not isinstance(name, str) or not name.isidentifier() or not isinstance(at, int) or not isinstance(size, int):
        raise BadMeaning("bad_field_place", f"meaning.field {name}", table)
    if shape not in SHAPES or not 1 <= size <= 64 or isinstance(scale, bool) or not isinstance(scale, int | float):
        raise BadMeaning("bad_field_shape", f"meaning.field {name}", f"{shape}, {size}, {scale}; {', '.join(SHAPES)}")
    return Field(name, at, size, shape, scale)


_BUILDERS: Final[Mapping[str, Callable[[Tables], Codec]]] = {
    "aorina-oxx20": _aorina,
    "frame-fields": _frame_fields,
    "fse-v3818": _v3818,
    "fuan-fs5101w": _fuan,
    "gst-crt500": _crt500,
    "gst-layer-bus": _layer_bus,
    "gst-utd-digit": _utd_digit,
    "gst100-microprinter": _gst100,
    "gst9000-printer": _printer,
    "jb3208-crt": _jb3208,
    "jbf-11s-old": _jbf,
    "jbf-193k": _jbf_193k,
    "lida-ld128e": _lida,
    "siemens-ct11": _ct11,
    "simplex-4100-cpi": _simplex_cpi,
    "text-lines": _text_lines,
}
CODECS: Final = tuple(_BUILDERS)


def build_codec(profile: "Profile") -> Codec:
    """A fresh codec for a panel profile. Raises ProfileError (unknown_codec, bad_meaning)."""
    from drivers.profile import ProfileError

    name = str(profile.data.get("codec", ""))
    builder = _BUILDERS.get(name)
    if builder is None:
        raise ProfileError("unknown_codec", profile=profile.name, codec=name, known=", ".join(CODECS))
    try:
        return builder(Tables(profile.data))
    except BadMeaning as fault:
        told = {"where": fault.where, "value": str(fault.value)[:VALUE_SHOWN], "detail": fault.code}
        raise ProfileError("bad_meaning", profile=profile.name, **told) from fault


def decode_with(profile: "Profile", data: bytes) -> list[dict[str, object]]:
    """What a panel profile makes of a capture (see base.decode_stream)."""
    codec = build_codec(profile)
    codec.resume_after_noise()
    # A character's time on the line; half the pause that would end a frame if the line is very slow.
    byte_ns = min(round(profile.char_s * 1e9), round(codec.quiet_s * 0.5e9))
    return decode_stream(codec, data, byte_ns=byte_ns)


def _decode_profile(name: str) -> Decode:
    def decode(data: bytes) -> list[dict[str, object]]:
        from drivers.profile import load_profiles, try_capture

        return try_capture(load_profiles(()).get(name), data)

    return decode


def _decode_other(module: str, function: str) -> Decode:
    def decode(data: bytes) -> list[dict[str, object]]:
        found: Decode = getattr(importlib.import_module(module), function)
        return found(data)

    return decode


class _Protocols(Mapping[str, Decode]):
    """Every shipped profile decodes what its device says; the rest stand alone."""

    def __getitem__(self, name: str) -> Decode:
        if name in _OTHERS:
            return _decode_other(*_OTHERS[name])
        if name in self._profiles():
            return _decode_profile(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._profiles(), *_OTHERS}))

    def __len__(self) -> int:
        return len({*self._profiles(), *_OTHERS})

    @staticmethod
    @functools.cache
    def _profiles() -> frozenset[str]:
        from drivers.profile import load_profiles

        return frozenset(load_profiles(()).names())


PROTOCOLS: Final[Mapping[str, Decode]] = _Protocols()
"""Name -> decode(data): one object a frame, the field names of the captures in tests/captures."""
