"""The command line: one file a command, the first user of the public API; knows no torch."""
