"""The command line of bayesmeta."""
