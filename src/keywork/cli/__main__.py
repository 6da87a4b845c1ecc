"""``python -m keywork.cli``."""

import sys

from keywork.cli import main

if __name__ == "__main__":
    sys.exit(main())
