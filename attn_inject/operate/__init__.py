"""The pipeline, and one file per public function: the only room that calls all others."""

from attn_inject.operate import show as show  # registers the page of each result
