"""Models of other libraries, built with random weights: sites against the blocks that they state themselves.

Opt-in, with requirements of its own: `pip install -r tests/corpus/requirements.txt`, then
`python -m tests.corpus`.
"""
