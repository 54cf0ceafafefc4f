"""Whole gateways behind a bad link: the real programs, the uplink in the link's namespace, the centre's end at ours.

EDGE_SMALL_MACHINE=1: core, uplink and broker share a ninth of a CPU, with 160 MB and 64 descriptors each.
"""

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from simulators.ports import free_port
from simulators.process import Program
from tests.brokers import Broker, Certificates
from tests.net.link import BadLink
from tests.proof.site import GATEWAY, ProofSite
from tests.proof.small_machine import small_machine

SMALL = os.environ.get("EDGE_SMALL_MACHINE", "") == "1"


@asynccontextmanager
async def far_site(link: BadLink, directory: Path) -> AsyncIterator[ProofSite]:
    """The uplink in the namespace, the broker at our end of the link, TLS with certificates between them."""
    certificates = Certificates(directory / "tls", host=link.here)
    cert, key = certificates.client("gateway")
    port = free_port()
    site = ProofSite()
    listener = (
        f"listener {port} {link.here}\ncafile {certificates.ca_file}\ncertfile {certificates.server_cert}\n"
        f"keyfile {certificates.server_key}\nrequire_certificate true"
    )
    site.broker = Broker(site.directory, config=listener)
    site.towards = (
        f'host = "{link.here}"\nport = {port}\nca_file = "{certificates.ca_file}"\n'
        f'cert_file = "{cert}"\nkey_file = "{key}"\n'
    )
    async with _behind(link, site):
        yield site


@asynccontextmanager
async def narrow_site(link: BadLink, directory: Path) -> AsyncIterator[ProofSite]:
    """NB-IoT is the only way out: packed frames over UDP to the centre's ear at our end of the link, and nothing else."""
    port, keys = _free_udp_port(link.here), directory / "keys"
    keys.mkdir()
    key_file = keys / f"{GATEWAY}.key"
    key_file.write_text(bytes(range(32)).hex())
    site = ProofSite(more='[[link]]\nid = "nb"\nkind = "nbiot"')
    site.towards = (
        f'host = "127.0.0.1"\nport = 1\npacked_host = "{link.here}"\npacked_port = {port}\n'
        f'packed_key_file = "{key_file}"\n'
    )
    site.centre_options = ("--packed-host", link.here, "--packed-port", str(port), "--packed-keys", str(keys))
    async with _behind(link, site):
        yield site


@asynccontextmanager
async def _behind(link: BadLink, site: ProofSite) -> AsyncIterator[None]:
    """The uplink's way out is the link; on a small machine if that was asked for."""
    words = ("ip", "netns", "exec", link.namespace, *site.uplink.arguments)
    site.uplink = Program("uplink", words, site.uplink.log)
    async with small_machine(site) if SMALL else contextlib.nullcontext(), site:
        yield


def _free_udp_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


async def down(site: ProofSite) -> bool:
    """Whether the core says that the centre is not reached."""
    status = await site.status()
    return bool(status) and not any(uplink["up"] for uplink in status["uplinks"])
