"""Keeping a modified model: what was done and the tensors, as plain data that runs no code when opened."""
