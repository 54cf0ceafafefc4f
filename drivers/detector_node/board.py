"""The pins of a real board (ESP32, RP2040): ADC inputs, contacts, accelerometer, sounder, watchdog, deep sleep. Not yet proven.

`settings["date"]`: [year, month, day] of its setting up.
`settings["pins"]`: {"smoke_percent": {"adc": 26, "scale": 100, "offset": 0}, "tamper": {"pin": 14, "on": 0}, "button": {...},
"tilt_deg": {"i2c": 0, "scl": 5, "sda": 4, "address": 25}, "sounder": {"pin": 15}, "watchdog_ms": 8000, "wake": {"pin": 14}}.
An ADC value is a fraction of full scale; scale and offset make its unit of it.
"""

import json
import math
import time

import machine

BASE_FILE = "tilt.json"  # removed by whoever puts the node up anew
_G = 16384  # LIS3DH at 2 g, high resolution, left aligned


class Board:
    """What the node's program needs of its hardware."""

    def __init__(self, settings: dict) -> None:
        self._pins = settings["pins"]
        self._adc = {name: machine.ADC(pin["adc"]) for name, pin in self._pins.items() if _has(pin, "adc")}
        self._inputs = {
            name: machine.Pin(self._pins[name]["pin"], machine.Pin.IN, machine.Pin.PULL_UP)
            for name in ("tamper", "button")
            if name in self._pins
        }
        self._sounder = machine.Pin(self._pins["sounder"]["pin"], machine.Pin.OUT) if "sounder" in self._pins else None
        self._tilt: machine.I2C = None
        self._base: list = None
        if "tilt_deg" in self._pins:
            self._open_tilt(self._pins["tilt_deg"])
        limit_ms = self._pins.get("watchdog_ms")
        self._watchdog = machine.WDT(timeout=limit_ms) if limit_ms else None
        self._set_clock(settings.get("date"))
        self._wifi = settings.get("wifi")
        self._station = None
        self.join()

    def now_ms(self) -> int:
        """Milliseconds that only grow, for as long as a difference is below some days."""
        return time.ticks_ms()

    def now_s(self) -> int:
        """Seconds of the board's own clock: right or not, it goes on through a sleep."""
        return int(time.time())

    def clock_kept(self) -> bool:
        """Whether that clock went on through the last start: it does through a sleep and a reset, not without power."""
        return machine.reset_cause() != machine.PWRON_RESET

    def read(self) -> dict:
        """One sample; a sensor that cannot be read is missing."""
        found = {}
        for name, adc in self._adc.items():
            raw = adc.read_u16() / 65535
            if 0.005 < raw < 0.995:  # at a rail: a wire is broken or shorted
                found[name] = raw * self._pins[name].get("scale", 1) + self._pins[name].get("offset", 0)
        for name, pin in self._inputs.items():
            found[name] = pin.value() == self._pins[name].get("on", 0)
        if self._tilt is not None and (angle := self._angle()) is not None:
            found["tilt_deg"] = angle
        return found

    def sound(self, on: bool) -> None:
        """Three pulses and a pause (ISO 8201) while it is on."""
        if self._sounder is not None:
            self._sounder.value(1 if on and time.ticks_ms() % 4000 in _PULSES else 0)

    def feed_watchdog(self) -> None:
        """A board that is not fed starts anew."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def sleep(self, seconds: int) -> None:
        """Deep sleep; it ends with a reset, by time or by the wake pin."""
        if "wake" in self._pins:
            import esp32

            esp32.wake_on_ext0(machine.Pin(self._pins["wake"]["pin"], machine.Pin.IN, machine.Pin.PULL_UP), 0)
        machine.deepsleep(seconds * 1000)

    def join(self) -> None:
        """Join the site's network, or join it again: not every port does so by itself. Waits for nothing."""
        if not self._wifi:
            return
        import network

        if self._station is None:
            self._station = network.WLAN(network.STA_IF)
            self._station.active(True)
        if not self._station.isconnected():
            self._station.connect(self._wifi["ssid"], self._wifi["password"])

    def reset(self) -> None:
        """Start anew."""
        machine.reset()

    def log(self, words: str) -> None:
        """For whoever has a cable."""
        print(words)

    @staticmethod
    def _set_clock(date) -> None:
        """At least the day the node was set up: before it a port that looks at dates would take no broker's certificate."""
        if date and tuple(time.gmtime()[:3]) < tuple(date):
            machine.RTC().datetime((date[0], date[1], date[2], 0, 0, 0, 0, 0))

    def _open_tilt(self, pin: dict) -> None:
        self._tilt = machine.I2C(pin["i2c"], scl=machine.Pin(pin["scl"]), sda=machine.Pin(pin["sda"]))
        try:
            self._tilt.writeto_mem(pin["address"], 0x20, b"\x27")  # 10 Hz, three axes
        except OSError:
            pass  # read() finds it missing, which is a fault

    def _angle(self):
        """Degrees between now and how it stood when it was put up; None if the sensor does not answer."""
        try:
            raw = self._tilt.readfrom_mem(self._pins["tilt_deg"]["address"], 0x28 | 0x80, 6)
        except OSError:
            return None
        axes = [(raw[at] | raw[at + 1] << 8) for at in (0, 2, 4)]
        axes = [(axis - 65536 if axis > 32767 else axis) / _G for axis in axes]
        size = math.sqrt(sum(axis * axis for axis in axes))
        if not 0.5 < size < 1.5:
            return None  # falling, shaken, or broken
        if self._base is None:
            self._base = _kept_base([axis / size for axis in axes])
        cosine = sum(axis / size * base for axis, base in zip(axes, self._base))
        return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def _kept_base(now: list) -> list:
    """How it stood at the first reading of its life: a node that starts anew while it is knocked over is knocked over still."""
    try:
        with open(BASE_FILE) as file:
            return json.load(file)
    except (OSError, ValueError):
        pass
    try:
        with open(BASE_FILE, "w") as file:
            file.write(json.dumps(now))
    except OSError:
        pass
    return now


class _Pulses:
    def __contains__(self, ms: int) -> bool:
        return ms < 3000 and ms % 1000 < 500


_PULSES = _Pulses()


def _has(pin, key: str) -> bool:
    return isinstance(pin, dict) and key in pin
