"""The modem's supply, switched by a line of the board: one pulse at a time, never often. The uplink asks, the core owns the pin."""

import asyncio
import logging
from collections.abc import Callable

from drivers.gpio.port import Gpio, GpioError
from edge_agent.config.model import Board
from edge_agent.local_api import ApiError

log = logging.getLogger("edge.modem_power")

OUTPUT = "modem_power"
EVERY_S = 240.0  # an uplink gone mad must not keep the modem from ever registering; the ladder itself waits 300 s
RETRY_S = 1.0


class ModemPower:
    """One line. `done` is told ("cycled", "stuck", "restored") once a pulse is over or its end could not be driven."""

    def __init__(self, gpio: Gpio, board: Board, done: Callable[[str], None]) -> None:
        self._gpio, self._done = gpio, done
        self.line = board.outputs.get(OUTPUT)
        self._idle, self.pulse_s = board.modem_power_idle, board.modem_power_pulse_s
        self._timer: asyncio.TimerHandle | None = None
        self._last_s: float | None = None
        self._stuck = False

    @property
    def off(self) -> bool:
        """Whether the modem is without power now."""
        return self._timer is not None

    def cycle(self) -> None:
        """Take the supply away for `pulse_s`. ApiError: no_modem_power, modem_power_busy, modem_power_too_soon, board_fault."""
        loop = asyncio.get_running_loop()
        if self.line is None:
            raise ApiError("no_modem_power")
        if self._timer is not None:
            raise ApiError("modem_power_busy")
        now_s = loop.time()
        if self._last_s is not None and now_s - self._last_s < EVERY_S:
            raise ApiError("modem_power_too_soon", wait_s=round(self._last_s + EVERY_S - now_s))
        try:
            self._gpio.write(self.line, not self._idle)
        except GpioError as fault:
            raise ApiError("board_fault", detail=fault.code) from fault
        self._last_s = now_s
        self._timer = loop.call_later(self.pulse_s, self._end)

    def close(self) -> None:
        """Give the modem its power back before the lines are let go."""
        if self._timer is not None:
            self._timer.cancel()
            self._drive_idle()

    def _end(self) -> None:
        if not self._drive_idle():  # a modem left without power is worse than a wedged one: try until it has it
            if not self._stuck:
                self._stuck = True
                self._done("stuck")
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._end)
            return
        self._timer = None
        self._done("restored" if self._stuck else "cycled")
        self._stuck = False

    def _drive_idle(self) -> bool:
        assert self.line is not None
        try:
            self._gpio.write(self.line, self._idle)
        except GpioError as fault:
            log.error("modem power not restored code=%s", fault.code)
            return False
        return True
