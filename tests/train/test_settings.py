from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywork._errors import RunError, UsageError
from keywork.train import PPOConfig, RunSettings
from keywork.train._settings import from_plain, to_plain


class TestRunSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"total_steps": 0}, "total_steps is 0: it has to be 1 or more, such as --total-steps 100000."),
            ({"num_envs": -1}, "num_envs is -1: it has to be 1 or more, such as --num-envs 8."),
            ({"seed": -1}, "seed is -1: it has to be 0 or more, such as --seed 0."),
            ({"eval_episodes": -1}, "eval_episodes is -1: it has to be 0 or more, such as --eval-episodes 100."),
            ({"threads": 0}, "threads is 0: it has to be 1 or more, such as --threads 1."),
            ({"threads": 10**6}, "threads is 1000000: it has to be 512 or less, such as --threads 1."),
        ],
    )
    def test_refuses_numbers_that_cannot_be(self, wrong, message):
        with pytest.raises(UsageError) as raised:
            RunSettings(**wrong)
        assert str(raised.value) == message

    @pytest.mark.parametrize("name", ["a/b", "/a", "a/", "..", ".a", "a\nb", "a\x1b[2J", os.fsdecode(b"caf\xe9")])
    def test_refuses_names_that_are_no_folder(self, name):
        with pytest.raises(UsageError, match=r"is no name of a folder: use letters, digits, '-' and '_'\."):
            RunSettings(name=name)

    @pytest.mark.parametrize("name", ["", "a", "two words", "café", "v1.2", "a-b_c", "x" * 200])
    def test_takes_other_names(self, name):
        assert RunSettings(name=name).name == name


settings = st.builds(
    RunSettings,
    total_steps=st.integers(1, 10**12),
    num_envs=st.integers(1, 10**6),
    workers=st.sampled_from(["sync", "process", "vector"]),
    seed=st.integers(0, 2**80),
    name=st.sampled_from(["", "a", "café"]),
    runs=st.sampled_from([Path("runs"), Path("/a/b c"), Path("..")]),
)
configs = st.builds(
    PPOConfig,
    learning_rate=st.floats(1e-9, 1.0),
    anneal=st.booleans(),
    num_cells=st.lists(st.integers(1, 1000), max_size=4).map(tuple),
)


class TestPlain:
    @given(settings | configs)
    def test_comes_back_from_json(self, config):
        assert from_plain(type(config), json.loads(json.dumps(to_plain(config))), "config.json") == config

    def test_a_whole_number_is_a_float_where_one_is_due(self):
        assert from_plain(PPOConfig, {**to_plain(PPOConfig()), "gamma": 1}, "config.json").gamma == 1.0

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"gamma": "0.9"}, "config.json says gamma='0.9', which is no float such as 0.99."),
            ({"num_epochs": 1.5}, "config.json says num_epochs=1.5, which is no int such as 20."),
            ({"num_epochs": True}, "config.json says num_epochs=True, which is no int such as 20."),
            ({"anneal": 1}, "config.json says anneal=1, which is no bool such as True."),
            ({"num_cells": 64}, "config.json says num_cells=64, which is no tuple such as (64, 64)."),
            ({"num_cells": [64, "x"]}, "config.json says num_cells=[64, 'x'], which is no tuple such as (64, 64)."),
            ({"gamma": None}, "config.json says gamma=None, which is no float such as 0.99."),
            ({"extra": 1}, "config.json was written by another version, or by hand: it differs in extra."),
        ],
    )
    def test_refuses_other_types_and_names(self, change, message):
        with pytest.raises(RunError) as raised:
            from_plain(PPOConfig, {**to_plain(PPOConfig()), **change}, "config.json")
        assert str(raised.value) == message

    @pytest.mark.parametrize("plain", [None, [], "x", 1])
    def test_refuses_what_is_no_object(self, plain):
        with pytest.raises(RunError, match=f"by hand: it differs in {type(plain).__name__}."):
            from_plain(PPOConfig, plain, "config.json")

    def test_names_what_is_missing(self):
        plain = to_plain(PPOConfig())
        del plain["gamma"], plain["anneal"]
        with pytest.raises(RunError, match=r"it differs in anneal, gamma\."):
            from_plain(PPOConfig, plain, "config.json")

    def test_a_value_that_cannot_be_is_the_files_fault(self):
        with pytest.raises(RunError, match=r"config.json asks for what cannot be: num_envs is 0"):
            from_plain(RunSettings, {**to_plain(RunSettings()), "num_envs": 0}, "config.json")

    def test_any_frozen_dataclass_will_do(self):
        @dataclass(frozen=True)
        class Other:
            sizes: tuple[float, ...] = (1.0,)
            where: Path = Path("here")

        other = Other((0.5, 2.0), Path("there"))
        assert from_plain(Other, to_plain(other), "x") == replace(other)
