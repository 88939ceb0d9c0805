"""The command line: one file per command, the first user of the public API; knows no torch."""
