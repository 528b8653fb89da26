"""What a notebook shows, by executing one."""

import shutil
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.show.displays import tensor_html
from minigrad.testing import gradient_report
from nn.displays import evaluation_html, module_html
from nn.metrics import Evaluation

ROOT = Path(mg.__file__).parents[1]
CELLS = {
    "small": "mg.tensor([[1.0, -2.0], [0.0, 3.5]])",
    "large": "mg.tensor(np.linspace(-1, 3, 4000).reshape(5, 40, 20).astype(np.float32), requires_grad=True)",
    "model": "model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Residual(nn.Sequential(nn.Linear(8, 8)))); model",
    "evaluation": "nn.metrics.Evaluation(0.25, np.array([[8, 2], [1, 9]]), {'top 2': 1.0})",
    "many": "nn.metrics.Evaluation(0.5, np.diag(np.arange(1, 41)) + np.eye(40, k=3, dtype=int))",
    "right": "mg.testing.gradient_report(lambda x: x * x, np.array([1.0, 2.0]))",
    "wrong": "mg.testing.gradient_report(np.tanh, np.array([1.0, 2.0]), gradient=lambda x, c: c * (1 - np.tanh(x)))",
    "trace": """with mg.show.trace() as seen:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
seen""",
    "empty": "with mg.show.trace() as nothing: pass\nnothing",
    "graph": "mg.show.graph(model(np.ones((2, 6), np.float32)))",
}


class Markup(HTMLParser):
    """Notes what is opened and closed, and what points outside."""

    def __init__(self):
        super().__init__()
        self.open, self.outside = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("br", "meta", "input"):
            self.open.append(tag)
        self.outside += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.outside += [value for name, value in attributes if name == "style" and value and "url(" in value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        pass


def is_sound(text):
    """Whether all tags are closed, and nothing is fetched."""
    parser = Markup()
    parser.feed(text)
    return parser.open == [] and parser.outside == []


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Name of a cell -> the mime bundle of its output, as a kernel of Jupyter has sent it."""
    why = "a notebook is executed with nbformat, nbclient and ipykernel"
    nbformat, nbclient = pytest.importorskip("nbformat", reason=why), pytest.importorskip("nbclient", reason=why)
    pytest.importorskip("ipykernel", reason=why)
    folder = tmp_path_factory.mktemp("notebook")
    new = nbformat.v4
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport numpy as np, minigrad as mg, nn, nn.metrics"
    notebook = new.new_notebook(cells=[new.new_code_cell(source) for source in [start, *CELLS.values()]])
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own
        client.execute()
    outputs = [cell.outputs for cell in notebook.cells[1:]]
    assert [[o.output_type for o in output] for output in outputs] == [["execute_result"]] * len(CELLS), outputs
    return {name: dict(output[0].data) for name, output in zip(CELLS, outputs, strict=True)}


def test_a_notebook_shows_each_kind_by_itself_beside_its_text(shown):
    for name, bundle in shown.items():
        (kind,) = set(bundle) - {"text/plain"}
        assert kind == ("image/svg+xml" if name == "graph" else "text/html"), name
        assert is_sound(bundle[kind]), name
        assert "url(" not in bundle[kind], name


def test_what_is_shown_says_what_is_to_be_known(shown):
    text = {name: html for name, bundle in shown.items() for kind, html in bundle.items() if kind != "text/plain"}
    assert "tensor (2, 2) float64" in text["small"]
    assert all(f">{number}</td>" in text["small"] for number in ("1", "-2", "0", "3.5"))
    assert "tensor (5, 40, 20) float32" in text["large"]
    assert "from -1 to 3, mean 1, std 1.155" in text["large"]
    assert len(text["large"]) < 20_000
    for part in ("Sequential", "128 parameters", "0: Linear(6, 8)", "56 parameters", "weight (8, 6)", "module: "):
        assert part in text["model"], part
    assert "accuracy 0.85, top 2 1" in text["evaluation"]
    assert [f">{n}</td>" in text["evaluation"] for n in (8, 2, 1, 9)] == [True] * 4
    assert "most confused: 0 and 3 (1)" in text["many"]
    assert ">correct</b>" in text["right"]
    assert ">WRONG</b>" in text["wrong"]
    assert "entry (0,) of input 0" in text["wrong"]
    assert "nothing was recorded" in text["empty"]
    assert ET.fromstring(text["graph"]).get("role") == "img"
    assert 'sandbox="allow-scripts"' in text["trace"]


def test_the_stepper_steps_inside_the_notebook_without_a_network(shown, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="a browser is driven by playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium")
    path, logged, requested = tmp_path / "notebook.html", [], []
    path.write_text(f"<!DOCTYPE html><title>notebook</title>{shown['trace']['text/html']}", encoding="utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(path.as_uri())
        frame = page.frames[1]
        before = frame.inner_text("body")
        frame.click("body")
        page.keyboard.press("End")
        assert frame.inner_text("body") != before
        browser.close()
    assert logged == []
    assert requested == [path.as_uri()]


NASTY = "</b><script>alert(1)</script>"


def test_what_the_user_names_is_escaped():
    def wrong(x):
        return mg.record(wrong, x.data**2, (x, lambda grad, out: grad))

    wrong.__name__ = NASTY
    parts = type(NASTY, (nn.Sequential,), {})(nn.ReLU())
    texts = [
        tensor_html(wrong(mg.tensor([1.0], requires_grad=True))),
        gradient_report(wrong, np.array([1.0, 2.0]))._repr_html_(),
        module_html(parts),
        evaluation_html(Evaluation(0.5, None, {NASTY: 1.0})),
    ]
    for text in texts:
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert is_sound(text)


@pytest.mark.parametrize(
    "array",
    [
        np.float32(2.5), np.zeros(0), np.zeros((0, 3)), np.zeros((2, 0)), np.arange(5), np.array([True, False]),
        np.array([np.nan, np.inf, -np.inf]), np.full((100, 100), np.nan), np.ones((3, 4, 5)), np.zeros(1000),
        np.arange(1000.0), np.zeros((1, 1, 1000)), np.full((30, 30), 1e300), np.full((20, 20), 1e-320),
        np.ones((500, 2), np.float16),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_any_tensor_can_be_shown(array):
    text = tensor_html(mg.tensor(array))
    assert is_sound(text)
    assert len(text) < 20_000
    assert str(array.shape) in text


def test_a_tensor_is_shown_with_its_gradient_and_nothing_is_recorded_by_that():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    with mg.show.trace() as seen:
        text = x._repr_html_()
    assert "from 2 to 4, mean 3, std 1" in text
    assert str(seen) == "nothing was recorded"


def test_a_module_that_holds_itself_is_shown():
    module = nn.Sequential(nn.Linear(2, 2))
    module.again = module
    assert is_sound(module_html(module))


def test_displays_are_imported_when_something_is_shown():
    code = "import sys, minigrad, nn; print([m for m in sys.modules if 'show' in m or 'displays' in m or 'html' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_whole_numbers_are_shown_in_full():
    assert ">123456789<" in tensor_html(mg.tensor([123456789, 20261126]))
