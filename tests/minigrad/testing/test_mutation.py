"""`mutate_rules`: what it breaks, what it refuses, and its report."""

import math
from functools import partial

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import gradcheck, mutate_rules


def double(x):
    return mg.record(double, x.data * 2, (x, lambda grad, out: grad * 2))


class Scaling:
    """An operation that is an object without a name."""

    def __call__(self, x):
        return mg.record(self, x.data * 3, (x, self.rule))

    def rule(self, grad, out):
        return grad * 3


def check():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    (mg.std(double(x)) * 3).backward()
    assert np.allclose(x.grad.numpy(), [-3, 3])


def test_only_the_operations_of_the_user_are_broken_unless_others_are_asked_for():
    broken = {mutant.operation for mutant in mutate_rules(check, mutations=["zero"]).killed}
    assert broken == {"double"}
    broken = {mutant.operation for mutant in mutate_rules(check, "all", ["zero"]).killed}
    assert {"double", "multiply"} < broken
    assert {mutant.operation for mutant in mutate_rules(check, ["multiply"], ["zero"]).killed} == {"multiply"}
    assert {mutant.operation for mutant in mutate_rules(check, "multiply", "zero").killed} == {"multiply"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mutations": ["oposite sign"]}, "there is no mutation 'oposite sign': take some of opposite sign"),
        ({"mutations": "zeros"}, "there is no mutation 'zeros'"),
        ({"mutations": []}, "there is no mutation"),
        ({"operations": ["dubble", "double"]}, "the check records no 'dubble': it records .*double, .*multiply"),
        ({"operations": []}, "there is nothing to break: operations= names none"),
        ({"operations": ["exp"]}, "the check records no 'exp'"),
    ],
)
def test_what_is_misspelt_or_breaks_nothing_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        mutate_rules(check, **options)


def test_a_check_that_records_nothing_or_nothing_of_the_users_is_refused():
    with pytest.raises(ValueError, match="there is nothing to break: the check records no operation"):
        mutate_rules(lambda: None)
    with pytest.raises(ValueError, match="no operation of yours: for exp, name them in operations="):
        mutate_rules(lambda: mg.exp(mg.tensor(1.0, requires_grad=True)).backward())


def test_an_operation_made_of_others_is_told_so():
    report = mutate_rules(lambda: mg.mean(mg.trace(mg.tensor(np.ones((2, 2)), requires_grad=True))), ["trace"])
    assert not report.killed
    assert "trace has no rule of its own: it is made of " in str(report)


def test_the_report_has_a_table_with_the_line_of_each_rule_and_a_score():
    report = mutate_rules(check, ["double", "multiply"], ["opposite sign", "result permuted", "wrong output"])
    assert report.score == len(report.killed) / (len(report.killed) + len(report.survived))
    lines = str(report).splitlines()
    assert f"score {report.score:.0%}" in lines[0]
    assert lines[1].split() == ["rule", "killed", "survived", "equivalent", "line"]
    row = next(line for line in lines if line.strip().startswith("double, input 0"))
    assert row.split()[-1].endswith(f"test_mutation.py:{double.__code__.co_firstlineno + 1}")
    assert [int(n) for n in row.split()[3:6]] == [2, 0, 1]


def test_a_score_of_nothing_is_no_number():
    report = mutate_rules(lambda: double(mg.tensor(1.0, requires_grad=True)))  # no backward pass
    assert math.isnan(report.score)
    assert "no fault made a difference" in str(report)


def test_operations_that_are_objects_and_rules_that_are_methods_are_broken():
    def check():
        x = mg.tensor([1.0, 2.0], requires_grad=True)
        Scaling()(x).sum().backward()
        assert x.grad.numpy().tolist() == [3, 3]

    report = mutate_rules(check, mutations=["factor two"])
    assert [mutant.operation for mutant in report.killed] == ["Scaling"]
    assert "test_mutation.py:" in str(report)


class Squaring:
    """A rule that is a method, or an object that can be called."""

    def __init__(self, x):
        self.x = mg.value(x)

    def __call__(self, grad, out):
        return grad * 2 * self.x


def rule_of(x, grad, out):
    return grad * 2 * x


def late(x):
    rule = lambda grad, out: grad * 2 * kept["x"]  # noqa: E731
    out = mg.record(late, mg.value(x) ** 2, (x, rule))
    kept = {"x": mg.value(x)}
    return out


def with_keyword(x):
    def rule(grad, out, *, factor=2):
        return grad * factor * mg.as_tensor(x).detach()

    return mg.record(with_keyword, mg.value(x) ** 2, (x, rule))


def holding(make):
    def squared(x):
        return mg.record(squared, mg.value(x) ** 2, (x, make(x)))

    return squared


@pytest.mark.parametrize("squared", [
    late, with_keyword, holding(Squaring), holding(lambda x: Squaring(x).__call__),
    holding(lambda x: partial(rule_of, mg.value(x))),
    holding(lambda x: partial(lambda grad, out, x: grad * 2 * x, x=mg.value(x))),
    holding(lambda x: lambda grad, out, x=mg.value(x): grad * 2 * x),  # noqa: B008
    holding(lambda x: lambda grad, out, *, x=mg.value(x): grad * 2 * x),  # noqa: B008
])
def test_a_wrong_input_is_tried_however_a_rule_holds_it_and_is_no_error_of_the_kit(squared):
    def weak():
        squared(mg.tensor([1.0, 2.0], requires_grad=True)).sum().backward()

    def exact():
        x = mg.tensor([1.0, 2.0], requires_grad=True)
        squared(x).sum().backward()
        assert x.grad.numpy().tolist() == [2, 4]

    assert len(mutate_rules(weak, mutations="wrong input").survived) == 1
    assert len(mutate_rules(exact, mutations="wrong input").killed) == 1


def test_an_operation_with_the_name_of_one_of_minigrad_is_broken_alone():
    def multiply(x):
        return mg.record(multiply, mg.value(x) * 2, (x, lambda grad, out: grad * 2))

    def check():
        x = mg.tensor([1.0, 2.0], requires_grad=True)
        (np.array([3.0, 1.0]) * multiply(x * 1) * 1).sum().backward()
        assert x.grad.numpy().tolist() == [6, 2]

    report = mutate_rules(check, mutations=["opposite sign"])
    assert [(mutant.operation, mutant.position) for mutant in report.killed] == [("multiply", 0)]
    assert not report.survived + report.equivalent
    assert "test_mutation.py:" in str(report)


@pytest.mark.parametrize(
    ("operation", "f"),
    [
        ("sin", lambda x: mg.sin(x) * 3),
        ("exp", lambda x: mg.log(mg.exp(x) + 1)),
        ("multiply", lambda x: mg.sin(x * (x + 1))),
        ("matmul", lambda x: mg.tanh(np.ones((2, 3)) @ x)),
        ("softmax", lambda x: mg.log(mg.softmax(x, axis=-1))),
        ("getitem", lambda x: mg.exp(x[[0, 0, 1]])),
    ],
)
def test_gradcheck_notices_a_cotangent_that_is_overwritten_within_a_graph(operation, f):
    report = mutate_rules(lambda: gradcheck(f, np.array([0.3, -1.2, 2.0])), operation, "cotangent overwritten")
    assert report.killed
    assert not report.survived


def test_a_failure_of_pytest_kills_a_mutant_and_an_interrupt_ends_it_all():
    def check(ending):
        x = mg.tensor(1.0, requires_grad=True)
        double(x).backward()
        if x.grad.item() != 2:
            ending()

    def interrupt():
        raise KeyboardInterrupt

    assert len(mutate_rules(lambda: check(lambda: pytest.fail("wrong")), mutations=["zero"]).killed) == 1
    with pytest.raises(KeyboardInterrupt):
        mutate_rules(lambda: check(interrupt), mutations=["zero"])
