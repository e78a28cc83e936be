"""``python -m framepack``: the command line, also where the package is not installed."""

import sys

from framepack.cli import main

sys.exit(main())
