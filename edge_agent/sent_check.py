"""Judges a configuration a centre sent, in a process of its own: a question on stdin, the answer on stdout, both JSON.

    python -m edge_agent.sent_check

What reads and checks a configuration takes memory and time that neither service has to spare for it.

The signature is `openssl`'s to verify (Ed25519: no cryptography of our own, none to keep in a service's memory). Then: is it for
this gateway, newer than the last one, made for what is in force; is it sound as a whole; and does it leave to people on site
what is theirs.
"""

import base64
import binascii
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from edge_agent.config.model import Config
from edge_agent.sent_config import Letter
from edge_agent.signature import NotSigned
from edge_agent.signature import verify as check_signature

SERIAL_MAX: Final = 2**53
SHOWN_MAX: Final = 10
_ENVELOPE: Final = {"gateway": str, "serial": int, "replaces": str, "config": str}
# Wires, board, storage, centres' rights, and what is wired to act: nobody can see from afar what changing them does.
_LOCAL: Final = ("board", "journal", "linkage", "tag_readers", "cameras", "profile_dirs")
_LINES: Final = ("buses", "mqtts", "receivers")
_SOURCES: Final = ("panels", "contacts", *_LINES)
_RIGHTS: Final = ("commands", "config_key_file", "mandatory", "streams")


class Refused(Exception):
    """It is not taken. `code` is ASCII, for the centre."""

    def __init__(self, code: str, **detail: object) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


def judge(asked: Mapping[str, Any]) -> dict[str, object]:
    """{serial}. Raise Refused."""
    from edge_agent.last_good import find, in_force

    signed, site = str(asked["signed"]).encode("utf-8"), Path(str(asked["site"]))
    verify(signed, str(asked["signature"]), Path(str(asked["key_file"])))
    envelope = opened(signed)
    if envelope["gateway"] != asked["gateway"]:
        raise Refused("other_gateway", gateway=envelope["gateway"][:40])
    found = in_force(site)
    if found.config is None or envelope["replaces"] != found.check:
        raise Refused("base_differs", config=found.check)
    _, _, sent = find(site)
    taken = sent.serials.get(str(asked["destination"]), 0) if sent is not None else 0
    if envelope["serial"] <= taken:
        raise Refused("serial_used", serial=taken)
    new = _checked(envelope["config"], found.config)
    if changed := list(only_on_site(found.config, new, str(asked["destination"]))):
        raise Refused("only_on_site", keys=changed[:SHOWN_MAX], count=len(changed))
    return {"serial": envelope["serial"]}


def stands(letter: Letter, files: Config, config: Config) -> bool:
    """Whether a configuration that was taken is one that `files`, which only root can write, allow to be sent.

    Asked at each start of a core: what lies beside the journal could have been put there by whoever gets into a service.
    """
    uplink = next((uplink for uplink in files.uplinks if uplink.id == letter.destination), None)
    if uplink is None or uplink.config_key_file is None or "apply_config" not in uplink.commands:
        return False
    signed = letter.signed.encode("utf-8")
    try:
        verify(signed, letter.signature, uplink.config_key_file)
        envelope = opened(signed)
    except Refused:
        return False
    mine = (files.gateway.id, letter.serial) == (envelope["gateway"], envelope["serial"])
    return mine and not any(only_on_site(files, config, letter.destination))


def verify(signed: bytes, signature: str, key_file: Path) -> None:
    """Raise Refused unless the holder of the key signed exactly these bytes."""
    try:
        check_signature(signed, base64.b64decode(signature, validate=True), key_file)
    except (binascii.Error, ValueError):
        raise Refused("signature", why="not base64") from None
    except NotSigned as fault:
        raise Refused(fault.code, why=fault.why) from None


def opened(signed: bytes) -> dict[str, Any]:
    """What was signed. Raise Refused."""
    try:
        envelope = json.loads(signed)
    except (ValueError, RecursionError):
        raise Refused("malformed", why="not JSON") from None
    if not isinstance(envelope, dict) or envelope.keys() != _ENVELOPE.keys():
        raise Refused("malformed", why=f"not exactly {', '.join(_ENVELOPE)}")
    for name, shape in _ENVELOPE.items():
        if type(envelope[name]) is not shape:
            raise Refused("malformed", why=name)
    if not 0 < envelope["serial"] <= SERIAL_MAX:
        raise Refused("malformed", why="serial")
    return envelope


def _checked(text: str, old: Config) -> Config:
    """The configuration, sound as a whole, with profiles that are there. Raise Refused with the first of its errors."""
    from drivers.profile import ProfileError, check, load_profiles
    from edge_agent.config.load import load

    profiles = load_profiles(old.profile_dirs)

    def unsound(name: str) -> str:
        try:
            return "".join(one.code for one in check(profiles.get(name)) if one.severity == "error")[:80]
        except ProfileError as error:
            return error.code

    with tempfile.TemporaryDirectory(prefix="zg-sent-") as directory:
        file = Path(directory) / "config.toml"
        file.write_text(text, "utf-8")
        loaded = load(file, profiles=profiles.names, unsound=unsound)
    errors = [one for one in loaded.findings if one.severity == "error"]
    if loaded.config is None:
        first = errors[0]
        raise Refused("invalid", fault=first.code, line=first.line, key=first.key[:80], errors=len(errors))
    return loaded.config


def only_on_site(old: Config, new: Config, destination: str) -> Iterator[str]:
    """The keys that only a person on site may change: a configuration from afar may add to what is watched, and name it; it
    takes nothing away, wires nothing anew, and gives nobody rights.
    """
    for key in ("id", "data_dir", "run_dir"):
        if getattr(old.gateway, key) != getattr(new.gateway, key):
            yield f"gateway.{key}"
    yield from (key for key in _LOCAL if getattr(old, key) != getattr(new, key))
    for key in _SOURCES:
        there = {one.id: one for one in getattr(new, key)}
        for one in getattr(old, key):
            yield from _rewired(f"{key}[{one.id}]", one, there.get(one.id))
    there = {uplink.id: uplink for uplink in new.uplinks}
    for uplink in old.uplinks:
        other = there.pop(uplink.id, None)
        if other is None or (uplink.id != destination and uplink != other):
            yield f"uplinks[{uplink.id}]"
        else:
            rights = (key for key in _RIGHTS if getattr(uplink, key) != getattr(other, key))
            yield from (f"uplinks[{uplink.id}].{key}" for key in rights)
    yield from (f"uplinks[{name}].commands" for name, uplink in there.items() if uplink.commands or uplink.mandatory)


def _rewired(label: str, old: Any, new: Any) -> Iterator[str]:
    if new is None:
        yield label
        return
    for key in (one.name for one in dataclasses.fields(old)):
        if key == "devices":
            there = {device.id: device for device in new.devices}
            for device in old.devices:
                yield from _rewired(f"{label}.devices[{device.id}]", device, there.get(device.id))
        elif key != "name" and getattr(old, key) != getattr(new, key):
            yield f"{label}.{key}"


def main() -> int:
    """Answer the question on stdin."""
    try:
        answer: dict[str, object] = judge(json.load(sys.stdin))
    except Refused as refused:
        answer = {"code": refused.code, "detail": refused.detail}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
