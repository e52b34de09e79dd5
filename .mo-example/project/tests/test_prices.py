import unittest

from shop.prices import CATALOGUE, convert, price


class PricesTest(unittest.TestCase):
    def test_price(self) -> None:
        self.assertEqual(price("bread"), 250)

    def test_unknown_item(self) -> None:
        with self.assertRaises(KeyError):
            price("unicorn")

    def test_every_price_is_positive(self) -> None:
        self.assertTrue(all(cents > 0 for cents in CATALOGUE.values()))

    def test_convert(self) -> None:
        self.assertEqual([convert(100, "EUR"), convert(100, "USD")], [100, 110])
