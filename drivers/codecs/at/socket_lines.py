"""Sockets inside the modem: what is announced and answered about them, and the bearer they stand on."""

from collections.abc import Callable, Mapping
from typing import Final

from drivers.codecs.at.fields import Broken, Reading, one_of, payload, split, text_at, whole_at


def _qiact(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"context": int(fields[0]), "active": one_of(fields[1], ("0", "1")) == "1"}
    return Reading("QIACT?", said | {"address": text_at(fields, 3)})


def _qiurc(name: str, rest: str, asked: str) -> Reading | Broken:
    fields = split(rest)
    what = fields[0]
    if what == "pdpdeact":
        return Reading(what, {"context": int(fields[1]), "link_lost": True}, urc=True)
    if what in ("recv", "closed", "incoming full", "incoming"):
        said: dict[str, object] = {"socket": whole_at(fields, 1)}
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
            "payload_hex": payload(*fields[3:5]),
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


def bare_socket_line(text: str, asked: str) -> Reading | Broken | None:
    """What BC95 and BC28 answer without a prefix: NSOCR `id`, NSOST and NSOSD `id,bytes`, NSORF `id,ip,port,length,hex,rest`."""
    fields, name = split(text), asked.partition("=")[0]
    try:
        if name == "NSOCR" and len(fields) == 1:
            return Reading(name, {"socket": int(fields[0])})
        if name in ("NSOST", "NSOSD", "NSOSTF") and len(fields) == 2:
            return Reading(name, {"socket": int(fields[0]), "sent": int(fields[1])})
        if name == "NSORF" and len(fields) == 6:
            said: dict[str, object] = {"socket": int(fields[0]), "peer": fields[1], "port": int(fields[2])}
            said |= {"length": int(fields[3]), "payload_hex": payload(*fields[3:5]), "rest": int(fields[5])}
            return Reading(name, said)
    except ValueError:
        return Broken(name, "bad_fields")
    return None


def _nsocli(name: str, rest: str, asked: str) -> Reading:
    return Reading("NSOCLI", {"socket": int(split(rest)[0])}, urc=True)


def _nsmi(name: str, rest: str, asked: str) -> Reading:
    return Reading("NSMI", {"sent": rest.startswith("SENT")}, urc=True)


def _nnmi(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"length": int(fields[0])}
    if len(fields) > 1:
        said["payload_hex"] = payload(*fields[:2])
    return Reading("NNMI", said, urc=True)


def _cipevent(name: str, rest: str, asked: str) -> Reading:
    return Reading("CIPEVENT", {"link_lost": "CLOSED" in rest}, urc=True)


def _qigeterror(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    return Reading("QIGETERROR", {"code": int(fields[0]), "text": text_at(fields, 1)})


def _mqtt_code(name: str, rest: str, asked: str) -> Reading:
    """`+QMTOPEN: client,code`, `+QMTCONN: client,result[,code]`, `+QMTPUBEX: client,id,code`, `+CMQTTCONNECT: client,code`."""
    numbers = [int(field) for field in split(rest) if field]
    return Reading(
        name, {"client": numbers[0], "codes": numbers[1:], "ok": not any(numbers[_MQTT_CODE[name] :])}, urc=True
    )


def _qmtstat(name: str, rest: str, asked: str) -> Reading:
    client, code = (int(field) for field in split(rest)[:2])
    return Reading("QMTSTAT", {"client": client, "code": code, "link_lost": True}, urc=True)


def _qmtrecv(name: str, rest: str, asked: str) -> Reading:
    fields = split(rest)
    said: dict[str, object] = {"client": int(fields[0]), "message_id": whole_at(fields, 1)}
    return Reading("QMTRECV", said | {"topic": text_at(fields, 2)}, urc=True)


_MQTT_CODE: Final = {  # which numbers say how it went
    **dict.fromkeys(("QMTOPEN", "QMTCLOSE", "QMTCONN", "QMTDISC", "CMQTTACCQ", "CMQTTREL", "CMQTTCONNECT"), 1),
    **dict.fromkeys(("QMTPUB", "QMTPUBEX"), 2),
}


def _cmqttstart(name: str, rest: str, asked: str) -> Reading:
    code = int(rest)
    said: dict[str, object] = {"error": code, "ok": code == 0}
    if code == 23:
        said["note"] = "already_started"
    return Reading("CMQTTSTART", said, urc=True)


SOCKETS: Final[Mapping[str, Callable[[str, str, str], Reading | Broken]]] = {
    **dict.fromkeys(("QIOPEN", "CIPOPEN", "CIPCLOSE", "IPCLOSE", "CSOERR"), _socket_code),
    **dict.fromkeys(("NETOPEN", "NETCLOSE"), _net_code),
    "QIACT": _qiact,
    "QIGETERROR": _qigeterror,
    "QIURC": _qiurc,
    **dict.fromkeys(_MQTT_CODE, _mqtt_code),
    "QMTRECV": _qmtrecv,
    "QMTSTAT": _qmtstat,
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
