"""What the commands say of themselves, at once: without torch."""

from __future__ import annotations

ALGORITHMS = {
    "a2c": "advantage actor-critic, for any actions",
    "ddpg": "deep deterministic policy gradient, for bounded numbers",
    "dqn": "deep Q-learning, for discrete actions",
    "ppo": "proximal policy optimisation, for any actions",
    "qrdqn": "deep Q-learning of quantiles, for discrete actions",
    "rainbow": "deep Q-learning with all that improves it, likewise",
    "reinforce": "policy gradient of whole returns, for any actions",
    "sac": "soft actor-critic, for bounded numbers",
    "sacd": "soft actor-critic for discrete actions",
    "td3": "twin delayed policy gradient, for bounded numbers",
}

HELP = """\
usage: keywork COMMAND ...

Reinforcement learning whose data flow you can see.

commands:
  train ALGORITHM [OPTIONS]   train a policy; leaves a folder with a report
  eval RUN [OPTIONS]          play a trained policy again, from its folder
  graph PIPELINE [OPTIONS]    draw a pipeline: who writes and reads every key
  check PIPELINE [OPTIONS]    find all that is wrong with one, before it runs

  keywork COMMAND --help      what a command takes
  keywork --version           the version

first steps:
  keywork train ppo --env CartPole-v1
  keywork eval runs/NAME
  keywork graph ppo --env Pendulum-v1 -o flow.html
"""

_ALGORITHMS = "\n".join(f"  {name:<10}{text}" for name, text in ALGORITHMS.items())

_TRAIN = f"""\
usage: keywork train ALGORITHM [OPTIONS]

algorithms:
{_ALGORITHMS}

  keywork train ALGORITHM --help      its options and their defaults
  keywork train ALGORITHM --env ID --preset
                                      with settings that are known to work there
"""

_PIPELINES = f"""\
pipelines:
  FILE.py:FUNCTION    what a function of yours returns, without arguments:
                      its parts (return env, actor, loss), a Flow, a key module,
                      or something with a flow, such as PPO(env)
  FILE.py             the same; the function is build
  MODULE:FUNCTION     of a module that can be imported

algorithms, which are pipelines too, with the options of keywork train:
{_ALGORITHMS}
"""

_GRAPH = f"""\
usage: keywork graph PIPELINE [OPTIONS]

Draw a pipeline: who writes and who reads every key, and what it holds.
Nothing is trained, and no environment takes a step.

{_PIPELINES}
options:
  -o FILE             write .html, .svg, .mmd (Mermaid), .json or .txt;
                      left out, the table is shown here
  --format FORMAT     html, svg, mmd, json or txt, as for -o - (stdout)

  keywork graph ppo --env Pendulum-v1 -o flow.html
  keywork graph my_file.py:build -o flow.svg
"""

_CHECK = f"""\
usage: keywork check PIPELINE [OPTIONS]

Find all that is wrong with a pipeline; no environment takes a step.
The exit code is 0 if nothing is, 1 with findings, 2 if it cannot be checked.

{_PIPELINES}
options:
  --format FORMAT     text; github, for annotations in a workflow; or json

  keywork check my_file.py:build
  keywork check ppo --env Pendulum-v1 --num-envs 16
"""

COMMAND_HELP = {"train": _TRAIN, "graph": _GRAPH, "check": _CHECK}
"""Of the commands that begin with what they are about; the others' options say everything."""
