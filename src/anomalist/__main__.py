"""``python -m anomalist``: the command line."""

import sys

try:
    from anomalist.cli.main import main
except KeyboardInterrupt:  # as the module itself has it, once it is there
    sys.stderr.write("anomalist: error: stopped\n")
    raise SystemExit(130) from None

if __name__ == "__main__":
    sys.exit(main())
