import unittest

from shop.stock import Stock


class StockTest(unittest.TestCase):
    def setUp(self) -> None:
        self.stock = Stock()
        self.stock.put("apple", 5)

    def test_level(self) -> None:
        self.assertEqual(self.stock.level("apple"), 5)

    def test_level_of_an_unknown_item(self) -> None:
        self.assertEqual(self.stock.level("unicorn"), 0)

    def test_take(self) -> None:
        self.stock.take("apple", 2)
        self.assertEqual(self.stock.level("apple"), 3)

    def test_take_too_many(self) -> None:
        with self.assertRaises(ValueError):
            self.stock.take("apple", 6)
