"""AES against the standards' own examples, and against an independent implementation."""

import random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.codecs.aes import AesCbc

# FIPS 197 appendix C: one block, three sizes of key.
PLAIN = "00112233445566778899aabbccddeeff"
BLOCKS = [
    ("000102030405060708090a0b0c0d0e0f", "69c4e0d86a7b0430d8cdb78070b4c55a"),
    ("000102030405060708090a0b0c0d0e0f1011121314151617", "dda97ca4864cdfe06eaf70a0ec0d7191"),
    ("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "8ea2b7ca516745bfeafc49904b496089"),
]


@pytest.mark.parametrize(("key", "cipher"), BLOCKS)
def test_the_examples_of_fips_197(key: str, cipher: str) -> None:
    cbc = AesCbc(bytes.fromhex(key))
    assert cbc.encrypt(bytes.fromhex(PLAIN)).hex() == cipher
    assert cbc.decrypt(bytes.fromhex(cipher)).hex() == PLAIN


@pytest.mark.parametrize("size", [16, 24, 32])
def test_chains_of_blocks_are_those_of_another_implementation(size: int) -> None:
    chance = random.Random(size)
    for blocks in (0, 1, 2, 17):
        key, plain = chance.randbytes(size), chance.randbytes(16 * blocks)
        theirs = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
        cipher = theirs.update(plain) + theirs.finalize()
        assert AesCbc(key).encrypt(plain) == cipher
        assert AesCbc(key).decrypt(cipher) == plain


@pytest.mark.parametrize("size", [0, 15, 17, 33])
def test_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        AesCbc(bytes(size))
    with pytest.raises(ValueError, match="blocks"):
        AesCbc(bytes(16)).decrypt(bytes(size or 1))
