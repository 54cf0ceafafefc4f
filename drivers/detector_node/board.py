"""The pins of a real board (ESP32, RP2040): ADC inputs, contacts, accelerometer, sounder, watchdog, deep sleep. Not yet proven.

`settings["pins"]`: {"smoke_percent": {"adc": 26, "scale": 100, "offset": 0}, "tamper": {"pin": 14, "on": 0}, "button": {...},
"tilt_deg": {"i2c": 0, "scl": 5, "sda": 4, "address": 25}, "sounder": {"pin": 15}, "watchdog_ms": 8000, "wake": {"pin": 14}}.
An ADC value is a fraction of full scale; scale and offset make its unit of it.
"""

import math
import time

import machine

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
        if settings.get("wifi"):
            self._join(settings["wifi"])

    def now_ms(self) -> int:
        """Milliseconds that only grow, for as long as a difference is below some days."""
        return time.ticks_ms()

    def now_s(self) -> int:
        """Seconds of the board's own clock: right or not, it goes on through a sleep."""
        return int(time.time())

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

    def reset(self) -> None:
        """Start anew."""
        machine.reset()

    def log(self, words: str) -> None:
        """For whoever has a cable."""
        print(words)

    def _open_tilt(self, pin: dict) -> None:
        self._tilt = machine.I2C(pin["i2c"], scl=machine.Pin(pin["scl"]), sda=machine.Pin(pin["sda"]))
        try:
            self._tilt.writeto_mem(pin["address"], 0x20, b"\x27")  # 10 Hz, three axes
        except OSError:
            pass  # read() finds it missing, which is a fault

    def _angle(self):
        """Degrees between now and how it stood at the first reading; None if the sensor does not answer."""
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
            self._base = [axis / size for axis in axes]
        cosine = sum(axis / size * base for axis, base in zip(axes, self._base))
        return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))

    def _join(self, wifi: dict) -> None:
        import network

        station = network.WLAN(network.STA_IF)
        station.active(True)
        station.connect(wifi["ssid"], wifi["password"])


class _Pulses:
    def __contains__(self, ms: int) -> bool:
        return ms < 3000 and ms % 1000 < 500


_PULSES = _Pulses()


def _has(pin, key: str) -> bool:
    return isinstance(pin, dict) and key in pin
