"""JSON in the fewest bytes, for the many short texts of an alarm.

`json.JSONEncoder.encode` builds its C encoder anew for each text: more than half of what a short one costs. Here it is built once.
"""

import json
from collections.abc import Callable
from json import encoder as _encoder
from typing import Final

_SEPARATORS: Final = (",", ":")

quoted: Final[Callable[[str], str]] = _encoder.encode_basestring  # a text as `compact_encoder` writes it


def compact_encoder(*, allow_nan: bool = True) -> Callable[[object], str]:
    """What `json.dumps(value, ensure_ascii=False, separators=(",", ":"))` makes, and raises: TypeError, ValueError, RecursionError.

    A value that holds itself is a RecursionError here.
    """
    plain = json.JSONEncoder(ensure_ascii=False, separators=_SEPARATORS, allow_nan=allow_nan)
    make = getattr(_encoder, "c_make_encoder", None)
    if make is None:  # a Python without the accelerator
        return plain.encode
    item, key = _SEPARATORS
    pieces = make(None, plain.default, _encoder.encode_basestring, None, key, item, False, False, allow_nan)
    return lambda value: "".join(pieces(value, 0))
