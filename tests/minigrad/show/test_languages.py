"""Names of all kinds in drawings: they are text, in every language, and have the room they need."""

import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.show import graph, trace
from minigrad.show.boxes import cut, cut_name, letters

NASTY = [
    "</script><b>&amp;", 'q"uo\\te\n"; x=1', "tab\t\x00\x1b[31m\r", "漢字かな交じり文", "\ud800\u202e\u2028\ufffe",
    "N" * 500, "1. list # %% `code` *b* __i__ ~s~ |x|", "👩\u200d🔬é", "%%{init: {}}%%", "]]>", "end", "", " ",
    "-->", "\\", "\\N",
]
SVG = "{http://www.w3.org/2000/svg}"


def named(name):
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    return graph(y, names={name: x, "y": y})


def labels(drawn):
    """What is written in the three languages, read as these are read."""
    root = ET.fromstring(drawn.svg().encode())
    svg = [element.text for element in root.iter(f"{SVG}text")]
    dot = re.findall(r'label="((?:[^"\\]|\\.)*)"', drawn.dot())
    dot = [re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text) for text in dot]
    dot = [line.replace("&amp;", "&") for text in dot for line in text.split("\n")]
    mermaid = [line for text in re.findall(r'"([^"\n]*)"', drawn.mermaid()) for line in text.split("<br>")]
    mermaid = [re.sub(r"#(\d+);", lambda found: chr(int(found[1])), line) for line in mermaid]
    return svg, dot, mermaid


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_a_name_is_text_in_every_language(name):
    drawn = named(name)
    expected = [drawn.nodes[0].lines()[0], "()", "y = 9"]
    for found in labels(drawn):
        assert found[:3] == expected
    for text in (drawn.dot(), drawn.mermaid(), str(drawn)):
        assert all(line.isprintable() for line in text.splitlines())
    outside = re.sub(r'"[^"]*"', "", drawn.mermaid())
    assert re.sub(r"[\w\s()\[\]>-]", "", outside) == ""
    assert not re.search(r"[<>&`*|%~\\]", "".join(re.findall(r'"([^"]*)"', drawn.mermaid())).replace("<br>", ""))


@pytest.mark.parametrize(("name", "isolated"), [
    ("אורך", "\u2068אורך\u2069"), ("a/שָׁלוֹם_2/b", "a/\u2068שָׁלוֹם_2\u2069/b"), ("طول", "\u2068طول\u2069"),
    ("\U0001e900", "\u2068\U0001e900\u2069"), ("γ_漢字", "γ_漢字"),
])
def test_names_from_right_to_left_are_isolated_in_every_language_and_take_no_more_room(name, isolated):
    drawn = named(name)
    for found in labels(drawn):
        assert found[:3] == [f"{isolated} = 3", "()", "y = 9"]
    assert drawn.nodes[0].lines()[0] == f"{name} = 3"
    assert "\u2068" not in str(drawn)


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_any_text_makes_drawings_that_can_be_read(name):
    for found in labels(named(name)):
        assert "y = 9" in found


def test_the_aria_label_names_a_few_inputs_and_counts_the_others():
    xs = [mg.tensor(1.0, requires_grad=True) for _ in range(12)]
    root = ET.fromstring(graph(mg.stack(xs).sum(), names={f'<"{i}">': x for i, x in enumerate(xs)}).svg())
    names = ", ".join(f'<"{i}">' for i in range(7))
    assert root.get("aria-label") == f"A graph of 2 operations on {names}, 5 more"


def test_wide_letters_get_the_room_of_two_and_accents_none():
    assert [letters(text) for text in ("abc", "漢字", "e\u0301", "👩")] == [3, 4, 1, 2]
    assert cut("漢字" * 30, 10) == "漢字漢字…"
    assert cut("short") == "short"
    widths = [named(name).picture().boxes[0].size()[0] for name in ("漢" * 10, "w" * 20)]
    assert widths[0] == widths[1]


def test_long_names_keep_the_ends_which_tell_them_apart():
    class Encoder(nn.Module):
        def __init__(self):
            self.projection_to_the_queries, self.projection_to_the_values = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.projection_to_the_queries(x) * self.projection_to_the_values(x)

    encoder_of_images_and_texts = Encoder()
    with trace() as seen:
        encoder_of_images_and_texts(np.ones((1, 3))).sum().backward(retain_graph=True)
    drawn = graph(encoder_of_images_and_texts(np.ones((1, 3))))
    assert {name.rpartition("_")[2] for name in drawn.picture().names.values()} >= {"queries", "values"}
    for end in ("queries.weight", "values.bias"):
        assert f"_{end}  (3," in str(drawn)
        assert f"_{end}, " in f"{drawn.described()}, "
        assert f"_{end} is complete " in str(seen)
        assert re.search(rf"linear_. -> ….*{end} (rows|grad)", str(seen))
    assert cut_name("query\n" * 3, 12) == r"…ry\nquery\n"


def test_text_stays_within_eighty_columns_however_deep_and_long():
    x = mg.tensor(np.ones((3, 4), np.float32), requires_grad=True)
    y = x
    for _ in range(100):
        y = y * mg.exp(-y)
    lines = str(graph(y, names={"漢" * 200: x})).splitlines()
    assert max(map(letters, lines)) <= 80
    assert sum("exp_" in line for line in lines) == 100


def test_a_png_is_drawn_by_cairosvg_or_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    drawn = named("x")
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    with pytest.raises(ImportError, match=r'saving a .png needs cairosvg: pip install cairosvg'):
        drawn.save(tmp_path / "graph.png")
    assert not (tmp_path / "graph.png").exists()
    monkeypatch.undo()
    pytest.importorskip("cairosvg", reason="pictures of pixels are drawn by cairosvg", exc_type=(ImportError, OSError))
    drawn.save(tmp_path / "graph.png")
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
