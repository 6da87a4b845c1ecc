import keywork.nets as package


def test_the_public_names_are_listed_once_and_exist():
    assert len(package.__all__) == len(set(package.__all__))
    assert {name for name in vars(package) if not name.startswith("_")} == set(package.__all__)
