"""What an AT modem says of itself: who it is, where it is registered, how strong the signal is, what time the network has.

For people and for the clock. The path is never judged by it.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from drivers.codecs.at.fields import Reading
from drivers.codecs.at.readings import is_registered, masked
from edge_agent.uplink.modem.families import Family
from edge_agent.uplink.modem.hooks import Hooks
from edge_agent.uplink.modem.network_time import utc_ns
from edge_agent.uplink.modem.port import Answer, AtPort

SIGNAL_FIELDS: Final = frozenset(
    {
        "rssi_dBm",
        "rsrp_dBm",
        "rsrq_dB",
        "sinr",
        "sinr_dB",
        "snr_dB",
        "ecl",
        "tx_dBm",
        "rsrp",
        "rsrq",
        "snr",
        "band",
        "pci",
        "earfcn",
    }
)


class Seen:
    """What one modem last said. Numbers of SIM and modem are masked wherever people see them."""

    def __init__(self, port: AtPort, hooks: Hooks, *, signal_s: float, clock_s: float) -> None:
        self._port, self._hooks, self._signal_s, self._clock_s = port, hooks, signal_s, clock_s
        self._signal_due_s = self._clock_due_s = 0.0
        self.signal: dict[str, object] = {}
        self._model = self._imei = self.operator = self._registration = self._rat = ""
        self.iccid = self.address = ""

    def note_model(self, said: str) -> str:
        """What it answered when asked what it is; return it as people may see it."""
        self._model = said[:80]
        return masked(self._model)

    def note_imei(self, answer: Answer) -> None:
        """The first long number of the answer."""
        found = next((found for line in answer.lines if (found := re.search(r"\d{14,17}", line.text))), None)
        self._imei = found[0] if found else ""

    def note_registration(self, states: Sequence[Reading]) -> None:
        """Of several registrations the one that holds, else the first."""
        best = next((one for one in states if is_registered([one])), states[0] if states else None)
        self._registration = best.text("state") if best is not None else ""
        self._rat = best.text("rat") if best is not None else ""

    def snapshot(self) -> dict[str, object]:
        """For people."""
        return {
            "model": self._model,
            "imei": masked(self._imei),
            "iccid": masked(self.iccid),
            "operator": self.operator,
            "registration": self._registration,
            "rat": self._rat,
            "address": self.address,
            "signal": dict(self.signal),
        }

    async def look(self, family: Family) -> None:
        """Ask for signal, operator and network time, each as it is due. Raise AtTimeout, LinkDown."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._signal_due_s:
            self._signal_due_s = now_s + self._signal_s
            for command in family.signal:
                for one in (await self._port.ask(command)).readings:
                    self.signal |= {k: v for k, v in one.fields.items() if k in SIGNAL_FIELDS and v is not None}
            await self._port.ask("+COPS=3,2", timeout_s=10)
            found = (await self._port.ask("+COPS?", timeout_s=10)).first("COPS?")
            self.operator = found.text("operator") if found is not None else ""
        if now_s >= self._clock_due_s:
            self._clock_due_s = now_s + self._clock_s
            told = (await self._port.ask(family.clock)).first(
                family.clock.lstrip("+").partition("=")[0].rstrip("?") + "?"
            )
            wall_ns = utc_ns(told, family.clock_utc, self._hooks.wall_ns())
            if wall_ns is not None:
                await self._hooks.offer_time(wall_ns)
            else:
                self._clock_due_s = now_s + self._signal_s  # no NITZ yet
