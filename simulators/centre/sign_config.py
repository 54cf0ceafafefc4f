"""`edge-centre apply-config`: a configuration, signed for one gateway and for what it runs on now (docs/contract.md, section 7)."""

import base64
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from simulators.centre.command import NoAnswer, Where, ask, new_id

OPENSSL_S: Final = 10.0


class CannotSign(Exception):
    """`openssl` is not there, or does not sign with this key. The text is for people."""


def signed_params(
    where: Where, gateway: str, config: Path, key: Path, *, serial: int, wait_s: float
) -> dict[str, object]:
    """The parameters of `apply_config`. Asks the gateway what is in force.

    Raise NoAnswer, CannotSign, OSError, or UnicodeDecodeError for a file that is not UTF-8.
    """
    state = ask(where, gateway, "read_state", {}, command_id=new_id(), by="", wait_s=wait_s)
    result = state.get("result")
    in_force = result.get("config") if isinstance(result, dict) else None
    if not isinstance(in_force, dict):
        raise NoAnswer(f"{gateway}: read_state {state.get('status')} {state.get('code')}")
    envelope = {
        "gateway": gateway,
        "serial": serial,
        "replaces": in_force.get("check"),
        "config": config.read_text("utf-8"),
    }
    signed = json.dumps(envelope, ensure_ascii=False)
    return {"signed": signed, "signature": base64.b64encode(_sign(signed.encode("utf-8"), key)).decode("ascii")}


def _sign(message: bytes, key: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix="zg-sign-") as directory:
        signed, mark = Path(directory) / "signed", Path(directory) / "signature"
        signed.write_bytes(message)
        command = ["openssl", "pkeyutl", "-sign", "-inkey", str(key), "-rawin", "-in", str(signed), "-out", str(mark)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=OPENSSL_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise CannotSign("openssl: timeout") from None
        if done.returncode:
            raise CannotSign("openssl: " + (ascii(done.stderr[-200:].decode("utf-8", "replace")) or "?"))
        return mark.read_bytes()
