"""``python -m anomalist``: the command line."""

import sys

from anomalist.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
