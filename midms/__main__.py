"""`python -m midms`, and `torchrun -m midms`."""

from __future__ import annotations

import sys

from midms.cli import main

if __name__ == "__main__":  # workers of data sets import it where processes are not forked
    sys.exit(main())
