"""Why a connection to a centre failed, in our codes: for whatever protocol is spoken over it."""

import ipaddress
import socket
import ssl

from edge_agent.uplink.link import LinkError
from edge_agent.uplink.trust import explain_verify


def explain(fault: BaseException) -> LinkError:
    """Put the reason a connection failed into one of our codes."""
    if isinstance(fault, LinkError):
        return fault
    if isinstance(fault, ssl.SSLCertVerificationError):
        # X509_V_ERR_*: 9 not yet valid, 10 expired, 62 host, 64 address mismatch
        reasons = {9: "cert_not_yet_valid", 10: "cert_expired", 62: "cert_wrong_host", 64: "cert_wrong_host"}
        reason = explain_verify(fault.verify_code) or reasons.get(fault.verify_code, "cert_wrong_ca")
        return LinkError(reason, fault.verify_message)
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
