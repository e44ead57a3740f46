"""``python -m circuitscope_core``."""

import sys

from circuitscope_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
