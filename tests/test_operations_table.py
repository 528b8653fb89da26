"""docs/operations.md is what its script writes."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_table_of_operations_is_up_to_date():
    page = runpy.run_path(str(DOCS / "operations.py"))["page"]()
    assert (DOCS / "operations.md").read_text() == page, "run `python docs/operations.py`"
