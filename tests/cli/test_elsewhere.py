"""Options that only other algorithms have."""

from __future__ import annotations

import pytest

from keywork._errors import UsageError
from keywork.cli._asked import parse_algorithm

BUFFERED = "ddpg, dqn, qrdqn, rainbow, sac, sacd or td3"
SHARING = "a2c, ppo or reinforce"


@pytest.mark.parametrize(
    ("algorithm", "words", "said"),
    [
        (
            "ppo",
            "--prioritized",
            "ppo has no option --prioritized: it learns from the batch that it has just collected, and keeps no buffer "
            f"to draw from. Leave it out, or train {BUFFERED}.",
        ),
        ("a2c", "--n-step 3", f"keeps no buffer to draw from. Leave it out, or train {BUFFERED}."),
        ("reinforce", "--no-prioritized", "reinforce has no option --no-prioritized: it learns from the batch"),
        (
            "dqn",
            "--share-trunk",
            "dqn has no option --share-trunk: it has one network, of action values, and nothing to share its layers "
            f"with. Leave it out, or train {SHARING}.",
        ),
        ("td3", "--share-trunk", "its actor and its critics each learn from a loss of their own"),
        ("ppo", "--target-update-interval 5", "has no option --target-update-interval. Leave it out, or train dqn, "),
        ("dqn", "--clip-epsilon=0.1", "dqn has no option --clip-epsilon. Leave it out, or train ppo."),
        ("ppo", "--xyz", "There is no option --xyz. 'keywork train ppo --help' lists all options."),
    ],
)
def test_it_is_said_why_there_is_no_such_option_and_who_has_it(algorithm, words, said):
    with pytest.raises(UsageError) as raised:
        parse_algorithm(algorithm, words.split(), f"keywork train {algorithm}", "")
    assert said in str(raised.value)
    assert str(raised.value).endswith(f"'keywork train {algorithm} --help' lists all options.")
