"""Text on the wire: the 31-byte description of a component and the counted text of configurations, both GB 18030."""

import codecs
import re
from typing import Final

DESCRIPTION_BYTES: Final = 31
TEXT_BYTES_MAX: Final = 255

_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")


def write_description(text: str) -> bytes:
    """`text` as GB 18030 cut between characters to at most 31 bytes, filled up with 00 (the standard names no filler)."""
    return cut(text, DESCRIPTION_BYTES).ljust(DESCRIPTION_BYTES, b"\0")


def cut(text: str, size: int) -> bytes:
    """`text` as GB 18030, cut between characters to at most `size` bytes. Control characters become blanks."""
    clean = _CONTROL.sub(" ", text)
    raw = clean.encode("gb18030", "replace")
    while len(raw) > size:
        clean = clean[:size] if len(clean) > size else clean[:-1]
        raw = clean.encode("gb18030", "replace")
    return raw


def read_text(raw: bytes) -> str:
    """What a description or configuration says, "" if nothing of it can be read; the bytes stay the truth.

    Seen in the field: filled with 00 or blanks, blanks and a last 00, leading 00s, leftovers behind the first 00, a character cut
    in two at the end, and vendor binary. So: the first piece between 00s that is not blank and decodes.
    """
    pieces = [piece for piece in raw.split(b"\0") if piece.strip()]
    for piece in pieces:
        try:
            return _clean(piece.decode("gb18030"))
        except UnicodeDecodeError:
            continue
    for piece in pieces:  # nothing decodes whole: a sender may have cut its last character in two
        try:
            return _clean(codecs.getincrementaldecoder("gb18030")().decode(piece))
        except UnicodeDecodeError:
            continue
    return ""


def _clean(text: str) -> str:
    return _CONTROL.sub("", text).strip()
