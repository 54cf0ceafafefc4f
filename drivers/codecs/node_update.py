"""Updates of our own detector node as a gateway passes them on: the signed file, its parts, and what a node says about one. Pure.

The node's side, with the form of the file, is drivers/detector_node/update.py and fetch.py. Whether the signature is the maker's
only a node can say, for only a node has the maker's key; here a file is held to its own digests, so that what is damaged is not
offered.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MARK: Final = b"ZGU2"
SIGNATURE_BYTES: Final = 256
HEAD_BYTES_MAX: Final = 3072
SIZE_MAX: Final = 256 * 1024
PART_BYTES: Final = 2048
WORD_BYTES_MAX: Final = 256
FILE_BYTES_MAX: Final = HEAD_BYTES_MAX + SIZE_MAX
WHYS: Final = frozenset(("form", "signature", "model", "version", "failed", "size", "name", "flash"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUpdate:
    """A file that is whole. `head` is offered first; `data` are the files, in parts; `tag` is what the offer is called."""

    model: str
    version: int
    head: bytes
    data: bytes
    tag: bytes

    def part(self, begin: int) -> bytes:
        """The part of `data` that begins there, as it is sent."""
        return self.tag + struct.pack(">I", begin) + self.data[begin : begin + PART_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWord:
    """What a node says of the offer `tag`: it wants what begins at `begin`, or will not have it. `version` is what runs there."""

    tag: bytes
    version: int
    begin: int = -1
    refused: str = ""


def read(data: bytes) -> NodeUpdate:
    """A file as `edge-provision node image` makes it. Raise ValueError, saying why in ASCII."""
    if len(data) > FILE_BYTES_MAX:
        raise ValueError("size")
    if len(data) < 6 or data[:4] != MARK:
        raise ValueError("form")
    end = 6 + struct.unpack(">H", data[4:6])[0]
    head, files = data[: end + SIGNATURE_BYTES], data[end + SIGNATURE_BYTES :]
    if not end + SIGNATURE_BYTES == len(head) <= HEAD_BYTES_MAX:
        raise ValueError("form")
    try:
        header = json.loads(head[6:end])
        model, version, listed = header["model"], header["version"], header["files"]
        at = 0
        for _, size, digest in listed:
            if type(size) is not int or size < 0:
                raise ValueError("form")
            if hashlib.sha256(files[at : at + size]).hexdigest() != digest:
                raise ValueError("digest")
            at += size
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("form") from None
    if type(version) is not int or not isinstance(model, str) or at != len(files):
        raise ValueError("form")
    return NodeUpdate(model=model, version=version, head=head, data=files, tag=hashlib.sha256(head).digest()[:4])


def read_word(payload: bytes) -> NodeWord:
    """What a node says of an offer. Raise ValueError."""
    if len(payload) > WORD_BYTES_MAX:
        raise ValueError("too large")
    try:
        said: Mapping[str, object] = json.loads(payload)
        tag, version = bytes.fromhex(str(said["of"])), said["version"]
        begin, refused = said.get("begin", -1), said.get("refused", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("no word of an update") from None
    if len(tag) != 4 or type(version) is not int or type(begin) is not int or not isinstance(refused, str):
        raise ValueError("no word of an update")
    return NodeWord(tag=tag, version=version, begin=begin, refused=refused and (refused if refused in WHYS else "form"))
