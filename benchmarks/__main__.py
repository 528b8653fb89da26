"""Time minigrad against hand-written numpy and, where they are installed, other engines: `python -m benchmarks`."""

from collections.abc import Callable, Mapping

from benchmarks import chains, mlp
from benchmarks.timing import table, take_turns


def check_agreement(contestants: Mapping[str, Callable[[], float]]) -> None:
    """Stop unless all contestants come to the same result: they must do the same work."""
    results = {name: contestant() for name, contestant in contestants.items()}
    if max(results.values()) - min(results.values()) > 1e-4:
        raise SystemExit(f"the contestants do not do the same work, their results differ: {results}")


def main() -> None:
    """Print a table for each workload."""
    for size in (32, 128, 512):
        check_agreement(mlp.contestants(size, dropout=0))
        print(table(f"MLP step, batch {size}", take_turns(mlp.contestants(size))), "\n", flush=True)
    check_agreement(chains.contestants())
    print(table(f"chain of {chains.LENGTH} multiplications", take_turns(chains.contestants(), calls=1)))


if __name__ == "__main__":
    main()
