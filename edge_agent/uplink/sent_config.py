"""Has a configuration a centre sent judged by a process of its own (edge_agent.sent_check), and says what it found."""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.commands import Refusal
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Uplink

log = logging.getLogger("edge.commands")

JUDGE: Final = (sys.executable, "-m", "edge_agent.sent_check")


@dataclass(frozen=True, slots=True)
class Footing:
    """What an uplink runs on: the site, and the name of what was in force when it started (`sent_config.check_of`)."""

    site: Path
    check: str

    def moved_to(self, check: str) -> bool:
        """Whether a new start would run on the configuration called `check`, and this one does not. Reads files."""
        from edge_agent.last_good import in_force

        return check != self.check and in_force(self.site).check == check


async def judge(site: Path | None, config: Config, uplink: Uplink, params: Mapping[str, object]) -> dict[str, object]:
    """{serial}. Raise Refusal: what is wrong with it."""
    if site is None or uplink.config_key_file is None:
        raise Refusal("no_config_key")
    asked = {
        "site": str(site),
        "gateway": config.gateway.id,
        "destination": uplink.id,
        "key_file": str(uplink.config_key_file),
        "signed": params["signed"],
        "signature": params["signature"],
    }
    pipe = asyncio.subprocess.PIPE
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(*JUDGE, stdin=pipe, stdout=pipe))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_stop)  # it may be there already, and would have no owner
        raise
    try:
        said, _ = await process.communicate(json.dumps(asked).encode())
    finally:
        if process.returncode is None:
            process.kill()
    try:
        answer = json.loads(said)
    except ValueError:
        log.error("sent configuration: the judge ended with %s", process.returncode)
        raise Refusal("cannot_judge") from None
    if "code" in answer:
        raise Refusal(str(answer["code"])[:40], **answer["detail"])
    return {"serial": answer["serial"]}


def _stop(starting: "asyncio.Future[asyncio.subprocess.Process]") -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill()
