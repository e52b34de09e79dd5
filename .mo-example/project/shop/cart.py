"""A cart: items and how many of each."""

from shop.prices import price


class Cart:
    """Keeps the order in which items were first added."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}

    def add(self, item: str, count: int = 1) -> None:
        """Put items in; KeyError for an unknown item, ValueError for a count below one."""
        if count < 1:
            raise ValueError("the count has to be at least 1")
        price(item)
        self.lines[item] = self.lines.get(item, 0) + count

    def remove(self, item: str) -> None:
        """Take all of one item out; nothing happens when it is not there."""
        self.lines.pop(item, None)

    def total(self) -> int:
        """The sum in cents."""
        return sum(price(item) * count for item, count in self.lines.items())
