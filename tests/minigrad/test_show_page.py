"""The page in a real browser: what it shows at each step is what the trace says."""

import linecache
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.show import trace

playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright and a chromium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")


def leaf(value):
    return mg.tensor(value, requires_grad=True)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, seen, tmp_path, **options):
    """The page of a trace; at the end, nothing has been logged and no request has left."""
    path = tmp_path / "page.html"
    seen.html(path)
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    page = context.new_page()
    logged, requested = [], []
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("request", lambda request: requested.append(request.url.partition("#")[0]))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert logged == []
    assert requested == [path.as_uri()]


def scalars():
    a, b = leaf(2.0), leaf(-3.0)
    with trace() as seen:
        c = a * b + a.exp()
        d = (c / b).tanh() + a**2
        d.backward()
    return seen


def squared():
    x = leaf(3.0)
    with trace() as seen:
        y = x * x
        y.backward()
    return seen


def diamond():
    x = leaf(1.5)
    with trace() as seen:
        y = x + x
        z = y * y
        z.backward()
    return seen


def broadcast():
    x, w, bias = leaf(np.arange(6.0).reshape(2, 3)), leaf([0.1, 0.2, 0.3]), leaf(1.0)
    with trace() as seen:
        y = x * w + bias
        (y * y).sum().backward()
    return seen


def classifier():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
    images = rng.standard_normal((32, 784)).astype(np.float32)
    with trace() as seen:
        loss = nn.CrossEntropyLoss()(model(images), rng.integers(0, 10, 32))
        loss.backward()
    return seen


def dead_branch():
    x = leaf([1.0, 0.0])
    with trace() as seen, np.errstate(all="ignore"):
        y = mg.where(x.numpy() > 0, x.log(), 0.0)
        y.sum().backward()
    return seen


PROGRAMS = [scalars, squared, diamond, broadcast, classifier, dead_branch]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_keys_step_to_the_end_and_each_step_says_what_the_trace_says(browser, tmp_path, program):
    seen = program()
    with opened(browser, seen, tmp_path) as page:
        for number, step in enumerate(seen.steps):
            assert f"step {number + 1} of {len(seen.steps)}" in page.inner_text("#where")
            panel = page.inner_text("#panel")
            if hasattr(step, "edge"):
                edge = seen.edges[step.edge]
                assert f"{seen.tensors[edge.target].name} passes back to {seen.tensors[edge.source].name}" in panel
                assert edge.rule.source.split("\n")[0].strip() in panel
                nth = ["1st", "2nd", "3rd"][step.arrival - 1]
                assert f"arrival: {nth} of" in panel
                if step.axes:
                    assert f"over {'axis' if len(step.axes) == 1 else 'axes'} {', '.join(map(str, step.axes))}" in panel
                if step.contribution.values is not None and step.contribution.shape == ():
                    assert f"{step.contribution.values[0]:.6g}" in panel.replace("NaN", "nan")
            else:
                assert seen.tensors[step.tensor].name in panel
            page.keyboard.press("ArrowRight")
        assert f"step {len(seen.steps)} of" in page.inner_text("#where")
        page.keyboard.press("Home")
        assert "step 1 of" in page.inner_text("#where")


def test_the_address_names_a_step_and_clicks_go_to_the_steps_of_a_box(browser, tmp_path):
    seen = diamond()
    with opened(browser, seen, tmp_path) as page:
        page.evaluate("location.hash = '#step=5'")
        assert "step 5 of" in page.inner_text("#where")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("location.hash") == "#step=6"
        page.keyboard.press("Home")
        page.click("[data-box='0']")  # x
        assert "x" in page.inner_text("#panel h2")
        first = page.inner_text("#where")
        page.keyboard.press("n")
        assert page.inner_text("#where") != first
        page.keyboard.press("p")
        assert page.inner_text("#where") == first


def test_there_is_an_arrow_for_each_position(browser, tmp_path):
    with opened(browser, squared(), tmp_path) as page:
        assert page.locator(".arrow").count() == 2


def test_predict_then_see_hides_what_comes_and_counts(browser, tmp_path):
    seen = squared()
    with opened(browser, seen, tmp_path) as page:
        at = next(i for i, step in enumerate(seen.steps) if hasattr(step, "edge"))
        page.evaluate(f"goTo({at - 1})")
        page.check("#predict")
        page.keyboard.press("End")  # which does not go past a question
        assert "What does y pass back to x?" in page.inner_text("#panel")
        assert "what the rule returns" not in page.inner_text("#panel")
        page.fill(".question input", "7")
        page.click(".question button >> nth=0")
        page.fill(".question input", "3")
        page.click(".question button >> nth=0")
        assert "what the rule returns" in page.inner_text("#panel")
        assert page.inner_text("#score") == "1 right, 1 wrong"
        page.focus("body")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowRight")
        assert page.locator(".question").count() == 0  # it is not asked again
        page.keyboard.press("End")
        assert "What does y pass back to x?" in page.inner_text(".question")
        page.uncheck("#predict")  # all is open now; whoever begins again is asked again
        page.keyboard.press("End")
        assert "6" in page.inner_text("#panel")
        page.keyboard.press("Home")
        page.check("#predict")
        page.keyboard.press("End")
        assert "Whose turn" in page.inner_text(".question")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_off_the_page_on_a_desk_or_a_phone(browser, tmp_path, width, height, scheme):
    with opened(browser, classifier(), tmp_path, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": height})
        page.keyboard.press("End")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_javascript_the_page_is_the_text_of_the_trace(browser, tmp_path):
    seen = squared()
    with opened(browser, seen, tmp_path, java_script_enabled=False) as page:
        assert "grad * b" in page.inner_text("noscript pre") if page.locator("noscript pre").count() else page.content()


def test_a_long_vector_is_a_table_of_short_rows(browser, tmp_path):
    seen = classifier()
    with opened(browser, seen, tmp_path) as page:
        page.keyboard.press("End")
        cells = page.locator("#panel tr:first-child td")
        assert (page.locator("#panel tr").count(), cells.count()) == (16, 4)
        assert cells.first.bounding_box()["height"] < 30  # one line


def test_arrows_point_the_way_the_gradient_flows_once_it_has(browser, tmp_path):
    with opened(browser, squared(), tmp_path) as page:
        assert page.locator(".head.ahead:visible").count() == 2
        page.keyboard.press("End")
        assert page.locator(".head.ahead:visible").count() == 0
        assert page.locator(".head.back:visible").count() == 2


def test_keys_also_step_where_a_button_has_the_focus_and_space_ticks_a_box(browser, tmp_path):
    with opened(browser, squared(), tmp_path) as page:
        page.click("[data-go=on]")
        page.keyboard.press("ArrowRight")
        assert "step 3 of" in page.inner_text("#where")
        page.keyboard.press("Alt+n")
        page.focus("#predict")
        page.keyboard.press("Space")
        assert page.is_checked("#predict")
        assert page.inner_text("[data-go=play]") == "play"


def test_the_graph_does_not_tell_whose_turn_is_asked_for_and_small_numbers_must_be_right(browser, tmp_path):
    seen = diamond()
    at = [i for i, step in enumerate(seen.steps) if type(step).__name__ == "Complete"][1]
    with opened(browser, seen, tmp_path) as page:
        page.evaluate(f"goTo({at - 1})")
        page.check("#predict")
        page.keyboard.press("End")
        assert page.locator(".question").count() == 1
        box = next(i for i, tensor in enumerate(seen.tensors) if tensor.number == seen.steps[at].tensor)
        assert page.locator(f"[data-box='{box}'].has").count() == 0
        answers = page.evaluate("[isRight('0', 1e-5), isRight('1e-5', 1e-5), isRight('NaN', 'nan')]")
        assert answers == [False, True, True]
        answers = page.evaluate("[isRight('0', 1e-12), isRight('0', 0), isRight('w', 'W'), isRight('W', 'W')]")
        assert answers == [False, True, False, True]
        answers = page.evaluate("[isRight('2, 0', [0, 2]), isRight('2', [0, 2]), isRight('(3, 2)', '2,3')]")
        assert answers == [True, False, False]


def test_a_step_moved_by_hand_stops_the_playing_and_does_not_move_a_phones_page(browser, tmp_path):
    with opened(browser, classifier(), tmp_path) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        page.click("[data-go=play]")
        page.keyboard.press("ArrowRight")
        assert page.inner_text("[data-go=play]") == "play"
        page.evaluate("window.scrollTo(0, 500)")
        before = page.evaluate("scrollY")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("scrollY") == before > 0


def test_what_a_hook_made_of_a_gradient_is_shown_beside_what_arrived(browser, tmp_path):
    x = leaf([1.0, 2.0])
    with trace() as seen:
        h = x * 3.0
        h.register_hook(lambda gradient: gradient.clip(0.0, 7.0))
        (h * h).sum().backward()
    at = next(i for i, step in enumerate(seen.steps) if getattr(step, "arrived", 0) != getattr(step, "gradient", 0)
              and type(step).__name__ == "Complete")
    with opened(browser, seen, tmp_path) as page:
        page.evaluate(f"goTo({at})")
        panel = page.inner_text("#panel")
        assert [word in panel for word in ("before a hook changed it", "12", "7")] == [True] * 3


def test_what_comes_after_a_hook_is_no_derivative_of_the_result(browser, tmp_path):
    x = leaf([1.0, 2.0])
    with trace() as seen:
        y = x * 3.0
        y.register_hook(lambda gradient: gradient * 0.0)
        total = y.sum()
        total.backward()
    with opened(browser, seen, tmp_path) as page:
        shown = {}
        for at, step in enumerate(seen.steps):
            if hasattr(step, "arrived"):
                page.evaluate(f"goTo({at})")
                shown[seen.tensors[step.tensor].name] = page.inner_text("#panel")
    assert "∂total/∂total" in shown["total"]
    assert "∂" not in shown["y"] + shown["x"]
    assert "gradient at y" in shown["y"]


def test_what_a_hook_in_a_pass_within_has_changed_is_no_derivative_in_the_outer_pass(browser, tmp_path):
    x = leaf(3.0)

    def hooked(a):
        m = a * 2.0
        m.register_hook(lambda gradient: gradient * 10.0)
        return m * 1.0

    with trace() as seen:
        total = mg.checkpoint(hooked)(leaf(1.0) * x) * 1.0
        total.backward()
    with opened(browser, seen, tmp_path) as page:
        assert "∂total/∂total" in page.evaluate("goToNext((step) => step.kind === 'complete'), byId('panel').innerText")
        page.evaluate("goTo(steps.findLastIndex((step) => step.kind === 'complete'))")
        assert "gradient at " in page.inner_text("#panel")


def test_names_of_a_rule_in_any_alphabet_are_explained(browser, tmp_path):
    def scaled(x, γ):
        return mg.record(scaled, x.data * γ.data, (x, lambda grad, out: grad * γ), (γ, lambda grad, out: grad * x))

    with trace() as seen:
        scaled(leaf(2.0), leaf(3.0)).backward()
    with opened(browser, seen, tmp_path) as page:
        page.evaluate("goToNext((step) => step.kind === 'contribution')")
        assert page.locator("#panel dt").all_inner_texts()[:2] == ["grad", "γ"]


SEEN_FROM_LEFT_TO_RIGHT = """(element) => {
  const found = [], texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), range = document.createRange();
  for (let text; (text = texts.nextNode());) for (let i = 0; i < text.data.length; i += 1) {
    range.setStart(text, i);
    range.setEnd(text, i + 1);
    const { left, width } = range.getBoundingClientRect();
    if (width) found.push([left, text.data[i]]);
  }
  return found.sort(([a], [b]) => a - b).map(([, letter]) => letter).join("");
}"""


def test_names_from_right_to_left_leave_numbers_and_fractions_in_order(browser, tmp_path):
    אב, גד = leaf(-6.5), leaf(2.0)
    with trace() as seen:
        הו = אב * גד
        הו.backward()
    with opened(browser, seen, tmp_path) as page:
        boxes = page.locator(".box text:first-of-type").all()
        assert [box.evaluate(SEEN_FROM_LEFT_TO_RIGHT) for box in boxes] == ["בא = -6.5", "דג = 2", "וה = -13"]
        current = page.locator("#source .current").evaluate(SEEN_FROM_LEFT_TO_RIGHT)
        assert current.endswith("וה = בא * דג")
        assert page.locator("#panel h2").evaluate(SEEN_FROM_LEFT_TO_RIGHT) == "וה = multiply(בא, דג)"
        page.keyboard.press("End")
        assert page.locator("#panel h3").last.evaluate(SEEN_FROM_LEFT_TO_RIGHT) in ("∂וה/∂בא", "∂וה/∂דג")
        assert page.evaluate("isRight('\u2068אב\u2069', 'אב')")


def test_each_pass_counts_its_own_arrivals_and_a_constant_leads_to_where_it_is_used(browser, tmp_path):
    x, c = leaf(2.0), mg.tensor(3.0)
    with trace() as seen:
        y = x * c
        y.backward(retain_graph=True)
        y.backward()
    with opened(browser, seen, tmp_path) as page:
        page.click("[data-box='1']")
        assert "y = multiply" in page.inner_text("#panel h2")
        assert "constant c" in page.inner_text("#panel")
        page.evaluate("goTo(steps.findLastIndex((step) => step.kind === 'contribution'))")
        assert "1st of 1" in page.inner_text("#panel")


def test_names_and_lines_that_look_like_markup_are_text(browser, tmp_path):
    x = leaf(2.0)
    nasty = "</script><!--<b>\u2028\"'&"
    with trace(names={nasty: x}) as seen:
        y = x * x
        y.backward()
    with opened(browser, seen, tmp_path) as page:
        page.keyboard.press("End")
        assert nasty in page.text_content("#panel")
        assert page.locator("b").count() == 0


def test_of_images_the_first_is_shown_in_grey_and_of_other_arrays_a_heatmap_with_its_range(browser, tmp_path):
    images, w = mg.tensor(np.random.default_rng(0).random((3, 12, 12))), leaf(-2.0)
    with trace() as seen:
        (images * w).sum().backward()
    with opened(browser, seen, tmp_path) as page:
        panel = page.inner_text("#panel")
        assert "the first image of (3, 12, 12), from 0 (black)" in panel
        assert "(blue) over 0 (white)" in panel


def test_only_the_edge_of_a_wrong_rule_is_red(browser, tmp_path):
    def cube(x):
        return mg.record(cube, x.data**3, (x, lambda grad, out: 2 * grad * x**2))

    x = leaf([1.0, 2.0])
    with trace() as seen:
        (cube(x) + x * x).sum().backward()
    with opened(browser, seen.check(), tmp_path) as page:
        for key in "Home", "End":
            page.keyboard.press(key)
            colours = [page.evaluate("(path) => getComputedStyle(path).stroke", path.element_handle())
                       for path in page.locator(".arrow path:nth-child(2)").all()]
            red = page.evaluate("getComputedStyle(document.querySelector('.arrow.wrong path:nth-child(2)')).stroke")
            assert colours.count(red) == 1


def test_a_step_is_announced_by_what_happens_in_it(browser, tmp_path):
    with opened(browser, squared(), tmp_path) as page:
        page.keyboard.press("End")
        assert page.text_content("[aria-live]") == "step 6 of 6, backwards: The gradient of x is complete"


def test_which_edge_is_next_is_asked_before_the_graph_marks_it(browser, tmp_path):
    a, b = leaf(2.0), leaf(5.0)
    with trace() as seen:
        y = a * b
        y.backward()
    at = next(i for i, step in enumerate(seen.steps) if hasattr(step, "edge"))
    with opened(browser, seen, tmp_path) as page:
        page.evaluate(f"goTo({at - 1})")
        page.check("#predict")
        for key in "End", "n", "ArrowRight":
            page.keyboard.press(key)
        page.click("[data-box='1']")
        assert "Along which edge next: to whom does y pass" in page.inner_text("#panel")
        assert page.locator(".arrow.now, .arrow.done").count() == 0
        page.fill(".question input", "a")
        page.click(".question button >> nth=0")
        assert "What does y pass back to a?" in page.inner_text("#panel")
        assert page.locator(".arrow.now").count() == 1


@pytest.mark.parametrize("name", ["a_long_path." * 6 + "weight", "two\nlines", "a = b", "x"])
def test_a_name_is_an_answer_as_it_is_and_as_its_box_says_it(browser, tmp_path, name):
    a, b = leaf(2.0), leaf([5.0, 6.0])
    for given in (a, b):
        with trace(names={name: given}) as seen:
            (a * b).backward([1.0, 1.0])
        at = next(i for i, step in enumerate(seen.steps)
                  if hasattr(step, "edge") and seen.tensors[seen.edges[step.edge].source].name == name)
        said = seen.graph.nodes[seen.edges[seen.steps[at].edge].source].lines()[0]
        with opened(browser, seen, tmp_path) as page:
            for answer in ("weight", "lines", "y", name, said, said.removesuffix(" = 2")):
                page.evaluate(f"goTo({at - 1})")
                page.set_checked("#predict", False)
                page.set_checked("#predict", True)
                page.evaluate(f"goTo({at})")
                page.fill(".question input", answer)
                page.click(".question button >> nth=0")
            assert page.inner_text("#score") == "3 right, 3 wrong"


HOSTILE = "</script><!--<script>\u2028\u2029\"'&{{DATA}}\0"


def hostile(tmp_path):
    """A trace of a program whose every line, name and file name looks like markup."""
    source = f"y = x * 2.0  # {HOSTILE[:-1].replace(chr(0x2028), '').replace(chr(0x2029), '')}\ny.backward()\n"
    file = str(tmp_path / "</script>{{TEXT}}\udc80'\".py")
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    variables = {"x": leaf(2.0), "__name__": "hostile"}
    with trace(names={HOSTILE: variables["x"]}) as seen:
        exec(compile(source, file, "exec"), variables)
    return seen


def test_lines_names_and_file_names_that_look_like_markup_are_text(browser, tmp_path):
    with opened(browser, hostile(tmp_path), tmp_path) as page:
        assert "</script><!--<script>" in page.inner_text("#source")
        assert HOSTILE[:-1] in page.text_content("#panel h2")
        assert page.title() == "backpropagation"
        page.keyboard.press("End")
        assert HOSTILE[:-1] in page.text_content("#panel")


def test_numbers_that_are_no_tensors_are_in_the_line_of_their_operation(browser, tmp_path):
    x = leaf(3.0)
    with trace() as seen:
        y = 2.0 - x * 4
        y.backward()
    with opened(browser, seen, tmp_path) as page:
        assert page.inner_text("#panel h2") == "multiply_1 = multiply(x, 4)"
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#panel h2") == "y = subtract(2.0, multiply_1)"
        assert page.text_content("[data-box='0'] .facts") == "()"


def test_edges_are_reached_by_keyboard_and_keep_the_focus(browser, tmp_path):
    with opened(browser, squared(), tmp_path) as page:
        page.focus("[data-arrow='0']")
        for key in "Enter", " ":
            page.keyboard.press(key)
            assert "y passes back to x" in page.inner_text("#panel h2")
            assert page.evaluate("document.activeElement.dataset.arrow") == "0"
        assert page.get_attribute("[data-arrow='0']", "aria-label") == "edge from x to y"


def test_the_back_button_takes_back_a_jump_and_not_each_step(browser, tmp_path):
    with opened(browser, diamond(), tmp_path) as page:
        page.keyboard.press("ArrowRight")
        page.click("[data-box='0']")
        assert "step 2 of" not in page.inner_text("#where")
        page.keyboard.press("ArrowRight")
        page.go_back()
        page.wait_for_function("location.hash === '#step=2'")
        assert "step 2 of" in page.inner_text("#where")


def test_on_a_phone_a_question_stands_above_the_source(browser, tmp_path):
    with opened(browser, diamond(), tmp_path) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        page.check("#predict")
        page.keyboard.press("End")
        question, source = (page.locator(part).bounding_box() for part in (".question", "#source"))
        assert question["y"] < source["y"]
        assert question["y"] < 844 / 2 + 100


@pytest.mark.parametrize("program", [classifier, squared, hostile], ids=lambda program: program.__name__)
def test_the_page_is_valid_html(tmp_path, program):
    html5lib = pytest.importorskip("html5lib", reason="html5lib reads the page strictly")
    seen = program(tmp_path) if program is hostile else program()
    html5lib.HTMLParser(strict=True).parse(seen.html())


def test_a_click_or_a_key_folds_a_module_to_a_box_and_unfolds_it_to_a_frame(browser, tmp_path):
    with opened(browser, classifier(), tmp_path) as page:
        assert page.locator(".label").all_text_contents() == ["− 0", "− 1", "− 2", "− 3"]
        boxes = page.locator(".box").count()
        page.click(".label[aria-label='0']")
        assert page.locator(".label").all_text_contents() == ["− 1", "− 2", "− 3"]
        assert page.locator(".box").count() == boxes - 2  # weight, bias and result are one
        assert page.locator(":focus").get_attribute("aria-expanded") == "false"
        page.focus(".label[aria-label='3']")
        page.keyboard.press("Enter")
        assert page.locator(".label").all_text_contents() == ["− 1", "− 2"]
        assert page.text_content(":focus").startswith("+ 3")
        page.keyboard.press("Space")
        assert page.locator(".label").all_text_contents() == ["− 1", "− 2", "− 3"]
        assert page.inner_text("[data-go=play]") == "play"
        page.keyboard.press("End")
        assert "step" in page.inner_text("#where")


def test_a_large_model_begins_folded_and_one_block_of_it_can_be_opened(browser, tmp_path):
    def block():
        return nn.Sequential(nn.Linear(4, 4), nn.Residual(nn.Sequential(nn.Linear(4, 4), nn.Tanh())), nn.ReLU())

    model = nn.Sequential(*[block() for _ in range(14)])
    with trace() as seen:
        model(np.ones((2, 4))).sum().backward()
    with opened(browser, seen, tmp_path) as page:
        assert page.locator(".label").count() == 0
        assert "What a module computes shares a box" in page.inner_text(".caption")
        page.click(".box[aria-label^='7,']")
        page.click(".box[aria-label^='7.1,']")
        assert page.locator(".label").all_text_contents() == ["− 7", "− 7.1"]
        page.keyboard.press("End")
        assert page.locator(".box.now").count() == 1
        page.click(".label[aria-label='7']")
        assert page.locator(".label").count() == 0
        for _ in range(4):
            if page.is_enabled("[data-detail='1']"):
                page.click("[data-detail='1']")
        assert page.locator(".label").count() == 14 * (1 + 3 + 1 + 2)


def test_what_is_marked_and_said_is_of_the_pass_of_the_step(browser, tmp_path):
    x = leaf([0.5, 1.0])
    with trace() as seen:
        _, back = mg.vjp(lambda a: (a * a, a.exp()), x.numpy())
        back((np.ones(2), np.ones(2)))
        y = mg.checkpoint(lambda a: a.exp() * a)(x * 2.0)
        y.backward(np.array([1.0, 3.0]))
    last = {step.sweep: i for i, step in enumerate(seen.steps) if hasattr(step, "edge")}
    first = {step.sweep: i for i, step in reversed([*enumerate(seen.steps)]) if type(step).__name__ == "Seed"}
    with opened(browser, seen, tmp_path) as page:
        page.evaluate(f"goTo({last[0]})")
        assert "gradient at multiply_1" in page.inner_text("#panel")
        page.evaluate(f"goTo({first[1]})")
        assert "The gradient that the pass was given:" in page.inner_text("#panel")
        assert (page.locator(".arrow.done").count(), page.locator(".box.has").count()) == (0, 0)
        page.evaluate(f"goTo({last[2]})")  # within the checkpoint's rule
        assert "gradient at exp_3" in page.inner_text("#panel")
        assert "y" in [text[0] for text in page.locator(".box.has").all_text_contents()]
        page.keyboard.press("ArrowRight")
        assert "gradient at y" in page.inner_text("#panel")
        assert "1st of 1" in page.inner_text("#panel")


def test_a_pass_that_was_asked_for_the_gradient_of_a_result_ends_there(browser, tmp_path):
    with trace() as seen:
        mg.hessian(lambda a: (a * a).sum())(np.ones(2))
    at = next(i for i, step in enumerate(seen.steps)
              if type(step).__name__ == "Complete" and seen.tensors[step.tensor].operation == "positive")
    with opened(browser, seen, tmp_path) as page:
        page.evaluate(f"goTo({at})")
        assert "The pass was asked for this gradient, and goes no further here." in page.inner_text("#panel")
        page.keyboard.press("End")
        page.evaluate("goTo(steps.findLastIndex((step) => step.kind === 'complete'))")
        assert "adds this to its .grad" in page.inner_text("#panel")


def test_pictures_say_which_part_of_an_array_they_show_and_nothing_is_null(browser, tmp_path):
    x = leaf(-np.ones((2, 3, 9, 10)))
    nothing, wide = leaf(np.full((1, 9, 9), np.nan)), leaf(-np.ones((9, 90)))
    with trace() as seen:
        (x * 2.0).sum() + (nothing * 2.0).sum() + (wide * 2.0).sum()
    with opened(browser, seen, tmp_path) as page:
        said = []
        for _ in seen.steps:
            said.append(page.inner_text("#panel"))
            page.keyboard.press("ArrowRight")
    assert "[0, 0] of it, from -2 (blue) over 0 (white) to 2 (red)\n" in said[0]
    assert "NaN\n81" in said[2]
    assert "image" not in said[2]
    assert "null" not in "".join(said)
    assert "\nfrom -2 (blue) over 0 (white) to 2 (red); means of blocks" in said[5]


def test_lines_of_source_are_printed_to_their_ends(browser, tmp_path):
    x = leaf(1.0)
    with trace() as seen:
        _ = x * 1.0  # a line that is too long for a page that is narrow, where nobody can scroll to the end of it
    with opened(browser, seen, tmp_path) as page:
        page.set_viewport_size({"width": 400, "height": 800})
        page.emulate_media(media="print")
        assert page.evaluate("(source => source.scrollWidth <= source.clientWidth)(document.getElementById('source'))")


def test_what_was_recorded_before_the_trace_is_there_from_the_first_step(browser, tmp_path):
    x = leaf(2.0)
    y = x * x
    with trace() as seen:
        (y * 3.0).backward()
    with opened(browser, seen, tmp_path) as page:
        assert page.locator(".box.later").count() == 0
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        assert "grad * a" in page.inner_text("#panel")
