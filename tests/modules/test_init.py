import keywork.distributions
import keywork.modules


def test_every_distribution_and_extractor_is_found_here_too():
    classes = [name for name in keywork.distributions.__all__ if isinstance(getattr(keywork.distributions, name), type)]
    assert len(classes) >= 13
    for name in classes:
        assert getattr(keywork.modules, name) is getattr(keywork.distributions, name)
        assert name in keywork.modules.__all__
