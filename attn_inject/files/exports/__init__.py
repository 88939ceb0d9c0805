"""Formats that run without attn-inject, each compared with the model before it is saved."""
