"""Which processes an up runs, and what everyone on the machine may read of them."""

from __future__ import annotations

import pytest

from workers.lineup import Choice, lineup
from workers.places import Places
from workers.settings import Settings

PLACES = Places("redis://:s3cret@127.0.0.1:1/0", "redis://:s3cret@127.0.0.1:2/0", "postgresql+psycopg://u:s3cret@h/d")


@pytest.fixture
def parts(tmp_path):
    """Give the parts of a choice, by name."""

    def of(choice=None, **given):
        settings = Settings(_env_file=None, data=tmp_path, **given)
        return {part.name: part for part in lineup(settings, PLACES, choice or Choice())}

    return of


def test_a_worker_for_posts_alone_stands_beside_one_for_the_rest(parts):
    """Posts never wait behind pings: a worker takes them alone; another takes pings and upkeep."""
    queues = {name: part.argv[part.argv.index("-Q") + 1] for name, part in parts().items() if "-Q" in part.argv}
    assert queues == {"ping1": "ping,upkeep", "post1": "post"}


def test_without_a_worker_for_posts_alone_those_for_pings_take_them(parts):
    """No queue is left without a worker."""
    chosen = parts(Choice(workers=2, posts=0))
    queues = [part.argv[part.argv.index("-Q") + 1] for part in chosen.values() if "-Q" in part.argv]
    assert queues == ["ping,post,upkeep"] * 2


def test_as_many_workers_run_as_were_chosen_each_under_a_name_of_its_own(parts):
    """The numbers chosen are the numbers run, and no two nodes share a name."""
    chosen = parts(Choice(workers=3, posts=2, flower_port=1))
    assert set(chosen) == {"ping1", "ping2", "ping3", "post1", "post2", "intake", "beat", "flower"}
    nodes = [part.argv[part.argv.index("-n") + 1] for part in chosen.values() if "-n" in part.argv]
    assert len(set(nodes)) == 5


def test_nodes_of_two_data_folders_do_not_share_names(tmp_path):
    """Two ups that meet on one broker have nodes of different names; the same folder has the same each time."""

    def nodes(data):
        return [part.argv for part in lineup(Settings(_env_file=None, data=data), PLACES, Choice())]

    assert nodes(tmp_path / "a") == nodes(tmp_path / "a") != nodes(tmp_path / "b")


def test_no_argument_holds_a_secret_and_every_environment_holds_the_places(parts):
    """URLs with passwords go by the environment, to every part; what ps shows holds none."""
    for part in parts(Choice(flower_port=1)).values():
        assert "s3cret" not in " ".join(part.argv) + repr(part)
        assert part.env.items() >= PLACES.environment().items()
        assert part.env["PINGPOST_LOG_FORMAT"] == "json"


def test_flower_is_told_its_address_and_runs_only_where_it_was_chosen(parts):
    """Flower listens on loopback, by the environment that it reads first; without a port there is none."""
    flower = parts(Choice(flower_port=5555))["flower"]
    assert (flower.env["FLOWER_ADDRESS"], flower.env["FLOWER_PORT"]) == ("127.0.0.1", "5555")
    assert "flower" not in parts()


def test_the_front_door_stops_first_and_workers_have_time_for_their_calls(parts):
    """Intake, beat, workers, Flower: in this order; a worker's grace is longer than its longest call."""
    chosen = parts(Choice(flower_port=1), post_timeout_s=60, connect_timeout_s=2)
    ranks = {name: part.stop_rank for name, part in chosen.items()}
    assert ranks["intake"] < ranks["beat"] < ranks["ping1"] == ranks["post1"] < ranks["flower"]
    assert chosen["post1"].grace_s > 62


def test_chosen_threads_reach_the_workers(parts):
    """The number of threads chosen is a setting of the parts; without a choice the settings' own holds."""
    assert parts(Choice(concurrency=7))["ping1"].env["PINGPOST_CONCURRENCY"] == "7"
    assert "PINGPOST_CONCURRENCY" not in parts()["ping1"].env
