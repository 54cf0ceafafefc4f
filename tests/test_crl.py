"""Lists of certificates that were taken back, read from what openssl writes, and from anything else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.crl import read_certificates, read_crls
from tests.openssl_ca import RealCa, openssl


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> RealCa:
    return RealCa(tmp_path_factory.mktemp("tls") / "county")


def test_a_list_says_who_wrote_it_when_and_what_was_taken_back(ca: RealCa, tmp_path: Path) -> None:
    file = tmp_path / "ca.crl"
    ca.write_crl(file)
    (empty,) = read_crls(file.read_bytes())
    assert empty.serials == frozenset()
    gone, kept = ca.client("gone")[0], ca.client("kept")[0]
    ca.revoke(gone)
    ca.write_crl(file)
    (crl,) = read_crls(file.read_bytes())
    assert [f"{serial:X}" for serial in crl.serials] == [ca.serial(gone)]
    (authority,) = read_certificates(ca.ca_file.read_bytes())
    assert crl.issuer == authority.subject == authority.issuer
    assert [crl.lists(read_certificates(cert.read_bytes())[0]) for cert in (gone, kept)] == [True, False]
    assert crl.next_update is not None
    assert abs(crl.next_update - datetime.now(UTC) - timedelta(days=7)) < timedelta(hours=1)
    assert crl.this_update < datetime.now(UTC)


def test_two_lists_may_stand_in_one_file_and_a_list_knows_only_its_own_ca(ca: RealCa, tmp_path: Path) -> None:
    other = RealCa(tmp_path / "other")
    other.revoke(other.server_cert)
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    ca.write_crl(mine)
    other.write_crl(theirs)
    both = read_crls(mine.read_bytes() + theirs.read_bytes())
    assert len(both) == 2
    ours, (foreign,) = (
        read_certificates(ca.server_cert.read_bytes())[0],
        read_certificates(other.server_cert.read_bytes()),
    )
    assert ours.serial == foreign.serial, "both count from the same number"
    assert [one.lists(ours) for one in both] == [False, False]
    assert [one.lists(foreign) for one in both] == [False, True]


def test_a_file_with_a_certificate_in_it_is_no_list(ca: RealCa, tmp_path: Path) -> None:
    """OpenSSL reads CAs and lists from the same files: whoever may exchange the list must not be able to add a CA by that."""
    file = tmp_path / "ca.crl"
    ca.write_crl(file)
    for extra in (ca.ca_file.read_bytes(), ca.ca_file.read_bytes().replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE")):
        with pytest.raises(ValueError, match="nothing else"):
            read_crls(file.read_bytes() + extra)
    openssl("crl", "-in", file, "-outform", "DER", "-out", tmp_path / "der")
    for wrong in (b"", b"-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n", (tmp_path / "der").read_bytes()):
        with pytest.raises(ValueError):
            read_crls(wrong)


@given(data=st.data())
def test_a_damaged_list_is_refused_or_read_and_nothing_else_happens(ca: RealCa, data: st.DataObject) -> None:
    import base64

    der = bytearray(base64.b64decode(b"".join(crl_of(ca).splitlines()[1:-1])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(der) - 1))
        der[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(der)))
    for damaged in (der, der[:cut]):
        pem = b"-----BEGIN X509 CRL-----\n" + base64.b64encode(damaged) + b"\n-----END X509 CRL-----\n"
        try:
            found = read_crls(pem)
        except ValueError:
            continue
        assert all(isinstance(serial, int) for one in found for serial in one.serials)


def crl_of(ca: RealCa) -> bytes:
    file = ca.directory / "once.crl"
    if not file.exists():
        ca.write_crl(file)
    return file.read_bytes()
