"""What may be passed as an environment, and what is said where it may not."""

import sys

import gymnasium
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from keywork._errors import EnvError, MissingExtraError, SpecError, UsageError
from keywork.envs import GymEnv
from keywork.envs._sources import find_spec, missing


@pytest.mark.parametrize("num_envs", [1, 2])
def test_all_ways_to_name_an_environment(num_envs, counting):
    for source in (
        "tests/Counting-v0",
        "gymnasium:CartPole-v1",
        gymnasium.spec("CartPole-v1"),
        counting,
        lambda: counting(),
        lambda: gymnasium.make("CartPole-v1"),
    ):
        with GymEnv(source, num_envs) as env:
            assert env.rollout(2).batch_size == (num_envs, 2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CartPol-v1", "There is no Gymnasium environment 'CartPol-v1'. Did you mean 'CartPole-v1'?"),
        ("CartPole", "There is no Gymnasium environment 'CartPole'. Did you mean 'CartPole-v1'?"),
        ("CartPole-v7", "There is no Gymnasium environment 'CartPole-v7'. Did you mean 'CartPole-v1'?"),
        ("", "There is no Gymnasium environment ''. gymnasium.pprint_registry() lists what there is."),
        ("zzzz", "There is no Gymnasium environment 'zzzz'. gymnasium.pprint_registry() lists what there is."),
        (
            "no_such_module:Maze-v0",
            "There is no environment 'no_such_module:Maze-v0': No module named 'no_such_module'.",
        ),
    ],
)
def test_an_unknown_id_is_one_clear_line(name, text):
    with pytest.raises(UsageError) as caught:
        GymEnv(name)
    assert str(caught.value) == text


def absent(monkeypatch, module):
    """Make it as if the module were not installed, whether or not it is."""
    for name in list(sys.modules):
        if name.partition(".")[0] == module or name.startswith("gymnasium.envs.mujoco"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("HalfCheetah-v5", "mujoco", "mujoco"), ("LunarLander-v3", "Box2D", "box2d"), ("ALE/Pong-v5", "ale_py", "atari")],
)
@pytest.mark.parametrize("workers", ["sync", "process"])
def test_a_missing_extra_is_named(monkeypatch, name, module, extra, workers):
    absent(monkeypatch, module)
    monkeypatch.delitem(gymnasium.registry, "ALE/Pong-v5", raising=False)
    with pytest.raises(MissingExtraError) as caught:
        GymEnv(name, workers=workers)
    assert str(caught.value) == (
        f"the environment {name!r} needs the package {module!r}, which is not installed: pip install 'keywork[{extra}]'"
    )


def test_another_missing_package_is_named():
    error = missing("Odd-v0", ModuleNotFoundError("No module named 'odd'", name="odd"))
    assert isinstance(error, EnvError)
    assert str(error) == "'Odd-v0' cannot be made: it needs a package that is not installed.\n   No module named 'odd'"
    with pytest.raises(EnvError, match=r"moved to the gymnasium-robotics"):
        GymEnv("HalfCheetah-v2")


def test_no_warning_about_an_older_version_gets_out():
    # Warnings are errors here; Gymnasium would say that CartPole-v0 is out of date.
    with GymEnv("CartPole-v0") as env:
        assert env.name == "CartPole-v0"


def test_arguments_that_the_environment_does_not_take():
    with pytest.raises(
        EnvError, match=r"(?s)'CartPole-v1' cannot be made: env 0 of 2 raised TypeError: .*'colour'"
    ) as caught:
        GymEnv("CartPole-v1", 2, env_kwargs={"colour": "red"})
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_spec_is_found_by_id():
    assert find_spec("CartPole-v1") is gymnasium.registry["CartPole-v1"]
    assert find_spec("gymnasium:CartPole-v1").id == "CartPole-v1"


def test_what_is_made_already_takes_no_settings(counting):
    inner = counting()
    for settings in ({"num_envs": 2}, {"workers": "process"}, {"env_kwargs": {"a": 1}}):
        with pytest.raises(UsageError, match=r"'Counting' like this: it is one environment that is made already"):
            GymEnv(inner, **settings)
    vector = SyncVectorEnv([counting] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    for settings in ({"num_envs": 3}, {"workers": "process"}, {"env_kwargs": {"a": 1}}):
        with pytest.raises(UsageError, match=r"it is made already, with num_envs=2"):
            GymEnv(vector, **settings)
    with GymEnv(vector, 2) as env:
        assert env.num_envs == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("CartPole-v1", 0), "num_envs=0 environments; type 1 or more"),
        ((42,), "cannot run 42, a int"),
        ((None,), "cannot run None, a NoneType"),
    ],
)
def test_what_is_no_environment(arguments, text):
    with pytest.raises(UsageError, match=text):
        GymEnv(*arguments)


def test_workers_are_named_right(counting):
    with pytest.raises(
        UsageError, match=r"workers='threads'; type one of 'sync', 'process', 'vector', or ProcessWorkers"
    ):
        GymEnv(counting, workers="threads")
    for source in (counting, "Pendulum-v1"):
        with pytest.raises(UsageError, match=r"with workers='vector': no vectorised form of it is registered"):
            GymEnv(source, workers="vector")


def test_a_factory_that_makes_something_else(counting):
    with pytest.raises(EnvError, match=r"(?s)env 0 of 1 is no gymnasium.Env but a int.*returns one gymnasium.Env"):
        GymEnv(lambda: 3)
    with pytest.raises(EnvError, match=r"(?s)but a SyncVectorEnv.*GymEnv\(vector_env\)"):
        GymEnv(lambda: SyncVectorEnv([counting]))
    one = counting()
    with pytest.raises(EnvError, match=r"(?s)env 1 of 2 is the same object as another.*in every call of the factory"):
        GymEnv(lambda: one, 2)


def test_environments_with_different_spaces(nested):
    sizes = iter([2, 2, 3])
    with pytest.raises(
        EnvError, match=r"(?s)env 2 of 3 has the action_space Discrete\(3\), and another has Discrete\(2\)"
    ):
        GymEnv(lambda: nested(gymnasium.spaces.Discrete(next(sizes))), 3)


def test_observations_that_have_no_spec_are_refused_when_it_is_built(nested):
    class Talking(nested):
        observation_space = gymnasium.spaces.Dict({"mission": gymnasium.spaces.Text(9)})

    with pytest.raises(SpecError, match="Text cannot become a spec"):
        GymEnv(Talking)
