"""Lists of revoked certificates that an uplink is given. Apart from the rest: only `edge-agent config check` looks into them."""

from datetime import datetime

from edge_agent.china_time import CHINA
from edge_agent.config.check.machine import read_named
from edge_agent.config.site import Site
from edge_agent.crl import BYTES_MAX, read_certificates, read_crls


def check_crl(site: Site, now: datetime | None) -> None:
    """They must be lists, of a CA the uplink trusts, and current at `now` (None: there is no clock to judge by)."""
    for item in site.items("uplink"):
        if (read := read_named(site, item, "crl_file", BYTES_MAX)) is None:
            continue
        path = item.values["crl_file"]
        try:
            lists = read_crls(read[0])
        except ValueError:
            site.error("crl_damaged", item, "crl_file", path=path)
            continue
        ca = read_named(site, item, "ca_file")
        try:
            known = {certificate.subject for certificate in read_certificates(ca[0])} if ca is not None else set()
        except ValueError:
            known = set()
        if known and not any(one.issuer in known for one in lists):
            site.error("crl_wrong_ca", item, "crl_file", path=path, ca=item.values["ca_file"])
        if now is None:
            continue
        for one in lists:
            if one.next_update is not None and one.next_update <= now:
                site.warning("crl_expired", item, "crl_file", path=path, date=_day(one.next_update))
            elif one.this_update > now:
                site.warning("crl_future", item, "crl_file", path=path, date=_day(one.this_update))


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(CHINA):%Y-%m-%d}"
