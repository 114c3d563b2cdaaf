"""`python -m mdsens` is the command `mdsens`."""

import sys

from mdsens.cli import main

if __name__ == "__main__":
    sys.exit(main())
