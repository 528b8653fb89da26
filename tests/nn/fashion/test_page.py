"""The page in a real browser: it answers what Python answers, for every network, and asks nobody for anything."""

import io
import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nn
from nn.fashion import CLASSES, MEAN, STD, commands, load, report_page
from nn.fashion.card import model_card
from nn.fashion.classifier import Classifier
from nn.fashion.models import architecture_for, build
from nn.fashion.network import HalfNumbers, as_layers
from nn.fashion.webpage import HITS, MISTAKES, contents, input_gradients, pad_like, page, write_page

Image = pytest.importorskip("PIL.Image")
from benchmarks.photos import BACKGROUNDS, DISTORTIONS, photograph  # noqa: E402
from nn.fashion.photo import read_photo  # noqa: E402

PHOTOS = sorted((Path(__file__).parents[3] / "docs" / "photos").glob("*.jpg"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARCHITECTURES = {
    "mlp": {"name": "mlp", "sizes": [784, 256, 64, 10], "dropout": 0.2},
    "sigmoid": {"name": "mlp", "sizes": [784, 50, 10], "activation": "sigmoid"},
    "gelu": {"name": "mlp", "sizes": [784, 64, 32, 10], "activation": "gelu", "batch_norm": True},
    "keras_cnn": {"name": "keras_cnn"},
    "stride_cnn": {"name": "stride_cnn", "channels": [8, 16, 32]},
    "resnet": {"name": "resnet", "channels": [8, 16], "blocks": [1, 1], "dropout": 0.1},
    "mirrored": {"name": "stride_cnn", "channels": [8, 16, 32], "mirrored": True},
}


@pytest.fixture(scope="module")
def data():
    """The bundled data, which every machine has."""
    return load(load.__globals__["SAMPLE_FOLDER"])


@pytest.fixture(scope="module")
def trained(data):
    """A classifier of each architecture, trained for some dozens of steps, so that it is mostly right."""
    made = {}

    def of(name, mean=MEAN, std=STD):
        if (name, mean) not in made:
            nn.manual_seed(4)
            classifier = Classifier(build(ARCHITECTURES[name]), ARCHITECTURES[name], mean, std)
            optimizer = nn.optim.Adam(classifier.model.parameters(), lr=3e-3)
            images, labels = data.train_images[:3200], data.train_labels[:3200]
            for batch, target in nn.data.DataLoader((images, labels), 64, transform=nn.data.Normalize(mean, std)):
                optimizer.zero_grad()
                nn.CrossEntropyLoss()(classifier.model(batch), target).backward()
                optimizer.step()
            made[name, mean] = classifier
        return made[name, mean]

    return of


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright and a chromium")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield browser
        browser.close()


@contextmanager
def opened(browser, classifier, data, tmp_path, **options):
    """The page of a classifier; at the end, nothing has been logged and no request has left."""
    path = tmp_path / "garments.html"
    write_page(classifier, data, path)
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
    tab = context.new_page()
    logged, requested = [], []
    tab.on("console", lambda message: logged.append(message.text))
    tab.on("pageerror", lambda error: logged.append(str(error)))
    tab.on("request", lambda request: requested.append(request.url))
    tab.goto(path.as_uri())
    yield tab
    context.close()
    assert logged == []
    assert requested == [path.as_uri()]


def seen(tab):
    """The pixels that are shown as those the network sees."""
    colours = tab.evaluate("[...byId('seen').getContext('2d').getImageData(0, 0, COLUMNS, ROWS).data]")
    return np.array(colours, np.uint8).reshape(*tab.evaluate("[ROWS, COLUMNS]"), 4)[..., 0]


def bars(tab):
    """The probabilities that are shown."""
    shown = tab.locator("#bars li").all_inner_texts()
    return {name: float(share.rstrip(" %")) / 100 for name, share in (text.split("\n") for text in shown)}


def ask(tab, content, name="photo.png"):
    """Choose a file, and wait for its answer."""
    tab.evaluate("byId('answer').textContent = ''")
    tab.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
    tab.wait_for_function("() => byId('answer').textContent")


def saved(picture, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", **options)
    return file.getvalue()


# ------------------------------------------------------------------------------------------------ the same as in Python


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_gives_the_same_class_for_200_images_with_probabilities_within_a_hundredth(
    browser, trained, data, tmp_path, name
):
    classifier, images = trained(name), data.test_images[:200]
    expected = classifier.predict_proba(images)
    assert (expected.argmax(1) == data.test_labels[:200]).mean() > 0.4  # so that there is something to agree about
    with opened(browser, classifier, data, tmp_path) as tab:
        found = np.array(tab.evaluate("all => all.map(probabilities)", images.reshape(200, -1).tolist()))
    ordered = np.sort(expected)
    decided = ordered[:, -1] - ordered[:, -2] > 0.001  # what is less is a tie in half precision
    assert decided.sum() >= 195
    assert (found.argmax(1) == expected.argmax(1))[decided].all()
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_networks_of_bytes_as_they_are_run_as_well(browser, trained, data, tmp_path):
    classifier = trained("mlp", 0.0, 1 / 255)
    with opened(browser, classifier, data, tmp_path) as tab:
        found = np.array(tab.evaluate("all => all.map(probabilities)", data.test_images[:50].reshape(50, -1).tolist()))
    np.testing.assert_allclose(found, classifier.predict_proba(data.test_images[:50]), atol=0.01)


def test_the_example_photos_get_the_same_answers(browser, trained, data, tmp_path):
    classifier = trained("stride_cnn")
    assert len(PHOTOS) == 12
    with opened(browser, classifier, data, tmp_path) as tab:
        for path in PHOTOS:
            ask(tab, path.read_bytes(), path.name)
            expected = classifier.predict_photo(path)
            assert bars(tab) == pytest.approx(expected, abs=0.01)
            assert tab.inner_text("#answer").startswith(next(iter(expected)))
            assert tab.locator("#photo").is_visible()


@pytest.mark.parametrize(("number", "background"), [*enumerate(BACKGROUNDS)])
def test_a_photo_becomes_the_same_pixels_and_gets_the_same_warnings(
    browser, trained, data, tmp_path, number, background
):
    rng = np.random.default_rng(7)
    image = data.test_images[number]
    garment = np.where(image > 12, image, 0).astype(np.uint8)
    with opened(browser, trained("mlp"), data, tmp_path) as tab:
        for distortion in DISTORTIONS:
            content = photograph(garment, rng, background, distortion)
            ask(tab, content, f"{distortion}.png")
            photo = read_photo(Image.open(io.BytesIO(content)))
            difference = np.abs(seen(tab).astype(int) - photo.pixels)
            assert difference.max() <= 2, (distortion, difference.max())
            sentences = tab.locator("#warnings li").all_inner_texts()
            assert [*photo.warnings] == [said for said in sentences if "not sure" not in said]


@pytest.mark.parametrize("shape", [(60, 50), (448, 449), (700, 1001), (30, 1700), (1500, 2), (20, 20), (300, 4000)])
def test_photos_of_any_size_become_the_same_pixels(browser, trained, data, tmp_path, shape):
    rng = np.random.default_rng(0)
    h, w = shape
    picture = np.full((h, w, 3), 240, np.uint8)
    garment = picture[h // 4 : -(h // 4), w // 4 : -(w // 4) or None]
    garment[:] = rng.integers(0, 120, garment.shape)
    with opened(browser, trained("mlp"), data, tmp_path) as tab:
        ask(tab, saved(picture))
        photo = read_photo(picture)
        assert np.abs(seen(tab).astype(int) - photo.pixels).max() <= 2


@pytest.mark.parametrize("side", [1400, 2400])
def test_a_large_jpeg_becomes_the_same_pixels(browser, trained, data, tmp_path, side):
    with Image.open(PHOTOS[0]) as image:
        image.convert("RGB").resize((side, side * image.height // image.width)).save(tmp_path / "large.jpg", quality=90)
    with opened(browser, trained("mlp"), data, tmp_path) as tab:
        ask(tab, (tmp_path / "large.jpg").read_bytes(), "large.jpg")
        assert np.abs(seen(tab).astype(int) - read_photo(tmp_path / "large.jpg").pixels).max() <= 1


def test_what_is_no_photo_is_refused_in_a_sentence(browser, trained, data, tmp_path):
    with opened(browser, trained("mlp"), data, tmp_path) as tab:
        for content, sentence in {
            b"no image": "photo.png is no image that this browser reads",
            saved(np.full((40, 40), 200, np.uint8)): "there is no garment to be seen: nothing differs",
        }.items():
            ask(tab, content)
            assert tab.inner_text("#answer") == "no answer"
            (said,) = tab.locator("#warnings li").all_inner_texts()
            assert said.startswith(sentence)
            assert not seen(tab).any()


# ------------------------------------------------------------------------------------------------ what one can do


def test_an_image_of_the_gallery_is_answered_and_explained(browser, trained, data, tmp_path):
    classifier = trained("mlp")
    gallery = contents(classifier, data)["gallery"]
    with opened(browser, classifier, data, tmp_path) as tab:
        mistake = tab.locator("#mistakes [role=option]").first
        mistake.click()
        number = gallery["numbers"][gallery["hits"]]
        assert (seen(tab) == data.test_images[number]).all()
        truth, taken = CLASSES[data.test_labels[number]], classifier.predict(data.test_images[number : number + 1])[0]
        assert mistake.get_attribute("aria-label") == f"{truth}, taken for {taken}"
        assert tab.inner_text("#answer").startswith(taken)
        assert tab.inner_text("#about") == f"✗ test image {number}: it is labelled {truth}"
        assert tab.locator("#mattered").is_hidden()
        tab.check("#explain")
        assert tab.locator("#mattered").is_visible()


def test_keys_go_through_the_gallery(browser, trained, data, tmp_path):
    with opened(browser, trained("mlp"), data, tmp_path) as tab:
        tab.locator("#hits [role=option]").first.focus()
        tab.keyboard.press("ArrowRight")
        chosen = tab.locator("[aria-selected=true]")
        assert chosen.count() == 1
        assert chosen.get_attribute("data-image") == "1"
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("ArrowUp")
        tab.keyboard.press("End")
        assert tab.locator("#hits [role=option]").last.get_attribute("aria-selected") == "true"
        assert tab.locator("#hits [tabindex='0']").count() == 1


def test_a_sketch_is_answered(browser, trained, data, tmp_path):
    with opened(browser, trained("mlp"), data, tmp_path) as tab:
        tab.locator("#pad").scroll_into_view_if_needed()
        frame = tab.locator("#pad").bounding_box()
        for x in (100, 120, 140):
            tab.mouse.move(frame["x"] + x, frame["y"] + 40)
            tab.mouse.down()
            tab.mouse.move(frame["x"] + x, frame["y"] + 220, steps=4)
            tab.mouse.up()
        assert "sketch" in tab.inner_text("#about")
        assert seen(tab).any(1).all()
        assert sum(bars(tab).values()) == pytest.approx(1, abs=0.01)
        tab.click("#clear")
        assert tab.evaluate("ink.getImageData(0, 0, 280, 280).data.every((value) => value === 255)")


def test_photos_are_dropped_pasted_and_taken(browser, trained, data, tmp_path):
    content = PHOTOS[0].read_bytes()
    event = """([name, bytes]) => {
        const files = new DataTransfer();
        files.items.add(new File([Uint8Array.from(bytes)], `${name}.jpg`, { type: "image/jpeg" }));
        document.dispatchEvent(name === "drop" ? new DragEvent(name, { dataTransfer: files })
                                               : new ClipboardEvent(name, { clipboardData: files }));
    }"""
    with opened(browser, trained("mlp"), data, tmp_path) as tab:
        for name in ("drop", "paste"):
            tab.evaluate(event, [name, list(content)])
            tab.wait_for_function("name => byId('about').textContent === `photo: ${name}.jpg`", arg=name)
        tab.click("#camera")
        tab.wait_for_function("() => video.videoWidth > 0")
        tab.click("#take")
        tab.wait_for_function("() => byId('live').hidden")
        assert tab.locator("#photo").is_visible()
        assert tab.inner_text("#about") in ("photo: camera", "")


def test_a_click_on_the_pad_leaves_a_dot_and_gets_an_answer(browser, trained, data, tmp_path):
    with opened(browser, trained("mlp"), data, tmp_path) as tab:
        tab.locator("#pad").click()
        assert "sketch" in tab.inner_text("#about")
        assert seen(tab).any()


# ------------------------------------------------------------------------------------------------ own data

SYMBOLS = 60  # classes, of which a page has no room to show all
NAMES = ("שלום", "x" * 100, "a long name of many words, " * 3, "日本語", *(f"symbol {i}" for i in range(4, SYMBOLS)))


@pytest.fixture(scope="module")
def symbols(tmp_path_factory):
    """Data from a folder of pictures, 20 x 30, light on dark, and a network that has learned some of it."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("symbols")
    patterns = np.kron(rng.integers(0, 2, (SYMBOLS, 6, 8)), np.ones((5, 5))) * 200
    for name, pattern in zip(NAMES, patterns, strict=True):
        for i in range(8):
            part = folder / ("train" if i < 6 else "test") / name
            part.mkdir(parents=True, exist_ok=True)
            canvas = rng.integers(0, 30, (40, 50))
            canvas[i % 5 + 3 :][:30, i % 4 + 3 :][:, :40] += pattern.astype(int)
            Image.fromarray(canvas.astype(np.uint8)).save(part / f"{i}.png")
    data = load(folder, size=(20, 30))
    nn.manual_seed(0)
    architecture = architecture_for(ARCHITECTURES["stride_cnn"], data.size, SYMBOLS)
    classifier = Classifier(build(architecture), architecture, *data.mean_and_std(), data.classes, data.size)
    optimizer = nn.optim.Adam(classifier.model.parameters(), lr=1e-2)
    images = nn.data.Normalize(classifier.mean, classifier.std)(data.train_images)[0]
    for _ in range(25):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(classifier.model(images), data.train_labels).backward()
        optimizer.step()
    assert not classifier.knows_garments
    return classifier, data, folder


@pytest.mark.parametrize("name", ["mlp", "gelu", "keras_cnn", "stride_cnn", "resnet", "mirrored"])
def test_networks_for_other_sizes_and_classes_answer_the_same(browser, symbols, tmp_path, name):
    _, data, _ = symbols
    architecture = architecture_for(ARCHITECTURES[name], data.size, SYMBOLS)
    classifier = Classifier(build(architecture), architecture, 0.3, 0.4, data.classes, data.size)
    images = data.test_images
    with opened(browser, classifier, data, tmp_path) as tab:
        found = tab.evaluate("all => all.map(probabilities)", images.reshape(len(images), -1).tolist())
    np.testing.assert_allclose(found, classifier.predict_proba(images), atol=0.01)


def test_a_photo_for_a_network_of_own_data_is_seen_whole(browser, symbols, tmp_path):
    classifier, data, folder = symbols
    rng = np.random.default_rng(1)
    colours = np.kron(rng.integers(0, 256, (4, 6, 3)), np.ones((150, 140, 1))).astype(np.uint8)
    paths = [tmp_path / name for name in ("colours.png", "tiny.png", "photo.jpg")]
    paths = [*sorted(folder.glob("test/*/7.png"))[:8], *paths]
    Image.fromarray(colours).save(paths[-3])
    Image.fromarray(colours[::150, ::140]).save(paths[-2])
    Image.fromarray(colours).save(paths[-1], quality=95)
    with opened(browser, classifier, data, tmp_path) as tab:
        for path in paths:
            ask(tab, path.read_bytes(), path.name)
            photo = classifier.look_at(path)
            assert np.abs(seen(tab).astype(int) - photo.pixels).max() <= 1, path
            shares = classifier.predict_photo(photo)
            assert len(bars(tab)) == 10
            for name, share in bars(tab).items():
                assert share == pytest.approx(shares[name.strip()], abs=0.01)
            most, *_ = shares
            assert tab.inner_text("#answer").startswith(most)
            assert tab.locator("#bars .best").count() == 1


def test_the_most_probable_of_many_classes_have_the_bars(browser, symbols, tmp_path):
    classifier, data, _ = symbols
    with opened(browser, classifier, data, tmp_path) as tab:
        for option in tab.locator("[role=option]").all()[:12]:
            option.click()
            shown = [*bars(tab).values()]
            assert shown == sorted(shown, reverse=True)
            number = int(re.search(r"\d+", tab.inner_text("#about"))[0])
            (shares,) = classifier.predict_proba(data.test_images[number : number + 1])
            assert shown == pytest.approx(np.sort(shares)[::-1][:10].tolist(), abs=0.01)


def test_a_page_of_own_data_says_nothing_of_garments(browser, symbols, tmp_path):
    classifier, data, _ = symbols
    with opened(browser, classifier, data, tmp_path) as tab:
        ask(tab, saved(np.full((40, 40), 200, np.uint8)))  # a plain one, too, is a picture
        assert "garment" not in tab.content().split('<script type="application/json"')[0].split("</style>")[1].lower()
        assert "20\xa0×\xa030" in tab.inner_text("#sources")
        assert tab.inner_text("#answer") != "no answer"
    card = model_card(classifier, classifier.evaluate(data.test_images, data.test_labels), {})
    assert "20 × 30 pixels are sorted into 60 classes" in card
    assert "garment" not in card


@pytest.mark.parametrize("ground", [0, 20, 240])
def test_sketches_are_light_on_dark_where_the_data_are(browser, symbols, tmp_path, ground):
    classifier, data, _ = symbols
    images = np.full_like(data.test_images, ground)
    images[:, 5:-5, 5:-5] = 255 - ground
    assert pad_like(images) == {"paper": ground, "ink": 255 if ground < 128 else 0}
    with opened(browser, classifier, replace(data, test_images=images), tmp_path) as tab:
        tab.locator("#pad").click()
        pixels = seen(tab).astype(int)
        assert tab.inner_text("#about") == "a sketch"
        assert (pixels[0] == ground).all()
        assert abs(pixels[10, 15] - (255 if ground < 128 else 0)) <= 30


@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (320, 600)])
def test_long_names_and_those_from_right_to_left_fit_the_screen(browser, symbols, tmp_path, size):
    classifier, data, _ = symbols
    width, height = size
    with opened(browser, classifier, data, tmp_path, viewport={"width": width, "height": height}) as tab:
        for name in NAMES[:4]:
            shares = (np.array(data.classes) == name.strip()).astype(float)
            answer = "shares => show({ pixels: imageOf(0), shares, about: `it is labelled ${classes[1]}` })"
            tab.evaluate(answer, shares.tolist())
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.locator("#result").bounding_box()["height"] < (300 if width < 700 else height)
            assert tab.inner_text("#answer") == f"{name.strip()}, 100.0 %"


def test_of_large_images_the_gallery_has_few(trained, data, symbols):
    _, own, _ = symbols
    count, large = 80, (512, 400)
    labels = np.arange(count) % SYMBOLS
    images = np.zeros((count, *large), np.uint8)
    architecture = architecture_for(ARCHITECTURES["stride_cnn"], large, SYMBOLS)
    wide = Classifier(build(architecture), architecture, 0.3, 0.4, own.classes, large)
    much = replace(own, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    assert 2 <= len(contents(wide, much)["gallery"]["labels"]) <= 12
    assert len(contents(trained("mlp"), data)["gallery"]["labels"]) == HITS + MISTAKES


# ------------------------------------------------------------------------------------------------ the file


def test_a_page_of_the_default_network_is_small(trained, data):
    assert len(page(trained("mlp"), data).encode()) <= 800_000


def test_names_of_classes_cannot_break_out_of_the_page(browser, trained, data, tmp_path):
    given = trained("mlp")
    names = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "{{DATA}}", "\u2028", *CLASSES[4:]]
    hostile = Classifier(given.model, given.architecture, given.mean, given.std, tuple(names))
    with opened(browser, hostile, replace(data, classes=tuple(names)), tmp_path) as tab:
        assert tab.locator("#bars li b").all_text_contents() == names
        assert tab.locator("img").count() == 0
        assert tab.locator("script").count() == 2


def test_a_page_is_valid_html(trained, data, symbols):
    html5lib = pytest.importorskip("html5lib")
    html5lib.HTMLParser(strict=True).parse(page(trained("mlp"), data))
    html5lib.HTMLParser(strict=True).parse(page(*symbols[:2]))


@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (320, 600)])
def test_nothing_is_wider_than_the_screen(browser, trained, data, tmp_path, size):
    width, height = size
    with opened(browser, trained("mlp"), data, tmp_path, viewport={"width": width, "height": height}) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("#result").bounding_box()["height"] < height


def test_a_report_is_not_wider_than_a_phone_and_breaks_no_number(browser, trained, data, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(report_page, "MAPPED", 120)
    named = replace(data, classes=("Pneumonoultramicroscopicsilicovolcanoconiosis" * 2, *data.classes[1:]))
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        learned = Classifier(trained("mlp").model, ARCHITECTURES["mlp"], MEAN, STD, named.classes)
        learned.save(tmp_path / name / "model.npz")
    written = report_page.write_report([tmp_path / "one", tmp_path / "another"], named)
    tab = browser.new_page(viewport={"width": 360, "height": 800})
    tab.goto(written.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    cells = tab.locator(".numbers td:not(:first-child)").all_inner_texts()
    assert "(+0.00)" in " ".join(cells)
    assert tab.locator(".numbers td:not(:first-child)").evaluate_all(
        "cells => cells.every(cell => getComputedStyle(cell).overflowWrap == 'normal')")
    tab.close()


def test_every_mistake_is_shown_as_one_and_hits_are_of_all_classes(trained, data):
    gallery = contents(trained("mlp"), data)["gallery"]
    right = np.array(gallery["labels"]) == gallery["predicted"]
    assert right[: gallery["hits"]].all()
    assert not right[gallery["hits"] :].any()
    assert {*gallery["labels"][: gallery["hits"]]} == {*range(10)}


def test_input_gradients_say_how_the_answer_moves(trained, data):
    classifier, image = trained("gelu"), data.test_images[:1] / 255
    gradient = input_gradients(classifier, data.test_images[:1])[0] / 127.0
    label, (row, column) = classifier.predict_proba(image)[0].argmax(), np.argwhere(np.abs(gradient) == 1)[0]
    darker, brighter = image.copy(), image.copy()
    darker[0, row, column] = max(darker[0, row, column] - 0.02, 0)
    brighter[0, row, column] = min(brighter[0, row, column] + 0.02, 1)
    change = classifier.predict_proba(np.concatenate([darker, brighter]))[:, label]
    assert np.sign(change[1] - change[0]) == gradient[row, column]
    assert all(parameter.grad is None for parameter in classifier.model.parameters())


# ------------------------------------------------------------------------------------------------ the plain network


def test_numbers_in_half_precision_keep_three_digits_however_large_they_are():
    numbers = HalfNumbers()
    given = [np.array([[3e9, -1e7]]), np.array([2e-30, 1e-30]), np.zeros(3), np.zeros(0)]
    places = [numbers.add(array) for array in given]
    row = np.frombuffer(bytes(numbers), "<f2")
    for place, array in zip(places, given, strict=True):
        found = row[place["start"] :][: place["count"]].astype(float) * place["scale"]
        np.testing.assert_allclose(found, array.ravel(), rtol=1e-3)
    with pytest.raises(ValueError, match="not finite"):
        numbers.add(np.array([1, np.nan]))


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (nn.Conv2d(1, 1, 3, padding="same", dilation=2), "dilation, groups or a padding mode"),
        (nn.MaxPool2d(2, ceil_mode=True), "only of windows and strides"),
        (nn.BatchNorm2d(1, track_running_stats=False), "no running statistics"),
        (nn.GELU("tanh"), "only of the exact one"),
    ],
)
def test_a_setting_that_the_page_does_not_know_is_refused(layer, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_layers(layer, np.zeros((1, 1, 8, 8), np.float32), HalfNumbers())


def test_a_layer_that_the_page_does_not_know_is_refused():
    with pytest.raises(ValueError, match="no plain form of Tanh"):
        as_layers(nn.Sequential(nn.Tanh()), np.zeros((1, 4)), HalfNumbers())


# ------------------------------------------------------------------------------------------------ command and card


def test_the_command_writes_page_and_card(trained, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(load.__globals__["SAMPLE_FOLDER"]))
    classifier, folder = trained("mlp"), tmp_path / "run"
    classifier.save(folder / "model.npz")
    settings = {"name": "mine", "epochs": 7, "architecture": classifier.architecture, "flip": "none", "lr": 0.5}
    (folder / "config.json").write_text(json.dumps(settings))
    assert commands.main(["page", str(folder), "-o", str(tmp_path / "site" / "garments.html")]) == 0
    assert re.fullmatch(r"Wrote \S+garments.html \(\d+ kB\) and \S+MODEL_CARD.md\n", capsys.readouterr().out)
    card = (tmp_path / "site" / "MODEL_CARD.md").read_text(encoding="utf-8")
    evaluation = classifier.evaluate(data.test_images, data.test_labels)
    assert card.startswith("---\n")
    assert f"      value: {evaluation.accuracy:.4f}" in card
    assert "| epochs | 7 |" in card
    assert "flip" not in card
    assert f"| Sneaker | {evaluation.precision[7]:.3f} | {evaluation.recall[7]:.3f} | {evaluation.f1[7]:.3f} |" in card


def test_a_card_that_is_there_is_kept(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(load.__globals__["SAMPLE_FOLDER"]))
    trained("mlp").save(tmp_path / "model.npz")
    (tmp_path / "MODEL_CARD.md").write_text("license: mine")
    assert commands.main(["page", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 0
    assert "MODEL_CARD.md is kept as it is: remove it for one that is written anew" in capsys.readouterr().out
    assert (tmp_path / "MODEL_CARD.md").read_text() == "license: mine"


def test_the_command_refuses_in_a_sentence(trained, tmp_path, capsys):
    trained("mlp").save(tmp_path / "model.npz")
    assert commands.main(["page", str(tmp_path), "-o", "page.txt"]) == 1
    assert capsys.readouterr().err.endswith("page.txt does not end in .html\n")


def test_the_command_writes_a_page_of_a_network_for_own_data(symbols, tmp_path, capsys):
    classifier, _, folder = symbols
    classifier.save(tmp_path / "model.npz")
    page_file = tmp_path / "symbols.html"
    assert commands.main(["page", str(tmp_path / "model.npz"), "--data", str(folder), "-o", str(page_file)]) == 0
    assert "Wrote" in capsys.readouterr().out
    assert "garment" not in (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_command_refuses_other_data_and_networks_that_are_broken(trained, symbols, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(load.__globals__["SAMPLE_FOLDER"]))
    own, _, _ = symbols
    own.save(tmp_path / "own.npz")
    given = trained("mlp")
    state = given.model.state_dict()
    nn.save(state | {"1.bias": state["1.bias"] * np.nan}, tmp_path / "broken.npz", given.metadata())
    others = Classifier(given.model, given.architecture, given.mean, given.std, tuple("abcdefghij"))
    others.save(tmp_path / "others.npz")
    for name, sentence in {
        "own": "the images have 28 x 28 pixels, not 20 x 30",
        "others": "the model is for images of the classes a, b, c, … (10), these data are of",
        "broken": "its probabilities are not finite",
    }.items():
        assert commands.main(["page", str(tmp_path / f"{name}.npz"), "-o", str(tmp_path / "page.html")]) == 1
        said = capsys.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1
        assert not (tmp_path / "page.html").exists()


def test_a_card_leaves_out_what_is_not_known(trained, data):
    classifier = trained("mlp")
    evaluation = classifier.evaluate(data.test_images[:100], data.test_labels[:100])
    for settings in ({}, {"epochs": 3}, {"epochs": 3, "architecture": {"name": "keras_cnn"}}):
        assert "## Training" not in model_card(classifier, evaluation, settings)


def test_a_card_says_of_which_epoch_the_model_is_and_takes_a_strangers_setting_for_text(trained, data):
    classifier = trained("mlp")
    evaluation = classifier.evaluate(data.test_images[:100], data.test_labels[:100])
    settings = {"architecture": classifier.metadata()["architecture"], "epochs": 4, "[a](b)|c": 1, "batch_size": 2}
    card = model_card(replace(classifier, training={"epoch": 3}), evaluation, settings)
    assert "| epochs | 4 |\n| \\[a\\](b)\\|c | 1 |\n| batch size | 2 |\n| model of epoch | 3 |" in card
    assert "of epoch" not in model_card(replace(classifier, training={}), evaluation, settings)


def test_names_cannot_break_a_card(trained, data):
    given = trained("mlp")
    names = ("a|b", "<b>", "two\nlines", *map(str, range(7)))
    classifier = Classifier(given.model, given.architecture, given.mean, given.std, names)
    card = model_card(classifier, classifier.evaluate(data.test_images, data.test_labels), {})
    assert "| a\\|b |" in card
    assert "\\<b\\>" in card
    assert "two lines" in card
    assert "Fashion-MNIST" not in card


def test_front_matter_is_yaml_that_hubs_read(trained, data):
    yaml = pytest.importorskip("yaml")
    classifier = trained("mlp")
    evaluation = classifier.evaluate(data.test_images, data.test_labels)
    _, head, _ = model_card(classifier, evaluation, {}).split("---\n", 2)
    told = yaml.safe_load(head)
    assert told["pipeline_tag"] == "image-classification"
    assert told["model-index"][0]["results"][0]["metrics"][0] == {
        "type": "accuracy", "value": pytest.approx(evaluation.accuracy, abs=1e-4)
    }
