"""The benchmarks do the same work whoever does it, and print and file what they measure. No time is tested."""

import json
import os
import struct
from itertools import count
from time import sleep

import numpy as np
import pytest

import nn
from benchmarks import (
    accuracy,
    busy,
    chains,
    deep_cnn,
    evaluation,
    frontier,
    gradient_checks,
    growth,
    hvp,
    imports,
    jobs,
    keras_cnn,
    mlp,
    page,
    processes,
    same_network,
    timing,
)
from benchmarks.__main__ import WORKLOADS, Workload, main
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import SAMPLE_FOLDER, load
from nn.fashion.models import build
from nn.optim import SGD

needs_mpi = pytest.mark.skipif(not jobs.can_begin(), reason="mpi4py or mpiexec is not installed")

PAGE = "# Page\n\n<!-- tables -->\nold\n<!-- end of tables -->\n\nThe end.\n"

# ------------------------------------------------------------------------------------------------ the same work


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of PyTorch itself, when it is imported
@pytest.mark.parametrize(
    "contestants",
    [
        pytest.param(lambda: mlp.contestants(8, dropout=0), id="mlp"),
        pytest.param(lambda: keras_cnn.contestants(4), id="keras-cnn"),
        pytest.param(lambda: deep_cnn.contestants(4), id="deep-cnn"),
        pytest.param(lambda: evaluation.contestants(1500), id="evaluation"),
        pytest.param(lambda: chains.contestants(), id="chain"),
        pytest.param(lambda: hvp.contestants(4), id="hvp"),
        pytest.param(lambda: gradient_checks.contestants(2), id="gradcheck"),
    ],
)
def test_the_contestants_of_a_workload_come_to_the_same_results(contestants):
    made = contestants()
    assert "minigrad" in made
    timing.check_agreement(made, calls=2)


@pytest.mark.parametrize(
    "architecture",
    [
        {"name": "mlp", "sizes": [784, 12, 8, 10], "dropout": 0.3, "batch_norm": True, "activation": "gelu"},
        {"name": "keras_cnn"},
        {"name": "stride_cnn", "channels": [4, 8]},
        {"name": "resnet", "channels": [4, 8], "blocks": [1, 1]},
    ],
    ids=lambda architecture: architecture["name"],
)
def test_a_network_of_any_recipe_is_the_same_in_other_engines(architecture):
    timing.check_agreement(same_network.contestants(architecture, 8), calls=3)


def test_a_step_with_dropout_trains():
    for name, step in mlp.contestants(8).items():
        losses = [step() for _ in range(60)]
        assert losses[-1] < losses[0], name


def test_the_step_in_two_threads_is_the_same_where_both_halves_are(monkeypatch):
    images, labels = deep_cnn.batch(4)
    halves = np.concatenate([images, images]), np.concatenate([labels, labels])
    monkeypatch.setattr(deep_cnn, "batch", lambda size: halves)
    timing.check_agreement({"one": deep_cnn.minigrad_step(8), "two": deep_cnn.parallel_step(8)}, calls=3)


@pytest.fixture
def begun(monkeypatch):
    """The jobs that a test begins."""
    found = []

    class Noted(jobs.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            found.append(self)

    monkeypatch.setattr(jobs, "Popen", Noted)
    return found


@needs_mpi
def test_the_step_in_two_processes_is_that_in_two_threads_and_they_end_with_it(begun):
    step = deep_cnn.distributed_step(8)
    timing.check_agreement({"threads": deep_cnn.parallel_step(8), "processes": step}, calls=3)
    first, *others = [step() for _ in range(10)]
    assert others[-1] < first
    assert [job.poll() for job in begun] == [None]
    del step
    assert [job.poll() for job in begun] == [0]


@needs_mpi
def test_nobody_waits_for_a_job_that_has_failed(begun):
    with pytest.raises(ConnectionError, match="mpiexec ended with status 1 before"):
        jobs.step_of_job(2, "no_such_module")
    assert [job.poll() for job in begun] == [1]


def test_the_step_in_two_processes_takes_part_where_mpi_is_installed(monkeypatch):
    monkeypatch.setattr(deep_cnn, "distributed_step", lambda size: abs)
    for is_installed in (True, False):
        monkeypatch.setattr(deep_cnn, "can_begin", lambda value=is_installed: value)
        assert ("minigrad, 2 processes" in deep_cnn.contestants(2, parallel=True)) == is_installed


def test_the_step_by_hand_hands_on_the_gradient_of_equal_values_once(monkeypatch):
    labels = np.array([3, 7])
    monkeypatch.setattr(keras_cnn, "batch", lambda *_: (np.ones((2, 1, 28, 28), np.float32), labels))
    timing.check_agreement({"by hand": keras_cnn.numpy_step(2), "minigrad": keras_cnn.minigrad_step(2)}, calls=3)


def test_a_linear_layer_behind_an_image_can_be_rearranged_for_channels_last():
    rng = np.random.default_rng(0)
    image, weight = rng.standard_normal((2, 3, 3)), rng.standard_normal((5, 18))
    rearranged = keras_cnn.channels_last(weight, channels=2)
    np.testing.assert_allclose(rearranged @ image.transpose(1, 2, 0).ravel(), weight @ image.ravel())


def test_contestants_that_disagree_are_not_timed():
    results = iter([1.0, 2.0])
    with pytest.raises(SystemExit, match=r"do not do the same work, call 2 .* for a, .* for b"):
        timing.check_agreement({"a": lambda: 1.0, "b": lambda: next(results)}, calls=2)


@pytest.mark.parametrize("other", [np.nan, [1.0, 1.0], 1.001])
def test_results_that_are_not_numbers_or_not_as_many_are_no_agreement(other):
    with pytest.raises(SystemExit, match="same work"):
        timing.check_agreement({"a": lambda: 1.0, "b": lambda: other})


def test_rounding_is_no_disagreement():
    timing.check_agreement({"a": lambda: [np.ones(2), 0.0], "b": lambda: [np.ones(2), 1e-6]})


def test_contestants_whose_package_is_missing_are_left_out():
    others = {"NumPy": ("numpy", lambda: abs), "nothing": ("no_such_package", lambda: 1 / 0)}
    assert timing.installed(others) == {"NumPy": abs}


# ------------------------------------------------------------------------------------------------ timing


def test_contestants_take_turns_in_alternating_order_and_the_first_round_does_not_count():
    turns = []

    def clock(contestant, calls):
        turns.append(contestant())
        return float(len(turns))

    figures = timing.take_turns({"a": lambda: "a", "b": lambda: "b"}, rounds=2, calls=1, clock=clock)
    assert "".join(turns) == "baabba"
    assert figures == {"a": [3.0, 6.0], "b": [4.0, 5.0]}


def test_a_figure_is_the_mean_of_some_calls_after_one_that_does_not_count():
    now, calls = count(), []
    assert timing.seconds_per_call(lambda: calls.append(1), 4, clock=lambda: float(next(now))) == 1 / 4
    assert len(calls) == 5


def test_a_table_shows_median_and_spread_and_the_median_of_the_ratios():
    quiet = {"numpy": [1e-3, 2e-3, 4e-3], "minigrad": [2e-3, 3e-3, 4e-3]}
    busy = {"numpy": [5e-3], "minigrad": [4e-3]}
    assert timing.table("step", quiet, busy).splitlines() == [
        "| step | median | fastest to slowest | minigrad takes | busy: median | minigrad takes |",
        "|---|---|---|---|---|---|",
        "| numpy | 2,000 µs | 1,000 to 4,000 µs | 1.50 × | 5,000 µs | 0.80 × |",
        "| minigrad | 3,000 µs | 2,000 to 4,000 µs | 1.00 × | 4,000 µs | 1.00 × |",
    ]


def test_busy_processes_compute_until_they_are_told_to_end():
    before = os.times()
    with timing.beside_busy_processes(2):
        sleep(0.5)
    after = os.times()
    assert after.children_user + after.children_system > before.children_user + before.children_system + 0.1


@pytest.mark.parametrize(("time", "shown"), [(12, "12.0 s"), (3, "3,000 ms"), (0.0123, "12.3 ms"), (3e-6, "3.00 µs")])
def test_a_table_takes_the_unit_that_fits(time, shown):
    assert f"| {shown} |" in timing.table("x", *2 * [{"minigrad": [time]}])


def test_the_time_of_an_import_is_taken_in_a_new_process():
    assert imports.import_time("colorsys", before="sys") > 0
    assert {"NumPy itself", "minigrad", "nn, and so minigrad"} <= set(imports.contestants())
    assert imports.clock(lambda: 2.0, 3) == 2.0


def test_seconds_of_training_are_those_that_the_run_notes(monkeypatch):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(SAMPLE_FOLDER))
    assert 0 < busy.seconds_of_training("fast-cnn", 1, ["--threads", "1"]) < 600


# ------------------------------------------------------------------------------------------------ page and command


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_what_stands_between_the_markers_is_replaced_and_nothing_else(written):
    for text in ("| a |\n", "µs"):
        page.write_between("tables", text, written)
    assert written.read_text(encoding="utf-8") == PAGE.replace("old", "\nµs\n")


@pytest.mark.parametrize("text", ["", "<!-- tables -->\n", "<!-- end of tables -->\n<!-- tables -->\n", 2 * PAGE])
def test_a_page_without_both_markers_in_order_is_left_alone(written, text):
    written.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="each once, in this order"):
        page.write_between("tables", "new", written)
    assert written.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ["tables", "growth"])
def test_the_page_of_the_documentation_has_the_markers(name, written):
    written.write_bytes(page.PAGE.read_bytes())
    page.write_between(name, "new", written)
    assert written.read_text(encoding="utf-8") != page.PAGE.read_text(encoding="utf-8")


def test_the_environment_names_versions_and_cores():
    text = page.environment()
    for part in ("Python 3.", f"NumPy {np.__version__} with ", "minigrad ", " cores", "Measured on 20"):
        assert part in text


def quick(title):
    return [Workload(title, lambda: {"minigrad": lambda: 1.0}, calls=1)]


@pytest.fixture
def quick_workloads(monkeypatch, written):
    monkeypatch.setattr("benchmarks.__main__.PAGE", written)
    for name in list(WORKLOADS):
        monkeypatch.setitem(WORKLOADS, name, quick(name))


def test_the_command_prints_a_table_for_each_workload(quick_workloads, written, capsys):
    main(["--rounds", "1"])
    printed = capsys.readouterr().out
    assert all(f"| {name} | median |" in printed for name in WORKLOADS)
    assert written.read_text(encoding="utf-8") == PAGE


def test_the_command_runs_some_workloads(quick_workloads, capsys):
    main(["--rounds", "1", "--only", "chain", "hvp"])
    assert capsys.readouterr().out.count("| median |") == 2


def test_the_command_writes_what_it_prints(quick_workloads, written, capsys):
    main(["--rounds", "1", "--write"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert [line for line in written.read_text(encoding="utf-8").splitlines() if line][2:-2] == lines


@pytest.mark.parametrize("arguments", [["--only", "chain", "--write"], ["--only", "nothing"]])
def test_the_command_refuses_what_makes_no_sense(quick_workloads, arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(("command", "arguments", "sentence"), [
    *((command, [*flags, text], f"argument {flags[0]}: invalid {kind} int value: '{text}'")
      for text in ("0", "-5")
      for command, flags, kind in (
          (main, ["--rounds"], "positive"), (accuracy.main, ["--seeds"], "positive"),
          (busy.main, ["--rounds"], "positive"), (busy.main, ["--epochs"], "positive"),
          (frontier.main, ["--seeds"], "positive"), (frontier.main, ["--rounds"], "positive"),
          (growth.main, ["--rounds"], "positive"), (processes.main, ["--rounds"], "positive"),
          (processes.main, ["--steps"], "positive"))),
    (busy.main, ["--beside", "-1"], "argument --beside: invalid non-negative int value: '-1'"),
    *((command, ["nosuch"], "argument RECIPE: there is no 'nosuch', only ")
      for command in (accuracy.main, busy.main, frontier.main)),
    (accuracy.main, ["--data", "nosuch"], "error: nosuch is not a folder"),
], ids=lambda given: given.__module__ if callable(given) else str(given)[:30])
def test_what_cannot_be_measured_is_refused_with_the_usage(command, arguments, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        command(arguments)
    assert ended.value.code == 2
    usage, *_, said = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: ")
    assert sentence in said


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["nosuch"], "there is no nosuch: name a model file, or the folder of a run"),
    (["other.npz"], "the model is for images of 8 x 8, these data are of 28 x 28: name the data it learned from"),
    (["own.npz", "--count", "0"], "argument --count: invalid positive int value: '0'"),
    (["own.npz", "--count", "-5"], "argument --count: invalid positive int value: '-5'"),
    (["own.npz", "--count", "9", "--write", "here"], "--write takes three images of each class, which 9 have not"),
], ids=str)
def test_photos_are_made_for_models_of_garments_alone(arguments, sentence, monkeypatch, tmp_path, capsys):
    pytest.importorskip("PIL")
    from benchmarks import photos

    monkeypatch.setenv("FASHION_MNIST_DIR", str(SAMPLE_FOLDER))
    monkeypatch.chdir(tmp_path)
    for name, side in (("own.npz", 28), ("other.npz", 8)):
        architecture = {"name": "mlp", "sizes": [side**2, 10]}
        Classifier(build(architecture), architecture, size=(side, side)).save(name)
    with pytest.raises(SystemExit):
        photos.main(arguments)
    assert sentence in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("rounds", [1, 2, 12, 30])
def test_the_command_says_how_many_rounds_there_were(rounds, monkeypatch, capsys):
    counts = []

    def take_turns(contestants, rounds, *_):
        counts.append(rounds)
        return {name: [1.0] for name in contestants}

    monkeypatch.setattr("benchmarks.__main__.take_turns", take_turns)
    monkeypatch.setitem(WORKLOADS, "chain", quick("chain"))
    main(["--rounds", str(rounds), "--only", "chain"])
    assert capsys.readouterr().out.endswith(f" comes from {counts[0]} rounds, a busy one from {counts[1]}.\n")


def test_a_workload_compares_results_before_it_times_them():
    workload = Workload("x", dict, checked=lambda: {"a": lambda: 1.0, "b": lambda: 2.0})
    with pytest.raises(SystemExit, match="same work"):
        workload.measure(rounds=1)


# ------------------------------------------------------------------------------------------------ growth


def test_the_slope_of_a_power_is_its_exponent():
    sizes = [1, 2, 4, 8]
    assert growth.slope(sizes, [3 * size**2 for size in sizes]) == pytest.approx(2)


def test_peak_memory_counts_what_a_step_holds_at_once_and_what_stays():
    kept = []

    def make():
        kept[:] = [np.ones(250_000)]
        return lambda: float((kept[0] + kept[0]).sum())

    assert growth.peak_bytes(make) == pytest.approx(4_000_000, rel=0.01)


def test_the_steps_of_every_sweep_run():
    for sweep in growth.SWEEPS:
        assert np.isfinite(sweep.step(sweep.sizes[0])())


def test_memory_of_a_step_grows_with_the_batch_no_faster_than_the_batch():
    sizes = [1024, 2048]
    peaks = [growth.peak_bytes(lambda size=size: mlp.minigrad_step(size)) for size in sizes]
    assert 0.5 < growth.slope(sizes, peaks) < 1.05


def test_the_command_measures_draws_and_writes(monkeypatch, written, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    written.write_text(PAGE.replace("tables", "growth"), encoding="utf-8")
    monkeypatch.setattr(growth, "PAGE", written)
    monkeypatch.setattr(growth, "SWEEPS", (growth.Sweep("images", (8, 16, 32), mlp.minigrad_step),))
    growth.main(["--rounds", "1", "--out", str(tmp_path / "growth.png"), "--write"])
    picture = (tmp_path / "growth.png").read_bytes()
    assert min(struct.unpack(">II", picture[16:24])) > 100  # width and height
    assert len(picture) < 100_000
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| images | 8 | 32 |")
    assert row in written.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------ several processes

COSTS = processes.Costs(backward=0.8, update=0.1, pack=0.01, gradients=10_000_000)


def test_one_machine_pays_nothing_for_others():
    assert processes.modelled(COSTS, 1, bandwidth=1e9) == pytest.approx(0.9)


def test_a_step_on_four_machines_is_a_quarter_of_the_gradients_and_all_of_the_rest():
    sent, messages = 1.5 * 10_000_000 / 1e9, 12 * processes.MESSAGE
    assert processes.modelled(COSTS, 4, bandwidth=1e9) == pytest.approx(0.2 + 0.1 + 0.01 + sent + messages)
    assert processes.modelled(COSTS, 4, bandwidth=1e9, batches=4) == pytest.approx(0.9 + 0.01 + sent + messages)


def test_jobs_of_all_numbers_of_processes_are_measured_printed_and_filed(monkeypatch, tmp_path, capsys):
    jobs = []

    def job(count, *arguments):
        jobs.append((count, arguments[0]))
        parts = {"backward": 0.8 / count, "average": 0.01, "update": 0.1, "pack": 0.01, "step": 0.8 / count + 0.11}
        of_processor = {f"{name}, processor": figure for name, figure in parts.items()}
        return {**parts, **of_processor, "gradients": 4000, "parameters": 1000, "latency": 5e-6, "bandwidth": 2e9}

    file = tmp_path / "page.md"
    file.write_text("<!-- processes -->\nold\n<!-- end of processes -->\n")
    monkeypatch.setattr(processes, "job", job)
    monkeypatch.setattr(processes, "PAGE", file)
    processes.main(["--rounds", "2", "--write"])
    assert sorted(set(jobs)) == [(1, "--step"), (2, "--link"), (2, "--step"), (4, "--link"), (4, "--step")]
    printed = capsys.readouterr().out
    assert "| `best-cnn`, batch 128 | 4 | 310 ms |" in printed
    assert "| 2 | 5.00 µs | 2.00 GB/s |" in printed
    assert printed.strip() in file.read_text()


def test_a_step_and_an_allreduce_are_timed_in_each_process(capsys, monkeypatch):
    small = processes.Network("small", 8, {"name": "mlp", "sizes": [784, 4, 10]}, SGD)
    monkeypatch.setitem(processes.NETWORKS, "mlp", small)
    for arguments in (["--step", "mlp", "--steps", "1"], ["--link", "--steps", "1"]):
        processes.main(arguments)
    assert all(figure >= 0 for line in capsys.readouterr().out.splitlines() for figure in json.loads(line).values())


# ------------------------------------------------------------------------------------------------ frontier


def frontier_row(recipe="fast-cnn", epochs=3, seed=0, accuracy=0.91, mirrored=0.92, taken=20.0, yardstick=50.0):
    return frontier.Row(recipe, epochs, seed, accuracy, mirrored, taken, yardstick)


def test_times_are_told_in_those_of_the_machine_of_the_yardstick():
    assert frontier_row().seconds == 10


def test_time_is_lost_in_epochs_that_take_longer_than_the_quickest(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,seconds\n1,12.5\n2,22.5\n3,40.0\n", encoding="utf-8")
    assert frontier.time_lost(tmp_path / "metrics.csv") == 2.5 + 7.5


def test_runs_are_kept_in_order_and_read_as_they_were(tmp_path):
    rows = [frontier_row(seed=1), frontier_row(), frontier_row(epochs=2)]
    frontier.write(rows, tmp_path / "runs.csv")
    assert frontier.read(tmp_path / "runs.csv") == rows[::-1]
    assert frontier.read(tmp_path / "none.csv") == []


def test_a_point_is_a_recipe_for_so_many_epochs_and_its_line_has_means_over_seeds():
    slow = frontier_row("best-cnn", taken=400.0, accuracy=0.94, mirrored=0.95)  # which is what this recipe is
    points = frontier.points_of([slow, frontier_row(accuracy=0.90), frontier_row(seed=1, accuracy=0.92)])
    assert [len(rows) for rows in points] == [2, 1]
    lines = frontier.table(points).splitlines()
    assert lines[2] == "| `fast-cnn` | 3 | 10.0 | **91.00 ± 1.41 %** | 92.00 ± 0.00 % | 2 |"
    assert lines[3] == "| `best-cnn` | 3 | 200 | 94.00 % | **95.00 %** | 1 |"
    assert [rows[0].reached for rows in points] == [0.9, 0.95]
    assert frontier_row("best-cnn architecture.mirrored=false", mirrored=0.95).reached == 0.91


def test_the_frontier_trains_what_is_missing_and_writes_page_and_picture(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    page_of_it = tmp_path / "frontier.md"
    page_of_it.write_text("".join(PAGE.replace("tables", name) for name in ("table", "peers")), encoding="utf-8")
    monkeypatch.setattr(frontier, "PAGE", page_of_it)
    monkeypatch.setattr(frontier, "RUNS", tmp_path / "runs.csv")
    monkeypatch.setattr(frontier, "POINTS", {"fast-cnn": (2, 3)})
    monkeypatch.setattr(frontier, "seconds_of", lambda flags, folder: 50.0)
    trained = []

    def measured(recipe, epochs, seed, yardstick, data):
        trained.append((recipe, epochs, seed, yardstick))
        return frontier_row(recipe, epochs, seed, yardstick=yardstick)

    monkeypatch.setattr(frontier, "measured", measured)
    frontier.write([frontier_row()], frontier.RUNS)
    frontier.main(["--seeds", "2", "--rounds", "1"])
    assert trained == [("fast-cnn", 2, 0, 50.0), ("fast-cnn", 2, 1, 50.0), ("fast-cnn", 3, 1, 50.0)]
    assert "| `fast-cnn` | 2 | 10.0 | **91.00 ± 0.00 %** |" in page_of_it.read_text(encoding="utf-8")
    assert (tmp_path / "frontier.png").stat().st_size > 1000
    frontier.main(["--seeds", "2", "--rounds", "1"])
    assert len(trained) == 3


def test_a_run_with_workers_takes_the_seconds_that_pass(monkeypatch, tmp_path):
    clocks = iter([os.times_result((0, 0, 3, 1, 100)), os.times_result((0, 0, 8, 2, 103))] * 2)
    monkeypatch.setattr(frontier.subprocess, "run", lambda *arguments, **options: None)
    monkeypatch.setattr(frontier.os, "times", lambda: next(clocks))
    assert frontier.seconds_of([], tmp_path) == 6
    assert frontier.seconds_of([], tmp_path, workers=2) == 3


def test_accuracies_are_of_one_image_and_of_both_whichever_the_network_averages():
    nn.manual_seed(0)
    architecture, data = {"name": "mlp", "sizes": [784, 10]}, load(SAMPLE_FOLDER)
    network = build(architecture)
    alone = accuracy.accuracies_of(Classifier(network, architecture), data)
    averaging = Classifier(nn.MirrorAverage(network), architecture | {"mirrored": True})
    assert accuracy.accuracies_of(averaging, data) == alone
    both = sum(Classifier(network, architecture).predict_proba(images)
               for images in (data.test_images, data.test_images[:, :, ::-1]))
    assert alone[1] == np.mean(both.argmax(1) == data.test_labels) != alone[0]


def test_a_run_is_that_of_train_py_with_the_settings_beside_the_name(monkeypatch):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(SAMPLE_FOLDER))
    row = frontier.measured("default architecture.sizes=[784,4,10]", 2, 3, yardstick=50.0, data=load(SAMPLE_FOLDER))
    assert (row.recipe, row.epochs, row.seed) == ("default architecture.sizes=[784,4,10]", 2, 3)
    assert 0.2 < row.accuracy < 0.9
    assert row.mirrored != row.accuracy
    assert row.taken > 0.1
    assert row.seconds == row.taken / 2
