"""The pipeline, and one file for each thing that a person asks: the only room that calls all others."""

from attn_inject.operate import show as show  # registers the page of each result
