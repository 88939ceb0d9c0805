"""The checks: what must hold for a modified model before anything is saved, one idea per file."""
