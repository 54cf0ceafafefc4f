"""Receivers: what speaks to the gateway by itself over the site's network or a serial line (docs/drivers/receivers.md).

`desk` is what they have in common: which device it is, whether it was said before, when it may be confirmed. `net`, `line` and
`drop` are the ways in; each protocol is a `Talk` without I/O: bytes in, messages and answers out.
"""
