"""Time minigrad against hand-written numpy and, where they are installed, other engines: `python -m benchmarks`."""

from benchmarks import mlp
from benchmarks.timing import table, take_turns


def main() -> None:
    """Print a table for each workload."""
    for size in (32, 128, 512):
        losses = {name: step() for name, step in mlp.contestants(size, dropout=0).items()}
        if max(losses.values()) - min(losses.values()) > 1e-4:
            raise SystemExit(f"the contestants do not do the same work, their losses differ: {losses}")
        print(table(f"MLP step, batch {size}", take_turns(mlp.contestants(size))), "\n")


if __name__ == "__main__":
    main()
