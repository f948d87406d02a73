from collections import Counter

from normscape.data.demo.draws import Draws, hash_order


def test_draws_are_the_same_everywhere():
    draws = Draws("brick", 3)
    assert [draws.below(1000) for _ in range(5)] == [942, 571, 462, 338, 926]


def test_names_make_independent_streams():
    first, second = Draws("a"), Draws("b")
    assert [first.below(100) for _ in range(8)] != [second.below(100) for _ in range(8)]


def test_between_reaches_both_ends_about_equally_often():
    draws = Draws("ends")
    seen = Counter(draws.between(-1, 2) for _ in range(4000))
    assert set(seen) == {-1, 0, 1, 2}
    assert all(850 < count < 1150 for count in seen.values())


def test_hash_order_ignores_the_order_of_arrival():
    names = [f"cell{number}" for number in range(40)]
    assert hash_order("x", names) == hash_order("x", reversed(names))
    assert hash_order("x", names) != hash_order("y", names)


def test_hash_order_moves_no_other_item_when_one_is_removed():
    names = [f"cell{number}" for number in range(40)]
    ordered = hash_order("x", names)
    removed = ordered.pop(7)
    assert hash_order("x", [name for name in names if name != removed]) == ordered
