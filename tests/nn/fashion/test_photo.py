"""From a photo to 28 x 28 pixels: where the garment is found, what it becomes, and what is refused in a sentence."""

import io
import os

import numpy as np
import pytest

import nn
from nn.fashion import MEAN, STD, load
from nn.fashion.classifier import Classifier
from nn.fashion.models import build

Image = pytest.importorskip("PIL.Image")
from benchmarks.photos import BACKGROUNDS, DISTORTIONS, photograph  # noqa: E402
from nn.fashion.photo import connected, grey_pixels, read_photo, read_whole  # noqa: E402


@pytest.fixture(scope="module")
def images():
    """Some of the bundled images, without the remains of their backgrounds."""
    data = load(load.__globals__["SAMPLE_FOLDER"])
    return np.where(data.test_images[:5] > 12, data.test_images[:5], 0).astype(np.uint8)


def scene(shape=(120, 160), ground=250, garment=40, box=(50, 30, 80, 100)):
    """A rectangle on a plain ground; the box is left, top, right, bottom."""
    picture = np.full((*shape, 3), ground, np.uint8)
    left, top, right, bottom = box
    picture[top:bottom, left:right] = garment
    return picture


def saved(picture, mode="RGB", file_format="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, file_format, **options)
    file.seek(0)
    return Image.open(file)


# ------------------------------------------------------------------------------------------------ what is seen


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_a_photo_of_an_image_becomes_the_image_again(images, background, distortion):
    rng = np.random.default_rng(5)
    for image in images:
        photo = read_photo(Image.open(io.BytesIO(photograph(image, rng, background, distortion))))
        expected = image[:, ::-1] if distortion == "mirrored" else image
        moved = [np.roll(photo.pixels, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        alike = max(np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] for pixels in moved)
        least = 0.6 if background == "grey" else 0.8 if "noise" in background + distortion else 0.9
        assert alike > least, (background, distortion, alike)  # what is as grey as its background is lost


def test_the_longest_side_has_28_pixels_and_the_background_is_exactly_0():
    tall, wide = read_photo(scene()), read_photo(scene(box=(20, 50, 120, 80)))
    assert tall.box == (50, 30, 80, 100)
    assert np.flatnonzero(tall.pixels.any(1)).tolist() == [*range(28)]
    assert np.flatnonzero(tall.pixels.any(0)).tolist() == [*range(8, 20)]
    assert np.flatnonzero(wide.pixels.any(1)).tolist() == [*range(10, 18)]
    assert set(np.unique(tall.pixels)) == {0, 215}


def test_garments_are_bright_whether_the_background_is_light_or_dark():
    assert read_photo(scene(ground=255, garment=55)).pixels[14, 14] == 200
    assert read_photo(scene(ground=0, garment=200)).pixels[14, 14] == 200


def test_light_from_one_side_is_background():
    rows, columns = np.mgrid[:120, :160]
    ground = (180 + 0.3 * columns + 0.2 * rows)[..., None].repeat(3, 2)
    picture = np.uint8(np.where(scene() == 40, 40, ground))
    photo = read_photo(picture)
    assert photo.box == (50, 30, 80, 100)
    assert photo.warnings == ()


def test_straps_that_do_not_touch_the_sole_belong_to_the_sandal():
    picture = scene(box=(40, 80, 120, 100))
    picture[30:95, 110:118] = 60  # a heel that touches
    picture[40:46, 60:90] = 60  # a strap that does not
    photo = read_photo(picture)
    assert photo.box == (40, 30, 120, 100)
    assert photo.pixels[4:8, 8:16].any()
    assert photo.warnings == ()


def test_groups_of_cells_that_touch_have_one_number():
    cells = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1]], bool)
    labels = connected(cells)
    assert (labels > 0).tolist() == cells.tolist()
    assert len(np.unique(labels)) - 1 == 4
    assert labels[0, 0] == labels[1, 1]


# ------------------------------------------------------------------------------------------------ formats


@pytest.mark.parametrize(
    ("mode", "file_format", "options"),
    [
        ("RGB", "PNG", {}), ("L", "PNG", {}), ("P", "PNG", {}), ("1", "PNG", {}), ("RGBA", "PNG", {}),
        ("CMYK", "TIFF", {}), ("CMYK", "JPEG", {"quality": 95}), ("RGB", "JPEG", {"quality": 95}),
        ("I", "TIFF", {}), ("F", "TIFF", {}), ("RGB", "BMP", {}), ("P", "GIF", {}), ("RGB", "WEBP", {"lossless": True}),
        ("LA", "PNG", {}), ("YCbCr", "JPEG", {"quality": 95}), ("LAB", "TIFF", {}),
    ],
)
def test_every_mode_and_format_shows_the_same(mode, file_format, options):
    photo = read_photo(saved(scene(ground=255, garment=0), mode, file_format, **options))
    assert np.abs(np.array(photo.box) - (50, 30, 80, 100)).max() <= 1
    assert photo.pixels[14, 14] > 240


def test_sixteen_bits_are_read_as_such():
    picture = np.full((60, 60), 65000, np.uint16)
    picture[10:50, 20:40] = 20000
    assert read_photo(Image.fromarray(picture)).pixels[14, 14] == pytest.approx(255 - 20000 / 257, abs=2)


@pytest.mark.parametrize(("level", "grey"), [(200, 1), (255, 1), (256, 1), (40000, 156), (65535, 255)])
def test_how_dark_sixteen_bits_are_does_not_depend_on_the_rest_of_the_picture(level, grey):
    assert set(grey_pixels(Image.fromarray(np.full((8, 8), level, np.uint16)), None).flat) <= {grey - 1, grey}


@pytest.mark.parametrize(("level", "grey"), [(0.9, 229), (1.0, 255), (90.0, 90), (255.0, 255), (65535.0, 255)])
def test_floats_are_read_by_the_usual_ranges(level, grey):
    assert set(grey_pixels(Image.fromarray(np.full((8, 8), level, np.float32)), None).flat) == {grey}


def test_a_pixel_that_is_no_number_changes_no_other():
    numbers = np.full((8, 8), 0.5, np.float32)
    numbers[0, 0] = np.nan
    with np.errstate(invalid="ignore"):
        assert set(grey_pixels(Image.fromarray(numbers), None)[1:].flat) == {127}


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0, 3)])
def test_a_picture_without_pixels_is_one_sentence(shape):
    with pytest.raises(ValueError, match="a picture is bytes of shape"):
        read_photo(np.zeros(shape, np.uint8))


def test_what_is_transparent_is_white():
    picture = np.dstack([scene(ground=0, garment=0), np.uint8(scene()[..., 0] == 40) * 255])
    assert read_photo(picture).box == (50, 30, 80, 100)
    palette = Image.fromarray(np.uint8(scene(ground=0, garment=1)[..., 0]))
    palette.putpalette([9, 9, 9, 20, 20, 20])
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=0)
    assert read_photo(Image.open(file)).box == (50, 30, 80, 100)


def test_the_orientation_of_the_camera_is_undone():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.ascontiguousarray(np.rot90(scene()))
    assert read_photo(saved(turned, exif=exif)).box == (50, 30, 80, 100)


def test_a_photo_that_is_seen_as_a_whole_is_opened_once(tmp_path, monkeypatch):
    exif, opened, path = Image.Exif(), [], tmp_path / "photo.jpg"
    exif[0x0112] = 6
    picture = np.random.default_rng(0).integers(0, 256, (700, 600, 3), np.uint8)
    Image.fromarray(picture).save(path, exif=exif)
    expected = grey_pixels(path, (28, 20))
    monkeypatch.setattr(Image, "open", lambda path, open=Image.open: opened.append(path) or open(path))
    photo = read_whole(path, (28, 20))
    assert opened == [path]
    assert photo.picture.shape[0] < photo.picture.shape[1] < 700
    np.testing.assert_array_equal(photo.pixels, expected)


def test_of_an_animation_the_first_picture_counts(tmp_path):
    first, second = Image.fromarray(scene()), Image.fromarray(scene(box=(0, 0, 160, 120)))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert read_photo(tmp_path / "moving.gif").box == (50, 30, 80, 100)


def test_a_large_photo_is_looked_at_no_larger_than_needed():
    photo = read_photo(scene((3000, 4000), box=(1000, 1000, 3000, 2000)))
    assert max(photo.picture.shape) == 448
    np.testing.assert_allclose(photo.box, np.array([1000, 1000, 3000, 2000]) * 448 / 4000, atol=1)


# ------------------------------------------------------------------------------------------------ warnings


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        (scene(box=(0, 0, 160, 100)), "fills the photo"),
        (scene((800, 800), box=(50, 30, 70, 60)), "very small"),
        (scene(ground=250, garment=235), "hardly differs"),
        (np.maximum(scene(), 0) - 200 * np.uint8(scene(box=(110, 20, 150, 60)) == 40), "several things"),
        (np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8), "not plain"),
        (np.where(scene() == 40, scene(), np.uint8([[[255], [0]] * 80] * 120)), "not plain"),
    ],
)
def test_a_sentence_says_why_the_result_may_be_wrong(picture, sentence):
    assert any(sentence in said for said in read_photo(picture).warnings)


@pytest.mark.parametrize("picture", [scene(), scene((400, 300), box=(20, 20, 280, 380)), scene(ground=0, garment=255)])
def test_a_good_photo_gets_no_warning(picture):
    assert read_photo(picture).warnings == ()


# ------------------------------------------------------------------------------------------------ refusals


def test_an_empty_photo_is_refused():
    with pytest.raises(ValueError, match="there is no garment to be seen: nothing differs from the background"):
        read_photo(np.full((50, 50), 128, np.uint8))


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.zeros(4, np.uint8), np.zeros((3, 3, 2), np.uint8)])
def test_an_array_that_is_no_picture_is_refused(array):
    with pytest.raises(ValueError, match="a picture is bytes of shape"):
        read_photo(array)


def files(folder):
    """Files that are no photos, by name, with what is said of them."""
    (folder / "text.jpg").write_text("this is not an image")
    (folder / "empty.png").touch()
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)).save(whole, "JPEG")
    (folder / "truncated.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    Image.new("1", (9000, 9000)).save(folder / "large.png")
    Image.new("1", (16000, 16000)).save(folder / "bomb.png")
    return {
        "text.jpg": "is no image in a format that Pillow reads", "empty.png": "is no image",
        "truncated.jpg": "cannot be read as an image: image file is truncated", "nowhere.jpg": "No such file",
        "a" * 300: "cannot be read as an image: File name too long", ".": "is a folder: name the photos in it",
        "large.png": "has 81 million pixels: reduce it to 50 million first",
        "bomb.png": "has too many pixels: reduce it to 50 million first",
    }


def test_what_is_no_photo_is_refused_in_a_sentence_with_its_path(tmp_path):
    for name, sentence in files(tmp_path).items():
        with pytest.raises(nn.FileError) as raised:
            read_photo(tmp_path / name)
        assert sentence in str(raised.value)
        assert str(tmp_path / name) in str(raised.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(nn.FileError, match=r"photo\.jpg cannot be read as an image: it is not a file"):
        read_photo(tmp_path / "photo.jpg")


def test_a_jpeg_that_is_too_large_is_decoded_at_half_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr("nn.fashion.photo.LARGEST", 10_000)
    image = Image.new("L", (200, 120), 90)
    image.save(tmp_path / "large.jpg")
    image.save(tmp_path / "large.png")
    assert grey_pixels(tmp_path / "large.jpg", None).shape == (60, 100)
    with pytest.raises(nn.FileError, match="has 0 million pixels"):
        grey_pixels(tmp_path / "large.png", None)


@pytest.mark.parametrize("cut", range(20, 400, 23))
def test_any_damage_to_a_file_is_a_sentence(tmp_path, cut):
    for file_format in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"):
        whole = io.BytesIO()
        Image.fromarray(scene()).save(whole, file_format)
        content = bytearray(whole.getvalue())
        content[cut % len(content)] ^= 0xFF
        for damaged in (content, whole.getvalue()[:cut]):
            (tmp_path / "photo").write_bytes(damaged)
            try:
                read_photo(tmp_path / "photo")
            except (nn.FileError, ValueError) as error:
                assert len(str(error).splitlines()) == 1  # noqa: PT017  (most files can be read all the same)


# ------------------------------------------------------------------------------------------------ prediction


def test_a_prediction_names_all_classes_and_does_not_care_for_mirrors(images, tmp_path):
    nn.manual_seed(0)
    architecture = {"name": "mlp", "sizes": [784, 16, 10]}
    classifier = Classifier(build(architecture), architecture, MEAN, STD)
    Image.fromarray(scene()).save(tmp_path / "photo.png")
    found = classifier.predict_photo(tmp_path / "photo.png")
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)
    assert set(found) == set(classifier.classes)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    picture = scene(box=(20, 50, 120, 80))
    picture[40:60, 20:40] = 10
    mirrored = classifier.predict_photo(picture[:, ::-1].copy())
    assert list(mirrored.values()) == pytest.approx(list(classifier.predict_photo(picture).values()), abs=1e-5)
