import keywork.distributions as package


def test_the_public_names_are_listed_in_order_and_exist():
    assert list(package.__all__) == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)
    public = {name for name, value in vars(package).items() if callable(value) and not name.startswith("_")}
    assert public == set(package.__all__)
