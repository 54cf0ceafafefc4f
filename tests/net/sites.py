"""Whole gateways behind a bad link: the real programs, the uplink at one end of it, the broker and the centre at the other.

EDGE_SMALL_MACHINE=1: core, uplink and broker share a ninth of a CPU, with 160 MB and 64 descriptors each.
"""

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from simulators.process import Program
from tests.brokers import Broker, Certificates
from tests.net.link import BadLink
from tests.proof.site import GATEWAY, ProofSite
from tests.proof.small_machine import small_machine, throttled

BROKER_PORT, PACKED_PORT = 8883, 5119  # each link has a centre's network of its own
SMALL = os.environ.get("EDGE_SMALL_MACHINE", "") == "1"


@asynccontextmanager
async def far_site(link: BadLink, directory: Path) -> AsyncIterator[ProofSite]:
    """The broker at the centre's end of the link, TLS with certificates between it and the uplink."""
    certificates = Certificates(directory / "tls", host=link.here)
    cert, key = certificates.client("gateway")
    site = ProofSite()
    listener = (
        f"listener {BROKER_PORT} {link.here}\ncafile {certificates.ca_file}\ncertfile {certificates.server_cert}\n"
        f"keyfile {certificates.server_key}\nrequire_certificate true"
    )
    site.broker = Broker(site.directory, config=listener)
    site.towards = (
        f'host = "{link.here}"\nport = {BROKER_PORT}\nca_file = "{certificates.ca_file}"\n'
        f'cert_file = "{cert}"\nkey_file = "{key}"\n'
    )
    async with _behind(link, site):
        yield site


@asynccontextmanager
async def narrow_site(link: BadLink, directory: Path) -> AsyncIterator[ProofSite]:
    """NB-IoT is the only way out: packed frames over UDP to the centre's ear, and nothing else."""
    keys = directory / "keys"
    keys.mkdir()
    key_file = keys / f"{GATEWAY}.key"
    key_file.write_text(bytes(range(32)).hex())
    site = ProofSite(more='[[link]]\nid = "nb"\nkind = "nbiot"')
    site.towards = (
        f'host = "127.0.0.1"\nport = 1\npacked_host = "{link.here}"\npacked_port = {PACKED_PORT}\n'
        f'packed_key_file = "{key_file}"\n'
    )
    site.centre_options = ("--packed-host", link.here, "--packed-port", str(PACKED_PORT), "--packed-keys", str(keys))
    async with _behind(link, site):
        yield site


@asynccontextmanager
async def _behind(link: BadLink, site: ProofSite) -> AsyncIterator[None]:
    """The link lies between the uplink and the centre; on a small machine if that was asked for."""
    at_gateway, at_centre = (("ip", "netns", "exec", name) for name in (link.gateway, link.centre))
    site.uplink = Program("uplink", (*at_gateway, *site.uplink.arguments), site.uplink.log)
    site.broker.command = (*at_centre, *site.broker.command)
    site.centre_within = at_centre
    async with small_machine(site) if SMALL else contextlib.nullcontext() as group, site:
        yield
        assert group is None or throttled(group) > 0, "the quota was never met: nothing was slowed down"


async def down(site: ProofSite) -> bool:
    """Whether the core says that the centre is not reached."""
    status = await site.status()
    return bool(status) and not any(uplink["up"] for uplink in status["uplinks"])
