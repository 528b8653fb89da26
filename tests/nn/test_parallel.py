"""Steps computed in several threads."""

import ctypes
import itertools
import threading
import time
from importlib import import_module

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.random import default_generator, drawing_from
from minigrad.trees import leaves
from nn.learner import evaluate, predict_proba
from nn.parallel import data_parallel, in_order, one_thread_for_products


def network():
    nn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 36, 3)
    )


def batch(samples):
    rng = np.random.default_rng(samples)
    return rng.standard_normal((samples, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, samples)


def gradients(model):
    return [parameter.grad.numpy() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("samples", [1, 2, 7, 12])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_parts_add_up_to_the_loss_and_gradient_of_the_batch(samples, workers):
    model, loss_function = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), nn.CrossEntropyLoss()
    inputs, labels = batch(samples)
    whole = loss_function(model(inputs), labels)
    whole.backward()
    expected = gradients(model)
    model.zero_grad()
    with data_parallel(model, loss_function, workers) as backward:
        loss = backward(inputs, labels)
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    for ours, theirs in zip(gradients(model), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_gradients_accumulate():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with data_parallel(model, nn.CrossEntropyLoss(), 2) as backward:
        backward(*batch(4))
        once = [gradient.copy() for gradient in gradients(model)]
        backward(*batch(4))
    for ours, first in zip(gradients(model), once, strict=True):
        np.testing.assert_allclose(ours, 2 * first, rtol=1e-5)


def test_a_hook_on_a_parameter_sees_the_gradient_of_the_whole_batch_once():
    model, seen = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), []
    inputs, labels = batch(6)
    nn.CrossEntropyLoss()(model(inputs), labels).backward()
    expected, _ = gradients(model)
    model.zero_grad()
    weight = model[1].weight
    weight.register_hook(lambda gradient: seen.append(gradient.numpy().copy()))
    weight.register_hook(lambda gradient: gradient.clip(-1e-3, 1e-3))
    with data_parallel(model, nn.CrossEntropyLoss(), 3) as backward:
        backward(inputs, labels)
    np.testing.assert_allclose(seen, [expected], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(weight.grad.numpy(), np.clip(seen[0], -1e-3, 1e-3))


def test_a_seed_decides_everything_with_dropout_and_batch_norm():
    def trained():
        model = network()
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
        loader = nn.DataLoader(batch(40), batch_size=16, shuffle=True)
        nn.Learner(model, optimizer, workers=3).fit(loader, epochs=3)
        return model.state_dict()

    first, second = trained(), trained()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_workers_draw_different_numbers():
    seen = []

    class Keep(nn.Module):
        def forward(self, outputs, targets):
            seen.append(outputs.numpy())
            return outputs.sum()

    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5, generator=np.random.default_rng(0)))
    with data_parallel(model, Keep(), 2) as backward:
        backward(np.ones((4, 64), np.float32), np.zeros(4))
    assert (seen[0][:2] != seen[0][2:]).any()


def test_running_averages_are_those_of_the_first_part():
    model, alone = network(), network()
    inputs, labels = batch(10)
    with data_parallel(model, nn.CrossEntropyLoss(), 2) as backward:
        backward(inputs, labels)
    alone(inputs[:5])
    for (name, ours), (_, theirs) in zip(model.named_buffers(), alone.named_buffers(), strict=True):
        np.testing.assert_array_equal(ours, theirs, name)


def test_an_error_in_a_thread_reaches_the_caller():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with data_parallel(model, nn.CrossEntropyLoss(), 2) as backward:
        with pytest.raises(ValueError, match="class indices from 0 to 2, got 7"):
            backward(batch(4)[0], np.array([0, 7, 0, 0]))
        assert backward(*batch(4)) > 0  # and does not stop the next step


def test_layers_that_were_set_to_evaluation_stay_so():
    class Freeze(nn.Callback):
        def on_epoch_start(self, learner):
            learner.model.eval()

    model = network()
    before = model.state_dict()
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    nn.Learner(model, optimizer, callbacks=[Freeze()], workers=2).fit(nn.DataLoader(batch(8), batch_size=4))
    np.testing.assert_array_equal(model.state_dict()["1.running_mean"], before["1.running_mean"])
    assert (model.state_dict()["0.weight"] != before["0.weight"]).any()


def test_a_generator_takes_the_place_of_the_default_in_one_thread_only():
    default, own, elsewhere = default_generator(), np.random.default_rng(0), []
    with drawing_from(own):
        thread = threading.Thread(target=lambda: elsewhere.append(default_generator()))
        thread.start()
        thread.join()
        assert default_generator() is own
    assert default_generator() is default
    assert elsewhere == [default]


@pytest.mark.parametrize(
    ("loss_function", "labels"),
    [
        (nn.CrossEntropyLoss(weight=[1.0, 9.0, 3.0]), [0, 0, 0, 0, 1, 1, 2, 1]),
        (nn.CrossEntropyLoss(reduction="sum"), [0, 1, 2, 0, 1, 2, 0, 1]),
        (nn.CrossEntropyLoss(), [0, 1, 2, 0, -100, -100, -100, -100]),
    ],
    ids=["class weights", "sum", "ignored"],
)
def test_any_loss_is_that_of_the_whole_batch(loss_function, labels):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    inputs, targets = batch(8)[0], np.array(labels)
    whole = loss_function(model(inputs), targets)
    whole.backward()
    expected = gradients(model)
    model.zero_grad()
    with data_parallel(model, loss_function, 2) as backward:
        assert backward(inputs, targets) == pytest.approx(whole.item(), rel=1e-5)
    for ours, theirs in zip(gradients(model), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_parameters_of_the_loss_get_their_gradients():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    class Penalised(nn.Module):
        def forward(self, logits, targets):
            return nn.functional.cross_entropy(logits, targets) + nn.functional.penalty([model[1].weight], l2=0.5)

    inputs, targets = batch(6)
    Penalised()(model(inputs), targets).backward()
    expected = gradients(model)
    model.zero_grad()
    with data_parallel(model, Penalised(), 2) as backward:
        backward(inputs, targets)
    for ours, theirs in zip(gradients(model), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_after_an_error_nothing_runs_on():
    class Slow(nn.Module):
        def __init__(self):
            self.linear, self.dropout = nn.Linear(4, 2), nn.Dropout(0.5)

        def forward(self, x):
            if x[0, 0] == 99:
                raise ValueError("a bad sample")
            time.sleep(0.1 if x[0, 0] == 5 else 0)
            return self.linear(self.dropout(x))

    good = np.ones((4, 4), np.float32)
    losses = []
    for slow in (4, 5):
        bad = np.repeat([[99], [99], [slow], [slow]], 4, 1).astype(np.float32)
        nn.manual_seed(0)
        with data_parallel(Slow(), nn.CrossEntropyLoss(), 2) as backward:
            with pytest.raises(ValueError, match="a bad sample"):
                backward(bad, np.zeros(4, int))
            losses.append(backward(good, np.zeros(4, int)))
    assert losses[0] == losses[1]


def test_small_batches_are_not_divided_further_than_batch_norm_allows():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 3))
    with data_parallel(model, nn.CrossEntropyLoss(), 4) as backward:
        for samples in (2, 3, 5):
            assert np.isfinite(backward(*batch(samples)))
    assert model.state_dict()["1.num_batches_tracked"] == 3


def test_anomalies_are_found_where_they_arise():
    class Logarithm(nn.Module):
        def forward(self, x):
            return mg.log(x * 0)

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), Logarithm())
    with (
        mg.detect_anomaly(),
        data_parallel(model, nn.CrossEntropyLoss(), 2) as backward,
        pytest.raises(ArithmeticError, match="the logarithm of 0"),
    ):
        backward(*batch(4))


def test_the_state_of_a_generator_decides_what_the_workers_draw():
    model, generator = network(), nn.manual_seed(0)
    state, losses = generator.bit_generator.state, []
    for _ in range(2):
        generator.bit_generator.state = state
        with data_parallel(model, nn.CrossEntropyLoss(), 2) as backward:
            losses.append(backward(*batch(8)))
    assert losses[0] == losses[1]


def test_products_use_one_thread_inside_and_as_many_as_before_outside():
    library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
    threads = getattr(library, "scipy_openblas_get_num_threads64_", None)
    if threads is None:
        pytest.skip("NumPy does not come with its own OpenBLAS")
    before = threads()
    first, second = one_thread_for_products(), one_thread_for_products()
    with first:
        assert threads() == 1
        second.__enter__()
    assert threads() == 1
    second.__exit__(None, None, None)
    assert threads() == before


def test_a_model_that_got_another_layer_is_said():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with data_parallel(model, nn.CrossEntropyLoss(), 2) as backward:
        backward(*batch(4))
        model.append(nn.ReLU())
        with pytest.raises(ValueError, match="had 3 modules when data_parallel began, and has 4 now: begin anew"):
            backward(*batch(4))


@pytest.mark.parametrize("workers", [0, 2.0, "2"])
def test_the_number_of_workers_is_checked(workers):
    with (
        pytest.raises(ValueError, match="an integer of at least 1, got"),
        data_parallel(network(), nn.CrossEntropyLoss(), workers),
    ):
        pass
    with pytest.raises(ValueError, match="an integer of at least 1, got"):
        nn.Learner(network(), nn.optim.SGD(network().parameters()), workers=workers)


def test_a_seed_inside_belongs_to_the_generator_of_the_thread():
    default = default_generator()
    with drawing_from(np.random.default_rng(0)):
        assert nn.manual_seed(1) is default_generator()
    assert default_generator() is default


@pytest.mark.parametrize("keep", [lambda g: g, lambda g: [g], lambda g: {"a": ({"b": g},)}])
def test_generators_of_layers_are_the_workers_own_wherever_a_layer_keeps_them(keep):
    drawn = []

    class Noise(nn.Module):
        def __init__(self):
            self.kept = keep(np.random.default_rng(0))

        def forward(self, x):
            (generator,) = leaves(self.kept)
            drawn.append(generator.random())
            return x * 1.0

    model = nn.Sequential(Noise(), nn.Linear(4, 3))
    with data_parallel(model, nn.CrossEntropyLoss(), 3) as backward:
        backward(np.ones((9, 4), np.float32), np.zeros(9, int))
    assert len(set(drawn)) == 3


@pytest.mark.parametrize(
    ("forward", "given"),
    [(lambda x: (x, x), "a tuple"), (lambda x: x.sum(0), r"\(3,\)"), (lambda x: mg.concatenate([x, x]), r"\(8, 3\)")],
)
def test_predictions_that_cannot_be_divided_like_the_samples_are_refused(forward, given):
    class Model(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return forward(self.linear(x))

    with (
        data_parallel(Model(), lambda predictions, targets: predictions[0].sum(), 2) as backward,
        pytest.raises(ValueError, match=rf"several workers need predictions \(4, ...\) in one tensor, got {given}"),
    ):
        backward(np.ones((8, 3), np.float32), np.zeros(8, int))


# ------------------------------------------------------------------------------------------------ evaluations


@pytest.mark.parametrize("workers", [2, 3, 50])
@pytest.mark.parametrize("batch_size", [3, 10, 40])
def test_evaluations_and_predictions_are_the_same_in_any_number_of_threads(batch_size, workers):
    model, loader = network(), nn.DataLoader(batch(40), batch_size)
    model(batch(8)[0])  # moves the running averages
    settings = nn.CrossEntropyLoss(np.array([1.0, 2.0, 3.0])), loader, {"largest": lambda outputs, _: outputs.max()}
    with one_thread_for_products():  # a product's last bits may depend on its threads
        ours, theirs = evaluate(model, *settings, workers), evaluate(model, *settings)
        assert ours.numbers() == theirs.numbers()
        np.testing.assert_array_equal(ours.confusion, theirs.confusion)
        np.testing.assert_array_equal(predict_proba(model, loader, workers), predict_proba(model, loader))


def test_the_threads_of_a_learner_evaluate_at_once_and_record_nothing():
    together = threading.Barrier(2, timeout=60)
    outputs = []

    class Waiting(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(64, 3)

        def forward(self, x):
            together.wait()
            outputs.append(self.linear(x.reshape(len(x), -1)))
            return outputs[-1]

    model, loader = Waiting(), nn.DataLoader(batch(12), 3)
    learner = nn.Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), workers=2)
    learner.evaluate(loader)
    learner.predict(loader)
    assert len(outputs) == 8
    assert not any(out.requires_grad for out in outputs)
    assert model.training
    assert model.linear.training


def test_results_come_in_the_order_of_the_items_which_are_taken_as_they_are_needed():
    taken = []

    def items():
        for i in itertools.count():
            taken.append(i)
            yield i

    def slow_at_first(i):
        time.sleep(0.05 if i % 3 == 0 else 0)
        return i * i

    results = in_order(slow_at_first, items(), 2)
    assert list(itertools.islice(results, 7)) == [i * i for i in range(7)]
    results.close()
    assert len(taken) == 7 + 2


@pytest.mark.parametrize("workers", [1, 3])
def test_what_fails_in_an_evaluation_is_raised_and_leaves_modes_as_they_were(workers):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    inputs, labels = batch(12)
    data = [(inputs[:4], labels[:4]), (inputs[:4, :, 1:], labels[:4]), (inputs[4:], labels[4:])]
    with pytest.raises(ValueError, match="64"):
        evaluate(model, nn.CrossEntropyLoss(), data, workers=workers)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("workers", [0, 2.0, "2"])
def test_an_evaluation_takes_a_number_of_threads(workers):
    loader = nn.DataLoader(batch(4), 2)
    with pytest.raises(ValueError, match="an integer of at least 1, got"):
        evaluate(network(), nn.CrossEntropyLoss(), loader, workers=workers)
    with pytest.raises(ValueError, match="an integer of at least 1, got"):
        predict_proba(network(), loader, workers)


def test_generators_inside_objects_that_a_module_holds_are_the_workers_own():
    drawn = []

    class Source:
        def __init__(self):
            self.generator = np.random.default_rng(0)

    class Noise(nn.Module):
        def __init__(self):
            self.source = Source()

        def forward(self, x):
            drawn.append(self.source.generator.random())
            return x * 1.0

    model = nn.Sequential(Noise(), nn.Linear(4, 3))
    with data_parallel(model, nn.CrossEntropyLoss(), 3) as backward:
        backward(np.ones((9, 4), np.float32), np.zeros(9, int))
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("hide", [
    lambda scale: {"_scale": nn.Parameter(scale)}, lambda scale: {"free": mg.tensor(scale, requires_grad=True)},
    lambda scale: {"held": [{"deep": (mg.tensor(scale, requires_grad=True),)}]},
], ids=["underscored", "plain tensor", "nested"])
def test_what_requires_gradients_and_is_no_parameter_by_name_is_shared_too(hide):
    class Scaled(nn.Module):
        def __init__(self, hidden):
            self.linear = nn.Linear(4, 2)
            vars(self).update(hidden)
            (self.name,) = hidden

        def forward(self, x):
            return self.linear(x) * self.scale()

        def scale(self):
            found = getattr(self, self.name)
            return found[0]["deep"][0] if isinstance(found, list) else found

    gradients = []
    x, labels = np.arange(40.0).reshape(10, 4) / 40, np.arange(10) % 2
    for workers in (1, 3):
        nn.manual_seed(0)
        model = Scaled(hide(np.ones(2)))
        with data_parallel(model, nn.CrossEntropyLoss(), workers) as backward:
            backward(x, labels)
        gradients.append(model.scale().grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-6)


def test_a_model_that_cannot_be_copied_is_one_sentence():
    model = network()
    model.lock = threading.Lock()
    with data_parallel(model, nn.CrossEntropyLoss(), 1):
        pass
    with (
        pytest.raises(TypeError, match=r"workers need copies of the model, .* cannot be copied: .*lock"),
        data_parallel(model, nn.CrossEntropyLoss(), 2),
    ):
        pass
