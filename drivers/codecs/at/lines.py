"""The line protocol of AT: bytes in, lines, counted payloads, prompts and refusals out.

Answers are `\\r\\n…\\r\\n`; unasked lines (URCs) land between and inside answers, so everything is split by line and nothing
is ever "read until OK". A header that announces raw bytes (`+QIRD: 12`, `+CIPRXGET: 2,0,12,0`) makes the reader take exactly those.
"""

import re
from dataclasses import dataclass
from typing import Final

LINE_BYTES_MAX: Final = 4096  # the longest there is: NSORF with 1358 bytes in hex
PAYLOAD_BYTES_MAX: Final = 1500
REFUSED_BYTES_SHOWN: Final = 64  # of a line that is too long
_BLANK: Final = b" \x00"
_ENDS: Final = re.compile(rb"[\r\n]")
_COUNTED: Final = (
    re.compile(r"\+QIRD: ?(\d{1,4})(?:,|$)"),  # Quectel: bytes now, for UDP SERVICE also the peer
    # Quectel in direct push mode, for UDP SERVICE also the peer
    re.compile(r"\+QIURC: ?\"recv\",\d{1,2},(\d{1,4})(?:,\"[0-9A-Fa-f.:]{2,45}\",\d{1,5})?$"),
    re.compile(r"\+CIPRXGET: ?2,\d{1,2},(\d{1,4}),\d{1,5}$"),  # SIM7600
    re.compile(r"\+IPD(\d{1,4}):?$"),  # SIM7600, behind RECV FROM
)
FINALS: Final = ("OK", "ERROR", "NO CARRIER", "ABORTED", "SEND OK", "SEND FAIL")
_CM_ERROR: Final = re.compile(r"\+CM([ES]) ERROR: ?(.{1,80})")


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its ends. `payload`: the raw bytes its header announced."""

    text: str
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """The modem waits for data (`> `)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that are no line. `why`: not_ascii or line_too_long."""

    why: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended. `code`: "ok", "error", "cme_10", "cms_38", "no_carrier", "aborted", "send_fail"."""

    ok: bool
    code: str


Token = Line | Prompt | Refused


class LineReader:
    """Splits the stream; any slicing gives the same tokens. Holds at most LINE_BYTES_MAX bytes."""

    def __init__(self) -> None:
        self._buf = bytearray()
        self._header: str | None = None
        self._due = 0  # bytes of payload to come
        self._skipping = False  # inside a line that is too long

    def feed(self, data: bytes) -> list[Token]:
        """Take bytes; return what they completed, in order."""
        out: list[Token] = []
        for at in range(0, len(data), 1024):
            self._buf += data[at : at + 1024]
            self._run(out)
        return out

    def reset(self) -> None:
        """Forget what was begun: a payload that never came must not swallow the lines behind it."""
        self._buf.clear()
        self._header, self._due, self._skipping = None, 0, False

    def held_bytes(self) -> int:
        """Bytes held now."""
        return len(self._buf)

    def _run(self, out: list[Token]) -> None:
        while self._buf:
            if self._header is not None:
                if not self._take_payload(out):
                    return
                continue
            end = _ENDS.search(self._buf)
            if end is None:
                self._unfinished(out)
                return
            raw = bytes(self._buf[: end.start()])
            if self._may_be_counted(raw) and not self._whole_end(end.start()):
                return  # the \n of its \r\n is still to come, and is not payload
            del self._buf[: end.end()]
            if self._skipping:
                self._skipping = False
            elif len(raw) >= LINE_BYTES_MAX:
                out.append(Refused("line_too_long", raw[:REFUSED_BYTES_SHOWN]))
            else:
                self._line(raw, out)

    def _may_be_counted(self, raw: bytes) -> bool:
        return raw.startswith((b"+QIRD", b"+QIURC", b"+CIPRXGET", b"+IPD"))

    def _whole_end(self, at: int) -> bool:
        return self._buf[at : at + 1] == b"\n" or len(self._buf) > at + 1

    def _line(self, raw: bytes, out: list[Token]) -> None:
        stripped = raw.strip(_BLANK)
        while stripped[:1] == b">":
            out.append(Prompt())
            stripped = stripped[1:].lstrip(_BLANK)
        if not stripped:
            return
        if any(not 0x20 <= byte < 0x7F for byte in stripped):
            out.append(Refused("not_ascii", stripped))
            return
        text = stripped.decode("ascii")
        for pattern in _COUNTED:
            found = pattern.match(text)
            if found and 0 < int(found[1]) <= PAYLOAD_BYTES_MAX:
                self._header, self._due = text, int(found[1])
                if self._buf[:1] == b"\n":
                    del self._buf[:1]
                return
        out.append(Line(text))

    def _take_payload(self, out: list[Token]) -> bool:
        assert self._header is not None
        if len(self._buf) < self._due:
            return False
        out.append(Line(self._header, bytes(self._buf[: self._due])))
        del self._buf[: self._due]
        self._header, self._due = None, 0
        return True

    def _unfinished(self, out: list[Token]) -> None:
        if self._skipping:
            self._buf.clear()
        elif self._buf[:1] == b">" and len(self._buf) <= 2:
            # `>` may come with or without its blank; no line of any family begins so.
            del self._buf[: 2 if self._buf[1:2] == b" " else 1]
            out.append(Prompt())
        elif self._buf == b" ":
            self._buf.clear()  # the blank of a prompt that came apart
        elif len(self._buf) >= LINE_BYTES_MAX:
            out.append(Refused("line_too_long", bytes(self._buf[:REFUSED_BYTES_SHOWN])))
            self._buf.clear()
            self._skipping = True


def final_of(text: str) -> Ending | None:
    """What a line ends an answer as; None for one that does not."""
    if text in ("OK", "SEND OK"):
        return Ending(True, "ok")
    if text in FINALS:
        return Ending(False, text.lower().replace(" ", "_"))
    if found := _CM_ERROR.fullmatch(text):
        kind, said = f"cm{found[1].lower()}", found[2].strip()
        return Ending(False, f"{kind}_{int(said)}" if said.isdigit() and len(said) < 5 else cme_by_text(kind, said))
    return None


def cme_by_text(kind: str, said: str) -> str:
    """The code of an error told in words (CMEE=2): "cme_10" for "SIM not inserted". Errors of messages are another table."""
    low = said.lower()
    for number, (name, words) in CME.items() if kind == "cme" else ():
        if low == words or low.replace(" ", "_") == name:
            return f"{kind}_{number}"
    return f"{kind}_unknown"


# Source: 3GPP 27.007 clause 9.2, names as in ModemManager include/ModemManager-errors.h.
CME: Final[dict[int, tuple[str, str]]] = {
    3: ("not_allowed", "operation not allowed"),
    4: ("not_supported", "operation not supported"),
    10: ("sim_absent", "sim not inserted"),
    11: ("sim_pin", "sim pin required"),
    12: ("sim_puk", "sim puk required"),
    13: ("sim_failure", "sim failure"),
    14: ("sim_busy", "sim busy"),
    15: ("sim_wrong", "sim wrong"),
    16: ("bad_password", "incorrect password"),
    20: ("memory_full", "memory full"),
    22: ("not_found", "not found"),
    30: ("no_network", "no network service"),
    31: ("network_timeout", "network timeout"),
    32: ("emergency_only", "network not allowed - emergency calls only"),
    50: ("bad_parameters", "incorrect parameters"),
    100: ("unknown", "unknown"),
    103: ("illegal_ue", "illegal ms"),
    106: ("illegal_me", "illegal me"),
    107: ("ps_not_allowed", "gprs services not allowed"),
    111: ("plmn_not_allowed", "plmn not allowed"),
    112: ("area_not_allowed", "location area not allowed"),
    113: ("roaming_not_allowed", "roaming not allowed in this location area"),
    117: ("network_failure", "network failure"),
    127: ("missing_apn", "missing or unknown apn"),
    128: ("unknown_pdp", "unknown pdp address or pdp type"),
    129: ("auth_failed", "user authentication failed"),
    130: ("rejected_by_gateway", "request rejected by serving gw or pdn gw"),
    131: ("rejected", "request rejected, unspecified"),
    132: ("option_not_supported", "service option not supported"),
    133: ("option_not_subscribed", "requested service option not subscribed"),
    134: ("option_out_of_order", "service option temporarily out of order"),
    135: ("nsapi_in_use", "nsapi already in use"),
    148: ("unspecified", "unspecified gprs error"),
    149: ("pdp_auth", "pdp authentication failure"),
    171: ("last_pdn", "last pdn disconnection not allowed"),
    177: ("operator_barring", "operator determined barring"),
    178: ("bearer_maximum", "maximum number of bearers reached"),
    179: ("apn_not_supported", "requested apn not supported in current rat and plmn combination"),
}


def cme_name(code: str) -> str:
    """The name of a final's code: "sim_absent" for "cme_10"; the code itself if it has none."""
    number = code.removeprefix("cme_")
    return CME[int(number)][0] if number.isdigit() and code.startswith("cme_") and int(number) in CME else code
