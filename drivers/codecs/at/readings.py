"""What the lines of a modem mean: registration, signal, SIM, time, power saving, sockets. One parser a prefix.

A `Reading` has the field names of the captures in tests/captures/at-*.json; units end them (`rsrp_dBm`). A line that has a known
prefix and makes no sense is `Broken`. Sources: 3GPP 27.007, ModemManager's parsers and tests, and transcripts named there.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from drivers.codecs.at import timers
from drivers.codecs.at.fields import Broken, Reading, bare, is_small, one_of, raw_fields, split, text_at, whole_at
from drivers.codecs.at.radio import NUESTATS, RADIO, UNKNOWN_POWER
from drivers.codecs.at.socket_lines import SOCKETS, bare_socket_line

STATES: Final = (
    "idle",
    "home",
    "searching",
    "denied",
    "unknown",
    "roaming",
    "home_sms_only",
    "roaming_sms_only",
    "emergency",
    "csfb_home",
    "csfb_roaming",
    "rlos",
)
USABLE: Final = frozenset({"home", "roaming", "csfb_home", "csfb_roaming"})
ACTS: Final = {
    0: "gsm",
    2: "umts",
    3: "edge",
    4: "hspa",
    5: "hspa",
    6: "hspa",
    7: "lte",
    8: "ec-gsm",
    9: "nb-iot",
    10: "lte-5gc",
    11: "nr",
    12: "nr",
    13: "en-dc",
}
_MODES: Final = 6  # the n of CREG, CEREG… is 0-5
REGISTRATIONS: Final = ("CREG", "CGREG", "CEREG", "C5GREG")


def read(text: str, asked: str = "") -> Reading | Broken | None:
    """What a line means; None for one nobody knows. `asked`: the command in flight without AT, where the line alone cannot tell
    (an answer without a prefix, a registration in the answer's form that nobody asked for).
    """
    if (found := _PREFIX.match(text)) and not text.startswith("+IPD"):
        name = found[1]
        parse = _PARSERS.get(name)
        if parse is None:
            return None
        try:
            return parse(name, found[2].strip(), asked)
        except (ValueError, IndexError, KeyError, OverflowError):
            return Broken(name, "bad_fields")
    return _bare_line(text, asked)


# `+IPCLOSE 0,1`: some firmware leaves the colon out.
_PREFIX: Final = re.compile(r"[+^]([A-Z0-9]{2,12})(?: ?:| (?=\d))(.*)")


# --- registration and network -------------------------------------------------------------------------------------------------


def _registration(name: str, rest: str, asked: str) -> Reading | Broken:
    """`n,stat[,area,cell[,act…]]` answered, `stat[,area,cell[,act…]]` unasked: told apart by what the second field can be."""
    raw = raw_fields(rest)
    fields = [bare(field) for field in raw]
    answer = len(raw) > 1 and is_small(raw[0], _MODES) and is_small(raw[1], len(STATES))
    if answer:
        fields = fields[1:]
    stat = int(fields[0])
    if not 0 <= stat < len(STATES):
        return Broken(name, "bad_stat")
    if len(fields) >= 5 and len(fields[2]) <= 2 < len(fields[3]):
        del fields[2]  # a routing area between area and cell (some Huawei, Altair)
    area, cell, act = (fields[i] if i < len(fields) and fields[i] else None for i in (1, 2, 3))
    for value in (area, cell):
        if value is not None:
            int(value, 16)
    said: dict[str, object] = {
        "solicited": answer if not asked else answer and asked.startswith(name),
        "stat": stat,
        "state": STATES[stat],
        "area_hex": area,
        "cell_hex": cell,
        "act": int(act) if act is not None else None,
        "rat": ACTS.get(int(act)) if act is not None else None,
    }
    if name == "CEREG" and len(fields) >= 8:  # CEREG=4: …,cause type,cause,active time,periodic TAU
        said |= _granted(fields[6], fields[7])
    return Reading(name, said, urc=not said["solicited"])


def is_registered(readings: Iterable[Reading]) -> bool:
    """Whether any domain is registered: an NB-IoT modem never comes to CREG, only CEREG counts there."""
    return any(reading.command in REGISTRATIONS and reading.text("state") in USABLE for reading in readings)


def _cops(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    act = whole_at(fields, 3)
    return Reading(
        "COPS?",
        {"mode": int(fields[0]), "format": whole_at(fields, 1), "operator": text_at(fields, 2), "act": act},
    )


def _cgatt(name: str, rest: str, asked: str) -> Reading:
    return Reading("CGATT?", {"attached": one_of(split(rest)[0], ("0", "1")) == "1"})


def _cgact(name: str, rest: str, asked: str) -> Reading:
    cid, active = split(rest)[:2]
    return Reading("CGACT?", {"active": {str(int(cid)): one_of(active, ("0", "1")) == "1"}})


def _cgpaddr(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    address = text_at(fields, 1)
    return Reading("CGPADDR", {"cid": int(fields[0]), "address": None if address == "0.0.0.0" else address})  # noqa: S104 - "none yet"


def _cgev(name: str, rest: str, asked: str) -> Reading | Broken:
    """3GPP 27.007 clause 10.1.19; a context behind a type and an address may be left out."""
    found = _CGEV.fullmatch(rest)
    if found is None:
        return Broken("CGEV", "unknown_event")
    what, fields = found[1].lower().replace(" pdn ", " ").replace(" ", "_"), split(found[2] or "")
    if what.endswith("act") and not what.endswith("react"):
        beside = len(fields) > 1 and fields[0].isdigit() and " PDN " not in found[1]  # one bearer beside another
        what += "_secondary" if beside else "_primary" if fields[0].isdigit() else "_pdp"
    if what not in _CONTEXT_AT:
        return Broken("CGEV", "unknown_event")
    said: dict[str, object] = {"action": what}
    at = _CONTEXT_AT[what]
    if at is not None and at < len(fields) and fields[at].isdigit():
        said["cid"] = int(fields[at])
    if what.endswith(("detach", "deact_primary", "deact_pdp")):
        said["link_lost"] = True
    return Reading("CGEV", said, urc=True)


_CGEV: Final = re.compile(r"((?:NW|ME) (?:DETACH|CLASS|PDN ACT|PDN DEACT|ACT|DEACT|REACT|MODIFY)|REJECT)(?:$| (.*))")
_CONTEXT_AT: Final[Mapping[str, int | None]] = {  # behind which field of an event its context stands
    **dict.fromkeys(("nw_detach", "me_detach", "nw_class", "me_class", "reject")),
    **dict.fromkeys(("nw_act_primary", "me_act_primary", "nw_deact_primary", "me_deact_primary"), 0),
    **dict.fromkeys(("nw_modify", "me_modify"), 0),
    **dict.fromkeys(("nw_act_secondary", "me_act_secondary", "nw_deact_secondary", "me_deact_secondary"), 1),
    **dict.fromkeys(("nw_deact_pdp", "me_deact_pdp", "nw_react"), 2),
}


# --- SIM and identity ---------------------------------------------------------------------------------------------------------


def _cpin(name: str, rest: str, asked: str) -> Reading | Broken:
    lock = {"READY": "none"}.get(rest.strip('"'), rest.strip('"').lower().replace(" ", "_").replace("-", "_"))
    if not re.fullmatch(
        r"none|not_inserted|not_ready|sim_pin2|sim_puk2|(?:sim|ph_(?:sim|net|netsub|sp|corp|fsim))_?(?:pin|puk)?2?",
        lock,
    ):
        return Broken("CPIN?", "unknown_lock")
    return Reading("CPIN?", {"lock": lock}, urc=not asked.startswith("CPIN?"))


_SIM_DONE: Final = (0x90, 0x91, 0x9F)  # the first status byte of a command the SIM took


def read_iccid(text: str) -> str | None:
    """The SIM's number as printed on it, None if it is none: may come with nibbles swapped, a trailing F, letters in 898602F…"""
    written = text.strip().strip('"').upper()
    if not re.fullmatch(r"[0-9A-F]{18,22}", written):
        return None
    swapped = "".join(written[i + 1] + written[i] for i in range(0, len(written) - 1, 2))
    for number in (written, swapped):
        if number.startswith("89"):
            return number.rstrip("F") if len(number.rstrip("F")) >= 18 else None
    return None


def is_imei(text: str) -> bool:
    """Whether 15 digits carry their check digit (Luhn)."""
    if not re.fullmatch(r"\d{15}", text):
        return False
    digits = [int(char) * (1 + i % 2) for i, char in enumerate(text)]
    return sum(digit // 10 + digit % 10 for digit in digits) % 10 == 0


def masked(text: str) -> str:
    """`text` with every run of 14 digits or more (IMEI, ICCID, IMSI) shortened to its last four, for logs."""
    return re.sub(r"(?<![0-9A-Fa-f])\d[0-9A-Fa-f]{9,18}([0-9A-Fa-f]{4})(?![0-9A-Fa-f])", r"***\1", text)


def _iccid(name: str, rest: str, asked: str) -> Reading | Broken:
    number = read_iccid(rest)
    return Reading("CCID", {"field": "iccid", "value": number}) if number else Broken("CCID", "bad_iccid")


def _crsm(name: str, rest: str, asked: str) -> Reading | Broken:
    """The SIM's own file with its number, digits swapped in pairs; another file's content is no number."""
    fields = split(rest)
    if int(fields[0]) not in _SIM_DONE:
        return Broken("CRSM", "sim_refused")
    return _iccid(name, fields[2] if len(fields) > 2 else "", asked)


def _cgsn(name: str, rest: str, asked: str) -> Reading | Broken:
    number = bare(rest)
    if not re.fullmatch(r"\d{14,17}", number):
        return Broken("CGSN", "bad_imei")
    return Reading("CGSN", {"field": "imei", "value": number})


def _cfun(name: str, rest: str, asked: str) -> Reading | Broken:
    level = int(split(rest)[0])
    power = {0: "off", 1: "full", 4: "radio_off"}.get(level)
    return Reading("CFUN?", {"power": power or str(level)}) if 0 <= level <= 127 else Broken("CFUN?", "out_of_range")


# --- time ---------------------------------------------------------------------------------------------------------------------

_CLOCK: Final = re.compile(r"(\d\d|\d{4})/(\d\d)/(\d\d),(\d\d):(\d\d):(\d\d)([+-]\d{1,2})?(?:,\d)?")


def _clock(name: str, rest: str, asked: str) -> Reading | Broken:
    """Year to second as told, whatever the firmware means by it: local time with its zone, or UTC with the zone beside."""
    found = _CLOCK.fullmatch(rest.replace('"', "").strip())
    if found is None:
        return Broken(f"{name}?", "bad_time")
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    year += 2000 if year < 100 else 0
    if not (1 <= month <= 12 and 1 <= day <= days_of(year, month) and hour < 24 and minute < 60 and second < 61):
        return Broken(f"{name}?", "bad_time")
    offset_min = int(found[7]) * 15 if found[7] else None
    if offset_min is not None and abs(offset_min) > 14 * 60:
        return Broken(f"{name}?", "bad_time")
    zone = (
        ""
        if offset_min is None
        else f"{'-' if offset_min < 0 else '+'}{abs(offset_min) // 60:02d}:{abs(offset_min) % 60:02d}"
    )
    iso = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{zone}"
    # Before NITZ modems count from 1980 (told as 80), 2000 or 2004, or leave the zone of their clock at 0 (QLTS=1: UTC).
    unset = not 2024 <= year < 2070 or (name == "CCLK" and offset_min == 0)
    said: dict[str, object] = {"iso": iso, "offset_min": offset_min, "reject": False, "unset": unset}
    return Reading(f"{name}?", said)


def days_of(year: int, month: int) -> int:
    """Days of a month."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


# --- power saving -------------------------------------------------------------------------------------------------------------


def _cpsms(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"on": one_of(fields[0], ("0", "1")) == "1"}
    if len(fields) >= 5:
        said |= _granted(fields[4], fields[3])
    return Reading("CPSMS?", said)


def _granted(t3324: str, t3412: str) -> dict[str, object]:
    """The two timers of power saving, where they are told."""
    found: dict[str, object] = {"t3324_s": timers.t3324_s(t3324)} if t3324 else {}
    return found | ({"t3412_s": timers.t3412_s(t3412)} if t3412 else {})


def _edrx(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"act": int(fields[0])}
    said |= {key: timers.edrx_s(fields[i]) for i, key in ((1, "asked_s"), (2, "granted_s")) if text_at(fields, i)}
    return Reading(name, said, urc=name == "CEDRXP")


# --- lines without a prefix ---------------------------------------------------------------------------------------------------

_COUNTED_HEX: Final = re.compile(r"(\d{1,4}),([0-9A-Fa-f]+)")
_BARE_URCS: Final = {
    "RDY": "boot",
    "Neul": "boot",
    "NORMAL POWER DOWN": "power_down",
    "POWERED DOWN": "power_down",
    "SMS DONE": "ready",
    "SMS DONE ": "ready",
    "PB DONE": "ready",
    "CALL READY": "ready",
    "Call Ready": "ready",
    "SMS Ready": "ready",
    "APP RDY": "boot",
    "REBOOTING": "boot",
}


def _bare_line(text: str, asked: str) -> Reading | Broken | None:
    if found := re.fullmatch(r"REBOOT_CAUSE_([A-Z_]{1,40})", text):
        return Reading("boot", {"cause": found[1]}, urc=True)
    if text in _BARE_URCS:
        return Reading(_BARE_URCS[text], {}, urc=True)
    key, colon, value = (part.strip() for part in text.partition(":"))
    if colon and key in NUESTATS and re.fullmatch(r"-?\d{1,12}", value):
        name, scale = NUESTATS[key]
        number = int(value)
        shown: object = None if number == UNKNOWN_POWER else number if scale == 1 else round(number * scale, 1)
        return Reading("NUESTATS", {name: shown})
    if found := re.fullmatch(r"\+IPD(\d{1,4}):?", text):  # SIM7600: the bytes follow
        return Reading("IPD", {"length": int(found[1])}, urc=True)
    if found := re.fullmatch(r"RECV FROM:([0-9A-Fa-f.:]{2,45}):(\d{1,5})", text):  # SIM7600, in front of +IPD
        return Reading("RECV FROM", {"peer": found[1], "port": int(found[2])}, urc=True)
    if _QUEUE.fullmatch(text):  # NQMGR, NQMGS
        return Reading("NQMG", {key.lower(): int(count) for key, count in re.findall(r"([A-Z]+)=(\d+)", text)})
    if re.fullmatch(r"[0-9A-Fa-f]{14,22}", text) and asked.partition("=")[0] in _IDENTITIES:
        return _identity(text, asked)
    if asked.startswith("NSO") and text[:1].isdigit():
        return bare_socket_line(text, asked)
    if (found := _COUNTED_HEX.fullmatch(text)) and asked in ("", "NMGR") and int(found[1]) * 2 == len(found[2]):
        return Reading("NMGR", {"length": int(found[1]), "payload_hex": found[2]})
    return None


_QUEUE: Final = re.compile(r"(?:BUFFERED|PENDING)=\d{1,9}, ?(?:RECEIVED|SENT)=\d{1,9}, ?(?:DROPPED|ERROR)=\d{1,9}")
_IDENTITIES: Final = ("", "CCID", "QCCID", "CICCID", "NCCID", "CGSN", "GSN", "CIMI")


def _identity(text: str, asked: str) -> Reading | Broken:
    if number := read_iccid(text):
        return Reading("CCID", {"field": "iccid", "value": number})
    if asked.startswith(("CGSN", "GSN", "CIMI")) or is_imei(text):
        return Reading("CGSN", {"field": "imei" if not asked.startswith("CIMI") else "imsi", "value": text})
    return Broken("CCID", "bad_iccid")


_PARSERS: Final[Mapping[str, Callable[[str, str, str], Reading | Broken]]] = {
    **RADIO,
    **SOCKETS,
    **dict.fromkeys(REGISTRATIONS, _registration),
    **dict.fromkeys(("CCLK", "QLTS"), _clock),
    **dict.fromkeys(("CEDRXP", "CEDRXS", "CEDRXRDP"), _edrx),
    **dict.fromkeys(("CCID", "QCCID", "ICCID", "CICCID", "NCCID"), _iccid),
    "CGSN": _cgsn,
    "CRSM": _crsm,
    "COPS": _cops,
    "CGATT": _cgatt,
    "CGACT": _cgact,
    "CGPADDR": _cgpaddr,
    "CGEV": _cgev,
    "CPIN": _cpin,
    "CFUN": _cfun,
    "CPSMS": _cpsms,
}
