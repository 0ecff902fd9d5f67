"""`python -m midms.cli`."""

import sys

from midms.cli import main

sys.exit(main())
