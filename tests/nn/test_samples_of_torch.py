"""Our layers, losses and optimizers on the samples that PyTorch tests its own with; skipped without it.

The samples are those of `torch.testing._internal`: they belong to no public interface and change from one version to
the next. What differs on purpose stands in `REFUSED` and `ACCEPTED`, each with its reason. Written for PyTorch 2.13.
"""

import inspect
import warnings

import numpy as np
import pytest

import nn
from minigrad import Tensor
from tests.torch_samples import array_of, difference, gradient_or_zeros, translated

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    modules = pytest.importorskip("torch.testing._internal.common_modules").module_db
    optimizers = pytest.importorskip("torch.testing._internal.common_optimizers").optim_db

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's samples warn of much

MODULES = {info.name.removeprefix("nn."): info for info in modules}
MODULES = {name: info for name, info in MODULES.items() if hasattr(nn, name)}
OPTIMIZERS = {info.optim_cls.__name__: info for info in optimizers if hasattr(nn.optim, info.optim_cls.__name__)}
TOLERANCE = 1e-9

# (module, how the description of the sample begins) -> why ours refuses it
REFUSED = {
    ("AdaptiveAvgPool2d", "no_batch_dim"): "takes batches of images",
    ("AdaptiveMaxPool2d", "no_batch_dim"): "takes batches of images",
    ("AvgPool2d", "no_batch_dim"): "takes batches of images",
    ("MaxPool2d", "3d_input"): "takes batches of images",
    ("Conv2d", "no_batch_dim"): "takes batches of images",
    ("MaxPool2d", "return_indices"): "there are no indices",
    ("BatchNorm1d", "affine_not_bias"): "an argument `bias` that PyTorch's norms of batches have had only of late",
    ("BatchNorm2d", "affine_not_bias"): "an argument `bias` that PyTorch's norms of batches have had only of late",
    ("GroupNorm", "1d_affine_not_bias"): "an argument `bias` that PyTorch's norms of groups have had only of late",
    ("GroupNorm", "2d_affine_not_bias"): "an argument `bias` that PyTorch's norms of groups have had only of late",
    ("Softplus", "beta_threshold"): "ours is exact and needs no threshold",
}
# (module or optimizer, part of PyTorch's refusal) -> why ours accepts it
ACCEPTED = {
    ("BatchNorm1d", "eps must be positive"): "an eps of 0 is fine where no variance vanishes",
    ("BatchNorm2d", "eps must be positive"): "an eps of 0 is fine where no variance vanishes",
    ("CrossEntropyLoss", "ignore_index is not supported"): "a target of probabilities has no index to ignore",
    ("Muon", "only supports 2D"): "kernels of convolutions are taken as matrices",
}


def differentiated(pairs, leaves, rng):
    """Gradients of random cotangents by all leaves: ours and theirs, and what is wrong with ours."""
    pairs = [(x, y) for x, y in pairs if y is not None and y.requires_grad]
    cotangents = [rng.standard_normal(y.shape) for _, y in pairs]
    if not pairs or not leaves:
        return [], None
    seeds = [torch.tensor(cotangent) for cotangent in cotangents]
    theirs = torch.autograd.grad(
        [y for _, y in pairs], [y for _, y in leaves], seeds, create_graph=True, allow_unused=True
    )
    for x, _ in leaves:
        x.grad = None
    for (x, _), cotangent in zip(pairs, cotangents, strict=True):
        if x is not None and x.requires_grad:
            x.backward(cotangent, create_graph=True)
    ours = [x.grad for x, _ in leaves]
    for (x, _), mine, other in zip(leaves, ours, theirs, strict=True):
        found = difference(gradient_or_zeros(x, mine), gradient_or_zeros(x, other), TOLERANCE)
        if found:
            return [], f"gradient: {found}"
    return list(zip(ours, theirs, strict=True)), None


def twins(name, sample, training):
    """The module of both, in double precision and with the same parameters."""
    args, settings = sample.constructor_input.args, sample.constructor_input.kwargs
    theirs = MODULES[name].module_cls(*args, **settings).to(torch.float64).train(training)
    kind = getattr(nn, name)
    more = {"dtype": np.float64} if "dtype" in inspect.signature(kind).parameters else {}
    ours = kind(*translated(args, []), **translated(settings, []), **more)
    ours.train(training)
    if not name.endswith("Loss"):
        ours.load_state_dict({key: array_of(x).copy() for key, x in theirs.state_dict().items()})
    return ours, theirs


def complaint(name, sample, training):
    given = sample.forward_input
    leaves, rng = [], np.random.default_rng(0)
    ours, theirs = twins(name, sample, training)
    constant = name == "CrossEntropyLoss"  # a target of probabilities is a constant for ours
    args = [x.detach() if constant and i else x for i, x in enumerate(given.args)]
    out = ours(*translated(args, leaves), *translated(list(given.kwargs.values()), leaves))  # inputs have other names
    expected = theirs(*args, **given.kwargs)
    found = difference(array_of(out), array_of(expected), TOLERANCE)
    if found:
        return f"value: {found}"
    leaves += zip(ours.parameters(), theirs.parameters(), strict=True)
    pairs = [(out, expected)]
    for _ in range(2):  # gradients, and gradients of those
        pairs, found = differentiated(pairs, leaves, rng)
        if found:
            return found
    if name.endswith("Loss"):  # PyTorch counts the weights of classes among the state, ours among the settings
        return None
    state, reference = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(reference)
    return next(filter(None, (difference(state[key], array_of(reference[key]), TOLERANCE) for key in state)), None)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_layers_and_losses_have_the_values_gradients_and_buffers_of_pytorch(name, training):
    torch.manual_seed(0)
    info, failures = MODULES[name], []
    for sample in info.module_inputs_func(info, "cpu", torch.float64, True, training):
        try:
            found = complaint(name, sample, training)
        except (ValueError, TypeError) as error:
            known = any(name == module and sample.desc.startswith(start) for module, start in REFUSED)
            found = None if known else f"{type(error).__name__}: {error}"
        if found:
            failures.append(f"{sample.desc} {sample.constructor_input.args} {sample.constructor_input.kwargs}: {found}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("name", [name for name, info in MODULES.items() if info.module_error_inputs_func])
def test_layers_refuse_what_those_of_pytorch_refuse(name):
    info = MODULES[name]
    for case in info.module_error_inputs_func(info, "cpu", torch.float64, False, True):
        if any(name == module and part in case.error_regex for module, part in ACCEPTED):
            continue
        made, given = case.module_error_input.constructor_input, case.module_error_input.forward_input
        with pytest.raises((ValueError, TypeError)):  # noqa: PT012
            layer = getattr(nn, name)(*translated(made.args, []), **translated(made.kwargs, []))
            layer(*translated(given.args, []), **translated(given.kwargs, []))


def steps(name, settings, rng):
    """Parameters of both after five steps with the same random gradients, and where they started."""
    shapes = [(3, 4), (4, 2)] if name == "Muon" else [(3, 4), (), (2,)]
    starts = [rng.standard_normal(shape) for shape in shapes]
    ours = [Tensor(start, requires_grad=True) for start in starts]
    theirs = [torch.tensor(start, requires_grad=True) for start in starts]
    numbers = {key: x.item() if isinstance(x, torch.Tensor) else x for key, x in settings.items()}
    optimizer = getattr(nn.optim, name)(ours, **numbers)
    scale = {"adjust_lr_fn": "match_rms_adamw"} if name == "Muon" else {}
    reference = OPTIMIZERS[name].optim_cls(theirs, **settings, **scale)
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            gradient = rng.standard_normal(p.shape)
            p.grad, q.grad = Tensor(gradient), torch.tensor(gradient)
        optimizer.step()
        reference.step()
    return zip(ours, theirs, starts, strict=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_step_as_those_of_pytorch(name):
    for sample in OPTIMIZERS[name].optim_inputs_func("cpu", torch.float64):
        if "ns_coefficients" in sample.kwargs:  # ours has no such setting
            continue
        for p, q, start in steps(name, sample.kwargs, np.random.default_rng(0)):
            if name == "Muon":  # PyTorch's orthogonalises in half precision
                assert np.linalg.norm(p.data - array_of(q)) < 0.02 * np.linalg.norm(p.data - start), sample.desc
            else:
                assert not difference(p.data, array_of(q), 1e-10), sample.desc


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_refuse_what_those_of_pytorch_refuse(name):
    for case in OPTIMIZERS[name].optim_error_inputs_func("cpu", torch.float64):
        if any(name == kind and part in case.error_regex for kind, part in ACCEPTED):
            continue
        sample, known = case.optimizer_error_input, {}
        params = [Tensor(np.ones((2, 2)), requires_grad=True)] if sample.params is None else sample.params
        with pytest.raises((ValueError, TypeError)):  # noqa: PT012
            optimizer = getattr(nn.optim, name)(as_ours(params, known), **as_ours(sample.kwargs, known))
            optimizer.step()


def as_ours(x, known):
    """PyTorch's parameters as ours, the same as the same, within lists and dicts."""
    if isinstance(x, torch.Tensor):
        if id(x) not in known:
            known[id(x)] = Tensor(array_of(x), requires_grad=True)
        return known[id(x)]
    if isinstance(x, dict):
        return {key: as_ours(part, known) for key, part in x.items()}
    return type(x)(as_ours(part, known) for part in x) if isinstance(x, (list, tuple)) else x
