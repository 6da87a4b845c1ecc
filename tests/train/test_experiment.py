from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import torch

from keywork._errors import RunError, UsageError
from keywork.train import RECIPES, PPOConfig, Run, RunSettings, evaluate_policy, load_policy, run_experiment
from keywork.train._experiment import threads

CONFIG = PPOConfig(num_steps=8, num_epochs=2, num_cells=(8,))


@pytest.fixture
def settings(tmp_path):
    return RunSettings(total_steps=100, num_envs=4, eval_episodes=10, name="a", runs=tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that went well, to be read and not to be changed."""
    path = tmp_path_factory.mktemp("runs")
    return run_experiment(
        "ppo", RunSettings(total_steps=100, num_envs=4, eval_episodes=10, name="a", runs=path), CONFIG
    )


class Witness:
    """Notes who was called, and raises an error where it is asked to."""

    def __init__(self, at="", error=KeyboardInterrupt):
        self.calls, self.at, self.error = [], at, error

    def _note(self, call):
        self.calls.append(call)
        if call == self.at:
            raise self.error

    def on_start(self, flow, settings, run):
        self.flow, self.run = flow, run
        self._note("start")

    def on_metrics(self, metrics):
        self._note("metrics")

    def on_evaluation(self):
        self._note("evaluation")

    def on_end(self, outcome, evaluation, run):
        self.outcome, self.evaluation = outcome, evaluation
        self._note("end")


def timeless(run):
    """The metrics, less what depends on the machine."""
    return [
        {name: value for name, value in row.items() if name != "time" and not name.startswith("speed/")}
        for row in run.rows()
    ]


class TestFiles:
    def test_everything_is_there(self, finished):
        assert sorted(os.listdir(finished.path)) == [
            "config.json",
            "curves.svg",
            "evaluation.json",
            "flow.svg",
            "metrics.jsonl",
            "policy.safetensors",
            "report.html",
        ]
        for name in ("flow.svg", "curves.svg"):
            assert "<svg" in (finished.path / name).read_text()

    def test_the_report_is_one_page_with_the_run_on_it(self, finished):
        page = (finished.path / "report.html").read_text()
        assert page.startswith("<!doctype html>")
        assert f"keywork eval {finished.path}" in page
        assert "CartPole-v1" in page

    def test_metrics_are_one_row_an_update_and_one_of_the_evaluation(self, finished):
        # Batches of 4 x 8 frames: 32, 64, 96, 128.
        *rows, last = finished.rows()
        assert [row["step"] for row in rows] == [32, 64, 96, 128]
        assert last["step"] == 128
        assert last["eval/episodes"] == 10.0

    def test_the_evaluation_is_written_episode_by_episode(self, finished):
        written = json.loads((finished.path / "evaluation.json").read_text())
        assert len(written["returns"]) == len(written["lengths"]) == 10
        assert written["returns"] == [float(length) for length in written["lengths"]]  # CartPole pays 1 a step
        assert written["metrics"]["eval/return_mean"] == sum(written["returns"]) / 10
        assert written["metrics"].items() <= finished.rows()[-1].items()

    def test_the_configuration_is_complete(self, finished):
        written = finished.config()
        assert written["algorithm"] == "ppo"
        assert written["config"]["num_cells"] == [8]
        assert written["settings"]["total_steps"] == 100

    def test_without_an_evaluation(self, settings):
        witness = Witness()
        run = run_experiment("ppo", replace(settings, eval_episodes=0), CONFIG, [witness])
        assert witness.calls == ["start", *["metrics"] * 4, "end"]
        assert witness.evaluation is None
        assert not (run.path / "evaluation.json").exists()
        assert (run.path / "report.html").exists()


class TestSeed:
    def test_the_same_gives_the_same(self, finished, settings):
        torch.manual_seed(123)  # what went on before does not matter
        run = run_experiment("ppo", settings, CONFIG)
        assert timeless(run) == timeless(finished)
        for name, tensor in finished.policy().items():
            assert torch.equal(run.policy()[name], tensor)
        assert (run.path / "evaluation.json").read_text() == (finished.path / "evaluation.json").read_text()

    def test_another_gives_something_else(self, finished, settings):
        assert timeless(run_experiment("ppo", replace(settings, seed=1), CONFIG)) != timeless(finished)


class TestAudience:
    def test_is_told_in_this_order(self, settings):
        witness = Witness()
        run = run_experiment("ppo", settings, CONFIG, [witness])
        assert witness.calls == ["start", *["metrics"] * 4, "evaluation", "end"]
        assert witness.outcome.frames == 128
        assert witness.evaluation.metrics["eval/return_mean"] == run.rows()[-1]["eval/return_mean"]
        assert witness.run is run
        assert "advantage" in [entry.key for entry in witness.flow.entries]

    def test_nothing_is_made_where_nothing_can_run(self, settings):
        witness = Witness()
        for wrong in (replace(settings, env="CartPol-v1"), replace(settings, workers="vectro")):
            with pytest.raises(UsageError):
                run_experiment("ppo", wrong, CONFIG, [witness])
        assert witness.calls == []
        assert os.listdir(settings.runs) == []


class TestInterrupted:
    def test_in_training_it_leaves_a_run_without_an_evaluation(self, settings):
        witness = Witness(at="metrics")
        run = run_experiment("ppo", settings, CONFIG, [witness])
        assert witness.calls == ["start", "metrics", "end"]
        assert (witness.outcome.interrupted, witness.outcome.frames, witness.evaluation) == (True, 32, None)
        assert [row["step"] for row in run.rows()] == [32]
        assert not (run.path / "evaluation.json").exists()
        for name in ("curves.svg", "report.html"):
            assert (run.path / name).stat().st_size > 0
        policy, read = load_policy(run.path)
        assert read == settings
        assert len(evaluate_policy(policy, settings, episodes=2).returns) == 2

    def test_in_the_evaluation_too(self, settings):
        witness = Witness(at="evaluation")
        run = run_experiment("ppo", settings, CONFIG, [witness])
        assert (witness.outcome.interrupted, witness.outcome.frames, witness.evaluation) == (True, 128, None)
        assert (run.path / "report.html").exists()

    def test_by_an_error_the_weights_and_the_metrics_are_not_lost(self, settings):
        with pytest.raises(ZeroDivisionError):
            run_experiment("ppo", settings, CONFIG, [Witness(at="metrics", error=ZeroDivisionError)])
        run = Run(settings.runs / "a")
        assert len(run.rows()) == 1
        assert load_policy(run.path)[1] == settings


class TestLoadPolicy:
    def test_plays_as_it_did(self, finished):
        written = json.loads((finished.path / "evaluation.json").read_text())
        torch.manual_seed(9)
        policy, settings = load_policy(finished.path)
        evaluation = evaluate_policy(policy, settings)
        assert evaluation.metrics == written["metrics"]
        assert (list(evaluation.returns), list(evaluation.lengths)) == (written["returns"], written["lengths"])
        assert evaluate_policy(policy, replace(settings, seed=1)).returns != evaluation.returns
        assert len(evaluate_policy(policy, settings, episodes=7).returns) == 7

    @pytest.fixture
    def copy(self, finished, tmp_path):
        """A run that may be damaged."""
        run = Run.create(RunSettings(name="copy", runs=tmp_path), "ppo", {})
        run.close()
        run.write("config.json", finished.config())
        run.save_policy(finished.policy())
        return run

    def change(self, run, **settings):
        content = run.config()
        content["settings"].update(settings)
        run.write("config.json", content)

    @pytest.mark.parametrize("name", ["config.json", "policy.safetensors"])
    def test_a_missing_file_is_named(self, copy, name):
        os.unlink(copy.path / name)
        with pytest.raises(
            RunError, match=f"{name} cannot be read: No such file or directory. Name the folder of a fin"
        ):
            load_policy(copy.path)

    def test_another_algorithm_is_refused(self, copy):
        copy.write("config.json", {**copy.config(), "algorithm": "dreamer"})
        with pytest.raises(RunError, match=r"config.json names the algorithm 'dreamer'; there are a2c, .*ppo, .*\."):
            load_policy(copy.path)

    def test_weights_of_another_policy_are_refused(self, copy):
        copy.save_policy({"x": torch.zeros(3)})
        with pytest.raises(
            RunError, match=r"policy.safetensors does not hold the weights of the policy in .*config.json"
        ):
            load_policy(copy.path)

    def test_a_file_runs_no_code(self, copy, tmp_path, monkeypatch):
        (tmp_path / "evil_module.py").write_text("raise SystemExit('this ran')")
        monkeypatch.syspath_prepend(tmp_path)
        self.change(copy, env="evil_module:CartPole-v1")
        with pytest.raises(RunError, match="which loads a module: evaluate it in Python"):
            load_policy(copy.path)

    def test_an_environment_that_is_none_any_more_is_named(self, copy):
        self.change(copy, env="CartPol-v1")
        with pytest.raises(
            UsageError, match=r"There is no Gymnasium environment 'CartPol-v1'\. Did you mean 'CartPole-v1'"
        ):
            load_policy(copy.path)


def test_every_recipe_has_settings_with_defaults():
    for recipe in RECIPES.values():
        # several recipes may be of one algorithm, with other settings
        assert RECIPES[recipe.algorithm.name].algorithm is recipe.algorithm
        assert recipe.config() == recipe.config()


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
