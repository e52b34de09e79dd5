import unittest

from shop.cart import Cart
from shop.report import money, receipt


class ReportTest(unittest.TestCase):
    def test_money(self) -> None:
        self.assertEqual([money(0), money(5), money(250)], ["0.00", "0.05", "2.50"])

    def test_receipt(self) -> None:
        cart = Cart()
        cart.add("bread", 2)
        cart.add("apple")
        self.assertEqual(receipt(cart), "2 bread 5.00\n1 apple 0.40\ntotal 5.40")
