"""Where things stand: found wherever it is held, and put back."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

import nn
from nn.augmentation import AlternatingFlip, Compose, Mixup, RandomErase, RandomFlip, RandomShift
from nn.callbacks import AveragedWeights, EarlyStopping, KeepBest
from nn.data import DataLoader
from nn.state import moving_parts, put_states, states_of


def rng(seed=0):
    return np.random.default_rng(seed)


class Counter:
    def __init__(self):
        self.count = 0

    def __call__(self, *arrays):
        self.count += 1
        return arrays

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def test_generators_and_counts_are_found_wherever_they_are_held():
    one, two, three, four, counter = rng(), rng(), rng(), rng(), Counter()

    def closure(x):
        return two.random() * x

    holder = {"a": [one, closure], "b": partial(np.add, three), "c": Compose(RandomFlip(generator=four), counter)}
    found = moving_parts(holder)
    assert list(found.values()) == [one, two, three, four, counter]
    assert [*found][-2:] == ["c.transforms.0.generator", "c.transforms.1"]


@dataclass(slots=True)
class Noise:
    generator: np.random.Generator
    scale: float = 0.5


class Loud(Noise):
    def __init__(self, generator, other):
        super().__init__(generator)
        self.other = other


def test_generators_are_found_in_slots_and_in_the_defaults_of_functions():
    one, two, three, four = rng(), rng(), rng(), rng()

    def transform(x, scale=2.0, generator=one, *, other=two):
        return x * scale * generator.random() * other.random()

    assert moving_parts(transform) == {"generator": one, "other": two}
    assert moving_parts([Noise(three)]) == {"0.generator": three}
    assert sorted(moving_parts(Loud(three, four))) == ["generator", "other"]


def test_a_variable_that_is_not_set_yet_holds_nothing():
    def transform(x):
        return generator.random() * x

    assert moving_parts(transform) == {}
    generator = rng()
    assert moving_parts(transform) == {"generator": generator}


def test_what_holds_itself_is_walked_once():
    holder = {"rng": rng()}
    holder["self"] = holder["again"] = holder
    assert [*moving_parts(holder)] == ["rng"]


def test_states_are_copies_and_put_everything_back():
    parts = moving_parts({"rng": rng(), "flip": AlternatingFlip(5), "counter": Counter()})
    states = states_of(parts)
    drawn = parts["rng"].random()
    parts["counter"]()
    parts["flip"](np.zeros((5, 2, 2)), np.arange(5))
    assert not np.array_equal(parts["flip"].next_mirrored, states["flip"]["next_mirrored"])
    put_states(parts, states)
    assert parts["rng"].random() == drawn
    assert parts["counter"].count == 0
    np.testing.assert_array_equal(parts["flip"].next_mirrored, states["flip"]["next_mirrored"])


def test_what_has_a_state_may_hold_a_generator_and_others_that_have_one():
    counter = Counter()
    counter.generator, counter.inner = rng(), Counter()
    assert moving_parts([counter]) == {"0": counter, "0.generator": counter.generator, "0.inner": counter.inner}


def test_what_training_keeps_by_itself_is_no_part_of_a_transform_that_reads_it(tmp_path):
    model = nn.Linear(4, 3)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedules = nn.schedules.StepLR(optimizer, 2), nn.schedules.ReduceLROnPlateau(optimizer)
    averages = nn.WeightAverage(model, 0.9), AveragedWeights(0.9)
    learner = nn.Learner(model, optimizer, None, schedules[0], averages[1:])
    counter = Counter()
    read = [optimizer, *schedules, *averages, learner]

    def transform(images, labels):
        assert len(read) == 6
        return counter(images, labels)

    loader = DataLoader((np.ones((6, 4), np.float32), np.arange(6) % 3), 3, transform=transform)
    learner.fit(loader, epochs=2)
    assert moving_parts(loader) == {"transform.counter": counter}
    learner.save(tmp_path / "a.npz")
    learner.load(tmp_path / "a.npz")
    assert learner.fit(loader)[-1]["epoch"] == 3


def test_states_are_copies_even_where_a_part_gives_its_own_arrays():
    counter = Counter()
    counter.count = np.zeros(2)
    states = states_of({"counter": counter})
    counter.count += 1
    assert states["counter"]["count"].tolist() == [0, 0]


def test_states_of_other_parts_are_refused():
    with pytest.raises(ValueError, match=r"it has the states of \['other'\], but here these have one: \['rng'\]"):
        put_states({"rng": rng()}, {"other": {}})
    with pytest.raises(ValueError, match="of 4 samples here"):
        AlternatingFlip(4).load_state_dict(AlternatingFlip(5).state_dict())


@pytest.mark.parametrize("make", [
    lambda model, optimizer: AlternatingFlip(4), lambda model, optimizer: AlternatingFlip(0),
    lambda model, optimizer: nn.WeightAverage(model, 0.9), lambda model, optimizer: model,
    lambda model, optimizer: optimizer, lambda model, optimizer: nn.schedules.StepLR(optimizer, 1),
    lambda model, optimizer: nn.Learner(model, optimizer),
])
def test_an_empty_state_is_refused_by_whatever_has_one(make):
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"\w+"):
        make(model, nn.optim.SGD(model.parameters(), lr=0.1)).load_state_dict({})


# ---------------------------------------------------------------- the learner

class Noisy(Counter):
    """Whose state is its count alone."""

    def __init__(self):
        super().__init__()
        self.generator = rng(6)

    def __call__(self, x, y, _):
        return super().__call__(x + self.generator.random(x.shape), y)


TRANSFORM = {
    "default generator": lambda: Compose(
        RandomFlip(), AlternatingFlip(30), RandomShift(1), RandomErase(2), Mixup(0.2, 3)),
    "own generators": lambda: Compose(
        RandomFlip(generator=rng(1)), AlternatingFlip(30, rng(2)), RandomShift(1, generator=rng(3)),
        RandomErase(2, generator=rng(4)), Mixup(0.2, 3, generator=rng(5))),
    "a count and a generator": Noisy,
    "a function": lambda: partial(lambda generator, x, y, _: (x + generator.random(x.shape), y), rng(6)),
}
CALLBACKS = {
    "none": list,
    "averages": lambda: [AveragedWeights(0.9, every=2)],
    "best": lambda: [KeepBest("train_loss")],
    "patience": lambda: [EarlyStopping("train_loss", patience=2, min_delta=0.05)],
    "all": lambda: [AveragedWeights(0.9), KeepBest("train_loss"), EarlyStopping("train_loss", patience=3)],
    "all, the other way round": lambda: CALLBACKS["all"]()[::-1],
}


def learner_and_loader(transform, callbacks, workers):
    nn.manual_seed(7)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(8, 8), nn.Dropout(0.2, generator=rng(8)), nn.Linear(8, 3))
    optimizer = nn.optim.AdamW(model.parameters(), lr=0.05)
    schedule = nn.schedules.OneCycleLR(optimizer, 0.05, total_steps=60)
    arrays = rng(9).random((30, 6, 6)), np.arange(30) % 3, np.arange(30)
    loader = DataLoader(arrays, 8, shuffle=True, generator=rng(10), transform=TRANSFORM[transform]())
    return nn.Learner(model, optimizer, None, schedule, CALLBACKS[callbacks](), workers), loader


def ending(learner):
    rows = [{name: n for name, n in row.items() if name not in ("seconds", "images_per_second")}
            for row in learner.history]
    return rows, learner.step, {name: array.tobytes() for name, array in learner.model.state_dict().items()}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("transform", "callbacks"), [
    *((transform, "none") for transform in TRANSFORM), *(("default generator", callbacks) for callbacks in CALLBACKS)])
def test_training_that_goes_on_from_a_file_needs_no_luck(tmp_path, transform, callbacks, workers):
    straight, loader = learner_and_loader(transform, callbacks, workers)
    saved = [nn.callbacks.AfterEpoch(lambda learner: learner.save(tmp_path / f"{learner.epoch}.npz"))]
    straight.callbacks += saved
    straight.fit(loader, epochs=6)
    for epoch in range(1, len(straight.history) + 1):
        other, loader = learner_and_loader(transform, callbacks, workers)
        nn.manual_seed(99)
        other.load(tmp_path / f"{epoch}.npz")
        other.fit(loader, epochs=6 - epoch)
        assert ending(other) == ending(straight), epoch


@pytest.mark.parametrize("callbacks", CALLBACKS)
def test_training_goes_on_from_a_file_of_its_end_as_if_it_had_not_ended(tmp_path, callbacks):
    straight, loader = learner_and_loader("default generator", callbacks, 1)
    straight.fit(loader, epochs=6)
    for epochs in range(1, 6):
        first, loader = learner_and_loader("default generator", callbacks, 1)
        first.fit(loader, epochs=epochs)
        first.save(tmp_path / "a.npz")
        other, loader = learner_and_loader("default generator", callbacks, 1)
        other.load(tmp_path / "a.npz")
        assert ending(other) == ending(first), "what the file holds is the model that training ended with"
        other.fit(loader, epochs=6 - epochs)
        assert ending(other) == ending(straight), epochs


def test_a_file_may_be_saved_again_before_training_goes_on(tmp_path):
    first, loader = learner_and_loader("default generator", "all", 1)
    first.fit(loader, epochs=2)
    first.save(tmp_path / "a.npz")
    second, _ = learner_and_loader("default generator", "all", 1)
    second.load(tmp_path / "a.npz")
    second.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_whose_callbacks_the_learner_lacks_is_refused_when_training_goes_on(tmp_path):
    first, loader = learner_and_loader("default generator", "averages", 1)
    first.fit(loader, epochs=1)
    first.save(tmp_path / "a.npz")
    second, loader = learner_and_loader("default generator", "none", 1)
    second.load(tmp_path / "a.npz")
    said = "goes on with the callback AveragedWeights, which this learner has not, or not in that order: it has none"
    for _ in range(2):
        with pytest.raises(ValueError, match=said):
            second.fit(loader)


def test_a_fit_that_was_refused_goes_on_from_the_file_when_it_is_not(tmp_path):
    first, loader = learner_and_loader("default generator", "all", 1)
    first.fit(loader, epochs=3)
    first.save(tmp_path / "a.npz")
    ends = []
    for refused in (False, True):
        learner, loader = learner_and_loader("default generator", "all", 1)
        learner.load(tmp_path / "a.npz")
        if refused:
            learner.callbacks.reverse()
            with pytest.raises(ValueError, match="or not in that order: EarlyStopping, KeepBest, AveragedWeights"):
                learner.fit(loader, epochs=2)
            learner.callbacks.reverse()
        learner.fit(loader, epochs=2)
        ends.append((ending(learner), [callback.best for callback in learner.callbacks[1:]]))
    assert ends[0] == ends[1]


def test_callbacks_of_one_kind_are_not_taken_for_each_other(tmp_path):
    learner, loader = learner_and_loader("default generator", "none", 1)
    learner.callbacks = [KeepBest("train_loss"), KeepBest("lr")]
    learner.fit(loader, epochs=1)
    learner.save(tmp_path / "a.npz")
    learner, loader = learner_and_loader("default generator", "none", 1)
    learner.callbacks = [KeepBest("lr"), KeepBest("train_loss")]
    learner.load(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="KeepBest: it followed 'train_loss', mode 'min', and is to follow 'lr', mode"):
        learner.fit(loader)


class Tempered(nn.CrossEntropyLoss):
    """With a parameter, a buffer, and layers that differ in training."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(np.ones(1, np.float32))
        self.net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))

    def forward(self, logits, labels):
        return super().forward(self.net(logits) * self.scale, labels)


def test_what_a_loss_has_learned_is_saved_and_put_back(tmp_path):
    def learner_of():
        nn.manual_seed(3)
        model, loss = nn.Linear(4, 3), Tempered()
        optimizer = nn.optim.Adam([*model.parameters(), *loss.parameters()], lr=0.1)
        arrays = rng(1).random((20, 4)).astype(np.float32), np.arange(20) % 3
        return nn.Learner(model, optimizer, loss), DataLoader(arrays, 8)

    straight, loader = learner_of()
    straight.fit(loader, epochs=2)
    straight.save(tmp_path / "a.npz")
    straight.fit(loader, epochs=2)
    resumed, loader = learner_of()
    resumed.load(tmp_path / "a.npz")
    resumed.fit(loader, epochs=2)
    assert ending(resumed) == ending(straight)
    assert resumed.loss.scale.item() == straight.loss.scale.item() != 1
    before = resumed.loss.state_dict()
    evaluations = [resumed.evaluate(loader).loss for _ in range(2)]
    assert evaluations[0] == evaluations[1]
    assert resumed.loss.net.training
    assert all(np.array_equal(array, before[name]) for name, array in resumed.loss.state_dict().items())


def test_a_file_of_another_loader_is_refused_when_training_goes_on(tmp_path):
    first, loader = learner_and_loader("default generator", "none", 1)
    first.fit(loader, epochs=1)
    first.save(tmp_path / "a.npz")
    second, loader = learner_and_loader("a function", "none", 1)
    second.load(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="it has the states of"):
        second.fit(loader)


def test_settings_of_a_loss_are_not_what_it_has_learned(tmp_path):
    def learner_of(loss):
        nn.manual_seed(3)
        model = nn.Linear(4, 3)
        arrays = rng(1).random((20, 4)).astype(np.float32), np.arange(20) % 3
        return nn.Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), loss), DataLoader(arrays, 8)

    weight = np.float32([1, 2, 3])
    learner, loader = learner_of(nn.CrossEntropyLoss(weight=weight))
    learner.fit(loader)
    learner.save(tmp_path / "a.npz")
    old = learner.state_dict()
    del old["loss"]
    for loss in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(weight=5 * weight)):
        other, loader = learner_of(loss)
        before = loss.state_dict()
        other.load(tmp_path / "a.npz")
        other.load_state_dict(old)
        assert all(np.array_equal(array, before[name]) for name, array in loss.state_dict().items())
        other.fit(loader)
    tempered, _ = learner_of(Tempered())
    tempered.save(tmp_path / "b.npz")
    with pytest.raises(nn.FileError, match=r"its loss has learned \['scale'.*, that of the learner \[\]"):
        learner.load(tmp_path / "b.npz")
    tempered.loss.eval()
    tempered.fit(loader)
    assert not tempered.loss.training


def test_a_mode_that_says_the_same_is_the_same(tmp_path):
    learner, loader = learner_and_loader("default generator", "none", 1)
    learner.callbacks = [EarlyStopping("train_loss")]
    learner.fit(loader)
    learner.save(tmp_path / "a.npz")
    learner, loader = learner_and_loader("default generator", "none", 1)
    learner.callbacks = [EarlyStopping("train_loss", mode="min")]
    learner.load(tmp_path / "a.npz")
    learner.fit(loader)


def test_callbacks_may_come_from_a_generator():
    model = nn.Linear(2, 2)
    learner = nn.Learner(model, nn.optim.SGD(model.parameters()), callbacks=(KeepBest() for _ in range(2)))
    assert len(learner.callbacks) == 2
