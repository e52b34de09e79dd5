"""What things cost, in cents of a euro."""

CATALOGUE = {
    "apple": 40,
    "bread": 250,
    "cheese": 620,
    "tea": 380,
}

# How many units of a currency one euro buys.
RATES = {"EUR": 1.0, "USD": 1.1}


def price(item: str) -> int:
    """The price of one item in cents; KeyError for an item that is not in the catalogue."""
    return CATALOGUE[item]


def convert(cents: int, currency: str) -> int:
    """An amount in another currency, rounded to whole cents."""
    return round(cents * RATES[currency])
