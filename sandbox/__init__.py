"""What walls a process off: its directory, lock, ledger, keys and confinement. Knows no message."""
