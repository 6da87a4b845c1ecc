import keywork.nets as package


def test_the_public_names_are_listed_in_order_and_exist():
    assert list(package.__all__) == sorted(package.__all__)
    assert {name for name in vars(package) if not name.startswith("_")} == set(package.__all__)
