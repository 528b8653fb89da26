"""The command as people run it: its output, its files, its exit status."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nn import FileError
from nn.fashion.dataset import CLASSES, FILES, SAMPLE_FOLDER, read_folder
from nn.fashion.folder import check_room, own_folder
from nn.fashion.idx import pack
from nn.fashion.recipes import RECIPES
from nn.fashion.train_command import check_reached

ROOT = Path(__file__).parent.parent
QUICK = ["--epochs", "2", "--val-size", "100", "--threads", "1"]

UTF8 = {"PYTHONIOENCODING": "utf-8"}
CONSOLES = {
    **{name: {"PYTHONIOENCODING": name} for name in ("latin-1", "cp437", "shift_jis", "ascii:strict")},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}

# `python -c` with this runs the command with some libraries out of sight.
WITHOUT = """
import sys
for name in {names!r}:
    sys.modules[name] = None
sys.argv[0] = "train.py"
import train
sys.exit(train.main())
"""


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """600 training and 100 test images of the real data, as raw IDX files."""
    folder = tmp_path_factory.mktemp("data")
    sample = read_folder(SAMPLE_FOLDER)
    for part, file in FILES.items():
        array = getattr(sample, part)[: 600 if part.startswith("train") else 100]
        (folder / file.name).write_bytes(pack(array.astype(np.uint8)))
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder


def hear_hangups():
    """As in a terminal, even where `nohup` began the tests, which has them ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def start(data_folder, tmp_path):
    """Starts the command in an empty folder on the small data set; the test reads, signals and waits."""
    running = []

    def start(*arguments, without=(), data=data_folder, console=UTF8):
        program = ["-c", WITHOUT.format(names=without)] if without else [str(ROOT / "train.py")]
        encoding = console.get("PYTHONIOENCODING", "ascii").removesuffix(":strict")
        source = {"FASHION_MNIST_DIR": str(data)}
        process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            cwd=tmp_path, env=os.environ | source | {"PYTHONPATH": str(ROOT)} | console,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding=encoding,
            preexec_fn=hear_hangups if hasattr(signal, "SIGHUP") else None,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Runs the command to its end: (exit status, standard output, standard error)."""

    def run(*arguments, **settings):
        process = start(*arguments, **settings)
        out, err = process.communicate()
        assert "Traceback" not in err
        return process.returncode, out, err

    return run


def metrics(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def accuracy(out):
    return float(out.split("test accuracy ")[1].split("%")[0])


# ---------------------------------------------------------------- training


def test_a_run_shows_its_progress_and_leaves_its_files(run, tmp_path, data_folder):
    status, out, err = run(*QUICK)
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == f"Data: 600 training and 100 test images from {data_folder}"
    assert lines[1].startswith("Recipe: default, ")
    heading = next(i for i, line in enumerate(lines) if line.split()[:1] == ["epoch"])
    assert [line.split()[0] for line in lines[heading + 1 : heading + 3]] == ["1", "2"]
    assert "Test loss " in out
    assert all(name in out for name in ("Ankle boot", "precision", "recall", "F1", "Most confused: "))
    folder = tmp_path / "runs" / "default"
    saved = next(line for line in lines if line.startswith("Saved "))
    assert saved.endswith(" in runs/default")
    assert sorted(saved.removeprefix("Saved ").split(" in ")[0].split(", ")) == sorted(p.name for p in folder.iterdir())
    assert {"model.npz", "metrics.csv", "config.json"} <= {path.name for path in folder.iterdir()}
    assert [row["epoch"] for row in metrics(folder)] == ["1", "2"]
    assert err == ""


def test_the_same_seed_gives_the_same_metrics_and_another_seed_others(run, tmp_path):
    logs = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        assert run(*QUICK, "--quiet", "--seed", seed, "--out", tmp_path / name)[0] == 0
        rows = metrics(tmp_path / name)
        logs.append([{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows])
    assert logs[0] == logs[1] != logs[2]


def test_flags_override_the_recipe(run, tmp_path):
    flags = ["--recipe", "article", "--epochs", 1, "--batch-size", 50, "--lr", 0.02, "--optimizer", "adam"]
    flags += ["--weight-decay", 0.001, "--dropout", 0.4, "--seed", 3, "--val-size", 60, "--out", "here"]
    status, out, _ = run(*flags)
    assert status == 0
    assert "Dropout(p=0.4)" in out
    config = json.loads((tmp_path / "here" / "config.json").read_text())
    expected = {"name": "article", "epochs": 1, "batch_size": 50, "lr": 0.02, "optimizer": "adam", "seed": 3}
    assert {key: config[key] for key in expected} == expected
    assert (config["weight_decay"], config["val_size"], config["architecture"]["dropout"]) == (0.001, 60, 0.4)
    assert not (tmp_path / "runs").exists()


def test_the_reference_of_a_recipe_can_be_trained_by_its_own_schedule_on_raw_pixels(run, tmp_path):
    flags = ["--recipe", "deep-fc", "--published-schedule", "--raw-pixels", "--l1", 1e-4, "--epochs", 1, "--out", "run"]
    assert run(*flags)[0] == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    expected = {"schedule": "constant", "optimizer": "adam", "l1": 1e-4, "mean": 0.0, "std": 1 / 255, "epochs": 1}
    assert {key: config[key] for key in expected} == expected


def test_the_recipes_are_listed_with_what_they_reach(run, tmp_path):
    status, out, _ = run("--list-recipes")
    heading, *rows = out.splitlines()
    assert status == 0
    assert heading.split()[:3] == ["recipe", "published", "ours"]
    assert [row.split()[0] for row in rows] == [*RECIPES, "xor"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [0, 1])  # the second one starts in a local minimum at first
def test_xor_is_learned_and_needs_no_data(run, seed):
    status, out, _ = run("--recipe", "xor", "--seed", seed)
    assert status == 0
    assert [line.split(" -> ")[1] for line in out.splitlines()[-4:]] == [f"{bit} (right)" for bit in (0, 1, 1, 0)]


def test_quiet_prints_the_result_alone(run):
    status, out, _ = run(*QUICK, "--quiet")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("Test loss ")
    assert lines[-1].startswith(("Saved ", "A report "))


def test_a_dry_run_writes_nothing(run, tmp_path):
    status, out, _ = run(*QUICK, "--dry-run")
    assert status == 0
    assert "2 epochs would be saved in runs/default" in out.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["file", "file/run", "readonly/run", "/proc/nothing/run"])
def test_a_dry_run_sees_where_nothing_can_be_written(run, tmp_path, out):
    if sys.platform == "win32" or (out.startswith("readonly") and os.geteuid() == 0):
        pytest.skip("everything may be written there")
    (tmp_path / "file").touch()
    (tmp_path / "readonly").mkdir(mode=0o500)
    status, _, err = run(*QUICK, "--dry-run", "--out", out)
    assert status == 1
    assert err.startswith(f"train.py: cannot write to {out}: ")
    assert err.endswith("; choose another folder with --out\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "readonly"]


def test_a_dry_run_sees_that_another_run_is_at_work(run, tmp_path):
    with own_folder(tmp_path / "run"):
        status, _, err = run(*QUICK, "--dry-run", "--out", "run")
    assert status == 1
    assert "another run is at work in run: wait for it" in err


def test_a_folder_without_room_is_one_sentence(tmp_path):
    check_room(tmp_path / "new" / "run", 10**6)
    with pytest.raises(FileError, match=r"no room in .*: a run takes 1,000,000,000,000,000\.0 MB, and [\d,.]+ MB are"):
        check_room(tmp_path / "new" / "run", 10**21)
    assert list(tmp_path.iterdir()) == []


def test_the_exit_status_tells_whether_the_target_was_reached(run):
    assert run(*QUICK, "--quiet", "--target-accuracy", 1)[0] == 0
    status, out, err = run(*QUICK, "--quiet", "--target-accuracy", 100)
    assert status == 1
    assert f"the test accuracy of {accuracy(out):.2f}% is below the target of 100.0 %" in err.splitlines()[-1]


@pytest.mark.parametrize(("samples", "digits"), [(100, 0), (1000, 1), (10_000, 2), (3200, 5)])
def test_a_target_is_reached_by_exactly_so_many_per_cent_and_by_no_sample_less(samples, digits):
    for right in range(1, samples + 1):
        target = float(f"{100 * right / samples:.{digits}f}")
        check_reached(right / samples, target)
        with pytest.raises(ValueError, match="is below the target"):
            check_reached((right - 1) / samples, target)


def test_a_saved_model_is_evaluated_as_it_was_trained(run):
    _, trained, _ = run(*QUICK, "--out", "here")
    status, out, _ = run("--evaluate", "here/model.npz", "--threads", 1)
    assert status == 0
    summary = out.split("Data: ")[1].split("\n", 1)[1].strip()
    assert summary.startswith("Test loss ")
    assert summary in trained
    assert run("--evaluate", "here/model.npz", "--quiet", "--target-accuracy", accuracy(out) + 1)[0] == 1
    assert run("--evaluate", "here/model.npz", "--quiet", "--target-accuracy", accuracy(out) - 1)[0] == 0


def test_threads_reach_the_numerical_libraries_before_they_are_loaded(data_folder):
    program = (
        "import os, sys, train; sys.argv[1:] = ['--threads', '3', '--dry-run', '--val-size', '100', '--quiet'];"
        "assert 'numpy' not in sys.modules; train.main();"
        "print({os.environ[f'{name}_NUM_THREADS'] for name in ('OMP', 'OPENBLAS', 'MKL')})"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FASHION_MNIST_DIR": str(data_folder)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "{'3'}"


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--epochs", "0"], "argument --epochs: invalid positive int value: '0'"),
        (["--epochs", "many"], "argument --epochs: invalid positive int value: 'many'"),
        (["--lr", "-1"], "argument --lr: invalid positive float value: '-1'"),
        (["--lr", "nan"], "argument --lr: invalid positive float value: 'nan'"),
        (["--seed", "-1"], "argument --seed: invalid non-negative int value: '-1'"),
        (["--optimizer", "lion"], "argument --optimizer: invalid choice: 'lion'"),
        (["--target-accuracy", "nan"], "argument --target-accuracy: invalid percentage value: 'nan'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--data", ""], "argument --data: invalid path value: ''"),
        (["--out", "s3://bucket/run"], "argument --out: invalid path value: 's3://bucket/run'"),
    ],
)
def test_a_bad_flag_is_refused_with_the_usage(run, flags, sentence):
    status, out, err = run(*flags)
    assert (status, out) == (2, "")
    assert err.startswith("usage: train.py")
    assert sentence in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--recipe", "cake"], "there is no recipe 'cake', only default, article, article-as-published, "),
        (["--published-schedule"], "the recipe default has no other schedule than its own"),
        (["--data", "nowhere"], "nowhere is not a folder"),
        (["--data", "/dev/null"], "/dev/null is not a folder"),
        (["--lr", "inf"], "lr is a finite number, got inf"),
        (["--set", f"lr={'1' * 400}"], "lr is a finite number, got 1111"),
        (["--set", "seed=99999999999999999999"], "seed is from 0 to 2**63 - 1, got 99999999999999999999"),
        (["--set", "standardise=1"], "standardise is true or false, got 1"),
        (["--set", "architecture.batch_norm=False"], "batch_norm is true or false, got 'False'"),
        (["--set", "architecture.dropout=true"], "dropout is not true or false, got True"),
        (["--set", 'architecture.activation=["relu"]'], "there is no activation ['relu'], only relu"),
        (["--config", "/dev/zero"], "cannot read /dev/zero: it is not a file"),
        (["--dropout", "1.5"], "Dropout expects p to be a number from 0 to 1, got 1.5"),
        (["--val-size", "600"], "cannot hold out 600 of 600 samples"),
        (["--evaluate", "none.npz"], "cannot read none.npz: No such file or directory"),
        (["--evaluate", "model.bin"], "there is no model.bin: name a model file, or the folder of a run"),
    ],
)
def test_a_mistake_is_one_sentence(run, tmp_path, flags, sentence):
    status, _, err = run(*([] if "--evaluate" in flags else QUICK), *flags)
    assert status == 1
    *warnings, line = err.splitlines()
    assert line.startswith("train.py: ")
    assert sentence in line
    assert all(warning.startswith("Warning: ") for warning in warnings)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_found_out_before_training(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, out, err = run(*QUICK, "--out", "file/run")
    assert status == 1
    assert err.splitlines()[-1].startswith("train.py: cannot write to file/run: ")
    assert "Test loss" not in out


def test_a_folder_named_by_the_environment_that_lacks_data_is_one_sentence(run, tmp_path):
    status, out, err = run(*QUICK, data=tmp_path)
    assert (status, out) == (1, "")
    assert err.startswith(f"train.py: FASHION_MNIST_DIR is set, but {tmp_path} lacks train-images-idx3-ubyte")
    assert err.count("\n") == 1


def test_divergence_names_step_learning_rate_and_the_last_good_model(run):
    status, out, err = run("--recipe", "article", "--lr", "1e30", "--epochs", 3)
    assert status == 1
    line = err.splitlines()[-1]
    assert line.startswith("train.py: the loss became ")
    assert all(words in line for words in (" at step ", "learning rate 1e+30", "no model was saved"))
    assert "Test loss" not in out


# ---------------------------------------------------------------- Ctrl-C

needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to all processes of a console")


def wait_for_first_epoch(process):
    """Read what the command prints up to the row of its first epoch; it prints each line as it comes."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.split()[:1] == ["1"]:
            return "".join(lines)
    raise AssertionError(f"it ended without a row: {lines}, {process.stderr.read()}")


@needs_signals
def test_ctrl_c_saves_what_there_is_and_says_so(start, tmp_path):
    process = start("--epochs", 100_000, "--val-size", 100, "--out", "here", "--threads", 1)
    wait_for_first_epoch(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    last = out.splitlines()[-1]
    assert last.startswith("Interrupted in epoch ")
    assert " of 100000: " in last
    assert "Saved model.npz" in out
    rows = metrics(tmp_path / "here")
    assert f"epoch {len(rows)} of" in last
    loaded = subprocess.run(
        [sys.executable, "-c", "import nn.fashion.classifier as c; print(c.Classifier.load('here/model.npz').classes)"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )
    assert "Ankle boot" in loaded.stdout


@needs_signals
def test_a_second_ctrl_c_ends_at_once_without_a_traceback(tmp_path):
    """The program sends itself the first after a step, and the second when the epoch of that step ends."""
    program = (
        "import os, signal, sys\n"
        "import nn.callbacks, train\n"
        "def press(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "nn.callbacks.EpochTable.on_batch_end = nn.callbacks.EpochTable.on_epoch_end = press\n"
        "sys.exit(train.main())"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FASHION_MNIST_DIR": str(SAMPLE_FOLDER)}
    command = [sys.executable, "-c", program, *QUICK]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 130
    said = "\nInterrupted: ending after this step and saving; interrupt again to end at once.\n"
    assert done.stderr == said + "train.py: interrupted\n"


# ---------------------------------------------------------------- going on


def test_a_run_that_was_interrupted_is_finished_as_if_it_never_had_been(start, run, tmp_path):
    flags = ["--recipe", "article", "--epochs", 40, "--threads", 1, "--val-size", 60]
    _, expected, _ = run(*flags, "--out", "straight")
    process = start(*flags)
    wait_for_first_epoch(process)
    process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
    process.communicate()
    status, out, _ = run("--resume", "--recipe", "article")
    assert status == 0
    assert "Recipe: article, going on in runs/article after epoch " in out
    assert out.split("Test loss")[1].split("Saved")[0] == expected.split("Test loss")[1].split("Saved")[0]
    model, straight = tmp_path / "runs/article/model.npz", tmp_path / "straight/model.npz"
    assert model.read_bytes() == straight.read_bytes()
    assert json.loads((model.parent / "result.json").read_text())["complete"] is True
    status, out, _ = run("--resume", "runs/article", "--epochs", 41, "--quiet")
    assert (status, len(metrics(model.parent))) == (0, 41)


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_a_request_to_end_is_met_like_ctrl_c(start, tmp_path, number):
    process = start("--epochs", 100_000, "--val-size", 100, "--out", "here", "--threads", 1)
    wait_for_first_epoch(process)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert "Interrupted: ending after this step and saving; interrupt again to end at once." in err
    assert out.splitlines()[-1].endswith("To go on: python train.py --resume here")
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert result["complete"] is False


@needs_signals
@pytest.mark.parametrize("on_ctrl_c", ["SIG_IGN", "default_int_handler"])
def test_a_request_to_end_is_heard_where_ctrl_c_is_ignored(on_ctrl_c):
    program = (
        f"import os, signal, sys, train; signal.signal(signal.SIGINT, signal.{on_ctrl_c})\n"
        "train.parse_arguments = lambda: os.kill(os.getpid(), signal.SIGTERM) or input()\n"
        "sys.exit(train.main())"
    )
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "train.py: interrupted\n")


@needs_signals
@pytest.mark.parametrize("module", ["argparse", "numpy", "nn.optim", "nn.fashion.train_command", "nn.fashion.idx"])
def test_ctrl_c_amid_imports_is_no_traceback(module):
    program = (
        "import os, runpy, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever runs the tests may have it ignored
        "class Press:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "for name in {'argparse'} & set(sys.modules): del sys.modules[name]\n"
        "sys.meta_path.insert(0, Press())\n"
        f"sys.argv = ['train.py', '--epochs', '1']; runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "train.py: interrupted\n")


def test_no_run_replaces_another_one_unasked(run, tmp_path):
    assert run(*QUICK, "--quiet")[1].splitlines()[-1].endswith("in runs/default")
    first = {path.name: path.read_bytes() for path in (tmp_path / "runs/default").iterdir()}
    assert run(*QUICK, "--quiet")[1].splitlines()[-1].endswith("in runs/default-2")
    assert {path.name: path.read_bytes() for path in (tmp_path / "runs/default").iterdir()} == first
    status, out, err = run(*QUICK, "--quiet", "--out", "runs/default")
    assert (status, out) == (1, "")
    assert err == "train.py: runs/default holds a run: go on with it by --resume runs/default, or replace it with " \
                  "--overwrite\n"
    (tmp_path / "runs/default/report.png").write_bytes(b"old")
    assert run(*QUICK, "--quiet", "--out", "runs/default", "--overwrite", without=("matplotlib",))[0] == 0
    assert not (tmp_path / "runs/default/report.png").exists()


def test_a_run_that_cannot_be_replaced_as_a_whole_stays_as_a_whole(run, tmp_path):
    folder = tmp_path / "here"
    assert run(*QUICK, "--quiet", "--out", "here", without=("matplotlib",))[0] == 0
    (folder / "report.html").mkdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    status, out, err = run(*QUICK, "--quiet", "--out", "here", "--overwrite")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == "train.py: cannot replace the run in here: report.html is a folder"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


PRESS = """
import os, signal, sys
import nn.callbacks, train
nn.callbacks.EpochTable.on_batch_end = lambda *_: os.kill(os.getpid(), signal.{number})
sys.exit(train.main())
"""


@pytest.mark.parametrize("ending", [
    "divergence", *(pytest.param(name, marks=needs_signals) for name in ("SIGINT", "SIGTERM", "SIGKILL")),
])
def test_a_run_is_there_as_it_was_until_the_one_that_replaces_it_has_an_epoch(run, tmp_path, data_folder, ending):
    folder, flags = tmp_path / "here", ["--recipe", "article", "--threads", "1", "--out", "here", "--overwrite"]
    assert run(*QUICK, "--quiet", "--keep", "best", "--out", "here")[0] == 0
    (folder / "report.html").touch()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if ending == "divergence":
        assert "no model was saved" in run(*flags, "--lr", "1e30", "--epochs", 3)[2]
    else:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "FASHION_MNIST_DIR": str(data_folder)}
        command = [sys.executable, "-c", PRESS.format(number=ending), *flags]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        as_it_was = "Interrupted before an epoch was saved: the run in here is as it was\n"
        assert done.stdout.endswith(as_it_was) or done.returncode == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert run(*flags, "--epochs", 1, "--quiet")[0] == 0
    assert json.loads((folder / "config.json").read_text())["name"] == "article"
    assert {path.name for path in folder.iterdir()} == before.keys() - {"report.html"}


def test_a_folder_without_a_checkpoint_is_not_said_to_be_gone_on_with(run, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/config.json").write_text("{}")
    assert run(*QUICK, "--out", "here")[2] == "train.py: here holds a run: replace it with --overwrite\n"


def test_an_evaluation_replaces_no_file_of_a_run(run, tmp_path):
    assert run(*QUICK, "--quiet", "--out", "here", without=("matplotlib",))[0] == 0
    before = (tmp_path / "here/result.json").read_bytes()
    status, out, err = run("--evaluate", "here", "--json", "here/result.json")
    assert (status, out) == (1, "")
    assert err == "train.py: here/result.json is a file of a run: write to another one\n"
    assert (tmp_path / "here/result.json").read_bytes() == before
    for _ in range(2):
        assert run("--evaluate", "here", "--json", "result.json")[0] == 0  # of no run: its own from before


@pytest.mark.parametrize(("closed", "status"), [("2>&-", 0), (">&-", 1), ("<&- >&- 2>&-", 1)])
def test_a_console_that_is_closed_loses_what_is_printed_and_nothing_else(data_folder, tmp_path, closed, status):
    command = f"{sys.executable} {ROOT / 'train.py'} --epochs 1 --val-size 100 --threads 1 --out here {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env=os.environ | {"FASHION_MNIST_DIR": str(data_folder), "PYTHONPATH": str(ROOT)})
    assert done.returncode == status
    assert {"model.npz", "checkpoint.npz", "result.json"} <= {path.name for path in (tmp_path / "here").iterdir()}
    if closed == ">&-":
        assert done.stderr.splitlines()[-1] == "train.py: standard output is closed: what was printed is lost"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")
def test_a_run_is_saved_before_its_result_is_printed_which_may_fail(data_folder, tmp_path):
    command = f"{sys.executable} -u {ROOT / 'train.py'} --epochs 1 --val-size 100 --threads 1 --out here --quiet"
    done = subprocess.run(["sh", "-c", f"{command} >/dev/full"], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"FASHION_MNIST_DIR": str(data_folder), "PYTHONPATH": str(ROOT)})
    assert done.stderr.splitlines()[-1] == "train.py: cannot write what is printed: No space left on device"
    assert "result.json" in {path.name for path in (tmp_path / "here").iterdir()}


def test_a_library_for_pictures_that_is_broken_costs_the_pictures_alone(run, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('libfreetype.so.6: no such file')")
    status, out, err = run(*QUICK, "--quiet", "--out", "here", console=UTF8 | {"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert status == 0
    assert "libfreetype" not in err
    assert "Saved model.npz, metrics.csv, result.json, config.json, checkpoint.npz in here" in out


def test_a_folder_where_a_run_is_at_work_is_refused(start, run):
    process = start("--epochs", 100_000, "--val-size", 100, "--out", "here", "--threads", 1)
    wait_for_first_epoch(process)
    for flags in (["--resume", "here"], ["--out", "here", "--overwrite"]):
        status, _, err = run(*flags)
        assert (status, err.splitlines()[-1].split(":")[1]) == (1, " another run is at work in here")


@pytest.mark.parametrize(("flags", "sentence"), [
    (["--resume", "nowhere"], "there is no run in nowhere to go on with"),
    (["--resume", "--lr", "1"], "--resume goes on with the settings of the run, so that --lr would have no effect"),
    (["--resume", "a", "--set", "erase=1"], "so that --set would have no effect"),
    (["--resume", "a", "--out", "b"], "so that --out would have no effect"),
    (["--resume", "a", "--evaluate", "b"], "choose one of them"),
    (["--json", "x"], "--json goes with --evaluate"),
    (["--evaluate", "a", "--lr", "1"], "--evaluate trains nothing, so that --lr would have no effect"),
    (["--evaluate", "a", "--dry-run"], "so that --dry-run would have no effect"),
    (["--evaluate", "a", "--recipe", "article"], "so that --recipe would have no effect"),
    (["--find-lr", "--keep", "best", "--dry-run"], "so that --dry-run would have no effect"),
    (["--find-lr", "--overwrite"], "tries learning rates and trains nothing, so that --overwrite would have no effect"),
    *((["--find-lr", flag, value], f"so that {flag} would have no effect") for flag, value in (
        ("--epochs", "7"), ("--patience", "3"), ("--keep", "best"))),
    (["--dry-run", "--target-accuracy", "99"], "--dry-run takes one step and evaluates nothing, so that"),
    (["--recipe", "xor", "--evaluate", "nosuch.npz"], "the recipe xor has settings and data of its own, so that"),
    (["--recipe", "xor", "--epochs", "3"], "so that --epochs would have no effect"),
    (["--recipe", ""], "there is no recipe ''"),
    (["--workers", "20000"], "workers take two images of a batch each, at least: 20000 are too many for 128"),
    (["--config", "nothing.json"], "cannot read nothing.json: No such file or directory"),
    (["--config", "x", "--recipe", "default"], "so that --recipe would have no effect"),
    (["--set", "speed=3"], "the recipe default has no setting 'speed'"),
    (["--recipe", "keras-cnn", "--set", "architecture.size=[20, 20]"], "has no setting 'architecture.size', only "),
    (["--recipe", "fast-cnn", "--set", "architecture.classes=3"], "has no setting 'architecture.classes', only "),
    (["--set", "erase"], "--set takes NAME=VALUE, got 'erase'"),
    (["--lr", "0.5", "--set", "lr=0.5"], "lr is set twice: name it in one flag, or in one --set"),
    (["--set", "erase=1", "--set", "erase=2"], "erase is set twice"),
    (["--dropout", "0.1", "--set", "architecture.dropout=0.1"], "architecture.dropout is set twice"),
    (["--set", "shift=-1"], "shift is from 0 to 2**63 - 1, got -1"),
    (["--set", "shift_p=1.5"], "shift_p is from 0 to 1, got 1.5"),
    (["--set", "seed=-1"], "seed is from 0 to 2**63 - 1, got -1"),
    (["--set", "epochs=0"], "epochs is from 1 to 2**63 - 1, got 0"),
    (["--set", "lr=0"], "lr is above 0, got 0: nothing would be learned"),
    (["--set", "dropout_epochs=-3"], "dropout_epochs is from 0 to 2**63 - 1, got -3"),
    (["--patience", "2", "--val-size", "0"], "takes validation images"),
])
def test_flags_that_make_no_sense_are_one_sentence(run, tmp_path, flags, sentence):
    status, _, err = run(*flags)
    assert status == 1
    assert err.splitlines()[-1].startswith("train.py: ")
    assert sentence in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_empty_name_is_no_folder_and_a_tilde_is_home(run, tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    status, _, err = run("--out", "")
    assert (status, err.splitlines()[-1]) == (2, "train.py: error: argument --out: invalid path value: ''")
    status, out, _ = run(*QUICK, "--dry-run", "--out=~/minigrad-run")
    assert out.splitlines()[-1].endswith(f"in {tmp_path / 'minigrad-run'}")
    assert run("--evaluate", "~nobody-has-this-name")[2].startswith("train.py: there is no ~nobody-has-this-name: ")


def test_a_configuration_and_settings_decide_like_flags(run, tmp_path):
    assert run(*QUICK, "--quiet", "--out", "a", "--seed", 4, "--set", "erase=3")[0] == 0
    assert run("--config", "a/config.json", "--threads", 1, "--quiet", "--out", "b")[0] == 0
    assert (tmp_path / "a/model.npz").read_bytes() == (tmp_path / "b/model.npz").read_bytes()
    assert run("--config", "a/config.json", "--epochs", 1, "--quiet", "--out", "c")[0] == 0
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    assert (config["epochs"], config["erase"], config["seed"]) == (1, 3, 4)


def test_the_folder_of_a_run_is_evaluated_and_the_result_written_for_programs(run, tmp_path):
    run(*QUICK, "--out", "here")
    status, _, _ = run("--evaluate", "here", "--json", "there/result.json", "--threads", 1)
    assert status == 0
    evaluated, trained = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("there", "here"))
    assert evaluated["test"] == trained["test"]
    assert evaluated["data"]["fingerprint"] == trained["data"]["fingerprint"]
    assert evaluated["training"]["epoch"] == trained["model_of_epoch"] == 2
    assert np.sum(trained["test"]["confusion"]) == 100


def test_a_learning_rate_is_suggested_and_the_curve_drawn(run, tmp_path):
    pytest.importorskip("matplotlib")
    status, out, _ = run("--find-lr", "--quiet", "--out", "here")
    suggestion, saved = out.splitlines()
    assert status == 0
    assert 1e-5 < float(suggestion.split(": ")[1].split(",")[0]) < 1
    assert saved == "Saved here/learning-rates.png"
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["learning-rates.png"]


def test_the_help_names_all_settings(run):
    text = run("--help")[1]
    assert all(name in text for name in ("label_smoothing", "architecture.sizes", "dropout_epochs", "schedule"))
    assert "architecture.classes" not in text, "they follow the data"


# ---------------------------------------------------------------- missing extras


def test_without_the_extra_there_are_lines_instead_of_a_bar_and_a_sentence_instead_of_pictures(run, tmp_path):
    status, out, err = run(*QUICK, without=("tqdm", "matplotlib", "PIL"))
    assert status == 0
    assert out.splitlines()[-1] == "A report with pictures needs matplotlib: pip install matplotlib"
    assert not (tmp_path / "runs" / "default" / "report.png").exists()
    assert (tmp_path / "runs" / "default" / "model.npz").exists()
    assert all(line.startswith("Warning: ") for line in err.splitlines())


def test_a_matplotlib_that_does_not_load_takes_nothing_from_a_finished_run_but_its_picture(run, tmp_path):
    pytest.importorskip("matplotlib")
    status, out, _ = run(*QUICK, "--quiet", console=UTF8 | {"MPLBACKEND": "nosuch"})
    first, *_, saved, hint = out.splitlines()
    assert status == 0
    assert first.startswith("Test loss ")
    assert saved == "Saved model.npz, metrics.csv, result.json, config.json, checkpoint.npz in runs/default"
    assert hint.startswith("A report with pictures needs matplotlib, which does not load: Key backend: 'nosuch' is not")


def test_a_safetensors_model_without_its_library_is_one_sentence_that_names_the_extra(run, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"anything")
    status, _, err = run("--evaluate", "model.safetensors", without=("safetensors",))
    assert status == 1
    assert "pip install safetensors" in err.splitlines()[-1]


# ---------------------------------------------------------------- consoles


@pytest.mark.parametrize("console", CONSOLES.values(), ids=CONSOLES)
def test_training_goes_on_whatever_the_console_can_show(run, tmp_path, console):
    status, out, _ = run("--epochs", 2, "--val-size", 0, "--threads", 1, "--out", "Blus\u00e9n", console=console)
    assert status == 0
    rows = [line.split() for line in out.splitlines() if line.split()[:1] in (["1"], ["2"])]
    assert [row[2] in ("-", "\N{EN DASH}") for row in rows] == [True, True]
    assert "Test loss" in out
    (folder,) = tmp_path.iterdir()
    assert len(metrics(folder)) == 2
    assert (folder / "model.npz").exists()


@pytest.mark.parametrize("flags", ["--help", "--list-recipes", "--recipe xor", "--dry-run", "--evaluate missing.npz"])
@pytest.mark.parametrize("console", [CONSOLES["ascii:strict"], CONSOLES["C"]], ids=["ascii", "C"])
def test_everything_can_be_printed_on_any_console(run, flags, console):
    status, out, err = run(*flags.split(), console=console)
    assert status == (1 if "missing" in flags else 0)
    assert out if status == 0 else "missing.npz" in err
    if flags == "--list-recipes":
        assert " ? " not in out, "a dash is a hyphen"


@pytest.mark.parametrize("console", [CONSOLES["ascii:strict"], CONSOLES["C"]], ids=["ascii", "C"])
def test_benchmarks_print_on_any_console(console):
    program = ["-m", "benchmarks", "--only", "chain", "--rounds", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | console
    done = subprocess.run([sys.executable, *program], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_mixup_and_separate_questions_go_together(run):
    flags = "--recipe", "sigmoid", "--epochs", 1, "--batch-size", 100, "--set", "mixup=0.2"
    status, out, _ = run(*flags)
    assert status == 0
    assert "Test loss" in out
    status, _, err = run(*flags, "--set", "label_smoothing=0.1")
    assert status == 1
    assert "label_smoothing goes with the loss" in err


@pytest.mark.parametrize("flags", [["--out", "x" * 300], ["--resume", "x" * 300], ["--evaluate", "x" * 300]])
def test_a_path_that_cannot_be_looked_at_is_named(run, flags):
    status, _, err = run(*flags, "--epochs", 1) if flags[0] != "--evaluate" else run(*flags)
    assert (status, err.count("\n")) == (1, 1)
    assert "x" * 300 in err
    assert "is printed" not in err


@pytest.mark.parametrize("flags", [["--batch-size", 599], ["--batch-size", 1]])
@pytest.mark.parametrize("mode", [[], ["--dry-run"]])
def test_a_last_batch_of_one_image_is_refused_before_training(run, tmp_path, flags, mode):
    status, out, err = run("--recipe", "best-mlp", "--workers", 1, "--val-size", 0, *flags, *mode)
    assert status == 1
    assert "a batch of one sample, which is " in err
    assert "--batch-size" in err
    assert "epoch" not in out
    assert list(tmp_path.iterdir()) == []


def test_what_is_shown_may_fail_but_an_epoch_is_saved_first(start, tmp_path):
    process = start("--epochs", 500, "--val-size", 0, "--threads", 1)
    for line in process.stdout:
        if line.split()[:1] == ["epoch"]:
            break
    process.stdout.close()
    process.wait()
    assert process.returncode == 1
    assert len(metrics(tmp_path / "runs" / "default")) >= 1


def test_the_seed_promises_what_is_kept(run):
    help_text = " ".join(run("--help")[1].split())
    assert "results repeat on the same machine with the same numbers of threads, workers and processes" in help_text
