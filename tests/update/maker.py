"""Whoever makes and signs updates: keys, wheels small enough to be made by the dozen, bundles by `edge-provision`'s own code."""

import base64
import hashlib
import json
import re
import stat
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_agent import __version__
from edge_agent.update.bundle import MANIFEST, SIGNATURES, WHEELS
from provisioning import update

PYTHONS = ("3.11", "3.12", "3.13")
# As much of the program as the updater asks of one before it is tried.
TINY = {
    "edge_agent/__init__.py": '__version__ = "{version}"\n',
    "edge_agent/__main__.py": "import sys\nsys.exit({config})\n",
    "edge_agent/update/__init__.py": "",
    "edge_agent/update/self_test.py": 'import json\nprint(json.dumps({{"version": "{said}", "journal_schema": {schema}}}))\n',
    "edge_agent/cli.py": "def main() -> int:\n    return 0\n",
    "buffer/dbfile.py": "SCHEMA = {schema}\n",
    "edge_agent/pad.bin": "{pad}",
}


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Maker:
    """Two keys that gateways know, in `keys` as /etc/edge-agent/update-keys has them, and one that none does."""

    def __init__(self, place: Path) -> None:
        self.place, self.keys = place, place / "keys"
        self.keys.mkdir(parents=True)
        for name in ("vendor", "county", "stranger"):
            openssl("genpkey", "-algorithm", "ed25519", "-out", self.key(name))
            public = (self.keys if name != "stranger" else place) / f"{name}.pem"
            openssl("pkey", "-in", self.key(name), "-pubout", "-out", public)
        self._count = 0

    def key(self, name: str) -> Path:
        return self.place / f"{name}.key"

    def wheel(self, version: str = "9.1.0", **words: object) -> Path:
        """A directory with one tiny wheel of the program."""
        self._count += 1
        directory = self.place / f"wheels-{self._count}"
        directory.mkdir()
        known = {"version": version, "said": version, "schema": 1, "config": 0, "pad": "", **words}
        write_wheel(directory, version, {name: text.format(**known) for name, text in TINY.items()})
        return directory

    def bundle(
        self,
        version: str = "9.1.0",
        *,
        counter: int = 5,
        signers: Sequence[str] = ("vendor", "county"),
        words: Mapping[str, object] | None = None,
        **meant: Any,
    ) -> Path:
        """A signed bundle."""
        out = self.place / f"{version}-{self._count}.zgb"
        update.make(self.wheel(version, **(words or {})), counter, update.For(**{"pythons": PYTHONS, **meant}), out)
        for name in signers:
            update.sign(out, self.key(name))
        return out


def write_wheel(directory: Path, version: str, files: Mapping[str, str]) -> Path:
    """A wheel that lists its directories too, as that of gpiod does."""
    name = f"zg119_edge_agent-{version}"
    about = {
        f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: zg119-edge-agent\nVersion: {version}\n",
        f"{name}.dist-info/entry_points.txt": "[console_scripts]\nedge-agent = edge_agent.cli:main\n",
    }
    out = directory / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted({f"{Path(path).parent}/" for path in {**files, **about} if "/" in path}):
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFDIR | 0o775) << 16 | 0x10
            archive.writestr(member, b"")
        for path, text in {**files, **about}.items():
            archive.writestr(zipfile.ZipInfo(path), text, zipfile.ZIP_DEFLATED)
    return out


def written_up(wheel: Path, version: str, altered: Mapping[str, tuple[str, str]] | None = None) -> Path:
    """Put the program's own wheel, as pip makes it, under another version in its place. `altered`: by file, what becomes what."""
    changes = {"edge_agent/__init__.py": (f'"{__version__}"', f'"{version}"'), **(altered or {})}
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    wheel.unlink()
    out = wheel.with_name(wheel.name.replace(__version__, version))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            if name in changes:
                before, after = changes[name]
                assert data.count(before.encode()) == 1, (name, before)
                data = data.replace(before.encode(), after.encode())  # noqa: PLW2901
            elif name.endswith("/METADATA"):
                data = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), data, count=1)  # noqa: PLW2901
            archive.writestr(name.replace(f"-{__version__}.", f"-{version}."), data)
    return out


def members(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repack(
    bundle: Path, content: Mapping[str, bytes], *, mode: int = 0o100644, compress: int = zipfile.ZIP_STORED
) -> Path:
    """Write a bundle of any content at all in the place of one."""
    with zipfile.ZipFile(bundle, "w", compress) as archive:
        for name, data in content.items():
            member = zipfile.ZipInfo(name)
            member.external_attr, member.compress_type = mode << 16, compress
            archive.writestr(member, data)
    return bundle


def forge(maker: Maker, bundle: Path, wheel: Path, signers: Sequence[str] = ("vendor", "county")) -> Path:
    """Put another wheel into a bundle and sign that: what makers who mean harm, and hold the keys, can do."""
    content = members(bundle)
    manifest = json.loads(content[MANIFEST])
    data = wheel.read_bytes()
    for name in [name for name in content if name.startswith(WHEELS)]:
        del content[name]
    manifest["wheels"] = [{"name": wheel.name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}]
    content[MANIFEST] = json.dumps(manifest).encode()
    content[SIGNATURES] = b"[]"
    repack(bundle, {**content, WHEELS + wheel.name: data})
    for name in signers:
        update.sign(bundle, maker.key(name))
    return bundle


def flip_signature(bundle: Path) -> Path:
    content = members(bundle)
    said = json.loads(content[SIGNATURES])
    mark = bytearray(base64.b64decode(said[0]["mark"]))
    mark[7] ^= 1
    said[0]["mark"] = base64.b64encode(mark).decode()
    return repack(bundle, {**content, SIGNATURES: json.dumps(said).encode()})
