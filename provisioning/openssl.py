"""The `openssl` command: all cryptography of this tool is its."""

import os
import subprocess
from typing import Final

from edge_agent.terminal import FAILURES, printable
from provisioning.errors import ProvisionError

TIMEOUT_S: Final = 30


def openssl(*args: str) -> str:
    """What `openssl ARGS` prints. Raise ProvisionError: no_openssl, openssl_failed."""
    try:
        done = subprocess.run(
            ["openssl", *args],
            stdin=subprocess.DEVNULL,  # it never asks a question
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as fault:
        raise ProvisionError("no_openssl", FAILURES) from fault
    except subprocess.TimeoutExpired as fault:
        raise ProvisionError("openssl_failed", FAILURES, why="timeout") from fault
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ProvisionError(
            "openssl_failed", FAILURES, why=printable(lines[-1][:200] if lines else str(done.returncode))
        )
    return done.stdout.decode("utf-8", "replace")
