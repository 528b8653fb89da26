"""Solutions of chapter 9."""

import numpy as np

import minigrad as mg
import nn
from minigrad.testing import gradcheck
from nn.fashion.dataset import MEAN, SAMPLE_FOLDER, STD, read_folder

data = read_folder(SAMPLE_FOLDER)
images, labels = data.train_images, data.train_labels

# 1. For a linear map that begins at zero: a hundred times the images, a tenth of the noise. The gradient of one image
#    is a random draw, and a mean of n draws varies by 1 / √n of what one draw does.
pixels = nn.data.Normalize(MEAN, STD)(images)[0].reshape(6000, 784)


def gradient(some):
    """Of the loss on some images, by the weights."""
    loss = mg.grad(lambda w: nn.functional.cross_entropy(pixels[some] @ w, labels[some]))
    return loss(np.zeros((784, 10))).numpy()


rng, full = np.random.default_rng(0), gradient(slice(None))
noise = [np.mean([np.linalg.norm(gradient(rng.choice(6000, n)) - full) for _ in range(50)]) for n in (10, 1000)]
assert 7 < noise[0] / noise[1] < 14
assert noise[0] > np.linalg.norm(full)  # a batch of 10 has more noise than gradient, and trains all the same


# 2. Probabilities minus a 1 at the right class, and divided by the number of images, since the loss is a mean.
def softmax(logits):
    exponentials = np.exp(logits - logits.max(1, keepdims=True))  # the same, without overflow
    return exponentials / exponentials.sum(1, keepdims=True)


def cross_entropy(logits, right):
    return -np.log(softmax(logits)[np.arange(len(right)), right]).mean()


def to_logits(logits, right):
    return (softmax(logits) - np.eye(10)[right]) / len(right)


gradcheck(cross_entropy, rng.standard_normal((5, 10)), np.array([3, 1, 4, 1, 5]), gradient=to_logits)


# 3. The steps stay as noisy as the gradient of a batch, and the weights go about instead of settling.
def batches(images, labels, size=1000, shuffle=False):
    return nn.DataLoader((images, labels), size, shuffle, transform=nn.data.Normalize(MEAN, STD))


def losses(falls, epochs=12):
    """On the images held out, after each epoch."""
    nn.manual_seed(0)
    training, held_out = nn.data.stratified_split(labels, 1000)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = nn.optim.SGD(model.parameters(), lr=0.2)
    loader = batches(images[training], labels[training], 50, shuffle=True)
    falling = nn.schedules.LinearLR(optimizer, 1.0, 0.0, total_iters=epochs * len(loader)) if falls else None
    learner = nn.Learner(model, optimizer, nn.CrossEntropyLoss(), falling)
    return [row["valid_loss"] for row in learner.fit(loader, batches(images[held_out], labels[held_out]), epochs)]


falling, constant = losses(falls=True), losses(falls=False)
assert constant[-1] > falling[-1] + 0.03  # 0.48 and 0.40 when this was written
assert np.ptp(constant[-4:]) > np.ptp(falling[-4:])
