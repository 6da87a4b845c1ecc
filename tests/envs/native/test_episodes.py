"""Ended episodes are looked at when they are asked for, once."""

import torch

from keywork.envs import EpisodeStats
from keywork.envs.native._episodes import EndedEpisodes


def test_it_is_the_list_of_the_ended():
    looks = []
    done, returns, lengths = torch.tensor([True, False, True]), torch.tensor([1.5, 2.5, 3.5]), torch.tensor([4, 5, 6])
    episodes = EndedEpisodes(done, returns, lengths, lambda: looks.append(1))
    assert looks == []
    expected = [EpisodeStats(0, 1.5, 4), EpisodeStats(2, 3.5, 6)]
    assert [*episodes] == expected
    assert (len(episodes), episodes[1], episodes[:1]) == (2, expected[1], expected[:1])
    assert repr(episodes) == repr(expected)
    assert looks == [1]
    gathered = []
    gathered += episodes
    assert gathered == expected


def test_none_is_empty_and_false():
    episodes = EndedEpisodes(torch.zeros(2, dtype=torch.bool), torch.zeros(2), torch.zeros(2), lambda: None)
    assert not episodes
    assert [*episodes] == []
