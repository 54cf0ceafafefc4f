"""What differs between modem families, as data: how they are known, set up, asked and restarted. Sockets are in `sockets/`."""

import re
from dataclasses import dataclass
from typing import Final

from edge_agent.uplink.modem.sockets.base import Sockets
from edge_agent.uplink.modem.sockets.bc95 import Bc95
from edge_agent.uplink.modem.sockets.quectel import Bc26, Quectel
from edge_agent.uplink.modem.sockets.simcom import Sim7020, Sim7600


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One command dialect. Commands are written without AT. `clock_utc`: what CCLK or QLTS tells; None: firmware differs."""

    name: str
    models: re.Pattern[str]  # what ATI, CGMM or CGMR says
    sockets: type[Sockets]
    baud: int
    gap_s: float = 0.0  # pause between commands
    nb_only: bool = False
    set_up: tuple[str, ...] = ()  # once after start; an error is counted, not fatal
    signal: tuple[str, ...] = ("+CSQ",)
    clock: str = "+CCLK?"
    clock_utc: bool | None = None
    iccid: str = "+CCID"
    restart: str = "+CFUN=1,1"


_SLEEPLESS: Final = ("+CPSMS=0", "+CEDRXS=0")  # a mains-fed gateway: otherwise what is sent to it waits for hours

QUECTEL: Final = Family(
    name="quectel",
    models=re.compile(r"\b(?:EC2[015]|EC200[A-Z]?|EG\d\d|EM\d\d|BG\d\d|BG95|UC20)", re.IGNORECASE),
    sockets=Quectel,
    baud=115200,
    set_up=("+CEREG=2", "+CTZU=1"),
    signal=("+CSQ", '+QENG="servingcell"'),
    clock="+QLTS=1",  # GMT; 2 would be local
    clock_utc=True,
    iccid="+QCCID",
)
BC26: Final = Family(
    name="bc26",
    models=re.compile(r"\bBC(?:20|26|32|66)", re.IGNORECASE),
    sockets=Bc26,
    baud=115200,
    nb_only=True,
    set_up=("+CEREG=2", "+QSCLK=0", *_SLEEPLESS),
    signal=("+CESQ", "+CSQ"),
    iccid="+QCCID",
    restart="+QRST=1",
)
BC95: Final = Family(
    name="bc95",
    models=re.compile(r"\bBC(?:95|28|35)", re.IGNORECASE),
    sockets=Bc95,
    baud=9600,
    gap_s=0.1,
    nb_only=True,
    set_up=("+CEREG=2", "+NSONMI=1", *_SLEEPLESS),
    signal=("+NUESTATS", "+CSQ"),
    iccid="+NCCID",
    restart="+NRB",
)
SIM7600: Final = Family(
    name="sim7600",
    models=re.compile(r"\bSIM(?:COM_SIM)?7[56]\d\d|\bA76\d\d", re.IGNORECASE),
    sockets=Sim7600,
    baud=115200,
    set_up=("+CEREG=2", "+CTZU=1"),
    signal=("+CSQ", "+CPSI?"),
    iccid="+CICCID",
)
SIM7020: Final = Family(
    name="sim7020",
    models=re.compile(r"\bSIM70(?:20|22|30)", re.IGNORECASE),
    sockets=Sim7020,
    baud=115200,
    nb_only=True,
    set_up=("+CEREG=2", "+CSOSENDFLAG=0", *_SLEEPLESS),
    signal=("+CESQ", "+CSQ"),
)
FAMILIES: Final = {family.name: family for family in (QUECTEL, BC26, BC95, SIM7600, SIM7020)}


def family_of(said: str) -> Family | None:
    """The family of a modem by what it says of itself; None if nobody knows it. BC26 and BC95 before the wider patterns."""
    return next((one for one in (BC26, BC95, SIM7020, SIM7600, QUECTEL) if one.models.search(said)), None)
