"""TCP and UDP inside the modem, one file a family: how a socket is opened, fed, read, closed and lost."""
