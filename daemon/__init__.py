"""The supervisor, the watchdog and Mai, and what the command line shows of them."""
