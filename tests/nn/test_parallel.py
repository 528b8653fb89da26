"""Steps computed in several threads."""

import threading

import numpy as np
import pytest

import nn
from minigrad import Tensor
from minigrad.random import default_generator, drawing_from
from nn.parallel import data_parallel


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
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5, generator=np.random.default_rng(0)))
    seen = []

    class Watch(nn.Module):
        def forward(self, outputs, targets):
            seen.append(outputs.numpy())
            return (outputs * Tensor(1.0, requires_grad=True)).sum()

    with data_parallel(model, Watch(), 2) as backward:
        backward(np.ones((2, 64), np.float32), np.zeros(2))
    assert (seen[0] != seen[1]).any()


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
            backward(batch(2)[0], np.array([0, 7]))
        assert backward(*batch(2)) > 0  # and does not stop the next step


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


def test_a_learner_has_at_least_one_worker():
    model = network()
    with pytest.raises(ValueError, match="at least one worker, got 0"):
        nn.Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), workers=0)


def test_a_generator_takes_the_place_of_the_default_in_one_thread_only():
    default, own, elsewhere = default_generator(), np.random.default_rng(0), []
    with drawing_from(own):
        thread = threading.Thread(target=lambda: elsewhere.append(default_generator()))
        thread.start()
        thread.join()
        assert default_generator() is own
    assert default_generator() is default
    assert elsewhere == [default]
