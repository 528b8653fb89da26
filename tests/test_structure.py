"""The shape of the house: what imports what, and how large the heart is."""

import ast
import inspect
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import minigrad as mg
import nn

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("minigrad", "nn")
    for path in sorted((ROOT / package).rglob("*.py"))
}
HEART = ("minigrad.tensor", "minigrad.graph")
MOST_LINES = 320


def imports(module):
    """The files of this project that a module imports when it is imported itself."""
    found = set()
    waiting = list(ast.parse(FILES[module].read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module in FILES:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(FILES)
            found |= inner or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & set(FILES)
        elif isinstance(node, ast.If | ast.Try) and "TYPE_CHECKING" not in ast.unparse(getattr(node, "test", node)):
            waiting += node.body
    return found - {module}


def circle(start, arrows):
    """A way from a file back to itself, if there is one."""
    ways = [[start]]
    seen = set()
    for way in ways:
        for onward in sorted(arrows[way[-1]]):
            if onward == start:
                return [*way, onward]
            if onward not in seen:
                seen.add(onward)
                ways.append([*way, onward])
    return None


def code_lines(path):
    """How many lines have code: no docstrings, comments, or blank lines."""
    source = path.read_text(encoding="utf-8")
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            docstrings.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in nothing:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


@pytest.fixture(scope="module")
def arrows():
    return {module: imports(module) for module in FILES}


def test_no_file_leads_back_to_itself_by_imports(arrows):
    inner = {module: found - {module.rpartition(".")[0]} for module, found in arrows.items()}
    assert not [way for module in FILES if (way := circle(module, inner))]


def test_the_engine_knows_nothing_of_networks_nor_networks_of_garments(arrows):
    for module, found in arrows.items():
        for imported in found:
            assert not (module.startswith("minigrad") and imported.startswith("nn")), (module, imported)
            inside = "nn.fashion"
            assert module.startswith(inside) or not imported.startswith(inside), (module, imported)


def test_the_floors_of_the_engine_are_entered_from_above(arrows):
    floors = ["minigrad.tensor", "minigrad.graph", "minigrad.recording", "minigrad.ops", "minigrad.transforms",
              "minigrad.testing"]
    for module, found in arrows.items():
        for imported in found:
            below = [i for i, floor in enumerate(floors) if f"{module}.".startswith(f"{floor}.")]
            above = [i for i, floor in enumerate(floors) if f"{imported}.".startswith(f"{floor}.")]
            assert not below or not above or below[0] >= above[0], (module, imported)


def test_the_heart_is_small():
    assert sum(code_lines(FILES[module]) for module in HEART) <= MOST_LINES


SELDOM_NEEDED = {  # by those who import, and slow to be imported
    "concurrent.futures", "csv", "hashlib", "hypothesis", "logging", "matplotlib", "minigrad.debugging",
    "minigrad.recording", "multiprocessing", "numpy.random",
    "pathlib", "pdb", "PIL", "secrets", "shutil", "subprocess", "tempfile", "tqdm", "zipfile",
}


@pytest.mark.parametrize("package", ["minigrad", "nn"])
def test_an_import_brings_nothing_slow_that_is_seldom_needed(package):
    program = f"import sys, numpy; before = set(sys.modules); import {package}; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    brought = set(run.stdout.split())
    assert package in brought
    assert not SELDOM_NEEDED & brought, "import them in the functions that need them"


# ------------------------------------------------------------------------------------------------ one name, one meaning

A_FIELDS_OWN_WORD = "public names of two fields: each is what its users look for"
AN_OPERATION = "NumPy's or PyTorch's name of an operation is given, and here it names what is done with that"
INSIDE_ONE_FILE = "helpers of one file each, in rooms that no reader is in at the same time"
SHARED_NAMES = {
    "convolution": AN_OPERATION,  # nn.functional.convolution; a garment classifier made of convolutions
    "put": AN_OPERATION,
    "trace": AN_OPERATION,  # of a matrix; `mg.show.trace` of what the engine does
    "load": A_FIELDS_OWN_WORD,  # nn.load a model; nn.fashion.load the data
    "summary": A_FIELDS_OWN_WORD,  # of a model; of a run
    **dict.fromkeys(["add_arguments", "run"], "what every command has, in a file of its own"),
    **dict.fromkeys(["evaluate", "find_lr", "save", "train"], "what `train.py` does when asked, by the flag's name"),
    "OfThread": "what a file keeps for each thread",
    **dict.fromkeys([
        "_reason", "blocks", "entries", "image_size", "name_of", "names_in", "parsed",
        "positions", "progress", "share", "spread",
    ], INSIDE_ONE_FILE),
}


def defined(module):
    """The functions and classes at the top of a file, without what Python itself asks for by its name."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = {node.name for node in ast.parse(FILES[module].read_text(encoding="utf-8")).body if isinstance(node, kinds)}
    return {name for name in names if not name.startswith("__")}


def shared_names(modules):
    """Names that two files define or more -> those files."""
    homes = {}
    for module in modules:
        for name in defined(module):
            homes.setdefault(name, []).append(module)
    return {name: files for name, files in homes.items() if len(files) > 1}


def test_a_name_has_one_meaning_but_for_those_of_which_is_said_why():
    found = {}
    for package in ("minigrad", "nn"):
        found |= shared_names(module for module in FILES if module.split(".")[0] == package)
    assert not {name: files for name, files in found.items() if name not in SHARED_NAMES}
    assert not [name for name in SHARED_NAMES if name not in found], "no longer shared: take them off the list"


def test_within_the_kit_for_testing_gradients_every_name_has_one_meaning():
    assert not shared_names([module for module in FILES if module.startswith("minigrad.testing")])


def test_what_belongs_together_is_handed_on_within_the_kit_as_one_thing():
    for module in FILES:
        nodes = ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8")))
        for node in nodes if module.startswith("minigrad.testing") else ():
            if isinstance(node, ast.FunctionDef) and node.name != "gradient_report":  # whose keywords are public
                given = [a.arg for a in node.args.args + node.args.kwonlyargs if a.arg != "self"]
                assert len(given) <= 6, (module, node.name, given)


# ------------------------------------------------------------------------------------------------ public names

BESIDE_OPERATIONS = {
    "AnomalyError", "Domain", "Memory", "Operation", "Tensor", "TensorLike", "as_tensor", "checkpoint",
    "default_generator", "detect_anomaly", "enable_grad", "grad", "hessian", "hvp", "is_grad_enabled",
    "is_recomputing", "jacobian", "jvp", "linalg", "manual_seed", "memory", "no_grad", "operation", "operations",
    "record", "tensor", "topological_order", "value", "value_and_grad", "vjp",
}
OTHER_NAMES_OF_OPERATIONS = {"absolute", "mod", "norm", "true_divide"}
WITHOUT_GRADIENT = {"argmax", "argmin", "argsort"}
OF_NETWORKS = {
    "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d",
    "Callback", "Conv2d", "CrossEntropyLoss",
    "DataLoader", "Dropout", "Dropout2d", "ELU", "Embedding", "FileError", "Flatten",
    "GELU", "GroupNorm", "Identity", "L1Loss", "LayerNorm", "LeakyReLU", "Learner", "Linear", "LogSoftmax",
    "MSELoss", "MaxPool2d", "MirrorAverage", "Module", "ModuleDict", "ModuleList", "NLLLoss", "Parameter",
    "ParameterDict", "ParameterList", "ReLU", "Residual", "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "Softmax",
    "Softplus", "Tanh", "Unflatten", "WeightAverage", "data_parallel", "default_generator", "export_onnx", "find_lr",
    "load", "manual_seed", "save",
}


def public(package):
    """The names of a package, without its own files and what begins with an underscore."""
    own = {path.stem for path in (ROOT / package.__name__).iterdir()}
    names = {name for name in dir(package) if name.isidentifier() and not name.startswith("_")}
    return {name for name in names if name not in own or name == "tensor"}


def test_the_engine_exports_what_is_public_and_nothing_else():
    operations = {name for name, known in mg.operations.items() if known.function.__module__.startswith("minigrad.ops")}
    top = {name for name in operations if "." not in name and hasattr(mg, name)}
    assert public(mg) == top | BESIDE_OPERATIONS | OTHER_NAMES_OF_OPERATIONS | WITHOUT_GRADIENT


def test_the_networks_export_what_is_public_and_nothing_else():
    assert public(nn) == OF_NETWORKS


def test_what_a_star_imports_is_what_is_public_and_the_files_that_are():
    imported = re.findall(r"from nn import (\w+) as", (ROOT / "nn/__init__.py").read_text(encoding="utf-8"))
    for package, files in ((mg, {"linalg", "show", "testing"}), (nn, {*imported})):
        assert {name for name in package.__all__ if inspect.ismodule(getattr(package, name))} == files
        assert {*package.__all__} - files == public(package) - files


@pytest.mark.parametrize("package", [mg, nn])
def test_every_public_name_is_told_of_on_some_page(package):
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    words = set(re.findall(r"\w+", "\n".join(page.read_text(encoding="utf-8") for page in pages)))
    assert public(package) <= words, f"no page names {sorted(public(package) - words)}"


@pytest.mark.parametrize("module", FILES)
def test_a_module_can_be_imported_under_its_own_name(module):
    named_as_a_function = {"minigrad.tensor", "nn.functional.linear", "nn.functional.dropout"}
    if module not in named_as_a_function and not module.endswith("__main__"):
        scope = {}
        exec(f"import {module} as found", scope)
        assert scope["found"] is sys.modules[module]
