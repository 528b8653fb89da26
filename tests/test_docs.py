"""The pages of the documentation are true: their Python runs, their links lead somewhere, what they name exists.

The ```python fences of a page run in order, in one namespace and an empty working directory. What a fence prints is
compared with the ```text fence that directly follows it, if there is one; fences that begin with a prompt are doctests.
"""

import ast
import doctest
import io
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from nn.parallel import one_thread_for_products

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/tour/*.md")])
FENCE = re.compile(r"\s*(`{3,})\s*(\w*)")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s*(\S+)|(?:href|src)=\"([^\"]+)\"")
REFERENCE = re.compile(r"`([\w./-]+\.py):([\w.]+)(?:\(\))?`")
OPTIONAL = ("torch", "jax")  # a fence that needs one of these runs where it is installed
OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)  # an address with a scheme: not ours to check

every_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


@dataclass
class Fence:
    """A fenced block: its language, the number of its first line of content, the content, the line after its end."""

    language: str
    line: int
    text: str
    end: int


def blocks(page: Path) -> Iterator[Fence | tuple[int, str]]:
    """The page from top to bottom: its fences, and each line outside of them with its number."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        if not opening:
            yield number + 1, lines[number]
            number += 1
            continue
        start = number + 1
        number = start
        while number < len(lines) and not re.fullmatch(rf"\s*{opening[1]}`*\s*", lines[number]):
            number += 1
        assert number < len(lines), f"{page}:{start}: this fence is never closed"
        text = textwrap.dedent("\n".join(lines[start:number]) + "\n")
        number += 1
        yield Fence(opening[2], start + 1, text, number + 1)


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """The lines outside of fences, with their numbers."""
    return (block for block in blocks(page) if not isinstance(block, Fence))


def python_fences(page: Path) -> Iterator[tuple[Fence, str | None]]:
    """Each fence that is to be run, and what it should print if the page says so."""
    found = [block for block in blocks(page) if isinstance(block, Fence) or block[1].strip()]
    for block, following in zip(found, [*found[1:], None], strict=True):
        if isinstance(block, Fence) and block.language in ("python", "pycon"):
            yield block, following.text if isinstance(following, Fence) and following.language == "text" else None


def run_page(page: Path) -> None:
    """Run the fences of a page; raises AssertionError, or what a fence raised, with file and line."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for fence, expected in python_fences(page):
        if fence.text.lstrip().startswith(">>>"):
            run_doctest(fence, page, namespace)
            continue
        printed = io.StringIO()
        try:
            # the empty lines give what is compiled the line numbers of the page
            code = compile("\n" * (fence.line - 1) + fence.text, str(page), "exec")
            with redirect_stdout(printed):
                exec(code, namespace)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name in OPTIONAL:
                continue
            error.add_note(f"in the fence at {page}:{line_of(error, page, fence)}")
            raise
        if expected is not None and trimmed(printed.getvalue()) != trimmed(expected):
            raise AssertionError(
                f"{page}:{fence.line}: this fence printed\n{printed.getvalue()}but the page says\n{expected}"
            )


def run_doctest(fence: Fence, page: Path, namespace: dict[str, object]) -> None:
    test = doctest.DocTestParser().get_doctest(fence.text, namespace, page.name, str(page), fence.line - 1)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append, clear_globs=False)
    namespace.update(test.globs)
    if report:
        raise AssertionError(f"{page}:{fence.line}: this fence fails\n{''.join(report)}")


def line_of(error: BaseException, page: Path, fence: Fence) -> int:
    """The line of the page at which an exception was raised."""
    if isinstance(error, SyntaxError) and error.filename == str(page):
        return error.lineno or fence.line
    line, step = fence.line, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == str(page):
            line = step.tb_lineno
        step = step.tb_next
    return line


def trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def anchors(page: Path) -> set[str]:
    """What `#...` may name in a page: its headings the way forges spell them, and explicit ids."""
    found: set[str] = set()
    headings: Counter[str] = Counter()
    for _, line in prose(page):
        if heading := re.match(r"#{1,6}\s+(.*)", line):
            slug = re.sub(r"[^\w\- ]", "", heading[1].strip().lower()).replace(" ", "-")
            found.add(f"{slug}-{headings[slug]}" if headings[slug] else slug)
            headings[slug] += 1
        found.update(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", line))
    return found


def broken_links(page: Path) -> list[str]:
    """A sentence for each relative link that leads nowhere."""
    broken = []
    for number, line in prose(page):
        for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
            link = next(group for group in match.groups() if group)
            if OUTSIDE.match(link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists():
                broken.append(f"{page}:{number}: {link} does not exist")
            elif anchor and target.suffix == ".md" and anchor not in anchors(target):
                broken.append(f"{page}:{number}: {link} names no heading of {target.name}")
    return broken


def defined_names(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    """The functions, classes and variables of a module, dotted where they are nested."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield prefix + node.name
            yield from defined_names(node, f"{prefix}{node.name}.")
        else:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield prefix + node.id
            yield from defined_names(node, prefix)


def broken_references(page: Path, root: Path = ROOT) -> list[str]:
    """A sentence for each `file.py:name` whose file, looked for from the root or by the end of its path, lacks it."""
    broken = []
    for number, line in prose(page):
        for path, name in REFERENCE.findall(line):
            exact = root / path
            files = [exact] if exact.is_file() else [
                file for file in root.rglob(f"*/{path}")
                if not any(part.startswith(".") for part in file.relative_to(root).parts)
            ]
            if not files:
                broken.append(f"{page}:{number}: there is no file {path}")
            elif not any(name in defined_names(ast.parse(file.read_text(encoding="utf-8"))) for file in files):
                broken.append(f"{page}:{number}: {path} defines no {name}")
    return broken


# ------------------------------------------------------------------------------------------------ the pages


@every_page
def test_every_python_fence_of_a_page_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with one_thread_for_products():  # small ones: on a busy machine, more threads took twenty times as long
        run_page(page)


@every_page
def test_every_relative_link_of_a_page_leads_somewhere(page):
    assert not broken_links(page)


@every_page
def test_every_function_and_file_that_a_page_names_exists(page):
    assert not broken_references(page)


# ------------------------------------------------------------------------------------------------ the checks


@pytest.fixture
def page(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "page.md"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


def test_fences_share_a_namespace_and_their_output_is_compared(page):
    path = page("""
        ```python
        x = 2
        print(x)
        ```

        ```text
        2
        ```
        - indented, in a list:
          ```python
          print(x + 1)
          ```
        ```python
        >>> x + 2
        4
        >>> y = x
        ```
        ```python
        assert y == 2
        ```
        ```sh
        not python
        ```
        """)
    run_page(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Words.\n\n```python\nx = 1\nraise KeyError(x)\n```\n", 5),
        ("```python\ndef f():\n    return missing\n\nf()\n```\n", 3),
        ("```python\nx = (1,\n```\n", 2),
        ("```python\nprint(1)\n```\n```text\n2\n```\n", 2),
        ("```python\n>>> 1 + 1\n3\n```\n", 2),
        ("Words.\n```python\nnever closed\n", 2),
    ],
)
def test_a_fence_that_fails_is_named_with_file_and_line(page, text, line):
    path = page(text)
    with pytest.raises(Exception) as error:  # noqa: PT011
        run_page(path)
    assert f"{path}:{line}" in "\n".join([str(error.value), *getattr(error.value, "__notes__", [])])


def test_output_is_not_compared_with_a_text_fence_that_does_not_follow_directly(page):
    run_page(page("```python\nprint(1)\n```\nWords.\n```text\n2\n```\n"))


def test_a_link_that_leads_nowhere_is_named_with_file_and_line(page):
    path = page("""\
        # A heading, with `code`!
        [here](#a-heading-with-code) and [outside](https://example.org/nothing) and `[code](nowhere)`
        [itself](page.md) [its heading](page.md#a-heading-with-code) ![picture](missing.png "title")
        [nowhere](other/page.md) [no heading](#another)
        [reference]: gone.md
        ```text
        [in a fence](gone.md)
        ```
        """)
    assert broken_links(path) == [
        f"{path}:3: missing.png does not exist",
        f"{path}:4: other/page.md does not exist",
        f"{path}:4: #another names no heading of page.md",
        f"{path}:5: gone.md does not exist",
    ]


def test_a_name_that_a_file_does_not_define_is_named_with_file_and_line(page, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("LIMIT: int = 3\nclass A:\n    size = 1\n    def f(self): ...\n")
    path = page("""\
        `module.py:A` `module.py:A.f` `package/module.py:A.size` `module.py:LIMIT` `module.py:A.f()`
        `module.py:f` `other.py:f`
        """)
    assert broken_references(path, tmp_path) == [
        f"{path}:2: module.py defines no f",
        f"{path}:2: there is no file other.py",
    ]
