"""The tour: its pictures are what the programs draw, its solutions hold, its chapters are short."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOUR = Path(__file__).resolve().parents[1] / "docs" / "tour"
CHAPTERS = sorted(TOUR.glob("[0-9]*.md"))
SOLUTIONS = sorted((TOUR / "solutions").glob("*.py"))


def run(*arguments, cwd):
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    here = {"PYTHONPATH": str(TOUR.parents[1]), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=here, check=False)
    assert done.returncode == 0, done.stderr


def test_the_pictures_are_those_that_the_programs_draw(tmp_path):
    run(TOUR / "pictures.py", tmp_path, cwd=tmp_path)
    drawn = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.svg")}
    kept = {path.name: path.read_text(encoding="utf-8") for path in TOUR.glob("*.svg")}
    assert drawn == kept


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.name)
def test_the_solutions_of_a_chapter_hold(path, tmp_path):
    run(path, cwd=tmp_path)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_a_chapter_is_short_has_a_picture_and_exercises_with_solutions(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    assert re.search(r"!\[[^\]]+\]\(\w+\.svg\)", text)
    assert "## Exercises" in text
    assert f"solutions/{path.name[:2]}.py" in text
