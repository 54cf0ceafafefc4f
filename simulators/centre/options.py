"""Values on the command line of `edge-centre` that a socket takes only in part, or never."""

import argparse
from typing import Final

PORT_MAX: Final = 65535


def host(written: str) -> str:
    """A host as it can be looked up. Raise ArgumentTypeError: a socket raises no OSError for these, but ends its thread."""
    try:
        if not written.encode("idna"):
            raise UnicodeError
    except UnicodeError:
        raise argparse.ArgumentTypeError(written) from None
    return written


def port(written: str) -> int:
    """A port, 0 for any or none. Raise ArgumentTypeError: 70000 is looked up as 4464."""
    if not written.isdecimal() or int(written) > PORT_MAX:
        raise argparse.ArgumentTypeError(written)
    return int(written)


def broker_port(written: str) -> int:
    """A port that somebody listens at. Raise ArgumentTypeError."""
    if (number := port(written)) == 0:
        raise argparse.ArgumentTypeError(written)
    return number
