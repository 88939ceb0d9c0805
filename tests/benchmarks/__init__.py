"""Programs that measure: each prints ratios against a named alternative, in one run. Never timed tests."""
