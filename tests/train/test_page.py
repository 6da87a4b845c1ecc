"""The page: what it says, and that nothing in it can do harm."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from keywork.train._page import Page, histogram, page_html

VOID = {"meta", "br", "hr"}


class Reader(HTMLParser):
    """Collects texts and tags, and checks that every tag is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            self.texts.append(data.strip())


def read(page):
    reader = Reader()
    reader.feed(page_html(page))
    reader.close()
    assert reader.open == []
    return reader


ROWS = [{"step": i, "episode/return_mean": 10.0 * i, "loss/critic": 1.0} for i in range(1, 6)]
FULL = Page(
    title="PPO on CartPole-v1",
    run="ppo-1",
    rows=ROWS,
    returns=[500.0] * 99 + [450.0],
    goal=475.0,
    facts={"seed": "0"},
    settings={"PPO": {"gamma": 0.99, "anneal": True, "num_cells": [64, 64], "nothing": None, "many": 100_000}},
    commands={"Again": "keywork train ppo"},
    flow_svg='<svg class="kw-flow"></svg>',
    flow_table="key  shape",
)


def test_the_headline_is_the_evaluation():
    texts = read(FULL).texts
    # mean 499.5; deviation sqrt(0.99 * 0.5^2 + 0.01 * 49.5^2) = sqrt(24.75) = 4.97
    assert texts[texts.index("499.5") : texts.index("499.5") + 4] == [
        "499.5",
        "± 5.0",
        "solved: the goal is 475",
        "mean return of 100 evaluation episodes, played without exploration",
    ]


@pytest.mark.parametrize(
    ("returns", "goal", "verdict"),
    [([474.9], 475.0, "not solved: the goal is 475"), ([475.0], 475.0, "solved: the goal is 475"), ([3.0], None, None)],
)
def test_solved_is_judged_by_the_goal(returns, goal, verdict):
    texts = read(Page(title="t", run="r", returns=returns, goal=goal)).texts
    assert [text for text in texts if "goal is" in text] == ([verdict] if verdict else [])


def test_negative_and_tiny_and_huge_returns_are_readable():
    for value, text in ((-152.34, "−152.3"), (0.02134, "0.0213"), (1234567.0, "1,234,567"), (0.0, "0.0")):
        assert text in read(Page(title="t", run="r", returns=[value, value])).texts


def test_an_interrupted_run_shows_how_far_it_got():
    texts = read(Page(title="t", run="r", rows=ROWS, interrupted=True, goal=475.0)).texts
    assert texts[texts.index("50.0") : texts.index("50.0") + 3] == [
        "50.0",
        "interrupted",
        "mean return of the last training episodes; there was no evaluation",
    ]
    assert "Evaluation" not in texts
    assert not any("solved" in text for text in texts)


def test_an_empty_run_is_a_page_too():
    texts = read(Page(title="t", run="r")).texts
    assert "no episode has ended yet" in texts
    assert "Nothing was logged." in texts
    for heading in ("Evaluation", "The pipeline", "Settings", "Once more"):
        assert heading not in texts


def test_a_full_page_has_every_section():
    reader = read(FULL)
    headings = [
        text for text in reader.texts if text in ("Training", "Evaluation", "The pipeline", "Settings", "Once more")
    ]
    assert headings == ["Training", "Evaluation", "The pipeline", "Settings", "Once more"]
    for text in ("0.99", "yes", "64 × 64", "–", "100,000", "keywork train ppo", "key  shape", "ppo-1"):
        assert text in reader.texts
    assert reader.tags.count("main") == 1


EVIL = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


def test_every_text_is_escaped():
    page = Page(
        title=EVIL,
        run=EVIL,
        rows=[{"step": 1, EVIL: 1.0}, {"step": 2, EVIL: 2.0}],
        returns=[1.0, 2.0],
        facts={EVIL: EVIL},
        settings={EVIL: {EVIL: EVIL, "list": [EVIL]}},
        commands={EVIL: EVIL},
        flow_table=EVIL,
    )
    reader = read(page)
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    assert sum(EVIL in text for text in reader.texts) >= 9


def test_the_page_fetches_nothing_and_runs_nothing():
    reader, html = read(FULL), page_html(FULL)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(reader.tags)
    assert not {"src", "href", "srcset", "action", "style"} & {name for name, _ in reader.attributes}
    assert set(re.findall(r"https?://[^\"' )]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in html
    assert "url(" not in html


def test_it_follows_light_and_dark_small_screens_and_paper():
    html = page_html(FULL)
    for feature in (
        "prefers-color-scheme:dark",
        "@media print",
        "max-width:560px",
        'name="viewport"',
        "<!doctype html>",
    ):
        assert feature in html


def test_the_same_data_gives_the_same_bytes():
    assert page_html(FULL) == page_html(FULL)


def bars(returns, goal=None):
    svg = "".join(histogram(returns, goal))
    counts = re.findall(r"<title>(\S+) to (\S+): (\d+) episodes?</title>", svg)
    return [(low, high, int(count)) for low, high, count in counts], svg


def test_a_histogram_counts_every_episode_once():
    # from 0 to 9 in about 20 bars: 9 / 20 = 0.45 -> 0.5 wide; each number begins a bar of its own but the last
    counts, _ = bars([float(i) for i in range(10)] + [3.2])
    assert sum(count for _, _, count in counts) == 11
    assert ("3", "3.5", 2) in counts
    assert ("8.5", "9", 1) in counts


def test_the_goal_is_in_the_histogram_if_it_is_near():
    assert 'class="goal"' in bars([400.0, 500.0], 475.0)[1]
    assert 'class="goal"' in bars([400.0, 460.0], 475.0)[1]
    assert 'class="goal"' not in bars([10.0, 20.0], 475.0)[1]


def test_equal_returns_need_no_histogram():
    reader = read(Page(title="t", run="r", returns=[500.0] * 100))
    assert "Every one of the episodes returned 500.0." in reader.texts
    assert "rect" not in reader.tags
