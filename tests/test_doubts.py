"""Which tests a person may accept to be gone: ids of every runner and the files that they stand in."""

from __future__ import annotations

import pytest

from mo_daemon import doubts
from mo_daemon.testids import Regression, Tests
from tests.story import Story, chain

MODULES = {"": "example.com/shop", "tools": "example.com/tools"}


@pytest.mark.parametrize(
    ("test", "touched", "found"),
    [
        # pytest: the file is a part of the id
        ("tests/test_a.py::tests.test_a.TestX::test_y", "tests/test_a.py", True),
        ("tests/test_a.py::tests.test_a.TestX::test_y", "tests/test_b.py", False),
        ("tests/test_a.py::tests.test_a.TestX::test_y", "tests/conftest.py", False),
        ("tests/test_a.py::tests.test_a.TestX::test_y", "src/tests/test_a.pyx", False),
        ("tests/test_a.py::tests.test_a::test_y", "backend/tests/test_a.py", True),  # of a root below
        ("test_a.py::test_a::test_y", "latest_a.py", False),
        # unittest: a dotted name, from the root or from the start directory
        ("tests.test_prices.TotalTest.test_total", "tests/test_prices.py", True),
        ("test_prices.TotalTest.test_total", "tests/test_prices.py", True),
        ("test_prices.TotalTest.test_total", "tests/test_price.py", False),
        ("test_prices.TotalTest.test_total", "TotalTest.py", False),
        ("tests.test_a.T.test_x", "tests/__init__.py", False),
        ("tests.T.test_x", "tests/__init__.py", True),
        ("tests.test_a.T.test_x", "tests.py", False),
        # go: the import path of the package, by the nearest go.mod
        ("example.com/shop/cart::TestAdd", "cart/cart_test.go", True),
        ("example.com/shop/cart::TestAdd/twice", "cart/cart_test.go", True),
        ("example.com/shop/cart::TestAdd", "cart/cart.go", False),
        ("example.com/shop::TestAll", "all_test.go", True),
        ("example.com/shop::TestAll", "cart/cart_test.go", False),
        ("example.com/tools/gen::TestGen", "tools/gen/gen_test.go", True),
        ("example.com/shop/tools/gen::TestGen", "tools/gen/gen_test.go", False),
        # cargo: the source of the binary, and modules beside it
        ("src/lib.rs::shop::tests::adds", "src/lib.rs", True),
        ("src/lib.rs::shop::cart::tests::adds", "src/cart.rs", True),
        ("src/lib.rs::shop::cart::tests::adds", "src/cart/mod.rs", True),
        ("src/lib.rs::shop::cart::tests::adds", "src/cart/tests.rs", True),
        ("src/lib.rs::shop::cart::tests::adds", "src/till.rs", False),
        ("src/lib.rs::shop::adds", "src/adds.rs", False),  # a function, not a module
        ("tests/whole.rs::whole::buys", "tests/whole.rs", True),
        ("src/lib.rs::shop::tests::adds", "crates/shop/src/lib.rs", True),
        ("doc::shop::src/lib.rs - add", "src/lib.rs", True),
        ("doc::shop::src/lib.rs - add", "src/cart.rs", False),
        # node, jest, vitest
        ("src/cart.test.ts::cart > adds", "src/cart.test.ts", True),
        ("src/cart.test.ts::cart > adds", "web/src/cart.test.ts", True),
        ("src/cart.test.ts::cart > adds", "src/cart.ts", False),
        # JUnit XML without files
        ("org.acme.CartTest::adds", "src/test/java/org/acme/CartTest.java", True),
        ("org.acme.CartTest::adds", "src/main/java/org/acme/Cart.java", False),
    ],
)  # fmt: skip
def test_the_file_of_an_id(test: str, touched: str, found: bool) -> None:
    gone = Regression(missing=(test,))
    assert doubts.doubtful(gone, [touched], MODULES) == (frozenset({test}) if found else frozenset())


A, B, C = "tests/test_a.py::a", "tests/test_a.py::b", "tests/test_c.py::c"


@pytest.mark.parametrize(
    ("regression", "doubtful", "only"),
    [
        (Regression(missing=(A,)), {A}, {A}),
        (Regression(newly_skipped=(A,)), {A}, {A}),
        (Regression(missing=(A,), newly_skipped=(B,)), {A, B}, {A, B}),
        (Regression(missing=(A, C)), {A}, set()),  # nobody touched test_c.py
        (Regression(failed=(B,), missing=(A,)), {A}, set()),
        (Regression(failed=(A,)), set(), set()),
        (Regression(), set(), set()),
    ],
)
def test_only_what_may_be_on_purpose_waits(
    regression: Regression, doubtful: set[str], only: set[str]
) -> None:
    touched = ["tests/test_a.py", "src/a.py"]
    assert doubts.doubtful(regression, touched) == doubtful
    assert doubts.only_doubtful(regression, touched) == only


def test_without_a_comparison_there_is_no_doubt() -> None:
    assert doubts.only_doubtful(None, ["tests/test_a.py"]) == frozenset()


def test_what_a_person_is_told() -> None:
    gone = Regression(missing=(A,), newly_skipped=(B,))
    assert doubts.held(gone, {A, B}, ["src/a.py", "tests/test_a.py"], {}) == {
        "reason": "1 test missing and 1 test newly skipped in tests/test_a.py, which the task changes: "
        "tests/test_a.py::a, tests/test_a.py::b",
        "doubt": {"about": "tests", "ids": [A, B], "paths": ["tests/test_a.py"]},
    }


def test_accepted_ids_are_not_expected_any_more() -> None:
    story = Story(chain("a", "b"))
    one, other = story.goal.tasks.values()
    baseline = Tests({A: "passed", C: "passed"})
    assert doubts.expected(baseline, [one, other]) is baseline
    one.accepted = frozenset({A})
    assert doubts.expected(baseline, [other, one]) == Tests({C: "passed"})
    assert doubts.expected(None, [one]) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("module example.com/shop\n\ngo 1.21\n", "example.com/shop"),
        ('// a shop\nmodule "example.com/shop"\n', "example.com/shop"),
        ("go 1.21\n", ""),
    ],
)
def test_the_name_of_a_go_module(text: str, name: str) -> None:
    assert doubts.go_module(text) == name
