"""Cold items: nothing of them is in training, scores by hand, a user in several draws."""

import json

import numpy as np
import pytest
import scipy.sparse

import aerec
from aerec.data import divide
from aerec.data.vectors import of_genres
from aerec.errors import BadInput
from experiments import cold, cold_items, records


@pytest.fixture(scope="module")
def ratings():
    """Films with 15 ratings or more of the first users of the embedded data."""
    whole = aerec.load("movielens-small", log=cold._silent)
    own = divide.select(whole, whole.user < 90)
    some = divide.select(own, np.bincount(own.item, minlength=len(own.item_ids))[own.item] >= 15)
    return some._replace(name="films")


@pytest.fixture(scope="module")
def draw(ratings):
    return cold_items.drawn(ratings, 1)


def test_nothing_of_a_cold_item_is_in_training(ratings, draw):
    split, count = draw.split, draw.split.train.num_columns
    assert not set(draw.ids) & set(split.item_ids)
    assert not set(draw.ids) & set(draw.rest.item_ids[draw.rest.item])
    assert not set(split.test_ids) & set(draw.rest.user_ids[draw.rest.user])
    clicked = ratings.value >= 4
    assert len(draw.ids) == int(0.2 * len(np.unique(ratings.item[clicked])))
    users, items = ratings.user_ids[ratings.user[clicked]], ratings.item_ids[ratings.item[clicked]]
    folded, target = draw.histories.toarray(), np.zeros((len(split.test_ids), len(draw.ids)))
    row, column, _ = draw.target.entries()
    target[row, column] = 1
    assert not folded[:, count:].any() and draw.clicks.sum() > 0
    for place, user in enumerate(split.test_ids):
        own = set(items[users == user])
        assert set(draw.ids[target[place] > 0]) == own & set(draw.ids)
        assert set(split.item_ids[folded[place, :count] > 0]) == own & set(split.item_ids)
    for item, count in zip(draw.ids, draw.clicks, strict=True):
        assert count == len(set(users[items == item]) & set(split.user_ids))


def test_scores_by_hand(draw):
    genres = of_genres(draw.split)
    new = np.array([[g in text.split("|") for g in genres.names] for text in draw.genres], float)
    folded = draw.histories.toarray()[:, : len(genres.values)]
    users = folded @ genres.values / folded.sum(axis=1, keepdims=True)
    found = cold.content(draw, {"compression": "none", "similarity": "dot"}, 1)
    products = users @ new.T  # lengths are scaled
    np.testing.assert_allclose(found, products * found.sum() / products.sum(), atol=1e-5)

    clicks = np.bincount(draw.split.train.columns, minlength=len(genres.values))
    x = np.column_stack([genres.values - genres.values.mean(0), np.ones(len(clicks))])
    penalty = np.diag([np.sqrt(10.0)] * len(genres.names) + [0.0])
    wanted = np.concatenate([np.log1p(clicks), np.zeros(len(penalty))])
    weights = np.linalg.lstsq(np.concatenate([x, penalty]), wanted, rcond=None)[0]
    predicted = np.column_stack([new - genres.values.mean(0), np.ones(len(new))]) @ weights
    np.testing.assert_allclose(cold.popularity(draw, 10.0), predicted, rtol=1e-6)

    both = cold.together(found, predicted, 2.0)
    z = lambda own: (own - own.mean()) / own.std()  # noqa: E731
    np.testing.assert_allclose(both[3], z(found[3]) + 2 * z(predicted), rtol=1e-5)


def test_the_cold_items_alone_are_ranked(draw):
    report = cold.evaluated(draw.target, draw.clicks)
    order = aerec.evaluation.ranking.tie_order(len(draw.ids))
    order = order[np.argsort(-draw.clicks[order], kind="stable")]
    held = scipy.sparse.csr_array(
        (np.ones(len(draw.target.columns)), draw.target.columns, draw.target.indptr),
        shape=(draw.target.num_rows, len(draw.ids)),
    ).toarray()
    for place, own in enumerate(held):
        if own.any():
            hits = own[order][:20]
            assert report.per_row["recall@20"][place] == pytest.approx(
                hits.sum() / min(20, own.sum())
            )
        else:
            assert np.isnan(report.per_row["recall@20"][place])


def test_a_user_in_several_draws_counts_as_one():
    contents = [
        {"users": ["a", "b", "c"], "values": {"x": {"n": [1.0, None, 0.5]}}},
        {"users": ["d", "a"], "values": {"x": {"n": [0.25, 0.0]}}},
    ]
    sums, counts = cold.pooled(contents, "x", "n")
    np.testing.assert_array_equal(sums, [1.0, 0.5, 0.25])
    np.testing.assert_array_equal(counts, [2, 1, 1])


def test_a_study(ratings, tmp_path, monkeypatch):
    monkeypatch.setattr(cold, "SIMILARITIES", ("dot",))
    monkeypatch.setattr(cold, "CODE", 3)
    monkeypatch.setattr(cold, "DRAWS", (1,))
    monkeypatch.setattr(aerec, "load", lambda name, data_dir: ratings)
    known = {str(own): place for place, own in enumerate(ratings.item_ids.tolist())}
    monkeypatch.setattr(cold, "members", lambda name, data_dir: known)
    given = {"dataset": "films", "data_dir": None, "output": str(tmp_path), "record": False}
    cold.main(given)
    rows = {row.label: row for row in records.read(cold.FILE, tmp_path)[1]}
    figure = {name: row.figures.get("ndcg@100") for name, row in rows.items()}
    assert figure["content-random"] == pytest.approx(figure["content"] - figure["random"])
    assert figure["content"] == figure["content.draw1"] and rows["content"].seeds == [1]
    assert {f"{a}-{b}" for a, b in cold.PAIRS} < set(rows)
    assert rows["content_members.draw1"].tuning["setting"] in cold.WEIGHTS
    assert str(tmp_path) not in json.dumps([row.command for row in rows.values()])


def test_members_are_those_of_the_file(tmp_path):
    assert cold.members("ml-1m", str(tmp_path)) is None
    with pytest.raises(BadInput, match="is missing"):
        cold.members("anime", str(tmp_path))
    text = 'anime_ids\tname\tgenre\tmembers\n7\tA "b\tComedy\t12\n9\tC\t\t5\n'
    (tmp_path / "anime_info.dat").write_text(text)
    assert cold.members("anime", str(tmp_path)) == {"7": 12.0, "9": 5.0}
