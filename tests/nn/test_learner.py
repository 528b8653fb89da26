import os
import signal
import threading

import numpy as np
import pytest

import nn
from nn import FileError
from nn.data import DataLoader
from nn.learner import Callback, Learner, NonFiniteLoss, evaluate, predict_proba
from nn.optim import SGD, Adam, AdamW
from nn.schedules import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, SequentialLR


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
    learner.fit(loader, epochs=1)
    assert [row["epoch"] for row in learner.history] == [1, 2, 3]
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
        arrays["optimizer.3.momentum_buffer"] = arrays["optimizer.3.momentum_buffer"][:-1]
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


def test_targets_that_are_no_classes_cannot_be_evaluated():
    model = nn.Linear(2, 2)
    learner = Learner(model, SGD(model.parameters(), lr=0.5), loss=nn.MSELoss())
    with pytest.raises(ValueError, match=r"one predicted class index a sample, got float32 of shape \(3, 2"):
        learner.evaluate(DataLoader((np.ones((3, 2), np.float32), np.ones((3, 2), np.float32)), 3))


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
    assert all(modes(model))
    before = model.state_dict()
    Learner(model, SGD(trainable(model), lr=0.1)).fit(DataLoader(batch(), 8))
    assert not any(np.array_equal(array, before[name]) for name, array in model.state_dict().items())


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
