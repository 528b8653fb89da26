"""`python -m nn.fashion COMMAND`: what is done with data and trained models; see `nn/fashion/commands`."""

import sys

if __name__ == "__main__":
    try:
        from nn.console import exit_status  # which takes its time, in which Ctrl-C may come
        from nn.fashion.commands import main

        status = exit_status("python -m nn.fashion", main)
    except KeyboardInterrupt:
        print("python -m nn.fashion: interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
