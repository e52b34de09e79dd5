import unittest

from shop.cart import Cart


class CartTest(unittest.TestCase):
    def test_empty(self) -> None:
        self.assertEqual(Cart().total(), 0)

    def test_total(self) -> None:
        cart = Cart()
        cart.add("apple", 3)
        cart.add("tea")
        self.assertEqual(cart.total(), 500)

    def test_adding_twice_adds_up(self) -> None:
        cart = Cart()
        cart.add("apple")
        cart.add("apple", 2)
        self.assertEqual(cart.lines, {"apple": 3})

    def test_remove(self) -> None:
        cart = Cart()
        cart.add("tea")
        cart.remove("tea")
        cart.remove("tea")
        self.assertEqual(cart.total(), 0)

    def test_bad_count(self) -> None:
        with self.assertRaises(ValueError):
            Cart().add("apple", 0)

    def test_unknown_item(self) -> None:
        with self.assertRaises(KeyError):
            Cart().add("unicorn")
