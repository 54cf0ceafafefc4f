"""Which protocols there are: by name for `edge-agent decode`, and the codec of a panel profile. Loaded when first used.

To add one: a panel protocol gets a line in `_BUILDERS` and a profile that names it, anything else a line in `_OTHERS`.
"""

import functools
import importlib
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


class Tables:
    """The tables of a profile as a codec's builder reads them. Raises ValueError naming the key that is wrong."""

    def __init__(self, data: Mapping[str, object]) -> None:
        meaning = data.get("meaning", {})
        if not isinstance(meaning, dict):
            raise ValueError("meaning is no table")
        self._meaning: dict[str, object] = meaning
        self._data = data

    def table(self, key: str) -> dict[str, object]:
        """[meaning.<key>], empty if it is left out."""
        value = self._meaning.get(key, {})
        if not isinstance(value, dict):
            raise ValueError(f"meaning.{key} is no table")
        return value

    def codes(self, key: str) -> dict[int, str]:
        """[meaning.<key>] with hexadecimal keys and event names."""
        found: dict[int, str] = {}
        for code, event in self.table(key).items():
            if not isinstance(event, str):
                raise ValueError(f"meaning.{key}.{code} is no event name")
            try:
                found[int(code, 16)] = event
            except ValueError:
                raise ValueError(f"meaning.{key}.{code}: the key is not hexadecimal") from None
        if not found:
            raise ValueError(f"meaning.{key} is missing")
        return found

    def events(self, key: str) -> dict[str, str]:
        """[meaning.<key>] with any text as key and event names."""
        found = self.table(key)
        for word, event in found.items():
            if not isinstance(event, str):
                raise ValueError(f"meaning.{key}.{word} is no event name")
        if not found:
            raise ValueError(f"meaning.{key} is missing")
        return {word: str(event) for word, event in found.items()}

    def tables(self, key: str) -> list[dict[str, object]]:
        """[[meaning.<key>]]."""
        value = self._meaning.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValueError(f"meaning.{key} is no list of tables")
        return value

    def hex_texts(self, key: str) -> dict[int, str]:
        """[<key>] at the top: hexadecimal byte -> the maker's word."""
        value = self._data.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise ValueError(f"{key} is no table of byte = text")
        try:
            return {int(code, 16): text for code, text in value.items()}
        except ValueError:
            raise ValueError(f"{key} has a key that is no hexadecimal byte") from None

    def types(self, key: str) -> frozenset[int]:
        """meaning.<key>: a list of device type numbers."""
        value = self._meaning.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise ValueError(f"meaning.{key} is no list of numbers")
        return frozenset(value)

    def number(self, key: str, default: float) -> float:
        """meaning.<key>."""
        value = self._meaning.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
            raise ValueError(f"meaning.{key} is no number from 0 to 1000000")
        return value

    def text(self, key: str, default: str) -> str:
        """meaning.<key>."""
        value = self._meaning.get(key, default)
        if not isinstance(value, str):
            raise ValueError(f"meaning.{key} is no text")
        return value

    def texts(self, key: str) -> list[str]:
        """meaning.<key>: a list of texts."""
        value = self._meaning.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise ValueError(f"meaning.{key} is no list of texts")
        return value

    def device_types(self) -> dict[int, str]:
        """[device_types]: decimal number -> the maker's word."""
        value = self._data.get("device_types", {})
        if not isinstance(value, dict) or not all(str(k).isdigit() and isinstance(v, str) for k, v in value.items()):
            raise ValueError("device_types is no table of number = text")
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
            raise ValueError(f'meaning.words."{text}" is neither an event name nor {{event, first_fire}}')
        words[text] = Word(event, first)
    if not words:
        raise ValueError("meaning.words is missing")
    try:
        strip = [bytes.fromhex(sequence) for sequence in tables.texts("strip")]
    except ValueError:
        raise ValueError("meaning.strip has something that is not hex") from None
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

    return Gst100Printer(words=tables.codes("words"), devices=tables.hex_texts("devices"))


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
    from drivers.codecs.text_lines import Layout, TextLines
    from drivers.regex_guard import UnsafeRegex, compile_safely

    start = tables.text("start", "")
    terminator = tables.text("terminator", "")
    if len(terminator) > 8 or not terminator.isascii():
        raise ValueError("meaning.terminator is longer than 8 characters or not ASCII")
    try:
        strip = tuple(bytes.fromhex(sequence) for sequence in tables.texts("strip"))
    except ValueError:
        raise ValueError("meaning.strip has something that is not hex") from None
    try:
        layout = Layout(
            encoding=tables.text("encoding", "gb18030"),
            terminator=terminator,
            start=compile_safely(start) if start else None,
            lines=int(tables.number("lines", 1)),
            idle_s=tables.number("idle_s", 1.0),
            strip=strip,
        )
        "".encode(layout.encoding)
        patterns = [_pattern(table) for table in tables.tables("pattern")]
    except UnsafeRegex as fault:
        raise ValueError(f"meaning: a regular expression is not safe, {fault}") from None
    except LookupError:
        raise ValueError("meaning.encoding is no encoding") from None
    return TextLines(
        words=tables.events("words"),
        patterns=patterns,
        layout=layout,
        point_id=tables.text("point_id", ""),
        fire_words=tables.texts("fire_words"),
        manual_texts=tables.texts("manual_texts"),
    )


def _pattern(table: Mapping[str, object]) -> "Pattern":
    from drivers.codecs.text_lines import Pattern
    from drivers.regex_guard import compile_safely

    regex, fixed, whole = table.get("regex"), table.get("fixed", {}), table.get("whole", [])
    if not isinstance(regex, str) or not isinstance(fixed, dict) or not isinstance(whole, list):
        raise ValueError("meaning.pattern wants regex, and may have fixed (a table) and whole (a list of names)")
    compiled = compile_safely(regex)
    if "event" not in compiled.groupindex:
        raise ValueError("meaning.pattern.regex has no group named event")
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
    from drivers.codecs.frame_fields import CHECKS, FRAME_BYTES_MAX, FrameFields, Shape

    frame = tables.table("frame")
    known = {"start", "end", "length", "length_at", "length_plus", "length_max", "check", "check_from"}
    if unknown := set(frame) - known:
        raise ValueError(f"meaning.frame has an unknown key {min(unknown)}; known: {', '.join(sorted(known))}")
    numbers = {key: _whole(frame, key, default, FRAME_BYTES_MAX) for key, default in _FRAME_NUMBERS.items()}
    check = str(frame.get("check", "none"))
    if check not in CHECKS:
        raise ValueError(f"meaning.frame.check is one of {', '.join(CHECKS)}")
    try:
        start, end = bytes.fromhex(str(frame.get("start", ""))), bytes.fromhex(str(frame.get("end", "")))
    except ValueError:
        raise ValueError("meaning.frame.start and end are hex") from None
    if not start or not (end or numbers["length"] or numbers["length_at"] >= 0):
        raise ValueError("meaning.frame wants a start, and an end, a length or length_at")
    shape = Shape(start=start, end=end, check=check, **numbers)
    ignored = tables.texts("ignored")
    named = tables.events("bits") if tables.table("bits") else {}
    if not all(bit.isdecimal() and int(bit) < 64 for bit in named):
        raise ValueError("meaning.bits has a key that is no bit from 0 to 63")
    bits = {int(bit): event for bit, event in named.items()}
    return FrameFields(
        shape,
        _frame_field({"name": "code", **tables.table("code")}),
        [_frame_field(table) for table in tables.tables("field")],
        {} if bits else {code.upper(): event for code, event in tables.events("events").items()},
        frozenset(code.upper() for code in ignored),
        tables.number("dedupe_s", 0.0),
        bits,
    )


def _whole(table: Mapping[str, object], key: str, default: int, most: int) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= most:
        raise ValueError(f"meaning.frame.{key} is no number from 0 to {most}")
    return value


_FRAME_NUMBERS: Final = {"length": 0, "length_at": -1, "length_plus": 0, "length_max": 64, "check_from": 0}


def _frame_field(table: Mapping[str, object]) -> "Field":
    from drivers.codecs.frame_fields import SHAPES, Field

    name, at, size, scale = table.get("name"), table.get("at"), table.get("size", 1), table.get("scale", 1)
    shape = str(table.get("as", "byte"))
    if not isinstance(name, str) or not name.isidentifier() or not isinstance(at, int) or not isinstance(size, int):
        raise ValueError(f"meaning.field {name}: wants name, at, and perhaps size, as, scale")
    if shape not in SHAPES or not 1 <= size <= 64 or isinstance(scale, bool) or not isinstance(scale, int | float):
        raise ValueError(f"meaning.field {name}: as is one of {', '.join(SHAPES)}, size 1 to 64, scale a number")
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
    except ValueError as fault:
        raise ProfileError("bad_meaning", profile=profile.name, detail=str(fault)) from fault


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
