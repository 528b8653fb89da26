import numpy as np
import pytest

import nn
from nn.augmentation import AlternatingFlip, Compose, RandomErase, RandomFlip, RandomShift
from nn.data import DataLoader
from nn.learner import Callback, Learner
from nn.lr_finder import find_lr
from nn.optim import SGD, Adam
from nn.schedules import OneCycleLR


class Quadratic(nn.Module):
    """A loss of curvature 1 that does not depend on the data, so that SGD diverges with a learning rate above 2."""

    def forward(self, outputs, targets):
        return (outputs * outputs).sum() * 0.5


class Weight(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter([3.0])
        self.calls = np.array(0)

    def forward(self, x):
        self.calls += 1
        return self.weight * 1.0


def nothing(n=4):
    return DataLoader((np.zeros(n, np.float32), np.zeros(n, int)), 2)


def quadratic(optimizer_type=SGD, **settings):
    model = Weight()
    return Learner(model, optimizer_type(model.parameters(), lr=0.5), Quadratic(), **settings)


def test_the_learning_rate_rises_exponentially_and_the_loss_is_that_of_training_with_it():
    search = find_lr(quadratic(), nothing(), low=1e-4, high=1.0, steps=9)
    np.testing.assert_allclose(search.lrs, 10.0 ** np.arange(-4, 0.1, 0.5), rtol=1e-12)
    weights = 3.0 * np.cumprod([1.0, *(1 - search.lrs[:-1])])
    np.testing.assert_allclose(search.losses, weights**2 / 2, rtol=1e-12)


def test_the_search_ends_when_the_loss_diverges():
    search = find_lr(quadratic(), nothing(), low=1e-2, high=1e4, steps=120)
    assert len(search.losses) == len(search.lrs) < 120
    smoothed = [search.losses[0]]
    for loss in search.losses[1:]:
        smoothed.append(0.9 * smoothed[-1] + 0.1 * loss)
    diverged = [loss > 4 * min(smoothed[: i + 1]) for i, loss in enumerate(smoothed)]
    assert diverged == [False] * (len(smoothed) - 1) + [True]


class Scripted(Learner):
    """Its batches hold nothing but their number, of which `losses` says the loss; None does not count."""

    def __init__(self, losses):
        self.losses = losses
        model = nn.Linear(1, 1)
        super().__init__(model, SGD(model.parameters()))

    def train_batch(self, inputs, targets, *, backward=None):
        loss = self.losses[int(inputs[0, 0])]
        self.step += loss is not None
        return np.nan if loss is None else loss

    def search(self):
        numbers = np.arange(float(len(self.losses)))[:, None]
        return find_lr(self, DataLoader((numbers, numbers), 1), steps=len(self.losses))


@pytest.mark.parametrize("typical", [3.0, 0.0, -0.1, -5.0, -1e6])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_search_ends_as_a_loss_of_any_sign_and_size_diverges(typical, scale):
    noise = np.random.default_rng(0).uniform(-1, 1, 40)
    losses = scale * np.array([*(typical + noise - np.linspace(0, 2, 40)), *(abs(typical) + 1) * 2.0 ** np.arange(40)])
    assert 40 < len(Scripted(losses).search().losses) < 60


def test_the_suggestion_lies_where_the_loss_falls():
    search = find_lr(quadratic(), nothing(), low=1e-4, high=1e3, steps=100)
    assert 0.01 < search.suggestion < 2
    assert search.suggestion in search.lrs


def test_the_search_ends_before_a_loss_that_is_not_finite():
    class Broken(Quadratic):
        calls = 0

        def forward(self, outputs, targets):
            Broken.calls += 1
            return super().forward(outputs, targets) * (np.nan if Broken.calls > 5 else 1.0)

    model = Weight()
    search = find_lr(Learner(model, SGD(model.parameters()), Broken()), nothing(), steps=10)
    assert len(search.lrs) == len(search.losses) == 5
    assert np.isfinite(search.losses).all()
    assert model.weight.data == 3.0


@pytest.mark.parametrize("fails", [False, True])
def test_the_learner_is_afterwards_as_it_was_whatever_happens(fails):
    class Count(Callback):
        def on_batch_end(self, learner):
            assert learner.step <= 2, "the search tells nobody"

    class Failing(Quadratic):
        fails = False

        def forward(self, outputs, targets):
            if self.fails and learner.model.calls == 5:
                raise RuntimeError("broken")
            return super().forward(outputs, targets)

    model = Weight()
    optimizer = Adam(model.parameters(), lr=0.5)
    scheduler = OneCycleLR(optimizer, 0.5, total_steps=4)
    learner = Learner(model, optimizer, Failing(), scheduler, [Count()])
    learner.fit(nothing(), epochs=1)
    model.eval()
    learner.loss.fails = fails

    def everything():
        state = {name: array.tolist() for name, array in model.state_dict().items()}
        counts = learner.step, learner.epoch, model.training, learner.history, learner.scheduler is scheduler
        return state, repr(optimizer.state_dict()), scheduler.state_dict(), counts

    before = everything()
    if fails:
        with pytest.raises(RuntimeError, match="broken"):
            find_lr(learner, nothing(), steps=20)
    else:
        assert len(find_lr(learner, nothing(), steps=20).lrs) > 2
    assert everything() == before
    assert model.weight.grad is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 0.0}, "expects low to be a number from above 0 to inf, got 0.0"),
        ({"low": "a"}, "expects low to be a number from above 0 to inf, got 'a'"),
        ({"low": 1.0, "high": 0.5}, "expects high to be a number from above 1 to less than inf, got 0.5"),
        ({"high": np.inf}, "expects high to be a number from above 1e-06 to less than inf, got inf"),
        ({"steps": 1}, "expects steps to be an integer of at least 2, got 1"),
        ({"steps": None}, "expects steps to be an integer of at least 2, got None"),
        ({"train": DataLoader((np.zeros(0), np.zeros(0)), 2)}, "cannot find a learning rate on no data"),
        ({"train": iter([])}, "cannot find a learning rate on a list_iterator: every epoch goes through all"),
    ],
)
def test_searches_that_cannot_work_are_refused(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        find_lr(quadratic(), **({"train": nothing()} | settings))


def test_a_loss_that_diverges_at_once_is_an_error():
    with pytest.raises(ValueError, match=r"the loss diverges with a learning rate of only 1e\+200"):
        find_lr(quadratic(), nothing(), low=1e200, high=1e300, steps=3)


class Learned(nn.Module):
    """A cross-entropy with a temperature that is trained and a count that is kept."""

    def __init__(self):
        self.temperature, self.calls = nn.Parameter(np.ones(1, np.float32)), np.array(0)

    def forward(self, logits, targets):
        self.calls += 1
        return nn.functional.cross_entropy(logits * self.temperature, targets)


@pytest.mark.parametrize("steps", [2, 30])
def test_training_is_the_same_with_a_search_before_it(steps):
    def trained(search):
        generator = nn.manual_seed(1)
        own = np.random.default_rng(2)
        layers = [nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.5, own), nn.Dropout(0.2)]
        model, loss = nn.Sequential(*layers, nn.Linear(8, 2)), Learned()
        moves = Compose(RandomShift(1, generator=own), RandomFlip(generator=np.random.default_rng(3)), RandomErase(1))
        data = np.random.default_rng(0).standard_normal((10, 4, 4)).astype(np.float32), np.arange(10) % 2
        loader = DataLoader(data, 4, shuffle=True, generator=generator, transform=moves)
        optimizer = Adam([*model.parameters(), *loss.parameters()])
        learner = Learner(model, optimizer, loss)
        if search:
            find_lr(learner, loader, high=1.0, steps=steps)
        learner.fit(loader, epochs=2)
        return model.state_dict() | {f"loss.{name}": array for name, array in loss.state_dict().items()}

    expected = trained(search=False)
    assert expected["loss.calls"] == 6
    for name, array in trained(search=True).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_a_search_leaves_no_gradients_to_what_the_optimizer_has_not_either():
    class Scaled(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter([1.0])

        def forward(self, logits, targets):
            return nn.functional.cross_entropy(logits * self.scale, targets)

    model, loss = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), Scaled()
    data = DataLoader((np.eye(2, dtype=np.float32), np.arange(2)), 2)
    find_lr(Learner(model, SGD(model[1].parameters()), loss), data, steps=5)
    assert [p.grad for p in (*model.parameters(), loss.scale)] == [None] * 5


def test_a_search_leaves_frozen_layers_alone():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[0].freeze()
    before = model.state_dict()
    seen = []

    class Watch(nn.Module):
        def forward(self, logits, targets):
            seen.append([module.training for module in model.modules()])
            return nn.functional.cross_entropy(logits, targets)

    data = DataLoader((np.eye(2, dtype=np.float32), np.arange(2)), 2)
    find_lr(Learner(model, SGD(model[1].parameters()), Watch()), data, steps=5)
    assert seen == [[True, False, True]] * 5
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_batches_of_which_nothing_counts_are_passed_over(reduction):
    model = nn.Linear(2, 2)
    labels = np.array([0, 1, -100, -100])
    data = DataLoader((np.eye(4, 2, dtype=np.float32), labels), 2)
    learner = Learner(model, SGD(model.parameters()), nn.CrossEntropyLoss(reduction=reduction))
    search = find_lr(learner, data, low=0.1, high=1.0, steps=10)
    np.testing.assert_allclose(search.lrs, np.geomspace(0.1, 1.0, 10)[::2])
    assert (search.losses > 0).all()
    assert search.losses.shape == (5,)


def test_batches_that_are_too_small_for_the_model_are_refused_first():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    data = DataLoader((np.ones((5, 2), np.float32), np.zeros(5, int)), 2)
    with pytest.raises(ValueError, match=r"the last of 5 samples in batches of 2 .* choose another batch_size"):
        find_lr(Learner(model, SGD(model.parameters())), data)


def test_what_a_transform_counts_is_put_back():
    flip = AlternatingFlip(30, np.random.default_rng(0))
    before = flip.next_mirrored.copy()
    images = np.random.default_rng(1).random((30, 4, 4), np.float32)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    loader = nn.DataLoader((images, np.arange(30) % 2, np.arange(30)), 7, transform=flip)
    nn.find_lr(nn.Learner(model, nn.optim.SGD(model.parameters(), lr=0.1)), loader, steps=8)
    np.testing.assert_array_equal(flip.next_mirrored, before)


def test_a_generator_that_a_transform_draws_from_itself_is_put_back():
    class Noise:
        def __init__(self):
            self.generator = np.random.default_rng(0)

        def __call__(self, images, labels):
            return images + self.generator.standard_normal(images.shape).astype(np.float32), labels

    noise = Noise()
    before = noise.generator.bit_generator.state
    model = nn.Linear(4, 2)
    loader = nn.DataLoader((np.ones((30, 4), np.float32), np.arange(30) % 2), 7, transform=noise)
    nn.find_lr(nn.Learner(model, nn.optim.SGD(model.parameters(), lr=0.1)), loader, steps=8)
    assert noise.generator.bit_generator.state == before


def test_what_the_loss_falls_back_from_is_no_suggestion(monkeypatch):
    """Once the loss has jumped, its way back is the steepest fall of all, at a learning rate that is far too high."""
    model = nn.Linear(2, 2)
    learner = Learner(model, SGD(model.parameters(), lr=0.1))
    losses = iter([*np.linspace(2, 1, 60), *[3.5] * 12, *[1.5] * 28])

    def scripted(*batch):
        learner.step += 1
        return next(losses)

    monkeypatch.setattr(learner, "train_batch", scripted)
    search = find_lr(learner, DataLoader((np.eye(2, dtype=np.float32), np.arange(2)), 2))
    assert len(search.lrs) == 100
    assert search.suggestion < search.lrs[60]


def test_a_search_over_labels_that_do_not_count_says_so():
    model = nn.Linear(2, 2)
    learner = Learner(model, SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="needs two batches that count, got 5 of which in 5 every label is one that"):
        find_lr(learner, DataLoader((np.ones((4, 2), np.float32), np.full(4, -100)), 2), steps=5)


def test_the_steepest_fall_is_against_the_learning_rate_also_where_batches_do_not_count():
    search = Scripted([10.0, 9.0, *[None] * 8, 7.0]).search()
    assert len(search.losses) == 3
    assert search.suggestion == search.lrs[0]
