"""`python -m attn_inject` is the program `attn-inject`."""

import sys

from attn_inject.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
