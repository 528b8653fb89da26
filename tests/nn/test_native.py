import pytest

from nn.native import one_thread_for_products, product_threads


def test_the_threads_of_products_can_be_told_set_and_put_back():
    before = product_threads()
    if before is None:
        pytest.skip("NumPy computes products with another library than OpenBLAS")
    try:
        assert product_threads(2) == product_threads() == 2
        with one_thread_for_products(), one_thread_for_products():
            assert product_threads() == 1
        assert product_threads() == 2
    finally:
        product_threads(before)
