import os
import signal
import threading

import numpy as np
import pytest

import nn
from nn import FileError
from nn.augmentation import AlternatingFlip, Compose, Mixup, RandomErase, RandomShift
from nn.callbacks import AveragedWeights, EarlyStopping, EpochTable, KeepBest, write_history
from nn.data import DataLoader
from nn.learner import Callback, Learner, NonFiniteLoss, evaluate, predict_proba
from nn.lr_finder import find_lr
from nn.optim import SGD, Adam, AdamW
from nn.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)


def batch(n=32, features=6, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, features)).astype(np.float32), rng.integers(0, classes, n)


def network(dropout=0.0):
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 4))


def learner_of(model=None, lr=0.1, **settings):
    model = model or network()
    return Learner(model, SGD(model.parameters(), lr=lr), **settings)


class Recorder(Callback):
    """Writes down every event, and does something at one of them."""

    def __init__(self, log, name="", at=None, action=None):
        self.log, self.name, self.at, self.action = log, name, at, action

    def note(self, event, learner):
        self.log.append(f"{self.name}{event}")
        if self.at == (event, learner.step):
            self.action(learner)

    def on_fit_start(self, learner):
        self.note("fit start", learner)

    def on_epoch_start(self, learner):
        self.note("epoch start", learner)

    def on_batch_end(self, learner):
        self.note("batch end", learner)

    def on_evaluation_start(self, learner):
        self.note("evaluation start", learner)

    def on_epoch_end(self, learner):
        self.note("epoch end", learner)

    def on_fit_end(self, learner):
        self.note("fit end", learner)


def test_one_batch_is_overfitted_to_no_loss_at_all():
    data = DataLoader(batch(), 32)
    model = network()
    learner = Learner(model, Adam(model.parameters(), lr=0.05))
    learner.fit(data, epochs=400)
    result = learner.evaluate(data)
    assert result.accuracy == 1
    assert result.loss < 1e-3
    assert (learner.predict(data) == batch()[1]).all()


def test_the_loss_of_an_epoch_is_the_mean_over_samples_also_with_a_smaller_last_batch():
    inputs, labels = batch(10)
    learner = learner_of(lr=0.0)  # so that all batches see the same model
    history = learner.fit(DataLoader((inputs, labels), 4), DataLoader((inputs, labels), 7), epochs=1)
    exact = nn.functional.cross_entropy(learner.model(inputs), labels).item()
    assert history[0]["train_loss"] == pytest.approx(exact, rel=1e-6)
    assert history[0]["valid_loss"] == pytest.approx(exact, rel=1e-6)
    right = learner.model(inputs).data.argmax(1) == labels
    assert history[0]["valid_accuracy"] == right.mean()


def test_evaluation_counts_only_the_samples_it_saw():
    inputs, labels = batch(10)
    learner = learner_of()
    result = learner.evaluate(DataLoader((inputs, labels), 4, drop_last=True))
    exact = nn.functional.cross_entropy(learner.model(inputs[:8]), labels[:8]).item()
    assert result.loss == pytest.approx(exact, rel=1e-6)
    assert result.confusion.sum() == 8


def test_a_step_is_the_gradient_of_its_batch_alone():
    inputs, labels = batch(8)
    model = nn.Linear(6, 4)
    weight = model.weight.data.astype(float).copy()
    bias = model.bias.data.astype(float)
    learner = learner_of(model, lr=0.5)
    for _ in range(2):
        learner.train_batch(inputs, labels)
        logits = inputs @ weight.T + bias
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        error = (p - np.eye(4)[labels]) / 8
        weight, bias = weight - 0.5 * error.T @ inputs, bias - 0.5 * error.sum(0)
        np.testing.assert_allclose(model.weight.data, weight, rtol=1e-5, atol=1e-6)
    assert learner.step == 2


def test_a_run_under_a_seed_repeats_to_the_last_bit():
    def run():
        generator = nn.manual_seed(11)
        learner = learner_of(network(dropout=0.3))
        loader = DataLoader(batch(), 5, shuffle=True, generator=generator)
        history = learner.fit(loader, DataLoader(batch(seed=1), 5), epochs=3)
        kept = [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in history]
        return kept, learner.model.state_dict()

    (first_rows, first_state), (second_rows, second_state) = run(), run()
    assert first_rows == second_rows
    for name, array in first_state.items():
        np.testing.assert_array_equal(array, second_state[name])


def test_dropout_is_active_in_every_epoch_and_never_in_evaluation():
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append((self.training, int(np.count_nonzero(x.data == 0))))
            return x

    model = nn.Sequential(nn.Dropout(0.5), Watch(), nn.Linear(6, 4))
    learner_of(model).fit(DataLoader(batch(), 32), DataLoader(batch(seed=1), 32), epochs=3)
    assert [training for training, _ in seen] == [True, False] * 3
    assert all((zeros > 0) == training for training, zeros in seen)


def test_the_learner_learns_without_validation_and_goes_on_when_asked_again():
    learner = learner_of()
    loader = DataLoader(batch(10), 4)
    assert learner.fit(loader, epochs=2) is learner.history
    assert set(learner.history[0]) == {"epoch", "train_loss", "lr", "images_per_second", "seconds"}
    learner.history[-1]["seconds"] = 1000.0
    learner.fit(loader, epochs=1)
    assert [row["epoch"] for row in learner.history] == [1, 2, 3]
    assert learner.history[-1]["seconds"] > 1000
    assert (learner.epoch, learner.step) == (3, 9)


def test_the_schedule_moves_after_every_step():
    class Halving(LRScheduler):
        def lr_at(self, base_lr, step):
            return base_lr * 0.5**step

    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    history = Learner(model, optimizer, scheduler=Halving(optimizer)).fit(DataLoader(batch(10), 4), epochs=2)
    assert [row["lr"] for row in history] == [0.1 / 8, 0.1 / 64]


def test_training_needs_data_and_so_does_evaluation():
    nothing = DataLoader(batch(3), 4, drop_last=True)
    with pytest.raises(ValueError, match="cannot train on no data"):
        learner_of().fit(nothing)
    with pytest.raises(ValueError, match="cannot evaluate on no data"):
        learner_of().evaluate(nothing)
    with pytest.raises(ValueError, match="cannot predict on no data"):
        learner_of().predict(nothing)


# ---------------------------------------------------------------- evaluation


def test_probabilities_are_the_softmax_of_the_logits_in_the_order_of_the_data():
    inputs, labels = batch(10)
    model = network(dropout=0.5)
    probabilities = predict_proba(model, DataLoader((inputs, labels), 4))
    logits = model.eval()(inputs).data.astype(float)
    np.testing.assert_allclose(probabilities, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-5)


def modes(model):
    return [module.training for module in model.modules()]


def test_evaluation_records_no_graph_and_leaves_every_module_in_its_mode():
    model = network(dropout=0.5)
    model[2].eval()
    before = modes(model)
    out = []

    class Loss(nn.Module):
        def forward(self, logits, targets):
            out.append(logits)
            assert not any(modes(model))
            return nn.functional.cross_entropy(logits, targets)

    evaluate(model, Loss(), DataLoader(batch(), 8))
    assert modes(model) == before
    assert len(out) == 4
    assert not any(logits.requires_grad for logits in out)


@pytest.mark.parametrize("part", ["model", "loss"])
def test_modes_are_restored_when_evaluation_fails(part):
    class Broken(nn.Module):
        def forward(self, *inputs):
            raise RuntimeError("broken")

    model = nn.Sequential(nn.Linear(6, 4), Broken()) if part == "model" else network()
    model[0].eval()
    before = modes(model)
    with pytest.raises(RuntimeError, match="broken"):
        evaluate(model, Broken(), DataLoader(batch(), 8))
    assert modes(model) == before


# ---------------------------------------------------------------- when things go wrong


def test_a_loss_that_is_not_finite_stops_with_step_epoch_and_learning_rate():
    inputs, labels = batch(12)
    inputs[9] = np.nan
    learner = learner_of(lr=0.25)
    learner.fit(DataLoader((inputs[:4], labels[:4]), 4), epochs=1)
    with pytest.raises(NonFiniteLoss) as caught:
        learner.fit(DataLoader((inputs, labels), 4))
    assert str(caught.value).startswith("the loss became nan at step 4 (epoch 2) with learning rate 0.25: lower")
    assert learner.step == 3, "two more steps were fine"
    assert all(np.isfinite(parameter.data).all() for parameter in learner.model.parameters())


def test_a_validation_loss_that_is_not_finite_stops_before_the_epoch_counts_as_done():
    inputs, labels = batch(4)
    log = []
    learner = learner_of(callbacks=[Recorder(log)])
    with pytest.raises(NonFiniteLoss, match=r"validation loss became nan after step 1 \(epoch 1\) with learning rate"):
        learner.fit(DataLoader((inputs, labels), 4), DataLoader((inputs * np.nan, labels), 4))
    assert log == ["fit start", "epoch start", "batch end", "evaluation start"]


# ---------------------------------------------------------------- callbacks and stopping


def test_callbacks_hear_of_everything_in_their_order():
    log = []
    learner = learner_of(callbacks=[Recorder(log, "a "), Recorder(log, "b ")])
    learner.fit(DataLoader(batch(6), 4), DataLoader(batch(4), 4), epochs=2)
    epoch = ["epoch start", "batch end", "batch end", "evaluation start", "epoch end"]
    events = ["fit start", *epoch, *epoch, "fit end"]
    assert log == [f"{name} {event}" for event in events for name in "ab"]


@pytest.mark.parametrize("lacking", ["", "a", "c", "d"])
def test_those_after_a_callback_that_saves_hear_of_the_epoch_in_their_order_and_again_when_training_goes_on(lacking):
    def learner(names, at=None):
        kinds = {name: type(name, (Recorder,), {}) for name in names}
        return learner_of(callbacks=[kind(log, name, at and at.get(name), keep) for name, kind in kinds.items()])

    def keep(learner):
        states.append(learner.state_dict())
        log.append("saved")

    log, states = [], []
    learner("abcd", {"b": ("epoch end", 2)}).fit(DataLoader(batch(8), 4))
    told = ["aepoch end", "bepoch end", "saved", "cepoch end", "depoch end"]
    assert log[-9:-4] == told
    log.clear()
    second = learner([name for name in "abcd" if name != lacking])
    second.load_state_dict(states[0])
    second.fit(DataLoader(batch(8), 4), epochs=0)
    assert [entry for entry in log if "epoch" in entry] == [f"{n}epoch end" for n in "cd" if n != lacking]
    log.clear()
    second.fit(DataLoader(batch(8), 4), epochs=0)
    assert not any("epoch" in entry for entry in log), "and only once"


def test_callbacks_find_the_state_they_are_promised():
    class Check(Callback):
        def on_epoch_start(self, learner):
            assert all(modes(learner.model))
            assert len(learner.history) == learner.epoch - 1

        def on_batch_end(self, learner):
            assert 0 < learner.step <= learner.batches * learner.epoch
            assert learner.batch_loss > 0

        def on_epoch_end(self, learner):
            assert learner.history[-1]["epoch"] == learner.epoch <= learner.epochs == 2
            assert "valid_loss" in learner.history[-1]
            learner.model.eval()

    learner = learner_of(callbacks=[Check()])
    learner.fit(DataLoader(batch(6), 4), DataLoader(batch(4), 4), epochs=2)
    assert learner.batches == 2
    assert len(learner.history) == 2


def stop(learner):
    learner.stop = True


def test_the_stop_flag_ends_training_after_the_step_with_a_row_for_the_part_of_the_epoch():
    inputs, labels = batch(12)
    log = []
    learner = learner_of(lr=0.0, callbacks=[Recorder(log, at=("batch end", 4), action=stop)])
    learner.fit(DataLoader((inputs, labels), 4), epochs=9)
    assert learner.step == 4
    assert log[-4:] == ["batch end", "evaluation start", "epoch end", "fit end"]
    assert [row["epoch"] for row in learner.history] == [1, 2]
    exact = nn.functional.cross_entropy(learner.model(inputs[:4]), labels[:4]).item()
    assert learner.history[1]["train_loss"] == pytest.approx(exact, rel=1e-6)
    learner.callbacks = []
    learner.fit(DataLoader((inputs, labels), 4), epochs=1)
    assert learner.step == 7, "a new fit starts without the flag"


def press_ctrl_c(learner):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def plain_handler():
    """Ctrl-C as Python handles it, whatever the test runner does."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, previous)


def test_ctrl_c_stops_after_the_step_and_is_itself_again_afterwards(plain_handler):
    log = []
    learner = learner_of(callbacks=[Recorder(log, at=("batch end", 2), action=press_ctrl_c)])
    learner.fit(DataLoader(batch(12), 4), DataLoader(batch(4), 4), epochs=3)
    assert learner.stop
    assert learner.step == 2
    ends = ["evaluation start", "epoch end", "fit end"]
    assert log == ["fit start", "epoch start", "batch end", "batch end", *ends]
    assert "valid_loss" in learner.history[0]
    assert signal.getsignal(signal.SIGINT) is plain_handler


def test_a_second_ctrl_c_interrupts_at_once(plain_handler):
    learner = learner_of(
        callbacks=[
            Recorder([], at=("batch end", 2), action=press_ctrl_c),
            Recorder([], at=("epoch end", 2), action=press_ctrl_c),
        ]
    )
    with pytest.raises(KeyboardInterrupt):
        learner.fit(DataLoader(batch(12), 4), epochs=3)
    assert learner.step == 2
    assert signal.getsignal(signal.SIGINT) is plain_handler


def test_a_failing_fit_restores_the_handler_too(plain_handler):
    def fail(learner):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        learner_of(callbacks=[Recorder([], at=("batch end", 1), action=fail)]).fit(DataLoader(batch(), 4))
    assert signal.getsignal(signal.SIGINT) is plain_handler


def test_training_works_in_another_thread_where_signals_cannot_be_handled():
    learner = learner_of()
    thread = threading.Thread(target=learner.fit, args=(DataLoader(batch(), 8),))
    thread.start()
    thread.join()
    assert learner.step == 4


# ---------------------------------------------------------------- saving and going on


def warmup_and_cosine(optimizer):
    return SequentialLR(optimizer, [LinearLR(optimizer, 0.1), CosineAnnealingLR(optimizer, 20)], [5])


SETUPS = {
    "sgd": (lambda p: SGD(p, lr=0.1), None),
    "sgd, momentum, warm-up": (lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True), warmup_and_cosine),
    "adamw, one cycle": (lambda p: AdamW(p, amsgrad=True), lambda o: OneCycleLR(o, 0.1, total_steps=28)),
    "adam, two groups": (lambda p: Adam([{"params": p[:1], "lr": 0.01}, {"params": p[1:]}]), None),
}
ROW = ("epoch", "train_loss", "valid_loss", "valid_accuracy", "lr")


def set_up(make_optimizer, make_scheduler, seed):
    """A learner with weights of its own, and a loader whose samples come in the order of the generator given back."""
    nn.manual_seed(seed)
    model = network()
    optimizer = make_optimizer([*model.parameters()])
    scheduler = make_scheduler(optimizer) if make_scheduler else None
    generator = np.random.default_rng(0)
    return Learner(model, optimizer, scheduler=scheduler), DataLoader(batch(), 5, True, generator=generator), generator


def numbers(learner):
    return [tuple(row[name] for name in ROW) for row in learner.history], learner.epoch, learner.step


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_training_goes_on_from_a_file_to_the_last_bit(tmp_path, setup, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    valid = DataLoader(batch(seed=1), 8)
    straight, loader, _ = set_up(*setup, seed=1)
    straight.fit(loader, valid, epochs=4)

    first, loader, generator = set_up(*setup, seed=1)
    first.fit(loader, valid, epochs=2)
    first.save(tmp_path / f"learner{suffix}")
    second, loader, other_generator = set_up(*setup, seed=2)
    second.load(tmp_path / f"learner{suffix}")
    assert numbers(second) == numbers(first)
    other_generator.bit_generator.state = generator.bit_generator.state
    second.fit(loader, valid, epochs=2)

    assert numbers(second) == numbers(straight)
    for name, array in straight.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], array)


def everything(learner):
    """A comparable copy of all that a file of a learner holds."""
    weights = {name: array.tolist() for name, array in learner.model.state_dict().items()}
    schedule = learner.scheduler.state_dict() if learner.scheduler else None
    return weights, repr(learner.optimizer.state_dict()), schedule, numbers(learner)


def trained(make_optimizer, make_scheduler=None, seed=1, epochs=1):
    learner, loader, _ = set_up(make_optimizer, make_scheduler, seed)
    learner.fit(loader, DataLoader(batch(), 8), epochs=epochs)
    return learner


def test_saving_changes_nothing(tmp_path):
    learner = trained(*SETUPS["adamw, one cycle"])
    before = everything(learner)
    learner.save(tmp_path / "learner.npz")
    assert everything(learner) == before


def sgd(p):
    return SGD(p, lr=0.1)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda: trained(Adam), r"it is of \['Sequential', 'Adam', 'NoneType'\], the learner has .*'SGD', 'LinearLR'"),
        (lambda: trained(sgd), r"it is of .*'NoneType'\], the learner has .*'LinearLR'\]"),
        (lambda: trained(lambda p: SGD(p[:2]), LinearLR), r"parameter groups of the sizes \[2\], but .* \[4\]"),
        (lambda: learner_of(nn.Sequential(nn.Linear(6, 4))), "the learner has"),
    ],
)
def test_a_file_of_another_learner_is_refused_and_nothing_changes(tmp_path, other, sentence):
    other().save(tmp_path / "other.npz")
    learner = trained(sgd, LinearLR)
    before = everything(learner)
    with pytest.raises(FileError, match=f"other.npz does not fit this learner: .*{sentence}"):
        learner.load(tmp_path / "other.npz")
    assert everything(learner) == before


@pytest.mark.parametrize("change", ["weight", "momentum", "schedule", "missing", "history", "model file"])
def test_a_file_that_fits_in_part_is_refused_as_a_whole(tmp_path, change):
    make_optimizer, make_scheduler = SETUPS["sgd, momentum, warm-up"]
    trained(make_optimizer, make_scheduler, seed=2, epochs=2).save(tmp_path / "learner.npz")
    arrays, metadata = nn.load(tmp_path / "learner.npz")
    if change == "weight":
        arrays["model.0.weight"] = arrays["model.0.weight"][:-1]
    elif change == "momentum":
        arrays["optimizer.state.3.momentum_buffer"] = arrays["optimizer.state.3.momentum_buffer"][:-1]
    elif change == "schedule":
        metadata["scheduler"]["last_epoch"] = "soon"
    elif change == "missing":
        del metadata["optimizer"]
    elif change == "history":
        metadata["history"] = 5
    else:
        metadata = {}
    nn.save(arrays, tmp_path / "learner.npz", metadata)
    learner = trained(make_optimizer, make_scheduler)
    before = everything(learner)
    with pytest.raises(FileError, match=r"learner.npz does not fit this learner: "):
        learner.load(tmp_path / "learner.npz")
    assert everything(learner) == before


def test_samples_that_the_loss_ignores_are_neither_trained_on_nor_evaluated():
    labels = np.array([0, 1, -100, 1])
    images = np.eye(4, 2, dtype=np.float32)
    model = nn.Linear(2, 2)
    learner = Learner(model, SGD(model.parameters(), lr=0.5))
    learner.fit(DataLoader((images, labels), 4), DataLoader((images, labels), 3), epochs=1)
    evaluation = learner.evaluate(DataLoader((images, labels), 3))
    counted = learner.evaluate(DataLoader((images[labels >= 0], labels[labels >= 0]), 3))
    assert evaluation.confusion.sum() == 3
    assert evaluation.loss == pytest.approx(counted.loss)


WEIGHTS = [1.0, 5.0, 20.0, 0.25]
LOSSES = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "class weights": {"weight": WEIGHTS},
    "sum of class weights": {"weight": WEIGHTS, "reduction": "sum"},
    "ignored": {"ignore_index": 2},
    "ignored and class weights": {"weight": WEIGHTS, "ignore_index": 2},
    "smoothed, ignored and class weights": {"weight": WEIGHTS, "ignore_index": 2, "label_smoothing": 0.1},
}


def data_of(samples=64):
    """Images and labels of four classes, of which one is rare, in a random order."""
    rng = np.random.default_rng(4)
    labels = rng.choice(4, samples, p=[0.5, 0.3, 0.15, 0.05])
    return rng.standard_normal((samples, 6)).astype(np.float32), labels


@pytest.mark.parametrize("settings", LOSSES.values(), ids=LOSSES)
def test_the_loss_of_an_evaluation_is_that_of_all_data_at_once_whatever_the_batch_size(settings):
    model, (images, labels) = network().eval(), data_of()
    whole = nn.CrossEntropyLoss(**settings | {"reduction": "mean"})(model(images), labels).item()
    learner = learner_of(model, loss=nn.CrossEntropyLoss(**settings))
    for size in (1, 3, 8, 60, 64):
        assert learner.evaluate(DataLoader((images, labels), size)).loss == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("settings", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_training_loss_of_an_epoch_is_that_of_all_data_at_once_too(settings, workers):
    model, (images, labels) = network(), data_of()
    labels[:5] = 0  # so that no batch is ignored as a whole
    whole = nn.CrossEntropyLoss(**settings | {"reduction": "mean"})(model(images), labels).item()
    learner = learner_of(model, lr=0.0, loss=nn.CrossEntropyLoss(**settings), workers=workers)
    (row,) = learner.fit(DataLoader((images, labels), 12))
    assert row["train_loss"] == pytest.approx(whole, rel=1e-5)


def test_a_loss_of_ones_own_is_a_mean_over_samples_unless_it_says_what_it_is():
    model, (images, labels) = network().eval(), data_of(10)
    labels += labels == 0

    def mean_of(logits, labels):
        return nn.functional.cross_entropy(logits, labels)

    class Squares(nn.Module):
        """Σ loss / Σ labels², and says so."""

        def forward(self, logits, labels):
            return nn.functional.cross_entropy(logits, labels, reduction="sum") / (labels**2).sum()

        def sum_and_weight(self, loss, labels):
            weight = float((labels**2).sum())
            return loss.item() * weight, weight

    data = DataLoader((images, labels), 3)
    each = nn.functional.cross_entropy(model(images), labels, reduction="none").data
    assert learner_of(model, loss=mean_of).evaluate(data).loss == pytest.approx(each.mean(), rel=1e-6)
    expected = each.sum() / (labels**2).sum()
    assert learner_of(model, loss=Squares()).evaluate(data).loss == pytest.approx(expected, rel=1e-6)
    (row,) = learner_of(model, lr=0.0, loss=Squares()).fit(data)
    assert row["train_loss"] == pytest.approx(expected, rel=1e-6)


def regression(n=20, seed=0):
    inputs = np.random.default_rng(seed).standard_normal((n, 6)).astype(np.float32)
    return inputs, inputs[:, :2] * 2 - 1


REGRESSIONS = {
    "mean squares": nn.MSELoss(),
    "sum of squares": nn.MSELoss(reduction="sum"),
    "absolute": nn.L1Loss(),
    "smooth": nn.SmoothL1Loss(),
    "a function": nn.functional.mse_loss,
}


@pytest.mark.parametrize("loss", REGRESSIONS.values(), ids=REGRESSIONS)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_regression_is_trained_evaluated_and_followed(loss, workers, tmp_path, capsys):
    model = nn.Linear(6, 2)
    metrics = {
        "mae": lambda outputs, targets: np.abs(outputs - targets).mean(),
        "r2": lambda outputs, targets: 1 - ((outputs - targets) ** 2).sum() / ((targets - targets.mean(0)) ** 2).sum(),
    }
    callbacks = [EpochTable(), KeepBest(), EarlyStopping(patience=50), EarlyStopping("valid_mae", 50, mode="min")]
    learner = Learner(model, Adam(model.parameters(), 0.1), loss, None, callbacks, workers, metrics)
    train, valid = DataLoader(regression(), 8), DataLoader(regression(15, seed=1), 4)
    history = learner.fit(train, valid, epochs=20)
    assert len(history) == 20
    assert set(history[0]) == {
        "epoch", "train_loss", "valid_loss", "valid_mae", "valid_r2", "lr", "images_per_second", "seconds",
    }
    assert history[-1]["valid_loss"] < history[0]["valid_loss"]
    best = min(history, key=lambda row: row["valid_loss"])
    assert learner.evaluate(valid).loss == pytest.approx(best["valid_loss"], rel=1e-6), "KeepBest followed the loss"
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[-1] == "elapsed"
    assert heading.find("val mae") > 0 < heading.find("val r2")
    assert f"{history[-1]['valid_mae']:.4g}" in rows[-1].split()
    evaluation = learner.evaluate(valid)
    inputs, targets = valid.arrays
    outputs = model.eval()(inputs).data
    mean = loss.reduction if isinstance(loss, nn.Module) else "mean"
    expected = float(loss(outputs, targets).item()) / (targets.size if mean == "sum" else 1)
    assert evaluation.loss == pytest.approx(expected, rel=1e-5)
    assert evaluation.metrics == {name: pytest.approx(float(f(outputs, targets)), rel=1e-5)
                                  for name, f in metrics.items()}
    assert evaluation.confusion is None
    with pytest.raises(ValueError, match="only targets that are classes have a confusion matrix, and accuracy"):
        evaluation.accuracy  # noqa: B018
    write_history(history, tmp_path / "metrics.csv")
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == ",".join(history[0])


@pytest.mark.parametrize("size", [1, 3, 10])
def test_metrics_see_all_the_data_at_once_whatever_the_batch_size(size):
    seen = []

    def largest(outputs, targets):
        seen.append((outputs.copy(), targets.copy()))
        return nn.functional.l1_loss(outputs, np.eye(4)[targets])

    learner = learner_of(metrics={"largest": largest})
    inputs, labels = batch(10)
    evaluation = learner.evaluate(DataLoader((inputs, labels), size))
    (outputs, targets), = seen
    np.testing.assert_array_equal(targets, labels)
    np.testing.assert_allclose(outputs, learner.model.eval()(inputs).data, rtol=1e-5, atol=1e-6)
    assert evaluation.numbers() == {"loss": evaluation.loss, "accuracy": evaluation.accuracy, **evaluation.metrics}


def test_a_metric_may_take_the_place_of_the_accuracy_but_not_of_the_loss():
    def accuracy(outputs, targets):
        return ((outputs > 0) == targets).mean()

    inputs, labels = batch(12)
    data = DataLoader((inputs, (labels > 1).astype(np.float32)[:, None]), 5)
    model = nn.Linear(6, 1)
    learner = learner_of(model, loss=nn.BCEWithLogitsLoss(), metrics={"accuracy": accuracy}, callbacks=[KeepBest()])
    (row,) = learner.fit(data, data)
    assert row["valid_accuracy"] == ((model.eval()(inputs).data[:, 0] > 0) == (labels > 1)).mean()
    with pytest.raises(ValueError, match="cannot be named 'loss'"):
        learner_of(metrics={"loss": accuracy})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes_may_come_with_a_one_in_a_row_of_zeros(dtype):
    inputs, labels = batch(10)
    learner = learner_of()
    expected = learner.evaluate(DataLoader((inputs, labels), 4))
    one_hot = np.eye(4, dtype=dtype)[labels]
    history = learner.fit(DataLoader((inputs, one_hot), 4), DataLoader((inputs, one_hot), 4))
    assert "valid_accuracy" in history[0]
    learner = learner_of(learner.model)
    found = learner.evaluate(DataLoader((inputs, one_hot), 4))
    again = learner.evaluate(DataLoader((inputs, labels), 4))
    assert found.loss == pytest.approx(again.loss, rel=1e-5)
    np.testing.assert_array_equal(found.confusion, again.confusion)
    assert expected.confusion.sum() == found.confusion.sum() == 10


def test_probabilities_are_no_classes_not_even_in_one_batch():
    inputs, labels = batch(10)
    targets = np.eye(4, dtype=np.float32)[labels]
    targets[-1] = 0.25
    evaluation = learner_of().evaluate(DataLoader((inputs, targets), 4))
    assert evaluation.confusion is None
    assert set(evaluation.numbers()) == {"loss"}


def test_each_pixel_may_have_a_class():
    model = nn.Conv2d(1, 3, 1)
    images = np.random.default_rng(0).standard_normal((5, 1, 4, 4)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, (5, 4, 4))
    labels[0] = -100
    evaluation = Learner(model, SGD(model.parameters())).evaluate(DataLoader((images, labels), 2))
    right = model(images).data.argmax(1) == labels
    assert evaluation.accuracy == pytest.approx(right[1:].mean())
    assert evaluation.confusion.sum() == 4 * 16
    exact = nn.functional.cross_entropy(model(images[1:]), labels[1:]).item()
    assert evaluation.loss == pytest.approx(exact, rel=1e-5)


def test_outputs_of_any_kind_can_be_evaluated_if_the_loss_takes_them():
    class Two(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(6, 4)

        def forward(self, x):
            return self.linear(x), self.linear(-x)

    def loss(outputs, targets):
        return sum(nn.functional.cross_entropy(logits, targets) for logits in outputs)

    model = Two()
    (row,) = Learner(model, SGD(model.parameters()), loss).fit(DataLoader(batch(), 8), DataLoader(batch(), 8))
    assert "valid_loss" in row
    assert "valid_accuracy" not in row


# ---------------------------------------------------------------- batches of which nothing counts, and of one sample


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("fault", ["ignored", "weight 0"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_of_which_nothing_counts_takes_no_step(workers, fault, reduction):
    inputs, labels = batch(24)
    labels = np.maximum(labels, 1)
    labels[8:16] = -100 if fault == "ignored" else 0
    log = []
    model = network()
    loss = nn.CrossEntropyLoss(None if fault == "ignored" else [0.0, 1.0, 1.0, 1.0], reduction=reduction)
    optimizer = Adam(model.parameters(), weight_decay=0.1)
    scheduler = OneCycleLR(optimizer, 0.1, total_steps=3)
    learner = Learner(model, optimizer, loss, scheduler, [Recorder(log)], workers)
    (row,) = learner.fit(DataLoader((inputs, labels), 8), DataLoader((inputs, labels), 8))
    assert learner.step == 2
    assert log.count("batch end") == 2
    assert np.isfinite([row["train_loss"], row["valid_loss"]]).all()
    before = model.state_dict()
    assert not learner.train_batch(inputs[8:16], labels[8:16]) > 0
    assert learner.step == 2
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_data_of_which_nothing_counts_are_refused():
    inputs, labels = batch(8)
    nothing = DataLoader((inputs, np.full_like(labels, -100)), 4)
    with pytest.raises(ValueError, match="cannot train on these 8 samples: every label is one that the loss ignores"):
        learner_of().fit(nothing)
    with pytest.raises(ValueError, match="cannot evaluate on these samples: every label is one that the loss ignores"):
        learner_of().evaluate(nothing)


def test_a_loss_that_is_not_a_number_is_not_taken_for_a_batch_without_labels():
    inputs, labels = batch(8)
    inputs[0] = np.nan
    labels[4:] = -100
    with pytest.raises(NonFiniteLoss):
        learner_of().fit(DataLoader((inputs, labels), 8))


def with_batch_norm():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))


@pytest.mark.parametrize(("samples", "size"), [(9, 4), (5, 1), (1, 4), (33, np.int64(32))])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_of_one_sample_is_refused_before_training_if_the_model_cannot_take_it(samples, size, workers):
    model = with_batch_norm()
    before, log = model.state_dict(), []
    learner = learner_of(model, workers=workers, callbacks=[Recorder(log)])
    which = "each" if size == 1 else rf"the last of {samples} samples in batches of {size}"
    sentence = rf"a batch of one sample, which is {which} \(.*\): choose another batch_size, or .* drop_last=True"
    generator = nn.manual_seed(0)
    state = generator.bit_generator.state
    with pytest.raises(ValueError, match=sentence):
        learner.fit(DataLoader(batch(samples), size, shuffle=True), DataLoader(batch(), 8), epochs=2)
    assert (log, learner.epoch, learner.step) == ([], 0, 0)
    assert generator.bit_generator.state == state
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_batch_of_one_sample_is_refused_before_training_if_the_model_cannot_be_evaluated_on_it():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 4))
    learner = learner_of(model)
    with pytest.raises(ValueError, match="evaluated on a batch of one sample, which is the last of 9 samples"):
        learner.fit(DataLoader(batch(8), 4), DataLoader(batch(9), 4))
    assert learner.step == 0
    assert len(learner_of(with_batch_norm()).fit(DataLoader(batch(8), 4), DataLoader(batch(9), 4))) == 1


def test_a_batch_of_one_sample_is_trained_on_where_that_is_possible():
    for model, drop_last in ((network(0.5), False), (with_batch_norm(), True)):
        learner = learner_of(model)
        learner.fit(DataLoader(batch(9), 4, drop_last=drop_last), epochs=2)
        assert learner.step == 4 + 2 * (not drop_last)
    model = with_batch_norm()
    model[1].freeze()
    assert len(Learner(model, SGD(trainable(model))).fit(DataLoader(batch(9), 4))) == 1
    images = np.ones((5, 1, 4, 4), np.float32), np.arange(5) % 2
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    assert len(learner_of(model).fit(DataLoader(images, 2))) == 1, "each channel has more than one pixel"


def test_trying_one_sample_changes_no_training():
    def trained(trial):
        generator = nn.manual_seed(3)
        model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2))
        data = np.random.default_rng(0).standard_normal((9, 1, 4, 4)).astype(np.float32), np.arange(9) % 2, np.arange(9)
        moves = Compose(RandomShift(1), AlternatingFlip(9))
        learner = learner_of(model)
        if not trial:
            learner.check_batches_of_one = lambda loader, training=True: None
        learner.fit(DataLoader(data, 4, shuffle=True, generator=generator, transform=moves), epochs=2)
        return model.state_dict()

    expected = trained(trial=False)
    for name, array in trained(trial=True).items():
        np.testing.assert_array_equal(array, expected[name])


class Noisy(nn.Module):
    """A layer, or by `of` a transform, that draws noise from a generator of its own, and cannot be copied."""

    def __init__(self, generator):
        self.own, self.lock = generator, threading.Lock()

    def forward(self, x):
        return x + self.own.standard_normal(x.shape).astype(np.float32)

    def of(self, inputs, *others):
        return (self.forward(inputs), *others)


def noise_of(generator):
    """A transform that is a function."""
    return lambda inputs, *others: (inputs + generator.standard_normal(inputs.shape).astype(np.float32), *others)


@pytest.mark.parametrize("transform", [noise_of, lambda generator: Noisy(generator).of])
@pytest.mark.parametrize("trial", [
    lambda learner, loader: learner.check_batches_of_one(loader),
    lambda learner, loader: find_lr(learner, loader, steps=5),
    lambda learner, loader: find_lr(learner, DataLoader(loader.arrays, 4, transform=loader.transform), steps=5),
])
def test_a_trial_leaves_generators_where_they_were_whatever_draws_from_them(transform, trial):
    generators = [np.random.default_rng(seed) for seed in (1, 2)]
    before = [generator.bit_generator.state for generator in generators]
    learner = learner_of(nn.Sequential(Noisy(generators[0]), nn.Linear(6, 4)))
    trial(learner, DataLoader(batch(10), 3, transform=transform(generators[1])))
    assert [generator.bit_generator.state for generator in generators] == before


def test_a_transform_that_can_be_copied_hears_nothing_of_a_trial():
    class Counting:
        def __init__(self):
            self.seen, self.norm = 0, nn.BatchNorm1d(6)

        def __call__(self, inputs, *others):
            self.seen += 1
            return (self.norm(inputs).numpy(), *others)

    transform = Counting()
    learner_of(network()).check_batches_of_one(DataLoader(batch(10), 3, transform=transform))
    assert transform.seen == transform.norm.num_batches_tracked == 0


def test_a_batch_of_one_sample_is_refused_whatever_the_transform_holds():
    loader = DataLoader(batch(9), 4, transform=Noisy(np.random.default_rng(0)).of)
    with pytest.raises(ValueError, match="cannot be trained on a batch of one sample"):
        learner_of(with_batch_norm()).fit(loader)


def test_what_fails_for_any_batch_is_said_as_it_is():
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8))
    with pytest.raises(ValueError, match="Linear expects inputs"):
        learner_of(model).fit(DataLoader(batch(9), 4))


# ---------------------------------------------------------------- settings


def test_numbers_of_numpy_are_settings_and_can_be_saved(tmp_path):
    model = network()
    optimizer = AdamW(model.parameters(), lr=np.float32(0.01))
    scheduler = LinearLR(optimizer, np.float32(0.5), total_iters=np.int64(3))
    learner = Learner(model, optimizer, scheduler=scheduler, workers=np.int64(2))
    learner.fit(DataLoader(batch(), np.int64(8)), epochs=np.int64(2))
    learner.history[-1]["score"] = np.float32(0.5)
    learner.save(tmp_path / "learner.npz")
    optimizer = AdamW(model.parameters())
    other = Learner(model, optimizer, scheduler=LinearLR(optimizer))
    other.load(tmp_path / "learner.npz")
    assert other.history[-1]["score"] == 0.5
    assert other.scheduler.state_dict() == scheduler.state_dict()


@pytest.mark.parametrize("epochs", [-1, 1.5, "3", None])
def test_a_number_of_epochs_that_is_none_is_refused(epochs):
    with pytest.raises(ValueError, match=f"fit expects epochs to be an integer of at least 0, got {epochs!r}"):
        learner_of().fit(DataLoader(batch(), 8), epochs=epochs)
    assert learner_of().fit(DataLoader(batch(), 8), epochs=0) == []


def test_an_optimizer_of_another_model_is_refused_but_not_one_of_the_loss_or_of_a_part():
    model, other = network(), network()
    with pytest.raises(ValueError, match="the SGD has the parameters of another model, none of this"):
        Learner(model, SGD(other.parameters()))

    class Tempered(nn.Module):
        def __init__(self):
            self.temperature = nn.Parameter(1.0)

        def forward(self, logits, labels):
            return nn.CrossEntropyLoss()(logits * self.temperature, labels)

    loss = Tempered()
    Learner(model, SGD(loss.parameters()), loss)
    Learner(model, SGD(model[-1].parameters()))


@pytest.mark.parametrize("make_scheduler", [None, lambda optimizer: ExponentialLR(optimizer, np.float32(0.5))])
def test_learning_rates_that_are_numbers_of_numpy_go_into_a_state_that_loads(make_scheduler):
    first, loader, _ = set_up(sgd, make_scheduler, seed=1)
    first.optimizer.param_groups[0]["lr"] = np.float32(0.1)
    first.fit(loader)
    second, *_ = set_up(sgd, make_scheduler, seed=2)
    second.load_state_dict(first.state_dict())
    assert second.history == first.history


def test_a_schedule_of_another_optimizer_is_refused():
    model = network()
    with pytest.raises(ValueError, match="the LinearLR is of another optimizer"):
        Learner(model, SGD(model.parameters()), scheduler=LinearLR(SGD(model.parameters())))


def test_a_schedule_that_looks_at_the_metric_of_an_epoch_is_refused():
    model = nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=0.5)
    with pytest.raises(TypeError, match="step it in a callback"):
        Learner(model, optimizer, scheduler=ReduceLROnPlateau(optimizer))


# ---------------------------------------------------------------- frozen parts


def normed():
    """A body with batch norm and dropout, and a head."""
    return nn.Sequential(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)), nn.Linear(8, 4))


def trainable(model):
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_frozen_part_stays_as_it_was_in_a_whole_training(workers):
    model = normed()
    model[0].freeze()
    before = model.state_dict()
    learner = Learner(model, SGD(trainable(model), lr=0.1), workers=workers)
    learner.fit(DataLoader(batch(), 8), DataLoader(batch(seed=1), 8), epochs=2)
    model.eval()
    learner.fit(DataLoader(batch(), 8), epochs=1)
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]) == name.startswith("0."), name
    assert modes(model) == [True, False, False, False, False, True]
    assert all(parameter.grad is None for parameter in model[0].parameters())


def test_what_was_frozen_is_trained_again_when_it_is_freed():
    model = normed()
    model.freeze()
    assert not trainable(model)
    assert not any(modes(model.train()))
    model.freeze(False)
    assert not any(modes(model))
    assert all(modes(model.train()))
    before = model.state_dict()
    Learner(model, SGD(trainable(model), lr=0.1)).fit(DataLoader(batch(), 8))
    changed = {name for name, array in model.state_dict().items() if not np.array_equal(array, before[name])}
    assert {"0.0.weight", "0.1.weight", "0.1.running_mean", "0.1.num_batches_tracked", "1.weight"} <= changed


def test_a_frozen_part_computes_the_same_in_training_and_evaluation():
    model = normed()
    model[0].freeze()
    inputs = batch()[0]
    np.testing.assert_array_equal(model.train()(inputs).data, model.eval()(inputs).data)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_module_that_decides_on_its_mode_itself_is_asked(depth):
    class Kept(nn.Module):
        def __init__(self):
            self.norm, self.drop = nn.BatchNorm1d(6), nn.Dropout(0.5)

        def train(self, mode=True):
            super().train(mode)
            self.norm.eval()
            return self

        def forward(self, x):
            return self.drop(self.norm(x))

    kept = Kept()
    body = kept
    for _ in range(depth):
        body = nn.Sequential(body)
    model = nn.Sequential(body, nn.Linear(6, 4))
    before = kept.state_dict()
    learner_of(model).fit(DataLoader(batch(), 8), DataLoader(batch(), 8), epochs=2)
    assert (kept.training, kept.norm.training, kept.drop.training) == (True, False, True)
    assert kept.norm.num_batches_tracked == 0
    np.testing.assert_array_equal(kept.norm.running_mean, before["norm.running_mean"])


def test_validation_data_that_are_empty_are_refused_before_training():
    learner = learner_of()
    with pytest.raises(ValueError, match="cannot evaluate on no data: the loader of the validation data"):
        learner.fit(DataLoader(batch(), 8), DataLoader(batch(0), 8))
    assert learner.step == 0


@pytest.mark.parametrize("result", [None, np.ones(2), "good"])
def test_a_metric_that_is_no_number_is_named(result):
    learner = learner_of(metrics={"odd": lambda outputs, targets: result})
    with pytest.raises(TypeError, match="the metric 'odd' returns one number for all the data, got"):
        learner.evaluate(DataLoader(batch(), 8))


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


class Nothing(nn.Linear):
    def forward(self, x):
        pass


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("result", [0.5, np.float32(0.5), None])
def test_a_loss_that_is_no_tensor_is_said(result, workers):
    learner = learner_of(loss=lambda outputs, targets: result, workers=workers)
    with pytest.raises(TypeError, match=f"a loss is a Tensor .* got .* of type {type(result).__name__}"):
        learner.fit(DataLoader(batch(), 8))


@pytest.mark.parametrize(
    "model", [nn.Linear(6, 1), nn.Sequential(nn.Linear(6, 3), nn.Flatten(0)), Pair(6, 3), Nothing(6, 3)]
)
def test_outputs_that_are_no_classes_are_not_predicted(model):
    with pytest.raises(ValueError, match="are no classes to predict: call the model"):
        learner_of(model).predict(DataLoader(batch(), 8))


@pytest.mark.parametrize(
    "make",
    [
        lambda number: EarlyStopping(patience=number),
        lambda number: AveragedWeights(0.5, every=number),
        lambda number: AlternatingFlip(number),
        lambda number: RandomShift(number),
        lambda number: RandomErase(number),
        lambda number: Mixup(0.2, number),
        lambda number: DataLoader(batch(), number),
        lambda number: learner_of(workers=number),
        lambda number: nn.data.stratified_split(batch()[1], number),
        lambda number: find_lr(learner_of(), DataLoader(batch(), 8), steps=number),
        lambda number: learner_of().fit(DataLoader(batch(), 8), epochs=number),
    ],
)
def test_a_count_is_any_integer_and_nothing_else(make):
    for number in (np.int64(3), np.uint8(3)):
        make(number)
    for number in (3.5, np.float32(3.0)):
        with pytest.raises(ValueError, match=f"got {number!r}|got {number}".replace("(", r"\(").replace(")", r"\)")):
            make(number)


def test_whatever_has_a_length_and_gives_batches_is_a_loader():
    inputs, labels = batch(9)
    batches = [(inputs[:8], labels[:8]), (inputs[8:], labels[8:])]
    (row,) = learner_of().fit(batches, batches)
    assert row["valid_loss"] > 0


# ---------------------------------------------------------------- data that are no batches of inputs and targets


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (lambda x, y: (x, y), "got a ndarray"),
        (lambda x, y: DataLoader((x,), 4), "got 1 arrays"),
        (lambda x, y: DataLoader((x, y, y), 4), "got 3 arrays"),
        (lambda x, y: [x[:2]], "got a ndarray"),
    ],
)
def test_batches_that_are_not_inputs_and_targets_are_refused(make, given):
    data, learner = make(*batch(8)), learner_of()
    for use in (learner.fit, learner.evaluate, lambda data: find_lr(learner, data)):
        with pytest.raises(ValueError, match=f"a batch is inputs and targets, {given}"):
            use(data)
    assert learner.step == 0


def test_predictions_are_of_batches_of_arrays():
    learner, (inputs, _) = learner_of(), batch(8)
    assert learner.predict(DataLoader((inputs,), 4)).shape == (8,)
    with pytest.raises(ValueError, match="a batch is a tuple of arrays, got a ndarray: put the data into a DataLoader"):
        learner.predict(inputs)


def test_a_loader_that_can_be_gone_through_only_once_is_refused():
    learner = learner_of()
    with pytest.raises(TypeError, match="cannot train on a generator: every epoch goes through all of a DataLoader"):
        learner.fit(iter(DataLoader(batch(8), 4)))


def test_a_loader_that_gives_no_batches_is_said_to():
    class Empty:
        def __len__(self):
            return 2

        def __iter__(self):
            return iter([])

    with pytest.raises(ValueError, match="cannot train on no data: the loader gave no batches"):
        learner_of().fit(Empty())


def test_a_state_that_is_refused_leaves_no_trace_in_the_next_fit():
    def learner():
        model = nn.Linear(2, 2)
        return Learner(model, SGD(model.parameters(), lr=0.1), callbacks=[EarlyStopping("train_loss", patience=3)])

    loader = DataLoader((np.eye(2, dtype=np.float32), np.arange(2)), 2)
    ours = learner()
    ours.fit(loader, epochs=2)
    with pytest.raises(ValueError, match="of"):
        ours.load_state_dict({**ours.state_dict(), "model": {"weight": np.zeros((9, 9))}})
    other = DataLoader((np.eye(2, dtype=np.float32), np.arange(2)), 1, shuffle=True, generator=np.random.default_rng(0))
    assert len(ours.fit(other, epochs=1)) == 3


def test_what_a_loader_does_after_its_last_batch_is_done_when_training_is_stopped_in_that():
    ended = []

    class Loader:
        def __len__(self):
            return 2

        def __iter__(self):
            for _ in range(2):
                yield np.eye(2, dtype=np.float32), np.arange(2)
            ended.append(True)

    class StopAt(Callback):
        def __init__(self, step):
            self.step = step

        def on_batch_end(self, learner):
            learner.stop = learner.step == self.step

    for step, expected in ((1, []), (2, [True])):
        model = nn.Linear(2, 2)
        learner = Learner(model, SGD(model.parameters(), lr=0.1), callbacks=[StopAt(step)])
        learner.fit(Loader(), epochs=3)
        assert (learner.step, learner.complete, ended) == (step, step == 2, expected)


@pytest.mark.parametrize(("make", "message"), [
    (lambda m, o: Learner(m, o, nn.CrossEntropyLoss), r"CrossEntropyLoss is a class: .*CrossEntropyLoss\(\.\.\.\)"),
    (lambda m, o: Learner(m, o, callbacks=[nn.callbacks.KeepBest]), "KeepBest is a class"),
    (lambda m, o: Learner(m, SGD), "SGD is a class"),
])
def test_a_class_in_place_of_its_object_is_said(make, message):
    model = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=message):
        make(model, SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize(("make", "message"), [
    (lambda m, o: Learner(m, None), "Learner expects optimizer to be of the kind Optimizer, got None"),
    (lambda m, o: Learner(m.parameters(), o), "Learner expects model to be of the kind Module, got <generator"),
    (lambda m, o: Learner(m, o, "mse"), "Learner expects loss to be of the kind Callable, got 'mse'"),
    (lambda m, o: Learner(m, o, callbacks=Callback()), "Learner expects callbacks to be a list of them, got <nn"),
    (lambda m, o: Learner(m, o, callbacks=[print]), "each callback to be of the kind Callback, got <built-in"),
    (lambda m, o: Learner(m, o, metrics=[len]), "Learner expects metrics to be functions by name, got"),
])
def test_a_part_of_another_kind_is_refused_when_the_learner_is_made(make, message):
    model = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=message):
        make(model, SGD(model.parameters(), lr=0.1))


def test_targets_in_a_list_are_evaluated_as_they_are_trained_on():
    learner, (inputs, targets) = learner_of(metrics={"size": lambda outputs, targets: len(targets)}), batch()
    as_list = [(inputs, targets.tolist())]
    learner.fit(as_list, as_list)
    expected = learner.evaluate([(inputs, targets)])
    assert learner.evaluate(as_list).numbers() == expected.numbers()
    np.testing.assert_array_equal(learner.evaluate(as_list).confusion, expected.confusion)


def test_files_and_settings_of_another_kind_are_said(tmp_path):
    model = nn.Linear(2, 2)
    nn.save(model.state_dict(), tmp_path / "model.npz")
    with pytest.raises(nn.FileError, match="it holds no learner: weights alone are for the model's own"):
        Learner(model, SGD(model.parameters(), lr=0.1)).load(tmp_path / "model.npz")
    with pytest.raises(nn.FileError, match="a Linear is no dict of arrays: save what its state_dict"):
        nn.save(model, tmp_path / "model.npz")
    for mean, given in (([0.5], r"\[0.5\]"), ("1", "'1'"), (np.inf, "inf")):
        with pytest.raises(ValueError, match=f"Normalize expects mean to be a number .*less than inf, got {given}"):
            nn.data.Normalize(mean, 0.5)
    with pytest.raises(TypeError, match=r"a parameter is a Tensor, got \('weight'.* of type tuple: pass model"):
        SGD(model.named_parameters(), lr=0.1)
