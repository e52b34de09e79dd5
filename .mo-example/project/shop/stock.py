"""What is on the shelves."""


class Stock:
    def __init__(self) -> None:
        self.shelves: dict[str, int] = {}

    def put(self, item: str, count: int) -> None:
        """Put items on the shelf."""
        self.shelves[item] = self.shelves.get(item, 0) + count

    def take(self, item: str, count: int) -> None:
        """Take items away; ValueError when there are not enough."""
        if count > self.shelves.get(item, 0):
            raise ValueError(f"not enough {item}")
        self.shelves[item] -= count

    def level(self, item: str) -> int:
        """How many there are."""
        return self.shelves.get(item, 0)
