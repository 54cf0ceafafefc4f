"""The families of the simulated modem: identity, boot lines and socket commands, one file a family."""

from collections.abc import Mapping
from typing import Final

from simulators.modem_families.base import Talk
from simulators.modem_families.bc95 import Bc95Talk
from simulators.modem_families.quectel import Bc26Talk, QuectelTalk
from simulators.modem_families.sim7020 import Sim7020Talk
from simulators.modem_families.sim7600 import Sim7600Talk

TALKS: Final[Mapping[str, type[Talk]]] = {
    "quectel": QuectelTalk,
    "bc26": Bc26Talk,
    "bc95": Bc95Talk,
    "sim7600": Sim7600Talk,
    "sim7020": Sim7020Talk,
}
