"""TLS towards a centre, and why a connection failed, in our codes: for whatever protocol is spoken over it."""

import ipaddress
import socket
import ssl
from pathlib import Path

from edge_agent.uplink.link import LinkError


def tls_context(ca_file: Path, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """Verify always, TLS 1.2 at least, only the given CA. Read anew for each connection, so renewed files count at once."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file is not None:
        context.load_cert_chain(str(cert_file), str(key_file) if key_file is not None else None)
    return context


def explain(fault: BaseException) -> LinkError:
    """Put the reason a connection failed into one of our codes."""
    if isinstance(fault, LinkError):
        return fault
    if isinstance(fault, ssl.SSLCertVerificationError):
        # X509_V_ERR_*: 9 not yet valid, 10 expired, 62 host, 64 address mismatch
        reasons = {9: "cert_not_yet_valid", 10: "cert_expired", 62: "cert_wrong_host", 64: "cert_wrong_host"}
        return LinkError(reasons.get(fault.verify_code, "cert_wrong_ca"), fault.verify_message)
    if isinstance(fault, ssl.SSLError):
        return LinkError(explain_alert(str(fault)), str(fault))
    if isinstance(fault, socket.gaierror):
        return LinkError("no_name", str(fault))
    if isinstance(fault, TimeoutError):
        return LinkError("connect_timeout", str(fault))
    if isinstance(fault, ConnectionRefusedError):
        return LinkError("refused")
    if isinstance(fault, FileNotFoundError | PermissionError):
        return LinkError("key_file", f"{fault.strerror}: {fault.filename}")
    if isinstance(fault, OSError):
        return LinkError("no_route", str(fault))
    return LinkError("lost", repr(fault))


def explain_alert(text: str) -> str:
    """The code for what a TLS library said went wrong."""
    # under TLS 1.3 the broker's verdict on our certificate arrives after the handshake looked done
    said = text.lower()
    marks = ("certificate required", "certificate_required", "alert unknown ca", "alert_unknown_ca", "bad certificate",
             "bad_certificate", "certificate_unknown", "certificate unknown", "certificate_expired", "certificate expired",
             "certificate_revoked", "certificate revoked", "handshake failure", "handshake_failure")  # fmt: skip
    return "client_cert_rejected" if "alert" in said and any(mark in said for mark in marks) else "tls"


def is_this_machine(host: str) -> bool:
    """Whether traffic to `host` never leaves this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
