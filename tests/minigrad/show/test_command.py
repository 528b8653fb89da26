"""`python -m minigrad.show` with scripts that know nothing of it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

ROOT = Path(mg.__file__).parents[1]

MICROGRAD = """\
import random
import minigrad as mg

random.seed(1337)

class Neuron:
    def __init__(self, n):
        self.w = [mg.tensor(random.uniform(-1, 1), requires_grad=True) for _ in range(n)]
        self.b = mg.tensor(0.0, requires_grad=True)
    def __call__(self, x):
        return sum((wi * xi for wi, xi in zip(self.w, x)), self.b).tanh()
    def parameters(self):
        return [*self.w, self.b]

class MLP:
    def __init__(self, sizes):
        self.layers = [[Neuron(a) for _ in range(b)] for a, b in zip(sizes, sizes[1:])]
    def __call__(self, x):
        for layer in self.layers:
            x = [n(x) for n in layer]
        return x[0]
    def parameters(self):
        return [p for layer in self.layers for n in layer for p in n.parameters()]

xs, ys = [[2.0, 3.0], [3.0, -1.0], [0.5, 1.0]], [1.0, -1.0, -1.0]
model = MLP([2, 3, 1])
for k in range(3):
    loss = sum((model(x) - y) ** 2 for x, y in zip(xs, ys))
    for p in model.parameters():
        p.grad = None
    loss.backward()
    for p in model.parameters():
        p.data = p.data - 0.05 * p.grad.data
    print(k, loss.item())
"""

LOGISTIC = """\
import numpy as np
import minigrad as mg
rng = np.random.default_rng(0)
X = rng.standard_normal((50, 3))
y = (X @ [1.0, -2.0, 0.5] > 0).astype(float)
w, b = mg.tensor(np.zeros(3), requires_grad=True), mg.tensor(0.0, requires_grad=True)
for _ in range(5):
    p = (X @ w + b).sigmoid()
    loss = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    w.grad = b.grad = None
    loss.backward()
    w.data, b.data = w.data - w.grad.data, b.data - b.grad.data
print(loss.item())
"""

NEWTON = """\
import minigrad as mg
x = mg.tensor(3.0, requires_grad=True)
for _ in range(6):
    y = x**4 - 3 * x**2 + x
    x.grad = None
    y.backward(create_graph=True)
    slope = x.grad
    x.grad = None
    slope.backward()
    x = mg.tensor(x.item() - slope.item() / x.grad.item(), requires_grad=True)
print(x.item())
"""

FLAGS = """\
import argparse
import minigrad as mg
parser = argparse.ArgumentParser()
parser.add_argument("start", type=float)
parser.add_argument("--steps", type=int, default=1)
parser.add_argument("-o", "--out")
parser.add_argument("--pass", dest="word")
given = parser.parse_args()
w = mg.tensor(given.start, requires_grad=True)
for _ in range(given.steps):
    (w * w).backward()
print(given)
"""

BESIDE = """\
from pathlib import Path
import beside
if __name__ == "__main__":
    scale = float((Path(__file__).parent / "scale.txt").read_text())
    beside.square(scale).backward()
    print(__file__, scale)
"""

THREAD = """\
import threading
import minigrad as mg

class Worker(threading.Thread):
    def run(self):
        x = mg.tensor([1.0, 2.0], requires_grad=True)
        y = (x * x).sum()
        y.backward()
        print(x.grad)

Worker().start()
"""

HOOKS = """\
import minigrad as mg
x, w = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor(3.0, requires_grad=True)
for _ in range(2):
    y = x * w
    y.register_hook(lambda gradient: gradient * 10.0)
    mg.checkpoint(lambda a: mg.exp(a) * a)(y).sum().backward()
_, back = mg.vjp(lambda a: (a * a, mg.exp(a)), 2.0)
back((1.0, 1.0))
"""

SCRIPTS = {"micrograd": (MICROGRAD, []), "logistic": (LOGISTIC, []), "newton": (NEWTON, []), "beside": (BESIDE, []),
           "flags": (FLAGS, ["5.0", "--steps", "2", "--pass", "word"]), "thread": (THREAD, [])}


def run(*arguments, cwd, **environment):
    here = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, env=here)


def show(*arguments, cwd, **environment):
    return run("-m", "minigrad.show", *arguments, cwd=cwd, **environment)


def told_by(page):
    return json.loads(re.search(r'id="trace">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)[1])


@pytest.fixture
def scripts(tmp_path):
    (tmp_path / "scale.txt").write_text("2.5")
    (tmp_path / "beside.py").write_text(
        "import minigrad as mg\ndef square(a):\n    a = mg.tensor(a, requires_grad=True)\n    return a * a\n"
    )
    for name, (source, _) in SCRIPTS.items():
        (tmp_path / f"{name}_script.py").write_text(source)
    return tmp_path


@pytest.mark.parametrize("name", SCRIPTS)
def test_somebody_elses_script_runs_as_without_and_its_page_is_the_same_each_time(scripts, name):
    script, arguments = scripts / f"{name}_script.py", SCRIPTS[name][1]
    alone = run(script, *arguments, cwd=scripts)
    assert alone.returncode == 0, alone.stderr
    pages = []
    for folder, seed in (("a", "1"), ("b", "2")):
        (scripts / folder).mkdir()
        done = show(script, *arguments, "-o", "page.html", cwd=scripts / folder, PYTHONHASHSEED=seed)
        assert (done.returncode, done.stdout) == (0, alone.stdout), done.stderr
        pages.append((scripts / folder / "page.html").read_bytes())
    assert pages[0] == pages[1]
    kinds = {step["kind"] for step in told_by(scripts / "a" / "page.html")["steps"]}
    assert kinds == {"forward", "seed", "complete", "contribution"}


@pytest.mark.parametrize(("number", "seeds", "ends"), [(1, 2, {"x", "w"}), (2, 2, {"x", "w"}), (3, 2, {"leaf_1"})])
def test_a_pass_is_whole_with_hooks_passes_within_it_and_several_results(tmp_path, number, seeds, ends):
    (tmp_path / "script.py").write_text(HOOKS)
    done = show("--pass", number, "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = told_by(tmp_path / "backprop.html")
    assert sum(step["kind"] == "seed" for step in told["steps"]) == seeds
    complete = [told["tensors"][step["tensor"]] for step in told["steps"] if step["kind"] == "complete"]
    assert {tensor["name"] for tensor in complete if tensor["kind"] == "leaf"} == ends
    assert show("--pass", 4, "script.py", cwd=tmp_path).stderr.startswith("the script made 3 backward passes")


def test_once_the_pass_is_found_nobody_watches_but_the_script_itself(tmp_path):
    (tmp_path / "script.py").write_text(ONE_PASS + """
from minigrad.graph import watches
with mg.show.trace() as seen:
    (x * x).backward()
assert len(seen.steps) == 6
x * x
x * x
print(len(watches))
""")
    done = show("script.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_the_scripts_own_flag_o_is_its_own_if_the_page_was_named_before(scripts):
    done = show("-o", "page.html", scripts / "flags_script.py", "1.0", "-o", "own", cwd=scripts)
    assert "out='own'" in done.stdout
    assert (scripts / "page.html").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no such file")
def test_help_that_cannot_be_written_is_a_sentence_and_a_status():
    command = [sys.executable, "-u", "-m", "minigrad.show", "-h"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    said = "python -m minigrad.show: cannot write what is printed: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


ONE_PASS = "import minigrad as mg\nx = mg.tensor(1.0, requires_grad=True)\n(x * x).backward()\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.py"], 2, "there is no script nowhere.py"),
        (["\x1b[2J\x07nowhere.py"], 2, "there is no script [2Jnowhere.py"),
        (["--module", "nowhere.at.all"], 2, "there is no module nowhere.at.all"),
        (["--pass", "0", "one.py"], 2, "--pass counts from 1, got 0"),
        (["--pass", "7", "one.py"], 1, "the script made 1 backward pass, so there is no page of pass 7"),
        (["none.py"], 1, "the script made no backward pass, so there is no page of pass 1"),
        (["exit.py"], 1, "the script made no backward pass, so there is no page of pass 1"),
        (["-o", "no/such/page.html", "one.py"], 2, "no/such/page.html cannot be written: make the directory no/such"),
        (["-o", ".", "one.py"], 2, ". cannot be written"),
        (["one.py", "-o"], 2, "-o needs the name of the page to write"),
        (["-o", "/dev/full", "one.py"], 1, "/dev/full cannot be written: No space left on device"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else None,
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, arguments, code, said):
    (tmp_path / "one.py").write_text(ONE_PASS)
    (tmp_path / "none.py").write_text("print('nothing')\n")
    (tmp_path / "exit.py").write_text("raise SystemExit(0)\n")
    failed = show(*arguments, cwd=tmp_path)
    assert failed.returncode == code
    assert said in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("end", "code", "last"),
    [
        ("raise KeyError('own')", 1, "KeyError: 'own'"),
        ("import sys; sys.exit(3)", 3, "steps of backward pass 1"),
        ("import sys; sys.exit('own words')", 1, "own words"),
        ("import nowhere", 1, "ModuleNotFoundError: No module named 'nowhere'"),
        ("x.backward(); (x * x).backward('no')", 1, None),
    ],
)
def test_the_end_of_a_script_is_its_own_and_the_page_is_written(tmp_path, end, code, last):
    (tmp_path / "script.py").write_text(ONE_PASS + end + "\n")
    alone, done = run("script.py", cwd=tmp_path), show("script.py", cwd=tmp_path)
    assert done.returncode == alone.returncode == code
    assert (last or alone.stderr.splitlines()[-1]) in done.stderr.splitlines()[-1]
    assert (tmp_path / "backprop.html").exists()


IN_A_FUNCTION = """\
import minigrad as mg

def main():
    w = mg.tensor(1.0, requires_grad=True)
    loss = w * w
    loss.backward()
    print(w.grad)

main()
"""


AT_THE_TOP = "import minigrad as mg\nw = mg.tensor(1.0, requires_grad=True)\nloss = w * w\nloss.backward()\n"


@pytest.mark.parametrize("script", [IN_A_FUNCTION, AT_THE_TOP + "raise SystemExit(0)", AT_THE_TOP + "raise KeyError"])
def test_names_are_those_that_were_known_when_the_pass_began(tmp_path, script):
    (tmp_path / "script.py").write_text(script)
    show("script.py", cwd=tmp_path)
    assert [tensor["name"] for tensor in told_by(tmp_path / "backprop.html")["tensors"]] == ["w", "loss"]


def test_a_name_that_went_on_to_another_tensor_during_a_pass_is_that_of_the_other_alone(tmp_path):
    (tmp_path / "script.py").write_text("""\
import minigrad as mg
x = mg.tensor(1.0, requires_grad=True)
y = x * 2.0
z = y * 3.0
z.backward()
y = z
x + 1.0
""")
    show("script.py", cwd=tmp_path)
    assert [t["name"] for t in told_by(tmp_path / "backprop.html")["tensors"]] == ["x", "multiply_1", "y"]


def test_the_pass_that_was_found_holds_no_tensor(tmp_path):
    (tmp_path / "script.py").write_text("""\
import weakref
import minigrad as mg
x = mg.tensor(1.0, requires_grad=True)
y = x * x
held = weakref.ref(y)
y.backward()
del y
print(held())
""")
    assert show("script.py", cwd=tmp_path).stdout == "None\n"


@pytest.mark.parametrize("end", ["", "import sys; sys.exit(0)", "import sys; sys.exit()"])
def test_the_page_is_opened_when_the_script_has_ended_well(tmp_path, end):
    (tmp_path / "script.py").write_text(ONE_PASS + end)
    done = show("--open", "script.py", cwd=tmp_path, BROWSER="echo %s")
    assert (done.returncode, done.stdout) == (0, (tmp_path / "backprop.html").as_uri() + "\n")


def test_threads_end_before_the_page_is_written_also_after_an_exit(tmp_path):
    (tmp_path / "script.py").write_text(THREAD + "raise SystemExit\n")
    assert show("script.py", cwd=tmp_path).stderr.startswith("backprop.html: ")


def test_the_idle_workers_of_a_pool_that_is_left_open_end_with_the_script(tmp_path):
    (tmp_path / "script.py").write_text(
        ONE_PASS + "from concurrent.futures import ThreadPoolExecutor\n"
        "pool = ThreadPoolExecutor(1)\nprint(pool.submit(lambda: 5).result())\n"
    )
    done = show("script.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_what_runs_when_the_script_has_ended_finds_it_as_the_main_module(tmp_path):
    (tmp_path / "script.py").write_text(
        ONE_PASS + "import atexit, pickle\nclass Own: pass\natexit.register(lambda: print(len(pickle.dumps(Own()))))\n"
        "print(__file__, __name__)\n"
    )
    alone, done = run("script.py", cwd=tmp_path), show("script.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, alone.stdout), done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'script.py'} __main__\n")


def test_a_module_is_the_main_module_while_it_runs(tmp_path):
    (tmp_path / "module.py").write_text(
        ONE_PASS + "import pickle, sys\nclass Own: pass\npickle.dumps(Own())\nprint(*sys.argv)\n"
    )
    done = show("--module", "module", "a", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'module.py'} a\n"), done.stderr


def test_a_module_is_run_by_its_name(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "inner.py").write_text("def f(x):\n    return x * x\n")
    (tmp_path / "package" / "__main__.py").write_text(
        "import minigrad as mg\nfrom .inner import f\nx = mg.tensor(1.0, requires_grad=True)\nf(x).backward()\n"
    )
    done = show("--module", "package", "-o", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").exists()


def test_a_trace_and_a_graph_say_in_a_sentence_that_a_file_cannot_be_written(tmp_path):
    x = mg.tensor(1.0, requires_grad=True)
    with mg.show.trace() as seen:
        y = x * x
    drawn = mg.show.graph(y)
    for write in (seen.html, drawn.save):
        with pytest.raises(FileNotFoundError, match=r"cannot be written: make the directory .*no first$"):
            write(tmp_path / "no" / "page.svg")
    (tmp_path / "folder.svg").mkdir()
    for write in (seen.html, drawn.save):
        with pytest.raises(IsADirectoryError, match=r"folder.svg cannot be written: Is a directory"):
            write(tmp_path / "folder.svg")
    with pytest.raises(OSError, match="/dev/full cannot be written: No space left on device"):
        seen.html("/dev/full")
