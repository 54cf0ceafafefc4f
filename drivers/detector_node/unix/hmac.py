"""What the firmware uses of micropython-lib's hmac, for MicroPython on a computer, where that library is not installed."""


class new:
    """HMAC of RFC 2104. `digestmod`: hashlib.sha256."""

    def __init__(self, key: bytes, msg: bytes, digestmod) -> None:
        if len(key) > 64:
            key = digestmod(key).digest()
        key = key + b"\x00" * (64 - len(key))
        self._hash, self._inner = digestmod, digestmod(bytes(byte ^ 0x36 for byte in key))
        self._outer = bytes(byte ^ 0x5C for byte in key)
        self._inner.update(msg)

    def digest(self) -> bytes:
        """Its 32 bytes."""
        outer = self._hash(self._outer)
        outer.update(self._inner.digest())
        return outer.digest()
