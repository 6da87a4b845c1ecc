"""What a run leaves to be looked at: the evaluation's episodes, the curves, and all of it on one page."""

from __future__ import annotations

from keywork.flow import Flow
from keywork.train._curves import curves_svg
from keywork.train._evaluate import Evaluation, return_goal
from keywork.train._report import report_html
from keywork.train._run import Run
from keywork.train._trainer import Outcome


def publish(run: Run, outcome: Outcome, evaluation: Evaluation | None, flow: Flow) -> None:
    """Write ``evaluation.json``, if there was one, ``curves.svg`` and ``report.html``."""
    if evaluation is not None:
        episodes = {"returns": list(evaluation.returns), "lengths": list(evaluation.lengths)}
        run.write("evaluation.json", {"metrics": evaluation.metrics, **episodes})
    goal = return_goal(run.config()["settings"]["env"])
    run.write("curves.svg", curves_svg(run.rows(), {} if goal is None else {"episode/return_mean": goal}))
    run.write("report.html", report_html(run, outcome, evaluation, flow))
