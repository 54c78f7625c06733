"""Which version this is. A constant, because importlib.metadata would cost each process 27 ms of its start. Pure."""

VERSION = "0.1.0"  # setup.cfg says the same; a test holds them together
