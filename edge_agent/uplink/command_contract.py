"""The `cmd` and `rsp` messages of docs/contract.md, gateway side. Pure."""

import json
from collections.abc import Mapping
from typing import Final

from edge_agent.commands import NS_MAX, Answer, Refusal
from edge_agent.model import Instant, encode_instant
from edge_agent.uplink.commands import Command
from edge_agent.uplink.contract import TOPIC_ROOT, VERSION

COMMAND_BYTES_MAX: Final = 28 * 1024  # a signed configuration of 24 KiB, and what is around it
CORRELATION_BYTES_MAX: Final = 128
RESPONSE_EXPIRY_S: Final = 300  # an old answer is of no use: the centre has asked again


def topic_cmd(gateway: str) -> str:
    """Where commands come from."""
    return f"{TOPIC_ROOT}/{gateway}/cmd"


def topic_rsp(gateway: str) -> str:
    """Where they are answered: here, or below it where the centre's Response Topic says so."""
    return f"{TOPIC_ROOT}/{gateway}/rsp"


def topic_want(gateway: str) -> str:
    """Where parts of an update are asked for."""
    return f"{TOPIC_ROOT}/{gateway}/want"


def topic_part(gateway: str) -> str:
    """Where they come."""
    return f"{TOPIC_ROOT}/{gateway}/part"


def encode_want(gateway: str, sha256: str, offset: int, length: int) -> bytes:
    """One message of `want`."""
    message = {"v": VERSION, "gateway": gateway, "sha256": sha256, "offset": offset, "length": length}
    return json.dumps(message, separators=(",", ":")).encode()


def response_topic(gateway: str, asked: str) -> str:
    """The topic to answer on. Raise Refusal("response_topic") for one that is not the gateway's to write to."""
    own = topic_rsp(gateway)
    if not asked or asked == own:
        return own
    if asked.startswith(f"{own}/") and len(asked) <= 200 and asked.isprintable() and not set(asked) & set("+#"):
        return asked
    raise Refusal("response_topic", detail="not below the gateway's rsp")


def decode_command(payload: bytes, *, retained: bool, expiry_s: int | None) -> Command:
    """The command in a message. Raise Refusal; its detail has what could be read of id and name.

    `expiry_s`: the Message Expiry that is left, None where the centre set none. A command without one could be handed to us after
    any outage, so there is none without.
    """
    if len(payload) > COMMAND_BYTES_MAX:
        raise Refusal("too_large", detail=f"{len(payload)} bytes, at most {COMMAND_BYTES_MAX}")
    try:
        message = json.loads(payload)
        json.dumps(message, ensure_ascii=False).encode()  # half a pair of surrogates could be told to nobody
    except (ValueError, RecursionError) as fault:
        raise Refusal("malformed", detail=ascii(str(fault))[:100]) from None
    if not isinstance(message, dict) or message.get("v") != VERSION:
        raise Refusal("malformed", detail=f"not a command of version {VERSION}")
    named = {"command_id": _text(message, "id"), "name": _text(message, "name")}
    if retained:
        raise Refusal("retained", **named)
    if expiry_s is None:
        raise Refusal("no_expiry", **named)
    if expiry_s == 0:
        raise Refusal("expired", **named)
    params, until_ns = message.get("params", {}), message.get("until_wall_ns")
    if not isinstance(params, dict):
        raise Refusal("malformed", detail="params is not an object", **named)
    if until_ns is not None and (type(until_ns) is not int or not 0 <= until_ns <= NS_MAX):
        raise Refusal("malformed", detail="until_wall_ns is not a whole number", **named)
    return Command(
        id=named["command_id"],
        name=named["name"],
        params=params,
        by=_text(message, "by"),
        expires_wall_ns=until_ns,
    )


def encode_answer(gateway: str, command_id: str, name: str, answer: Answer, sent: Instant) -> bytes:
    """One message of `rsp`."""
    message: dict[str, object] = {
        "v": VERSION,
        "gateway": gateway,
        "id": command_id,
        "name": name,
        **answer.as_dict(),
        "sent": encode_instant(sent),
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def _text(message: Mapping[str, object], key: str) -> str:
    value = message.get(key, "")
    if not isinstance(value, str) or len(value) > 64:
        raise Refusal("malformed", detail=f"{key} is not a text of at most 64")
    return value
