"""What the lines of a modem mean: registration, signal, SIM, time, power saving, sockets. One parser a prefix.

A `Reading` has the field names of the captures in tests/captures/at-*.json; units end them (`rsrp_dBm`). A line that has a known
prefix and makes no sense is `Broken`. Sources: 3GPP 27.007, ModemManager's parsers and tests, and transcripts named there.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.codecs.at import timers

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


@dataclass(frozen=True, slots=True)
class Reading:
    """What one line says. `command`: what it answers or announces; `urc`: unasked."""

    command: str
    fields: Mapping[str, object]
    urc: bool = False

    def number(self, key: str) -> float | None:
        """A field as a number; None if it is absent."""
        value = self.fields.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, key: str) -> str:
        """A field as text; "" if it is absent."""
        value = self.fields.get(key)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Broken:
    """A line with a known prefix that makes no sense. `why` is ASCII."""

    command: str
    why: str


def split(rest: str) -> list[str]:
    """The fields behind a prefix: blanks off, quotes off, a comma in quotes kept."""
    return [_bare(field) for field in _raw_fields(rest)]


def _raw_fields(rest: str) -> list[str]:
    fields, current, quoted = [], "", False
    for char in rest:
        if char == '"':
            quoted = not quoted
        if char == "," and not quoted:
            fields.append(current.strip())
            current = ""
        else:
            current += char
    return [*fields, current.strip()]


def _bare(field: str) -> str:
    return field.strip('"').strip()


def read(text: str, asked: str = "") -> Reading | Broken | None:
    """What a line means; None for one nobody knows. `asked`: the command in flight without AT, where the line alone cannot tell
    (an answer without a prefix, a registration in the answer's form that nobody asked for).
    """
    if found := _PREFIX.match(text):
        name = found[1]
        parse = _PARSERS.get(name)
        if parse is None:
            return None
        try:
            return parse(name, found[2].strip(), asked)
        except (ValueError, IndexError, KeyError, OverflowError):
            return Broken(name, "bad_fields")
    return _bare_line(text, asked)


_PREFIX: Final = re.compile(r"[+^]([A-Z0-9]{2,12}) ?:(.*)")


# --- registration and network -------------------------------------------------------------------------------------------------


def _registration(name: str, rest: str, asked: str) -> Reading | Broken:
    """`n,stat[,area,cell[,act…]]` answered, `stat[,area,cell[,act…]]` unasked: told apart by what the second field can be."""
    raw = _raw_fields(rest)
    fields = [_bare(field) for field in raw]
    answer = len(raw) > 1 and _is_small(raw[0], _MODES) and _is_small(raw[1], len(STATES))
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
        said |= {"t3324_s": timers.t3324_s(fields[6]), "t3412_s": timers.t3412_s(fields[7])}
    return Reading(name, said, urc=not said["solicited"])


def is_registered(readings: Iterable[Reading]) -> bool:
    """Whether any domain is registered: an NB-IoT modem never comes to CREG, only CEREG counts there."""
    return any(reading.command in REGISTRATIONS and reading.text("state") in USABLE for reading in readings)


def _cops(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    act = _int(fields, 3)
    return Reading(
        "COPS?",
        {"mode": int(fields[0]), "format": _int(fields, 1), "operator": _text(fields, 2), "act": act},
    )


def _cgatt(name: str, rest: str, asked: str) -> Reading:
    return Reading("CGATT?", {"attached": _one_of(split(rest)[0], ("0", "1")) == "1"})


def _cgact(name: str, rest: str, asked: str) -> Reading:
    cid, active = split(rest)[:2]
    return Reading("CGACT?", {"active": {str(int(cid)): _one_of(active, ("0", "1")) == "1"}})


def _cgpaddr(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    address = _text(fields, 1)
    return Reading("CGPADDR", {"cid": int(fields[0]), "address": None if address == "0.0.0.0" else address})  # noqa: S104 - "none yet"


def _cgev(name: str, rest: str, asked: str) -> Reading | Broken:
    for pattern, action, lost in _CGEV:
        if found := pattern.match(rest):
            said: dict[str, object] = {"action": action}
            if found.groups() and found[1]:
                said["cid"] = int(found[1])
            if lost:
                said["link_lost"] = True
            return Reading("CGEV", said, urc=True)
    return Broken("CGEV", "unknown_event")


_CGEV: Final = (
    (re.compile(r"NW DETACH"), "nw_detach", True),
    (re.compile(r"ME DETACH"), "me_detach", True),
    (re.compile(r"NW DEACT [^,]+, ?[^,]+, ?(\d+)"), "nw_deact_pdp", True),
    (re.compile(r"ME DEACT [^,]+, ?[^,]+, ?(\d+)"), "me_deact_pdp", True),
    (re.compile(r"NW PDN DEACT (\d+)"), "nw_deact_primary", True),
    (re.compile(r"ME PDN DEACT (\d+)"), "me_deact_primary", True),
    (re.compile(r"(?:NW|ME) (?:PDN )?ACT (\d+)"), "act", False),
    (re.compile(r"(?:NW|ME) (?:CLASS|MODIFY|REACT|REJECT)|REJECT"), "other", False),
)


# --- signal -------------------------------------------------------------------------------------------------------------------


def _csq(name: str, rest: str, asked: str) -> Reading | Broken:
    rssi, ber = (int(field) for field in split(rest)[:2])
    if not (0 <= rssi <= 31 or rssi == 99 or 100 <= rssi <= 199):
        return Broken("CSQ", "out_of_range")
    dbm = -113 + 2 * rssi if rssi <= 31 else None
    return Reading("CSQ", {"rssi_dBm": dbm, "ber": None if ber == 99 else ber})


def _cesq(name: str, rest: str, asked: str) -> Reading | Broken:
    rxlev, ber, rscp, ecno, rsrq, rsrp = (int(field) for field in split(rest)[:6])
    said: dict[str, object] = {}
    if rsrq <= 34:
        said["rsrq_dB"] = -20 + rsrq / 2
    if rsrp <= 97:
        said["rsrp_dBm"] = -141.0 + rsrp
    if rscp <= 96:
        said["rscp_dBm"] = -121.0 + rscp
    if ecno <= 49:
        said["ecno_dB"] = -24.5 + ecno / 2
    if rxlev <= 63:
        said["rssi_dBm"] = -111.0 + rxlev
    if ber <= 7:
        said["ber"] = ber
    if min(rxlev, ber, rscp, ecno, rsrq, rsrp) < 0:
        return Broken("CESQ", "out_of_range")
    said["rat"] = "lte" if rsrp <= 97 or rsrq <= 34 else "umts" if rscp <= 96 else "gsm" if rxlev <= 63 else None
    return Reading("CESQ", said)


def _qcsq(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"rat": fields[0]}
    if len(fields) >= 5:
        rssi, rsrp, sinr, rsrq = (int(field) for field in fields[1:5])
        # EC2x and BG96 tell sinr in fifths from -20 dB.
        said |= {"rssi_dBm": rssi, "rsrp_dBm": rsrp, "sinr_dB": sinr / 5 - 20, "rsrq_dB": rsrq}
    return Reading("QCSQ", said)


def _qeng(name: str, rest: str, asked: str) -> Reading | Broken:
    fields = split(rest)
    said: dict[str, object] = {}
    if fields[0] == "servingcell":
        said["state"] = fields[1]
        fields = fields[2:]
    if not fields:
        return Reading("QENG", said)
    if fields[0] == "NR5G-NSA":  # the third line of EN-DC: mcc mnc pci rsrp sinr rsrq
        nr = [*fields[1:], *("-",) * 6]
        keys = ("mcc", "mnc", "nr_pci", "nr_rsrp_dBm", "nr_sinr", "nr_rsrq_dB")
        said |= {key: value if key in ("mcc", "mnc") else _dash(value) for key, value in zip(keys, nr, strict=False)}
        return Reading("QENG", said | {"rat": "EN-DC"})
    if fields[0] not in ("LTE", "CAT-M", "CAT-NB", "eMTC", "NBIoT"):
        return Reading("QENG", said | {"rat": fields[0]})
    if len(fields) < 15:
        return Broken("QENG", "too_few_fields")
    said |= {"rat": fields[0], "duplex": fields[1], "mcc": fields[2], "mnc": fields[3], "cell_hex": _hex(fields[4])}
    said |= {"pci": _dash(fields[5]), "earfcn": _dash(fields[6]), "band": _dash(fields[7]), "tac_hex": _hex(fields[10])}
    levels = enumerate(("rsrp_dBm", "rsrq_dB", "rssi_dBm", "sinr"), start=11)
    return Reading("QENG", said | {key: _dash(fields[i]) for i, key in levels})


def _qnwinfo(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    if len(fields) < 4:
        return Reading("QNWINFO", {"act": None})  # "No Service"
    return Reading("QNWINFO", {"act": fields[0], "plmn": fields[1], "band": fields[2], "channel": int(fields[3])})


def _qspn(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    return Reading("QSPN", {"full": fields[0], "short": fields[1], "plmn": fields[4]})


def _qtemp(name: str, rest: str, asked: str) -> Reading:
    values = [int(field) for field in split(rest) if field.lstrip("-").isdigit()]
    there = [value for value in values if value != 255]  # 255: no such sensor
    return Reading("QTEMP", {"temperature_c": max(there) if there else None})


def _cpsi(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"rat": fields[0], "mode": fields[1] if len(fields) > 1 else None}
    if fields[0].startswith("LTE") and len(fields) >= 14:
        said |= {
            "plmn": fields[2],
            "tac_hex": fields[3].removeprefix("0x"),
            "cell": int(fields[4]),
            "pci": int(fields[5]),
            "band": fields[6],
            "earfcn": int(fields[7]),
        }
        said |= {key: _dash(fields[10 + i]) for i, key in enumerate(("rsrq", "rsrp", "rssi", "snr"))}
    return Reading("CPSI", said)


_NUESTATS: Final[Mapping[str, tuple[str, float]]] = {
    "Signal power": ("rsrp_dBm", 0.1),
    "Total power": ("total_dBm", 0.1),
    "TX power": ("tx_dBm", 0.1),
    "TX time": ("tx_ms", 1),
    "RX time": ("rx_ms", 1),
    "Cell ID": ("cell", 1),
    "ECL": ("ecl", 1),
    "SNR": ("snr_dB", 0.1),
    "EARFCN": ("earfcn", 1),
    "PCI": ("pci", 1),
    "RSRQ": ("rsrq_dB", 0.1),
}
_UNKNOWN_POWER: Final = -32768  # what NUESTATS says where there is nothing to measure


# --- SIM and identity ---------------------------------------------------------------------------------------------------------


def _cpin(name: str, rest: str, asked: str) -> Reading | Broken:
    lock = {"READY": "none"}.get(rest.strip('"'), rest.strip('"').lower().replace(" ", "_").replace("-", "_"))
    if not re.fullmatch(
        r"none|not_inserted|not_ready|(?:sim|ph_(?:sim|net|netsub|sp|corp|fsim))_?(?:pin|puk)?2?", lock
    ):
        return Broken("CPIN?", "unknown_lock")
    return Reading("CPIN?", {"lock": lock}, urc=not asked.startswith("CPIN?"))


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


def _cgsn(name: str, rest: str, asked: str) -> Reading | Broken:
    number = _bare(rest)
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
    # Before NITZ modems count from 1980 (told as 80), 2000 or 2004.
    said: dict[str, object] = {"iso": iso, "offset_min": offset_min, "reject": False, "unset": not 2024 <= year < 2070}
    return Reading(f"{name}?", said)


def days_of(year: int, month: int) -> int:
    """Days of a month."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


# --- power saving -------------------------------------------------------------------------------------------------------------


def _cpsms(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"on": _one_of(fields[0], ("0", "1")) == "1"}
    if len(fields) >= 5:
        said |= {"t3412_s": timers.t3412_s(fields[3]), "t3324_s": timers.t3324_s(fields[4])}
    return Reading("CPSMS?", said)


def _edrx(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"act": int(fields[0])}
    said |= {key: timers.edrx_s(fields[i]) for i, key in ((1, "asked_s"), (2, "granted_s")) if _text(fields, i)}
    return Reading(name, said, urc=name == "CEDRXP")


# --- sockets ------------------------------------------------------------------------------------------------------------------


def _qiact(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"context": int(fields[0]), "active": _one_of(fields[1], ("0", "1")) == "1"}
    return Reading("QIACT?", said | {"address": _text(fields, 3)})


def _qiurc(name: str, rest: str, asked: str) -> Reading | Broken:
    fields = split(rest)
    what = fields[0]
    if what == "pdpdeact":
        return Reading(what, {"context": int(fields[1]), "link_lost": True}, urc=True)
    if what in ("recv", "closed", "incoming full", "incoming"):
        said: dict[str, object] = {"socket": _int(fields, 1)}
        if what == "recv" and len(fields) > 2:
            said["length"] = int(fields[2])
        return Reading(what.replace(" ", "_"), said, urc=True)
    if what == "dnsgip":
        return Reading(what, {"address": fields[1] if "." in fields[1] or ":" in fields[1] else None}, urc=True)
    return Broken("QIURC", "unknown_event")


def _socket_code(name: str, rest: str, asked: str) -> Reading:
    """`+QIOPEN: id,err`, `+CIPOPEN: n,err`, `+CIPCLOSE: n,err`, `+IPCLOSE: n,reason`, `+CSOERR: id,err`."""
    socket, code = (int(field) for field in split(rest)[:2])
    return Reading(name, {"socket": socket, "code": code, "ok": code == 0 and name != "IPCLOSE"}, urc=True)


def _net_code(name: str, rest: str, asked: str) -> Reading:
    """`+NETOPEN: err`, `+NETCLOSE: err`; with an address behind it when NETOPEN? was asked."""
    code = int(split(rest)[0])
    return Reading(name, {"code": code, "ok": code == 0}, urc=not asked.startswith(name + "?"))


def _qisend(name: str, rest: str, asked: str) -> Reading:
    sent, acked, unacked = (int(field) for field in split(rest)[:3])
    return Reading("QISEND", {"sent": sent, "acked": acked, "unacked": unacked})


def _cipsend(name: str, rest: str, asked: str) -> Reading:
    socket, wanted, done = (int(field) for field in split(rest)[:3])
    return Reading("CIPSEND", {"socket": socket, "asked": wanted, "sent": done}, urc=True)


def _qird(name: str, rest: str, asked: str) -> Reading:
    return Reading("QIRD", {"length": int(split(rest)[0])})


def _ciprxget(name: str, rest: str, asked: str) -> Reading:
    fields = [int(field) for field in split(rest)]
    if fields[0] == 1:
        return Reading("CIPRXGET", {"socket": fields[1]}, urc=True)
    return Reading("CIPRXGET", {"socket": fields[1], "length": fields[2], "rest": fields[3]})


def _nsonmi(name: str, rest: str, asked: str) -> Reading:
    """`id,length` (NSONMI=1), or `id,ip,port,length,hex` (NSONMI=2)."""
    fields = split(rest)
    said: dict[str, object] = {"socket": int(fields[0])}
    if len(fields) >= 5:
        said |= {
            "peer": fields[1],
            "port": int(fields[2]),
            "length": int(fields[3]),
            "payload_hex": _payload(*fields[3:5]),
        }
    else:
        said["length"] = int(fields[1])
    return Reading("NSONMI", said, urc=True)


def _csonmi(name: str, rest: str, asked: str) -> Reading | Broken:
    """SIM7020: the length counts hex digits, not bytes."""
    fields = split(rest)
    if len(fields[2]) != int(fields[1]):
        return Broken("CSONMI", "bad_length")
    bytes.fromhex(fields[2])
    return Reading(
        "CSONMI", {"socket": int(fields[0]), "length": len(fields[2]) // 2, "payload_hex": fields[2]}, urc=True
    )


def _csoc(name: str, rest: str, asked: str) -> Reading:
    return Reading("CSOC", {"socket": int(split(rest)[0])})


def _nsocli(name: str, rest: str, asked: str) -> Reading:
    return Reading("NSOCLI", {"socket": int(split(rest)[0])}, urc=True)


def _nsmi(name: str, rest: str, asked: str) -> Reading:
    return Reading("NSMI", {"sent": rest.startswith("SENT")}, urc=True)


def _nnmi(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"length": int(fields[0])}
    if len(fields) > 1:
        said["payload_hex"] = _payload(*fields[:2])
    return Reading("NNMI", said, urc=True)


def _cipevent(name: str, rest: str, asked: str) -> Reading:
    return Reading("CIPEVENT", {"link_lost": "CLOSED" in rest}, urc=True)


def _cmqttstart(name: str, rest: str, asked: str) -> Reading:
    code = int(rest)
    said: dict[str, object] = {"error": code, "ok": code == 0}
    if code == 23:
        said["note"] = "service already started: release/stop, then start"
    return Reading("CMQTTSTART", said, urc=True)


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
    key, colon, value = text.partition(":")
    if colon and key in _NUESTATS and re.fullmatch(r"-?\d{1,12}", value):
        name, scale = _NUESTATS[key]
        number = int(value)
        shown: object = None if number == _UNKNOWN_POWER else number if scale == 1 else round(number * scale, 1)
        return Reading("NUESTATS", {name: shown})
    if re.fullmatch(r"[0-9A-F]{14,22}", text) and asked.partition("=")[0] in _IDENTITIES:
        return _identity(text, asked)
    if (found := _COUNTED_HEX.fullmatch(text)) and asked in ("", "NMGR") and int(found[1]) * 2 == len(found[2]):
        return Reading("NMGR", {"length": int(found[1]), "payload_hex": found[2]})
    return None


_IDENTITIES: Final = ("", "CCID", "QCCID", "CICCID", "NCCID", "CGSN", "GSN", "CIMI")


def _identity(text: str, asked: str) -> Reading | Broken:
    if number := read_iccid(text):
        return Reading("CCID", {"field": "iccid", "value": number})
    if asked.startswith(("CGSN", "GSN", "CIMI")) or is_imei(text):
        return Reading("CGSN", {"field": "imei" if not asked.startswith("CIMI") else "imsi", "value": text})
    return Broken("CCID", "bad_iccid")


# --- small things -------------------------------------------------------------------------------------------------------------


def _is_small(field: str, limit: int) -> bool:
    return field.isdigit() and len(field) <= 3 and int(field) < limit


def _int(fields: Sequence[str], index: int) -> int | None:
    return int(fields[index]) if index < len(fields) and fields[index] else None


def _text(fields: Sequence[str], index: int) -> str | None:
    return fields[index] if index < len(fields) and fields[index] else None


def _one_of(value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(value)
    return value


def _dash(field: str) -> int | None:
    return None if field in ("-", "") else int(field)


def _hex(field: str) -> str | None:
    if field in ("-", ""):
        return None
    int(field, 16)
    return field


def _payload(length: str, digits: str) -> str:
    if len(digits) != 2 * int(length):
        raise ValueError("length")
    bytes.fromhex(digits)
    return digits


_PARSERS: Final[Mapping[str, Callable[[str, str, str], Reading | Broken]]] = {
    **dict.fromkeys(REGISTRATIONS, _registration),
    **dict.fromkeys(("QIOPEN", "CIPOPEN", "CIPCLOSE", "IPCLOSE", "CSOERR"), _socket_code),
    **dict.fromkeys(("NETOPEN", "NETCLOSE"), _net_code),
    **dict.fromkeys(("CCLK", "QLTS"), _clock),
    **dict.fromkeys(("CEDRXP", "CEDRXS", "CEDRXRDP"), _edrx),
    **dict.fromkeys(("CCID", "QCCID", "ICCID", "CICCID", "NCCID"), _iccid),
    "CGSN": _cgsn,
    "COPS": _cops,
    "CGATT": _cgatt,
    "CGACT": _cgact,
    "CGPADDR": _cgpaddr,
    "CGEV": _cgev,
    "CSQ": _csq,
    "CESQ": _cesq,
    "QCSQ": _qcsq,
    "QENG": _qeng,
    "QNWINFO": _qnwinfo,
    "QSPN": _qspn,
    "QTEMP": _qtemp,
    "CPSI": _cpsi,
    "CPIN": _cpin,
    "CFUN": _cfun,
    "CPSMS": _cpsms,
    "QIACT": _qiact,
    "QIURC": _qiurc,
    "QISEND": _qisend,
    "CIPSEND": _cipsend,
    "QIRD": _qird,
    "CIPRXGET": _ciprxget,
    "NSONMI": _nsonmi,
    "CSONMI": _csonmi,
    "CSOC": _csoc,
    "NSOCLI": _nsocli,
    "NSMI": _nsmi,
    "NNMI": _nnmi,
    "CIPEVENT": _cipevent,
    "CMQTTSTART": _cmqttstart,
}
