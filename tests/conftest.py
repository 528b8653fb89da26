"""Settings of hypothesis for the suite, `pytest --hypothesis-profile=ci`, or `fuzz` by hand; and its registry."""

import pytest
from hypothesis import HealthCheck, settings

from minigrad.ops import operations
from minigrad.testing.calls import EXAMPLES

common = {
    "deadline": None,
    "derandomize": False,  # where a variable CI is set, tests would else draw by their names, whatever the seed
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.differing_executors],
}
settings.register_profile("few", max_examples=5, **common)  # beside a whole run: for another NumPy, say
settings.register_profile("dev", max_examples=15, **common)
settings.register_profile("ci", max_examples=60, print_blob=True, **common)
settings.register_profile("fuzz", max_examples=3000, print_blob=True, **common)
settings.load_profile("dev")


@pytest.fixture(autouse=True, scope="module")
def registry_forgets_the_operations_of_tests():
    """Whatever order files are tested in: docs and tests enter operations of their own, and others look at all."""
    yield
    for name in [name for name, known in operations.items() if known.owner not in ("minigrad", "nn")]:
        del operations[name]
        EXAMPLES.pop(name, None)
