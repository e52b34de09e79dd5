"""The receipt."""

from shop.cart import Cart
from shop.prices import price


def money(cents: int) -> str:
    """250 -> "2.50"."""
    return f"{cents // 100}.{cents % 100:02}"


def receipt(cart: Cart) -> str:
    """One line an item, then the total."""
    lines = [f"{count} {item} {money(price(item) * count)}" for item, count in cart.lines.items()]
    lines.append(f"total {money(cart.total())}")
    return "\n".join(lines)
