"""Timings of what is not an epoch: a peer of iALS is timed in turns, and ranked alike."""

import pytest

import aerec
from aerec import api
from aerec.errors import BadInput
from aerec.models import ials
from experiments import phases
from experiments.phases import Peer

QUIET = {"log": lambda text: None}


@pytest.fixture(scope="module")
def split():
    ratings = aerec.load("synthetic:users=60,items=30,ratings=900", **QUIET)
    return aerec.split(ratings, "strong", valid_users=10, test_users=20, **QUIET)


def test_a_peer_with_the_same_scores_has_the_same_figure(split, monkeypatch, capsys):
    """It ranks by the factors of iALS, folded in on its own side."""
    setting = {"latent": 4, "sweeps": 2}
    run = aerec.fit("ials", split, show=False, **setting, **QUIET)
    fits = []

    def peer(matrix, settings):
        assert matrix.shape == (split.train.num_rows, split.train.num_columns)
        assert isinstance(settings, ials.Config) and settings.latent == 4

        def score(fitted, rows):
            return run.model.score(run.params, rows.toarray())

        return Peer(lambda: fits.append(1), score)

    monkeypatch.setitem(phases.PEERS, "ials", {"other": peer})
    monkeypatch.setattr(phases, "REPEATS", 2)
    found = phases.solve(api.specify("ials", split, setting), split, "other")
    assert len(fits) == 3  # two are timed, one is scored
    assert found["peer_ndcg@100"] == pytest.approx(found["aerec_ndcg@100"], abs=1e-6)
    assert found["aerec_ndcg@100"] == pytest.approx(float(run.test["ndcg@100"]), abs=1e-6)
    assert min(found["aerec_seconds"], found["peer_cpu_seconds"]) >= 0
    capsys.readouterr()


def test_a_peer_that_is_not_known(split):
    with pytest.raises(BadInput, match=r"no peer 'irspak'\. Did you mean irspack"):
        phases.solve(api.specify("ials", split, {}), split, "irspak")
