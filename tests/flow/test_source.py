"""Where things are defined."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import nn

from keywork.flow import Part
from keywork.flow._parts import Step
from keywork.flow._source import place_of, source_of
from keywork.modules import WrapModule, as_tensordict_module
from keywork.nets import Chain
from keywork.nn import ProbabilisticTensorDictModule, TensorDictModule

HERE = Path(__file__)


def double(x):
    return 2 * x


def line_of(text):
    return next(i for i, line in enumerate(HERE.read_text(encoding="utf-8").splitlines(), 1) if line.startswith(text))


def source(module):
    return source_of(Step(Part("part"), module))


def test_a_function_is_found_from_the_working_directory_on(monkeypatch):
    monkeypatch.chdir(HERE.parent)
    place = f"test_source.py:{line_of('def double')}"
    assert source(TensorDictModule(double, ["x"], ["y"])) == place
    assert source(WrapModule(double, in_keys=["x"], out_keys=["y"])) == place
    assert source(as_tensordict_module(in_keys=["x"], out_keys=["y"])(double)) == place
    assert place_of(functools.wraps(double)(lambda x: x)) == place


def test_a_class_of_a_package_is_found_from_the_package_on(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert source(TensorDictModule(nn.Linear(4, 2), ["x"], ["y"])).startswith("torch/nn/modules/linear.py:")
    assert source(TensorDictModule(Chain(nn.Linear(4, 2), nn.Tanh()), ["x"], ["y"])).startswith("torch/nn/modules/lin")
    drawn = ProbabilisticTensorDictModule(["logits"], ["a"], distribution_class=torch.distributions.Categorical)
    assert source(drawn).startswith("torch/distributions/categorical.py:")


def test_what_is_not_written_in_python_has_no_place():
    assert source_of(Step(Part("part"))) == ""
    assert source(TensorDictModule(torch.tanh, ["x"], ["y"])) == ""
    typed: dict = {}
    exec("def typed(x): return x", typed)
    assert place_of(typed["typed"]) == ""
