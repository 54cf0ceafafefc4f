"""Takes the journal and the board at the start. Where one cannot be had, what stands in for it, and why."""

import logging
from collections.abc import Callable

from buffer.journal import Journal, JournalError, JournalSettings, StoreFault
from drivers.gpio import Gpio, GpioError, open_gpio
from edge_agent.config.model import Config
from edge_agent.modem_power import OUTPUT
from edge_agent.no_journal import NoJournal
from edge_agent.site import board_inputs

log = logging.getLogger("edge.core")

# config, boot id, where the store's faults go -> the journal or what stands in for it, and why
OpenJournal = Callable[[Config, str, Callable[[StoreFault], None]], tuple[Journal | NoJournal, StoreFault | None]]


def open_journal(
    config: Config,
    boot_id: str,
    report: Callable[[StoreFault], None],
    *,
    opener: Callable[..., Journal] | None = None,
) -> tuple[Journal | NoJournal, StoreFault | None]:
    """The journal; or one that refuses everything, so that alarms go on from memory. Raise JournalError("locked") only.

    `opener` takes the arguments of Journal.open, which it is unless given.
    """
    settings = config.journal
    try:
        return (opener or Journal.open)(
            config.gateway.data_dir,
            JournalSettings(
                vital_bytes=settings.vital_mb << 20,
                bulk_bytes=settings.bulk_mb << 20,
                reserve_bytes=settings.reserve_mb << 20,
                history_events=settings.history_events,
                history_alarm_days=settings.history_alarm_days,
                telemetry_linger_s=settings.telemetry_linger_s,
                mandatory=[uplink.id for uplink in config.uplinks if uplink.mandatory],
            ),
            report,
            boot_id=boot_id,
        ), None
    except JournalError as fault:
        if fault.code == "locked":
            raise
        reason = StoreFault(fault.code, fault.file, str(fault))
    except Exception as bug:  # a bug of the journal's must not keep the alarms from being heard
        log.exception("journal")
        reason = StoreFault("bug", "vital.db", ascii(bug)[:200])
    log.critical("journal code=%s file=%s", reason.code, reason.file)
    return NoJournal(reason.code), reason


def open_board(config: Config) -> tuple[Gpio, GpioError | None]:
    """The board's lines, taken; or, if they cannot be had now, a port that is tried again as it is used."""
    board = config.board
    gpio = open_gpio("none")
    try:
        gpio = open_gpio(board.gpio, chip_label=board.chip_label, fake_socket=board.fake_socket)
        levels = dict.fromkeys(board.outputs.values(), False)
        levels |= {output.line: output.idle for output in config.linkage.outputs}
        if (line := board.outputs.get(OUTPUT)) is not None:
            levels[line] = board.modem_power_idle  # a modem must not be cut off by our restart
        gpio.open(inputs=board_inputs(config), outputs=levels)
    except GpioError as fault:
        log.error("board %s", fault)
        return gpio, fault
    except Exception as bug:  # nor one of a board's library: panels and uplinks do without
        log.exception("board")
        return gpio, GpioError("io", line="all", reason=ascii(bug)[:200])
    return gpio, None
