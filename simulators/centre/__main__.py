"""`python -m simulators.centre`: the same as `edge-centre`."""

from simulators.centre.cli import main

main()
