"""A certificate authority as a county runs one: openssl with its index file, so that it can take certificates back."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

CONFIG: Final = """
[ca]
default_ca = county
[county]
dir = {directory}
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir/issued
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
default_days = 30
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""
WEEK: Final = timedelta(days=7)


def openssl(*words: object) -> str:
    """Run openssl. Raise AssertionError with what it said."""
    ran = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, (words, ran.stderr)
    return ran.stdout


class RealCa:
    """As `tests.brokers.Certificates`, and what it has taken back as lists."""

    def __init__(self, directory: Path, *, host: str = "127.0.0.1") -> None:
        self.directory = directory
        (directory / "issued").mkdir(parents=True)
        (directory / "index.txt").touch()
        (directory / "serial").write_text("5C11A007\n")
        self._config = directory / "ca.cnf"
        self._config.write_text(CONFIG.format(directory=directory))
        self.ca_file, self._host = directory / "ca.pem", host
        name = f"/CN=CA {directory.name}"  # its name is what a list is found by
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30),
            *("-subj", name, "-keyout", directory / "ca.key", "-out", self.ca_file),
        )
        self.server_cert, self.server_key = self._issue("server", f"IP:{host}")

    def renew_server(self) -> None:
        """Another certificate for the server, under the same file names."""
        cert, key = self._issue("again", f"IP:{self._host}")
        shutil.move(cert, self.server_cert)
        shutil.move(key, self.server_key)

    def client(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a client."""
        return self._issue(name, f"DNS:{name}")

    def _issue(self, name: str, names: str) -> tuple[Path, Path]:
        cert, key, request = (self.directory / f"{name}.{end}" for end in ("pem", "key", "csr"))
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName={names}", "-keyout", key, "-out", request),
        )
        openssl("ca", "-config", self._config, "-batch", "-notext", "-in", request, "-out", cert)
        return cert, key

    def serial(self, cert: Path) -> str:
        """Its serial number in hex."""
        return openssl("x509", "-in", cert, "-noout", "-serial").strip().removeprefix("serial=")

    def revoke(self, cert: Path) -> None:
        """Take a certificate back: the next list has it."""
        openssl("ca", "-config", self._config, "-revoke", cert)

    def write_crl(self, file: Path, *, since: timedelta = -timedelta(hours=1), until: timedelta = WEEK) -> None:
        """Write the list, valid between these moments from now, as one exchanges a file: complete, or not at all."""
        now, form = datetime.now(UTC), "%Y%m%d%H%M%SZ"
        dates = ("-crl_lastupdate", f"{now + since:{form}}", "-crl_nextupdate", f"{now + until:{form}}")
        openssl("ca", "-config", self._config, "-gencrl", *dates, "-out", file.with_suffix(".new"))
        file.with_suffix(".new").rename(file)
