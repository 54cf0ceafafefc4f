"""A site with a key, and configurations signed by whoever holds its other half. All cryptography is the `openssl` command's."""

import base64
import json
import subprocess
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.small_site import small_site


class Signer:
    """A key pair in `directory`."""

    def __init__(self, directory: Path, name: str = "config") -> None:
        self._directory = directory
        self.key, self.public = directory / f"{name}.key", directory / f"{name}.pub"
        self._openssl("genpkey", "-algorithm", "ed25519", "-out", str(self.key))
        self._openssl("pkey", "-in", str(self.key), "-pubout", "-out", str(self.public))

    def sign(self, gateway: str, text: str, *, serial: int, replaces: str, **more: object) -> Mapping[str, Any]:
        """The parameters of `apply_config`."""
        signed = json.dumps(
            {"gateway": gateway, "serial": serial, "replaces": replaces, "config": text, **more}, ensure_ascii=False
        )
        return {"signed": signed, "signature": self.mark(signed)}

    def mark(self, signed: str) -> str:
        message, mark = self._directory / "signed", self._directory / "signature"
        message.write_text(signed, "utf-8")
        self._openssl("pkeyutl", "-sign", "-inkey", str(self.key), "-rawin", "-in", str(message), "-out", str(mark))
        return base64.b64encode(mark.read_bytes()).decode()

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def short_run(directory: Path) -> Path:
    """Where the sockets of a site would be that is only looked at: pytest's own directories have names too long for one."""
    return Path(tempfile.gettempdir()) / f"edge-{zlib.crc32(str(directory).encode()):08x}"


def site_text(
    directory: Path, key: Path, *, port: int = 1883, more: str = "", name: str = "厂房", run: Path | None = None
) -> str:
    """A small site that keeps everything in `directory`, its sockets in `run` if that is given."""
    return small_site(
        "ZG-SENT-0001",
        data=directory / "data",
        run=run or directory / "run",
        port=port,
        name=name,
        commands=("apply_config",),
        more=f'config_key_file = "{key}"\n{more}',
    )
