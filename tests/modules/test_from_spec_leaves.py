from __future__ import annotations

import pytest

from keywork._errors import SpecError
from keywork.modules._from_spec_leaves import leaves_of
from keywork.specs import Categorical, Composite


def test_leaves():
    nested = {"a": Categorical(2), "b": {"c": Categorical(3)}}
    assert leaves_of("X", "observation_spec", nested, "k") == {"a": Categorical(2), ("b", "c"): Categorical(3)}
    assert leaves_of("X", "observation_spec", Categorical(2), "k") == {"k": Categorical(2)}
    with pytest.raises(SpecError) as error:
        leaves_of("Actor", "observation_spec", Composite({}), "k")
    assert str(error.value) == (
        "Actor cannot be built: a spec has no entry.\n"
        "  where: observation_spec\n"
        "  expected: at least one entry\n"
        "  got: Composite({})\n"
        "  fix: observation_spec=env.observation_spec"
    )
