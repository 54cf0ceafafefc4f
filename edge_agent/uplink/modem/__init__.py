"""Cellular modems as paths to the centre: raw AT over a serial port (`driver`), or an interface of ModemManager's (`manager`)."""
