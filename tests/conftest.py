"""Settings of hypothesis for the whole suite: `pytest --hypothesis-profile=ci`, or `fuzz` by hand."""

from hypothesis import HealthCheck, settings

common = {
    "deadline": None,
    "derandomize": False,  # where a variable CI is set, tests would else draw by their names, whatever the seed
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.differing_executors],
}
settings.register_profile("dev", max_examples=25, **common)
settings.register_profile("ci", max_examples=60, print_blob=True, **common)
settings.register_profile("fuzz", max_examples=3000, print_blob=True, **common)
settings.load_profile("dev")
