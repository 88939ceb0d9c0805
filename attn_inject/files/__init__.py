"""Saved files: the edits and tensors of a modified model, as plain data that runs no code when opened."""
