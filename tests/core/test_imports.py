"""What a core does not load unless its site needs it (docs/decisions/0006-core-without-tls.md)."""

import subprocess
import sys

HEAVY = ("ssl", "_ssl", "hashlib", "_hashlib", "paho", "cryptography", "serialx", "drivers.node_updates")


def test_the_core_of_a_plain_site_loads_no_libcrypto_and_no_mqtt() -> None:
    script = (
        "import sys; sys.modules['ssl'] = None\n"  # as `edge-agent run` does before asyncio
        "import edge_agent.core\n"
        f"print([name for name in {HEAVY!r} if sys.modules.get(name) is not None])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
