"""A stand-in for a coding agent: does one small piece of work in the current directory.

    python3 tools/work.py discount

Each function below is one task of the demo's plan. An edit looks for its place in the file, as an agent
would, so it also works on a newer version of the file; where the place is gone, the work fails.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path


def write(path: str, text: str) -> None:
    Path(path).write_text(text)
    print(f"wrote {path}")


def replace(path: str, pattern: str, replacement: str) -> None:
    """Replace the one place that matches the regular expression."""
    text, count = re.subn(pattern, replacement, Path(path).read_text(), flags=re.MULTILINE)
    if count != 1:
        sys.exit(f"{path}: expected one place that matches {pattern}, found {count}")
    write(path, text)


def discount() -> None:
    write(
        "shop/discount.py",
        '''"""Discount codes."""

# Per cent off.
CODES = {
    "SPRING": 10,
}


def discount(cents: int, code: str) -> int:
    """The cents that a code takes off an amount; 0 for an unknown code."""
    return cents * CODES.get(code, 0) // 100
''',
    )
    write(
        "tests/test_discount.py",
        """import unittest

from shop.discount import discount


class DiscountTest(unittest.TestCase):
    def test_discount(self) -> None:
        self.assertEqual([discount(500, "SPRING"), discount(500, "NOPE")], [50, 0])
""",
    )


def cart_discount() -> None:
    replace("shop/cart.py", r"^from shop\.prices", "from shop.discount import discount\nfrom shop.prices")
    replace("shop/cart.py", r"^        self\.lines: (.*)$", '        self.lines: \\1\n        self.code = ""')
    replace(
        "shop/cart.py",
        r"^    def total\(self\) -> int:\n        .*\n        return (.*)$",
        '    def subtotal(self) -> int:\n        """The sum in cents before the discount."""\n'
        "        return \\1\n\n"
        '    def total(self) -> int:\n        """The sum in cents."""\n'
        "        return self.subtotal() - discount(self.subtotal(), self.code)",
    )
    write(
        "tests/test_cart_discount.py",
        """import unittest

from shop.cart import Cart


class CartDiscountTest(unittest.TestCase):
    def test_code(self) -> None:
        cart = Cart()
        cart.add("bread", 2)
        cart.code = "SPRING"
        self.assertEqual((cart.subtotal(), cart.total()), (500, 450))
""",
    )


def discount_codes() -> None:
    replace("shop/discount.py", r'^    "SPRING": 10,$', '    "SPRING": 10,\n    "STAFF": 25,')
    write(
        "tests/test_discount_codes.py",
        """import unittest

from shop.discount import discount


class DiscountCodesTest(unittest.TestCase):
    def test_staff(self) -> None:
        self.assertEqual(discount(1000, "STAFF"), 250)
""",
    )


def receipt_discount() -> None:
    replace(
        "shop/report.py",
        r"^    lines\.append\(f\"total",
        "    if cart.total() != cart.subtotal():\n"
        '        lines.append(f"discount {cart.code} -{money(cart.subtotal() - cart.total())}")\n'
        '    lines.append(f"total',
    )
    write(
        "tests/test_receipt_discount.py",
        """import unittest

from shop.cart import Cart
from shop.report import receipt


class ReceiptDiscountTest(unittest.TestCase):
    def test_discount_line(self) -> None:
        cart = Cart()
        cart.add("bread", 2)
        cart.code = "STAFF"
        self.assertEqual(receipt(cart), "2 bread 5.00\\ndiscount STAFF -1.25\\ntotal 3.75")
""",
    )


def currency(code: str, rate: float) -> None:
    replace("shop/prices.py", r"^RATES = \{(.*)\}$", f'RATES = {{\\1, "{code}": {rate}}}')
    write(
        f"tests/test_{code.lower()}.py",
        f"""import unittest

from shop.prices import convert


class {code.title()}Test(unittest.TestCase):
    def test_convert(self) -> None:
        self.assertEqual(convert(100, "{code}"), {round(100 * rate)})
""",
    )


def supplier_feed() -> None:
    attempt = int(os.environ.get("MO_ATTEMPT_NUMBER", "3"))
    if attempt < 3:
        sys.exit(f"the supplier's server is busy (attempt {attempt})")
    write(
        "shop/supplier.py",
        '''"""The price list of a supplier in London."""

from shop.prices import RATES


def parse(feed: str) -> dict[str, int]:
    """Lines of "item;pence" -> the prices in cents."""
    lines = (line.split(";") for line in feed.splitlines())
    return {item: round(int(pence) / RATES["GBP"]) for item, pence in lines}
''',
    )
    write(
        "tests/test_supplier.py",
        """import unittest

from shop.supplier import parse


class SupplierTest(unittest.TestCase):
    def test_parse(self) -> None:
        self.assertEqual(parse("tea;160\\njam;80"), {"tea": 200, "jam": 100})
""",
    )


def reorder() -> None:
    write(
        "shop/reorder.py",
        '''"""What has to be ordered."""

from shop.stock import Stock


def missing(stock: Stock, wanted: dict[str, int]) -> dict[str, int]:
    """Item -> how many to order; an item that was never in stock is an empty shelf."""
    return {item: count - stock.level(item) for item, count in wanted.items() if stock.level(item) < count}
''',
    )
    write(
        "tests/test_reorder.py",
        """import unittest

from shop.reorder import missing
from shop.stock import Stock


class ReorderTest(unittest.TestCase):
    def test_missing(self) -> None:
        stock = Stock()
        stock.put("tea", 2)
        stock.put("bread", 9)
        self.assertEqual(missing(stock, {"tea": 5, "bread": 4, "jam": 1}), {"tea": 3, "jam": 1})
""",
    )


def strict_stock() -> None:
    replace(
        "shop/stock.py",
        r'^        """How many there are\."""\n        return .*$',
        '        """How many there are; KeyError for an unknown item."""\n        return self.shelves[item]',
    )
    replace(
        "tests/test_stock.py",
        r'^        self\.assertEqual\(self\.stock\.level\("unicorn"\), 0\)$',
        '        with self.assertRaises(KeyError):\n            self.stock.level("unicorn")',
    )


TASKS: dict[str, Callable[[], None]] = {
    "discount": discount,
    "cart-discount": cart_discount,
    "discount-codes": discount_codes,
    "receipt-discount": receipt_discount,
    "currency-gbp": lambda: currency("GBP", 0.8),
    "currency-jpy": lambda: currency("JPY", 160.0),
    "supplier-feed": supplier_feed,
    "reorder": reorder,
    "strict-stock": strict_stock,
}

# A real agent takes its time. The slowest one finishes after the task that it can't live with has landed.
SECONDS = {"strict-stock": 1.0}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in TASKS:
        sys.exit(f"usage: work.py {'|'.join(TASKS)}")
    time.sleep(SECONDS.get(sys.argv[1], 0.2))
    TASKS[sys.argv[1]]()


if __name__ == "__main__":
    main()
