"""Signal and serving cell: CSQ, CESQ, QCSQ, QENG, QNWINFO, QTEMP, CPSI, NUESTATS."""

from collections.abc import Callable, Mapping
from typing import Final

from drivers.codecs.at.fields import Broken, Reading, dash, hex_or_none, split


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
        said |= {key: value if key in ("mcc", "mnc") else dash(value) for key, value in zip(keys, nr, strict=False)}
        return Reading("QENG", said | {"rat": "EN-DC"})
    if fields[0] not in ("LTE", "CAT-M", "CAT-NB", "eMTC", "NBIoT"):
        return Reading("QENG", said | {"rat": fields[0]})
    if len(fields) < 15:
        return Broken("QENG", "too_few_fields")
    said |= {
        "rat": fields[0],
        "duplex": fields[1],
        "mcc": fields[2],
        "mnc": fields[3],
        "cell_hex": hex_or_none(fields[4]),
    }
    said |= {
        "pci": dash(fields[5]),
        "earfcn": dash(fields[6]),
        "band": dash(fields[7]),
        "tac_hex": hex_or_none(fields[10]),
    }
    levels = enumerate(("rsrp_dBm", "rsrq_dB", "rssi_dBm", "sinr"), start=11)
    return Reading("QENG", said | {key: dash(fields[i]) for i, key in levels})


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
        said |= {key: dash(fields[10 + i]) for i, key in enumerate(("rsrq", "rsrp", "rssi", "snr"))}
    return Reading("CPSI", said)


NUESTATS: Final[Mapping[str, tuple[str, float]]] = {
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
UNKNOWN_POWER: Final = -32768  # what NUESTATS says where there is nothing to measure

RADIO: Final[Mapping[str, Callable[[str, str, str], Reading | Broken]]] = {
    "CSQ": _csq,
    "CESQ": _cesq,
    "QCSQ": _qcsq,
    "QENG": _qeng,
    "QNWINFO": _qnwinfo,
    "QSPN": _qspn,
    "QTEMP": _qtemp,
    "CPSI": _cpsi,
}
