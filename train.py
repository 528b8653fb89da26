"""Train a garment classifier on Fashion-MNIST, or evaluate one."""

from __future__ import annotations

import contextlib
import os
import sys
import time

# What takes its time is imported where it is needed: Ctrl-C may come meanwhile, and --threads must precede NumPy.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from types import FrameType

received: list[int] = []  # signals that asked for the end, beside Ctrl-C
# The number of this process, from 0, where mpiexec or srun began several: of Open MPI, PMIx, MPICH and MVAPICH.
RANKS = "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"
OWN = "MINIGRAD_PROCESS_OF_JOB"  # see nn/processes.py


def parse_arguments() -> argparse.Namespace:
    """The flags; those left out keep the recipe's setting."""
    from argparse import RawDescriptionHelpFormatter

    from minigrad.console import Parser
    from nn.console import as_path, positive

    parser = Parser(description=__doc__, formatter_class=RawDescriptionHelpFormatter, epilog=epilog())
    add = parser.add_argument
    add("--recipe", metavar="NAME", help="what to train, see --list-recipes (default: default)")
    add("--list-recipes", action="store_true", help="list the recipes with what they reach, and stop")
    add("--published-schedule", action="store_true", help="train as the reference did, not in our better way")
    add("--data", type=as_path, metavar="DIR",
        help="folder with four IDX files, .gz or raw, or with one folder of pictures for each class")
    add("--size", metavar="N|HxW", help="reduce or enlarge the pictures of a folder to so many rows and columns")
    add("--epochs", type=positive(int), metavar="N", help="how often to go through the training images")
    add("--batch-size", type=positive(int), metavar="N", help="images in a step")
    add("--lr", type=positive(float), metavar="X", help="learning rate, at the schedule's peak")
    add("--optimizer", choices=("sgd", "nesterov", "adam", "adamw", "muon"), help="update rule")
    add("--weight-decay", type=positive(float, zero=True), metavar="X", help="how strongly weights are pulled to zero")
    add("--l1", type=positive(float, zero=True), metavar="X", help="add X times the sum of |w| over all weights")
    add("--l2", type=positive(float, zero=True), metavar="X", help="add X times the sum of w² over all weights")
    add("--raw-pixels", action="store_true", help="feed pixels as bytes from 0 to 255, to see why they are scaled")
    add("--dropout", type=positive(float, zero=True), metavar="P", help="share of activations dropped in training")
    add("--seed", type=positive(int, zero=True), metavar="N", help="seed of everything random; results repeat on the"
        " same machine with the same numbers of threads, workers and processes")
    add("--val-size", type=positive(int, zero=True), metavar="N", help="training images held out for validation")
    add("--keep", choices=("last", "best"), help="keep the model of the last epoch, or of the best validated one")
    add("--patience", type=positive(int), metavar="N", help="end after N epochs without a lower validation loss")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting of the recipe, see below")
    add("--config", type=as_path, metavar="FILE", help="take the recipe from an earlier run's config.json")
    add("--find-lr", action="store_true", help="train nothing: try learning rates, suggest one and draw the curve")
    add("--out", type=as_path, metavar="DIR", help="folder for what a run leaves (default: runs/NAME, or the next free"
        " one of runs/NAME-2, -3, ...)")
    add("--overwrite", action="store_true", help="replace the run in --out, or without --out the one in runs/NAME")
    add("--resume", type=as_path, nargs="?", const=True, metavar="DIR",
        help="go on with the run in a folder (default: the newest one of the recipe), with --epochs N to N in all,"
        " where its schedule is constant")
    add("--evaluate", type=as_path, metavar="MODEL", help="train nothing: evaluate a model, or a run's folder")
    add("--json", type=as_path, metavar="FILE", help="with --evaluate: write what it came to for programs")
    add("--target-accuracy", type=per_cent, metavar="P",
        help="exit with status 1 if test accuracy is below P per cent")
    add("--threads", type=positive(int), metavar="N", help="threads for matrix products (default: what"
        " OPENBLAS_NUM_THREADS says, or 1: more gain little at best, and cost much on busy cores)")
    add("--workers", type=positive(int), metavar="N", help="threads that each take a part of every batch")
    add("--dry-run", action="store_true", help="show what would be done, take one step, and write nothing")
    add("--quiet", action="store_true", help="print the last lines only")
    try:
        with contextlib.redirect_stderr(sys.stdout if is_silent() else sys.stderr):
            return parser.parse_args()
    except SystemExit:
        if is_silent():
            time.sleep(1)  # mpiexec ends all with the first: that one has something to say
        raise


def per_cent(text: str) -> float:
    """A converter for argparse: a number from 0 to 100."""
    number = float(text)
    if not 0 <= number <= 100:
        raise ValueError
    return number


per_cent.__name__ = "percentage"  # argparse: "invalid percentage value"


def epilog() -> str:
    """The end of the help; what is imported for it is imported only then."""
    if not {"-h", "--help"} & set(sys.argv):
        return ""
    from textwrap import fill

    from nn.fashion.recipes import RECIPES
    from nn.fashion.settings import settings_of

    names = sorted({name for recipe in RECIPES.values() for name in settings_of(recipe)})
    return "\n\n".join(fill(text, 100, break_long_words=False, break_on_hyphens=False) for text in (
        "The data are looked for in --data, $FASHION_MNIST_DIR, the folder of Debian's dataset-fashion-mnist, "
        "and the cache; then downloaded; and if that fails a bundled sample of 7,000 images is used.",
        f"Settings for --set: {', '.join(names)}. What they mean stands in nn/fashion/recipes.py, and of those of "
        "architecture, of which each network has its own, in nn/fashion/models.py.",
        "mpiexec -n 4 python train.py ... trains in four processes, on one machine or many: see docs/distributed.md.",
    ))


def is_silent() -> bool:
    """Whether this is one of several processes, and not the first: that one says everything.

    (`nn/processes.py` knows it better, from MPI, which begins later.)
    """
    own = str(os.getpid())
    is_child = os.environ.get(OWN, own) != own  # a process of the job began this one, by itself
    return not is_child and any(os.environ.get(name, "0") != "0" for name in RANKS)


def use_threads() -> None:
    """Limit the threads of matrix products to --threads: the libraries read this when NumPy is imported, which is next.

    One is the default. On two cores a second one made training a tenth faster at times, and eight times slower beside
    other work, since each waits for the other in a loop.
    """
    import argparse

    early = argparse.ArgumentParser(add_help=False)
    early.add_argument("--threads", nargs="?")
    count = early.parse_known_args()[0].threads
    for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):
        name = f"{library}_NUM_THREADS"
        if count is not None or name not in os.environ:
            os.environ[name] = count or "1"


def end_like_ctrl_c() -> None:
    """Let a request to end, or a terminal that was closed, end the program as Ctrl-C does: saved, to be resumed."""
    import signal

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):  # a shell has it ignored in what a script starts in the background
            raise KeyboardInterrupt
        on_ctrl_c(number, frame)

    for name in ("SIGTERM", "SIGHUP", "SIGUSR1"):  # the last one is what mpiexec and Slurm pass on before the end
        number = getattr(signal, name, None)  # Windows has but the first
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, note)


def command() -> int:
    """Do what the flags say; returns the exit status."""
    if is_silent():
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    arguments = parse_arguments()
    import warnings

    from minigrad.console import without_control
    from nn import FileError
    from nn.distributed import ProcessesDiffer
    from nn.fashion import DataError, train_command
    from nn.learner import NonFiniteLoss

    if arguments.list_recipes:
        train_command.list_recipes()
        return 0
    warnings.showwarning = lambda message, *_: train_command.warn(str(message))
    try:
        return train_command.perform(arguments)
    except MemoryError:
        sys.exit("train.py: there is not enough memory for this network with batches of this size")
    except (DataError, FileError, ImportError, NonFiniteLoss, ProcessesDiffer, ValueError) as error:
        where = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))  # in which process, if in another one
        sys.exit(without_control(f"train.py: {error}{where}"))


def main() -> int:
    """Run the command; returns its exit status."""
    try:
        end_like_ctrl_c()
        use_threads()
        from nn.console import exit_status

        return exit_status("train.py", command, end)
    except KeyboardInterrupt:
        return end(130, "train.py: interrupted")


def end(status: int, sentence: str) -> int:
    """Say why the command ends; where it is one of several processes, all fail now. Returns the exit status."""
    if status == 130 and received:
        status = 128 + received[0]
    if status and "mpi4py.MPI" in sys.modules:
        sys.modules["nn.processes"].abort(status, sentence)
    elif sentence and not is_silent():
        print(sentence, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
