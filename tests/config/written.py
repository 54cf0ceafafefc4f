"""Configurations as people write them, and what the loader finds."""

from pathlib import Path

from edge_agent.config.findings import Finding
from edge_agent.config.loaded import Loaded
from edge_agent.config.model import Config
from edge_agent.config.report import render

GATEWAY = '[gateway]\nid = "ZG-0001"\n'
PANEL = '[[panel]]\nid = "hall"\nprofile = "gst9000-printer"\nport = "/dev/ttyUSB0"\n'
BUS = '[[bus]]\nid = "rtu1"\nport = "/dev/ttyUSB1"\n'
DEVICE = '[[bus.device]]\nid = "m1"\nprofile = "meter"\n'
UPLINK = "[[uplink]]\nid='u'\nhost='a.b'\nca_file='c'\ncert_file='d'\nkey_file='k'\n"
GB = "[[uplink]]\nid='u'\nhost='::1'\nport=5200\nprotocol='gb26875'\n[uplink.gb26875]\nsource='1'\n"
LINK = "[[link]]\nid='l'\nkind='wifi'\n"
SOUND = GATEWAY + PANEL


def write(directory: Path, text: str | bytes, **more: str | bytes) -> Path:
    (directory / "conf.d").mkdir(exist_ok=True)
    for name, content in {"config.toml": text, **{f"conf.d/{k}": v for k, v in more.items()}}.items():
        (directory / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def codes(loaded: Loaded) -> set[str]:
    return {finding.code for finding in loaded.findings}


def one(loaded: Loaded, code: str) -> Finding:
    found = [finding for finding in loaded.findings if finding.code == code]
    assert len(found) == 1, loaded.findings
    for lang in ("zh", "en"):
        assert found[0].file.name in render(found[0], lang)
    return found[0]


def config_of(loaded: Loaded) -> Config:
    assert loaded.config is not None, [render(f, "en") for f in loaded.findings]
    return loaded.config
