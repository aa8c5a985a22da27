"""Time to quality: two curves are compared."""

import pytest

from aerec.errors import BadInput
from experiments import quality


def test_two_curves_are_compared():
    theirs = [(1.0, 0.8, 0.3), (2.0, 1.6, 0.5), (3.0, 2.4, 0.5)]
    ours = [(0.1, 0.08, 0.4), (0.4, 0.3, 0.6)]
    found = quality.compared(theirs, ours, higher=True)
    assert found["peer_best"] == 0.5 and found["peer_epoch"] == 2 and found["peer_seconds"] == 2
    assert found["aerec_seconds"] == 0.4 and found["share"] == pytest.approx(0.2)
    assert found["aerec_training_seconds"] == 0.3 and found["peer_all_seconds"] == 3
    lower = quality.compared(theirs, ours, higher=False)
    assert lower["peer_best"] == 0.3 and lower["aerec_best"] == 0.4 and "share" not in lower


def test_an_unknown_model():
    with pytest.raises(BadInput, match="the peer has no 'ease'"):
        quality.main({"models": ["ease"]})
