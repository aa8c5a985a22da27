"""Names to ratings: the embedded set, folders, the cache, and what an unknown name is told."""

import hashlib
import os
import zipfile
from importlib import resources

import numpy as np
import pytest

from aerec.data import datasets, download, formats
from aerec.data.readers import BadInput

REAL = os.environ.get("AEREC_DATA")
RATINGS = "1::10::5::3\n2::20::4::0\n"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No data folder, a home of our own, and no network."""
    monkeypatch.delenv("AEREC_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(datasets, "MIRRORS", ("http://127.0.0.1:9/",))


def place(folder, text=RATINGS, name="ratings.dat"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_movielens_small():
    ratings = datasets.load("movielens-small")
    assert len(ratings.value) == 100_004
    assert (len(ratings.user_ids), len(ratings.item_ids)) == (671, 9066)
    assert (ratings.value.min(), ratings.value.max()) == ratings.scale == (0.5, 5)
    assert ratings.user_ids.tolist() == list(range(1, 672))
    np.testing.assert_array_equal(np.unique(ratings.item), np.arange(9066))
    assert ratings.user.dtype == ratings.item.dtype == np.int32
    assert ratings.value.dtype == np.float32 and ratings.time.dtype == np.int64
    assert (ratings.titles[0], ratings.item_ids[0]) == ("Toy Story", 1)
    assert ratings.genres[0] == "Adventure|Animation|Children|Comedy|Fantasy"
    years = ratings.time.astype("M8[s]").astype("M8[Y]").astype(int) + 1970
    assert (years.min(), years.max()) == (1995, 2016)


def test_the_terms_lie_beside_the_embedded_data():
    notice = (resources.files("aerec.data") / "embedded" / "NOTICE.md").read_text()
    for word in ("GroupLens", "Research use", "Commercial", "Acknowledge", "same terms", "Harper"):
        assert word in notice


@pytest.mark.parametrize("inside", ["ml-10m", "ml-10M100K", ""])
def test_data_dir_is_the_folder_or_its_parent(tmp_path, inside):
    place(tmp_path / inside)
    said = []
    ratings = datasets.load("ml-10m", data_dir=tmp_path, log=said.append)
    assert ratings.user_ids.tolist() == [1, 2] and ratings.name == "ml-10m"
    assert said[0].startswith("2 users, 2 items, 2 ratings")
    assert said[1:] == [
        f"{tmp_path / inside}: 2 ratings, but ml-10m as published has 10,000,054. "
        "Is this another dataset, or a part of it?"
    ]


def test_data_dir_from_the_environment(tmp_path, monkeypatch):
    place(tmp_path / "ml-1m")
    monkeypatch.setenv("AEREC_DATA", str(tmp_path))
    assert len(datasets.load("ml-1m").value) == 2


def test_a_data_dir_below_the_home_folder(tmp_path, monkeypatch):
    place(tmp_path / "data" / "ml-1m")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(datasets.load("ml-1m", data_dir="~/data").value) == 2


def test_a_data_dir_without_the_files(tmp_path):
    with pytest.raises(BadInput) as error:
        datasets.load("ml-1m", data_dir=tmp_path)
    says = f"No ml-1m in {tmp_path}: place ratings.dat in {tmp_path / 'ml-1m'}, unpacked from "
    assert str(error.value).startswith(says)
    with pytest.raises(
        BadInput, match=r"No netflix in .*: place mv_\*\.txt or .* in .*/netflix\.$"
    ):
        datasets.load("netflix", data_dir=tmp_path)


def test_bad_lines_are_passed_on(tmp_path):
    place(tmp_path, RATINGS + "3::30::9::1\n")
    with pytest.raises(BadInput, match=r"ratings.dat, line 3: rating 9 is off the scale 1\.\.5"):
        datasets.load("ml-1m", data_dir=tmp_path)
    ratings = datasets.load("ml-1m", data_dir=tmp_path, on_bad_line="skip", log=lambda text: None)
    assert len(ratings.value) == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ml1m", "No dataset is called 'ml1m'. Did you mean ml-1m"),
        ("movielens", "Did you mean movielens-small"),
        ("zzzz", "There are: anime, lastfm, ml-100k, ml-10m, ml-1m,"),
        ("synthetic:user=3", "synthetic has no parameter 'user'. Did you mean users"),
        ("synthetic:users=few", "synthetic: users takes a whole number, not 'few'"),
        ("synthetic:users", "synthetic: users takes a whole number, not ''"),
        (
            "synthetic:users=10,items=10,ratings=51",
            "each user rates from 1 to 5 (half) of the items",
        ),
        ("synthetic:noise=0", "noise is at least 0.05"),
        ("ml-1m:users=3", "Only synthetic takes parameters"),
        ("netflix", "netflix cannot be downloaded: place mv_*.txt or"),
    ],
)
def test_names_that_cannot_be(name, says):
    with pytest.raises(BadInput) as error:
        datasets.load(name)
    assert says in str(error.value)


def test_synthetic_by_name():
    said = []
    name = "synthetic:users=40, items=30,ratings=200,rank=2,seed=3,noise=.5"
    ratings = datasets.load(name, log=said.append)
    same, truth = datasets.synthesize(users=40, items=30, ratings=200, rank=2, seed=3, noise=0.5)
    np.testing.assert_array_equal(ratings.value, same.value)
    np.testing.assert_array_equal(ratings.item, same.item)
    assert f"RMSE {truth.bayes_rmse:.4f}, NDCG@100 {truth.best_ndcg:.4f}" in said[0]


# ---------------------------------------------------------------- the cache


def serve(monkeypatch, members: dict[str, str]) -> list:
    """Puts an archive in place of the network; returns the calls."""
    calls = []

    def fetch(urls, target, **options):
        calls.append((urls, options["checksum"]))
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w") as file:
            for name, text in members.items():
                file.writestr(name, text)

    monkeypatch.setattr(download, "fetch", fetch)
    return calls


def test_downloaded_once(tmp_path, monkeypatch):
    calls = serve(monkeypatch, {"ml-1m/ratings.dat": RATINGS, "ml-1m/movies.dat": "10::A::B\n"})
    for _ in range(2):
        ratings = datasets.load("ml-1m", log=lambda text: None)
        assert ratings.titles.tolist() == ["A", ""]
    checksum = datasets.DATASETS["ml-1m"].checksum
    assert calls == [(["http://127.0.0.1:9/ml-1m.zip"], checksum)]
    assert (tmp_path / "home/.cache/aerec/ml-1m/ratings.dat").exists()


def test_no_plain_http_without_a_checksum(monkeypatch):
    calls = serve(monkeypatch, {"ratings.csv": "userId,movieId,rating,timestamp\n1,2,3,4\n"})
    monkeypatch.setattr(datasets, "MIRRORS", ("https://a/", "http://a/"))
    datasets.load("ml-latest-small", log=lambda text: None)
    assert calls == [(["https://a/ml-latest-small.zip"], None)]


def test_an_archive_without_the_ratings(monkeypatch):
    serve(monkeypatch, {"readme": "", "other": ""})
    with pytest.raises(BadInput, match=r"ml-1m.zip: unpacked to .*, but there is no ratings\.dat"):
        datasets.load("ml-1m")


def test_an_archive_placed_by_hand(tmp_path, monkeypatch):
    archive = tmp_path / "home/.cache/aerec/ml-1m.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("ml-1m/ratings.dat", RATINGS)
    with pytest.raises(
        BadInput, match=r"ml-1m.zip: not the archive as published \(sha256:.*Remove"
    ):
        datasets.load("ml-1m")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    entry = datasets.Dataset("", "ml-1m", 2, "ml-1m.zip", f"sha256:{digest}")
    monkeypatch.setitem(datasets.DATASETS, "ml-1m", entry)
    assert len(datasets.load("ml-1m").value) == 2


def test_without_a_network(tmp_path):
    with pytest.raises(BadInput) as error:
        datasets.load("ml-20m", log=lambda text: None)
    target = tmp_path / "home/.cache/aerec/ml-20m.zip"
    assert "Could not download ml-20m.zip (http://127.0.0.1:9/ml-20m.zip: " in str(error.value)
    assert f"place it at {target}" in str(error.value)


def test_the_registry_is_whole():
    lengths = {"sha256": 64, "md5": 32}
    for entry in datasets.DATASETS.values():
        assert entry.about and (entry.format is None or entry.format in formats.FORMATS)
        if entry.checksum:
            kind, digest = entry.checksum.split(":")
            assert len(bytes.fromhex(digest)) * 2 == lengths[kind]


@pytest.mark.skipif(not REAL, reason="AEREC_DATA is not set")
def test_real_movielens_1m_loads_without_a_remark():
    said = []
    ratings = datasets.load("ml-1m", data_dir=REAL, log=said.append)
    assert len(ratings.value) == 1_000_209 and len(said) == 1
