"""A configuration to begin with, made from the same table the agent checks it by."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_agent.config.check.hosts import is_loopback
from edge_agent.config.findings import Finding
from edge_agent.config.keys import FORMS
from edge_agent.config.load import load
from edge_agent.config.reference import sample
from edge_agent.terminal import FAILURES, USAGE, printable
from provisioning.errors import ProvisionError
from provisioning.identity import check_gateway

_TLS_KEYS = ("ca_file", "cert_file", "key_file")


def make(gateway: str, name: str, centre: str, out: Path, lang: str) -> tuple[Path, Sequence[Finding]]:
    """Write `out`/config.toml and return it with what its own check finds: at most that nothing is watched yet.

    Raise ProvisionError: bad_gateway, bad_name, bad_host, exists, cannot_write.
    """
    check_gateway(gateway)
    if not FORMS["name"].fullmatch(name):
        raise ProvisionError("bad_name", USAGE)
    if not FORMS["host"].fullmatch(centre):
        raise ProvisionError("bad_host", USAGE, value=printable(centre[:60]))
    values = {
        "gateway.id": f'"{gateway}"',
        "gateway.name": json.dumps(name, ensure_ascii=False),
        "uplink.host": f'"{centre}"',
    }
    values |= {"gateway.language": f'"{lang}"'}
    if is_loopback(centre):
        values |= {f"uplink.{key}": "" for key in _TLS_KEYS} | {"uplink.port": "1883"}
    text = sample(lang, values=values, sections=("gateway", "uplink"))
    file = out / "config.toml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=out, prefix=".config-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(stream.fileno(), 0o640)
                os.fsync(stream.fileno())
            os.link(scratch, file)  # fails where rename would overwrite
        finally:
            Path(scratch).unlink()
    except FileExistsError as fault:
        raise ProvisionError("exists", FAILURES, path=file) from fault
    except OSError as fault:
        raise ProvisionError("cannot_write", FAILURES, path=file, why=fault.strerror) from fault
    return file, load(file).findings
