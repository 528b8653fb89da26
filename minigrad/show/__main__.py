"""See `minigrad.show.command`."""

import sys

from minigrad.show.command import main

if __name__ == "__main__":
    sys.exit(main())
