"""AES in CBC mode with a zero start, as SIA DC-09 has it: keys of 16, 24 or 32 bytes, whole blocks. Pure (FIPS 197, SP 800-38A).

Its own because the core loads no libcrypto and runs where there is no wheel of one (docs/decisions/0017-aes-of-our-own.md).
Its time depends on key and data: not for keys that a stranger could measure with. Some 50 us a block.
"""

from typing import Final

BLOCK: Final = 16
KEY_SIZES: Final = (16, 24, 32)


def _tables() -> tuple[bytes, bytes]:
    """The S-box and its inverse, computed: multiplicative inverse in GF(2^8), then the affine step."""
    box, at, inverse = bytearray(256), 1, 1
    while True:
        at ^= (at << 1 & 0xFF) ^ (0x1B if at & 0x80 else 0)  # times 3
        for shift in (1, 2, 4):  # divided by 3
            inverse ^= inverse << shift & 0xFF
        inverse ^= 0x09 if inverse & 0x80 else 0
        mixed = inverse
        for turn in range(1, 5):
            mixed ^= (inverse << turn | inverse >> 8 - turn) & 0xFF
        box[at] = mixed ^ 0x63
        if at == 1:
            break
    box[0] = 0x63
    back = bytearray(256)
    for value, put in enumerate(box):
        back[put] = value
    return bytes(box), bytes(back)


def _times(factor: int) -> bytes:
    """x * factor in GF(2^8), for every x."""
    out = bytearray(256)
    for x in range(256):
        left, by, product = x, factor, 0
        while by:
            product ^= left if by & 1 else 0
            left = (left << 1) ^ (0x11B if left & 0x80 else 0)
            by >>= 1
        out[x] = product
    return bytes(out)


_SBOX, _INVERSE = _tables()
_X2, _X3, _X9, _X11, _X13, _X14 = (_times(factor) for factor in (2, 3, 9, 11, 13, 14))
# Where the byte at each place comes from when the rows are shifted; a block is four columns of four bytes.
_SHIFT: Final = tuple((place + 4 * (place % 4)) % 16 for place in range(16))
_UNSHIFT: Final = tuple((place - 4 * (place % 4)) % 16 for place in range(16))


def _round_keys(key: bytes) -> list[bytes]:
    if len(key) not in KEY_SIZES:
        raise ValueError(f"a key has 16, 24 or 32 bytes, not {len(key)}")
    words, size, constant = [key[at : at + 4] for at in range(0, len(key), 4)], len(key) // 4, 1
    for number in range(size, 4 * (size + 7)):
        word = words[-1]
        if number % size == 0:
            word = (word[1:] + word[:1]).translate(_SBOX)
            word = bytes((word[0] ^ constant,)) + word[1:]
            constant = _X2[constant]
        elif size > 6 and number % size == 4:
            word = word.translate(_SBOX)
        words.append(_xor(words[number - size], word))
    return [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _encrypt_block(keys: list[bytes], block: bytes) -> bytes:
    state = _xor(block, keys[0])
    for number in range(1, len(keys)):
        substituted = state.translate(_SBOX)
        state = bytes([substituted[place] for place in _SHIFT])
        if number < len(keys) - 1:
            state = b"".join(_mix(*state[at : at + 4]) for at in (0, 4, 8, 12))
        state = _xor(state, keys[number])
    return state


def _mix(a: int, b: int, c: int, d: int) -> bytes:
    return bytes(
        (_X2[a] ^ _X3[b] ^ c ^ d, a ^ _X2[b] ^ _X3[c] ^ d, a ^ b ^ _X2[c] ^ _X3[d], _X3[a] ^ b ^ c ^ _X2[d]),
    )


def _decrypt_block(keys: list[bytes], block: bytes) -> bytes:
    state = _xor(block, keys[-1])
    for number in range(len(keys) - 2, -1, -1):
        state = bytes([state[place] for place in _UNSHIFT]).translate(_INVERSE)
        state = _xor(state, keys[number])
        if number:
            state = b"".join(_unmix(*state[at : at + 4]) for at in (0, 4, 8, 12))
    return state


def _unmix(a: int, b: int, c: int, d: int) -> bytes:
    return bytes(
        (
            _X14[a] ^ _X11[b] ^ _X13[c] ^ _X9[d],
            _X9[a] ^ _X14[b] ^ _X11[c] ^ _X13[d],
            _X13[a] ^ _X9[b] ^ _X14[c] ^ _X11[d],
            _X11[a] ^ _X13[b] ^ _X9[c] ^ _X14[d],
        )
    )


class AesCbc:
    """One key. Raise ValueError for a key, or a text, of another length."""

    def __init__(self, key: bytes) -> None:
        self._keys = _round_keys(key)

    def encrypt(self, plain: bytes) -> bytes:
        """The cipher of whole blocks."""
        out, last = bytearray(), bytes(BLOCK)
        for at in range(0, _whole(plain), BLOCK):
            last = _encrypt_block(self._keys, _xor(plain[at : at + BLOCK], last))
            out += last
        return bytes(out)

    def decrypt(self, cipher: bytes) -> bytes:
        """The plain text of whole blocks."""
        out, last = bytearray(), bytes(BLOCK)
        for at in range(0, _whole(cipher), BLOCK):
            block = cipher[at : at + BLOCK]
            out += _xor(_decrypt_block(self._keys, block), last)
            last = block
        return bytes(out)


def _whole(text: bytes) -> int:
    if len(text) % BLOCK:
        raise ValueError(f"{len(text)} bytes are not whole blocks of {BLOCK}")
    return len(text)
