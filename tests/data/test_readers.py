"""Each format on a small file in its own layout, each bad input by its message, and round trips."""

import contextlib
import csv
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aerec.data import formats, readers, scan

DATA = os.environ.get("AEREC_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="AEREC_DATA is not set")
IDS = {"user": "u", "item": "i"}
EXPLICIT = {"user": "u", "item": "i", "rating": "r", "time": "t"}


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def quiet(_: str) -> None:
    pass


def triples(ratings: readers.Ratings) -> list[tuple]:
    """(raw user, raw item, value), in the order of the rows."""
    users, items = ratings.user_ids[ratings.user], ratings.item_ids[ratings.item]
    return list(zip(users.tolist(), items.tolist(), ratings.value.tolist(), strict=True))


def check_types(ratings: readers.Ratings) -> None:
    assert ratings.user.dtype == ratings.item.dtype == np.int32
    assert ratings.value.dtype == np.float32
    assert ratings.time is None or ratings.time.dtype == np.int64
    for codes, ids in ((ratings.user, ratings.user_ids), (ratings.item, ratings.item_ids)):
        np.testing.assert_array_equal(np.unique(codes), np.arange(len(ids)))  # exactly those used
        np.testing.assert_array_equal(np.sort(ids), ids)


# ---------------------------------------------------------------- formats


def test_ml_100k(tmp_path):
    write(tmp_path / "u.data", "196\t242\t3\t881250949\n22\t377\t1\t878887116\n")
    flags = "|0|0|0|1|1|1" + "|0" * 13
    write(tmp_path / "u.item", f"242|Kolya (1996)|24-Jan-1997||http://x{flags}\n".encode("latin-1"))
    ratings = readers.read(tmp_path, "ml-100k")
    check_types(ratings)
    assert triples(ratings) == [(196, 242, 3), (22, 377, 1)]  # rows keep the order of the file
    assert ratings.user_ids.tolist() == [22, 196]
    assert ratings.time.tolist() == [881250949, 878887116]
    assert ratings.titles.tolist() == ["Kolya (1996)", ""]
    assert ratings.genres.tolist() == ["Animation|Children's|Comedy", ""]
    assert ratings.scale == (1, 5)


def test_ml_1m_titles_are_latin_1(tmp_path):
    write(tmp_path / "ratings.dat", "1::1193::5::10\n2::6::3::0\r\n")
    write(tmp_path / "movies.dat", "6::Les Misérables (1995)::Drama|Musical\n".encode("latin-1"))
    ratings = readers.read(tmp_path / "ratings.dat", "ml-1m")
    assert triples(ratings) == [(1, 1193, 5), (2, 6, 3)]
    assert ratings.titles.tolist() == ["Les Misérables (1995)", ""]
    assert ratings.genres.tolist() == ["Drama|Musical", ""]


def test_ml_10m_has_half_stars_and_utf_8(tmp_path):
    write(tmp_path / "ratings.dat", "1::122::4.5::838985046\n1::185::0.5::838983525\n")
    write(tmp_path / "movies.dat", "122::Amélie (2001)::Comedy\n185::Heat: 2::(no genres listed)\n")
    ratings = readers.read(tmp_path, "ml-10m")
    assert ratings.value.tolist() == [4.5, 0.5] and ratings.scale == (0.5, 5)
    assert ratings.titles.tolist() == ["Amélie (2001)", "Heat: 2"]
    assert ratings.genres.tolist() == ["Comedy", ""]


def test_movielens_csv(tmp_path):
    head = "\ufeffuserId,movieId,rating,timestamp\r\n"
    write(tmp_path / "ratings.csv", head + "1,2,3.5,1112486027\r\n1,29,3.0,1112484676\r\n\r\n")
    write(
        tmp_path / "movies.csv",
        'movieId,title,genres\n2,"American President, The (1995)",Comedy|Drama\n29,"A ""B""",War\n',
    )
    ratings = readers.read(tmp_path, "movielens-csv")
    check_types(ratings)
    assert triples(ratings) == [(1, 2, 3.5), (1, 29, 3.0)]
    assert ratings.titles.tolist() == ["American President, The (1995)", 'A "B"']
    assert ratings.genres.tolist() == ["Comedy|Drama", "War"]


NETFLIX = {1: "1488844,3,2005-09-06\n822109,5,2005-05-13\n", 2: "822109,4,2004-02-29\n"}
NETFLIX_TRIPLES = [(1488844, 1, 3), (822109, 1, 5), (822109, 2, 4)]


def test_netflix_folder_of_movies(tmp_path):
    for movie, lines in NETFLIX.items():
        write(tmp_path / "training_set" / f"mv_{movie:07}.txt", f"{movie}:\n{lines}")
    write(tmp_path / "movie_titles.txt", b"1,2003,Dinosaur Planet\n2,NULL,Isle of Man, \xc9t\xe9\n")
    for path in (tmp_path, tmp_path / "training_set"):
        ratings = readers.read(path, "netflix")
        check_types(ratings)
        assert triples(ratings) == NETFLIX_TRIPLES
        days = np.array(["2005-09-06", "2005-05-13", "2004-02-29"], "M8[s]").astype(np.int64)
        np.testing.assert_array_equal(ratings.time, days)
        assert ratings.titles.tolist() == ["Dinosaur Planet (2003)", "Isle of Man, Été"]


def test_netflix_combined_files(tmp_path):
    write(tmp_path / "combined_data_1.txt", f"1:\n{NETFLIX[1]}")
    write(tmp_path / "combined_data_2.txt", f"2:\n{NETFLIX[2]}")
    assert triples(readers.read(tmp_path, "netflix")) == NETFLIX_TRIPLES
    both = write(tmp_path / "both.txt", f"1:\n{NETFLIX[1]}2:\n{NETFLIX[2]}")
    assert triples(readers.read(both, "netflix")) == NETFLIX_TRIPLES


def test_recbole(tmp_path):
    write(
        tmp_path / "toy.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "u1\t10\t4\t8.81250949E8\nu0\t9\t2.5\t5.75\n",
    )
    write(
        tmp_path / "toy.item",
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n10\tToy Story\tComedy Drama\n",
    )
    ratings = readers.read(tmp_path, "recbole")
    check_types(ratings)
    assert triples(ratings) == [("u1", 10, 4), ("u0", 9, 2.5)]
    assert ratings.time.tolist() == [881250949, 5]
    assert ratings.titles.tolist() == ["", "Toy Story"]
    assert ratings.genres.tolist() == ["", "Comedy|Drama"]
    assert ratings.scale == (2.5, 4)  # the file does not say; its lowest and highest


def test_anime(tmp_path):
    write(tmp_path / "anime_ratings.dat", "User_ID\tAnime_ID\tFeedback\n7\t20\t10\n7\t3\t7\n")
    head = "anime_ids\tname\tgenre\ttype\tepisodes\trating\tmembers\n"
    lines = "20\tGintama&#039;\tAction, Comedy\tTV\t51\t9.16\t151266\n4\tX\t\tTV\t1\t1\t1\n"
    write(tmp_path / "anime_info.dat", head + lines)
    ratings = readers.read(tmp_path, log=quiet)
    assert triples(ratings) == [(7, 20, 10), (7, 3, 7)]
    assert (ratings.scale, ratings.click, ratings.time) == ((1, 10), 8, None)
    assert ratings.titles.tolist() == ["", "Gintama'"]
    assert ratings.genres.tolist() == ["", "Action|Comedy|TV"]


def test_steam(tmp_path):
    write(tmp_path / "game_purchase.dat", "User_ID\tGame_ID\tPurchase\n1\t2\t1.0\n3\t1\t1.0\n")
    write(tmp_path / "game_play.dat", "User_ID\tGame_ID\tHours\n1\t2\t273.0\n")
    write(tmp_path / "item_info.dat", "Game_ID\tGame Name\n1\tSpore\n2\tFallout: 4\n")
    ratings = readers.read(tmp_path, log=quiet)
    assert triples(ratings) == [(1, 2, 1), (3, 1, 1)] and ratings.scale is None
    assert ratings.titles.tolist() == ["Spore", "Fallout: 4"]


def test_lastfm(tmp_path):
    write(tmp_path / "user_artists.dat", "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t1\n")
    head = "id\tname\turl\tpictureURL\n"  # as published; other copies have id and name alone
    write(tmp_path / "artists.dat", head + '51\tDuran "2" Duran\thttp://x\thttp://y\n')
    ratings = readers.read(tmp_path, log=quiet)
    assert triples(ratings) == [(2, 51, 13883), (2, 52, 1)] and ratings.click == "all"
    assert ratings.titles.tolist() == ['Duran "2" Duran', ""]


def test_recbole_without_ratings_is_implicit(tmp_path):
    path = write(tmp_path / "a.inter", "user_id:token\titem_id:token\n1\t5\n2\t5\n")
    ratings = readers.read(path, "recbole")
    assert ratings.value.tolist() == [1, 1]
    assert ratings.time is None and ratings.scale is None and ratings.titles is None


def test_deeprec(tmp_path):
    path = write(tmp_path / "nf.train.txt", "7\t1\t3.0\n5\t2\t1.0")  # no break on the last line
    ratings = readers.read(path, "deeprec")
    assert triples(ratings) == [(7, 1, 3), (5, 2, 1)] and ratings.time is None


def test_delimited_by_name_and_by_position(tmp_path):
    named = write(tmp_path / "n.csv", "ts;stars;sid;uid\n3;2;x;1\n4;5;y;1\n")
    columns = {"user": "uid", "item": "sid", "rating": "stars", "time": "ts"}
    ratings = readers.read(named, "delimited", **columns, separator=";", scale=(0, 10))
    assert triples(ratings) == [(1, "x", 2), (1, "y", 5)]
    assert ratings.time.tolist() == [3, 4] and ratings.scale == (0, 10)
    bare = write(tmp_path / "b.txt", "1 a 5\n1 b 4\n")
    ratings = readers.read(
        bare, "delimited", user="0", item=1, separator=" ", header=False
    )
    assert triples(ratings) == [(1, "a", 1), (1, "b", 1)]


def test_quoted_fields_hold_separators(tmp_path):
    text = 'note,"u",i\n"a, b",1,"x ""y"", z"\nplain,"2",w\n'
    ratings = readers.read(write(tmp_path / "q.csv", text), "delimited", **IDS)
    assert triples(ratings) == [(1, 'x "y", z', 1), (2, "w", 1)]


# ---------------------------------------------------------------- ids


@pytest.mark.parametrize("batch", [2, 1 << 18])
def test_ids_are_whole_numbers_or_all_texts(tmp_path, monkeypatch, batch):
    """`07` is not `7`; one text makes its whole column text, ids read before included."""
    monkeypatch.setattr(scan, "BATCH", batch)
    path = write(tmp_path / "i.csv", "u,i\n10,-5\n9,3\n10,3\n07,4\n7,123456789012345678\nü,4\n")
    ratings = readers.read(path, "delimited", **IDS)
    assert ratings.user_ids.tolist() == ["07", "10", "7", "9", "ü"]
    assert ratings.user.tolist() == [1, 3, 1, 0, 2, 4]
    assert ratings.item_ids.tolist() == [-5, 3, 4, 123456789012345678]
    check_types(ratings)


def test_a_skipped_line_does_not_turn_ids_into_text(tmp_path):
    path = write(tmp_path / "i.csv", "u,i,r,t\n1,2,3,4\nx,,3,4\n5,6,1,1\n")
    ratings = readers.read(path, "delimited", **EXPLICIT, on_bad_line="skip")
    assert ratings.user_ids.tolist() == [1, 5]


rows = st.lists(
    st.tuples(
        st.integers(-(10**17), 10**17),
        st.text("abc,;é 07\n", min_size=1, max_size=6).map(lambda text: text.strip(" ") or "0"),
        st.floats(-1e6, 1e6, width=32),
        st.integers(-(10**11) + 1, 10**11 - 1),  # seconds
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: (row[0], row[1]),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows, st.sampled_from([3, 1 << 18]))
def test_round_trip(tmp_path, rows, batch):
    text = [f'{user},"{item}",{value!r},{time}' for user, item, value, time in rows]
    path = write(tmp_path / "r.csv", "\n".join(["u,i,r,t", *text]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BATCH", batch)
        ratings = readers.read(path, "delimited", **EXPLICIT)
    items = [row[1] for row in rows]
    if ratings.item_ids.dtype.kind == "i":  # every id drawn was a whole number
        items = [int(item) for item in items]
    assert triples(ratings) == [(row[0], i, row[2]) for row, i in zip(rows, items, strict=True)]
    assert ratings.time.tolist() == [row[3] for row in rows]
    check_types(ratings)


FIELDS = ["1", "0", "-1", "01", "1.5", "-.5", "1e1", "nan", "1e99", "", ".", "-", "1.2.3", "x", "é"]
FIELDS += ['"1"', '"x,1"', '"a""b"', '""', "\0", " 1", "12345678901234567890", "5 "]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(st.sampled_from(FIELDS), min_size=2, max_size=4).map(",".join), max_size=6
    ).map("\n".join),
    st.sampled_from([1, 1 << 18]),
)
def test_the_lines_kept_are_those_of_the_csv_module(tmp_path, text, batch):
    """Skipping keeps what `csv` and `float` too read as two ids and a number within float32."""
    path = write(tmp_path / "f.csv", "u,i,r\n" + text)
    expected = set()
    for row in csv.reader(text.split("\n")):
        with contextlib.suppress(ValueError):  # of unpacking as of float
            user, item, value = (field.strip(" ") for field in row)
            if user and item and "\0" not in user + item and abs(float(value)) < 3e38:  # float32
                expected.add((user, item))
    columns = {"user": "u", "item": "i", "rating": "r", "separator": ","}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BATCH", batch)
        if not expected:
            with pytest.raises(readers.BadInput, match="no ratings found"):
                readers.read(path, "delimited", **columns, on_bad_line="skip", log=quiet)
            return
        kept = readers.read(path, "delimited", **columns, on_bad_line="skip", log=quiet)
    assert {(str(user), str(item)) for user, item, _ in triples(kept)} == expected


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=60) | st.text('01,."\n\r:-', max_size=60).map(str.encode))
@pytest.mark.parametrize("format", formats.FORMATS)
def test_any_bytes_are_read_or_refused(tmp_path, format, data):
    """No other exception than `BadInput`, which names the file."""
    path = write(tmp_path / "f.csv", data)
    columns = {"user": 0, "item": 1, "rating": 2, "separator": ","}
    for policy in ("error", "skip"):
        for named in ({}, columns) if format == "delimited" else ({},):
            try:
                readers.read(path, format, **named, on_bad_line=policy, log=quiet)
            except readers.BadInput as error:
                assert str(path) in str(error)


# ---------------------------------------------------------------- repeated pairs


def test_last_by_time_stays_and_the_count_is_logged(tmp_path):
    said = []
    text = "u,i,r,t\n1,1,1,50\n1,2,2,10\n1,1,3,40\n1,1,4,50\n2,1,5,1\n2,1,1,0\n"
    path = write(tmp_path / "d.csv", text)
    ratings = readers.read(path, "delimited", **EXPLICIT, log=said.append)
    # (1, 1) ties at 50, where file order decides; (2, 1) has its later time first in the file.
    assert triples(ratings) == [(1, 2, 2), (1, 1, 4), (2, 1, 5)]
    assert said[:-1] == [f"{path}: 3 repeated (user, item) ratings; the last by time is kept."]
    readers.read(path, "delimited", **EXPLICIT | {"time": ""}, log=said.append)
    assert f"{path}: 3 repeated (user, item) ratings; the last is kept." in said
    untimed = {role: EXPLICIT[role] for role in ("user", "item", "rating")}
    ratings = readers.read(path, "delimited", **untimed, log=said.append)
    assert triples(ratings) == [(1, 2, 2), (1, 1, 4), (2, 1, 1)]


# ---------------------------------------------------------------- bad input

GOOD = "1,2,3,4\n"
NO_TIME = "is neither a finite number nor an ISO date like 2020-01-31"
BAD_LINES = {  # the line -> what the message says of it
    "1,2,3": "3 fields where 4 are expected (separator ',')",
    "1,2,3,4,5": "5 fields where 4 are expected",
    "1,2,three,4": "'r' 'three' is not a finite number",
    "1,2,,4": "'r' '' is not a finite number",
    "1,2,3_0,4": "'r' '3_0' is not a finite number",
    "1,2,1.2.3,4": "'r' '1.2.3' is not a finite number",
    "1,2,nan,4": "'r' 'nan' is not a finite number",
    "1,2,-inf,4": "'r' '-inf' is not a finite number",
    "1,2,1e39,4": "'r' '1e39' is not a finite number",
    "1,2,7,4": "rating 7 is off the scale 1..5",
    "1,2,0.5,4": "rating 0.5 is off the scale 1..5",
    "1,2,3,then": f"'t' 'then' {NO_TIME}",
    "1,2,3,1e30": f"'t' '1e30' {NO_TIME}",
    "1,2,3,02/01/2020": f"'t' '02/01/2020' {NO_TIME}",
    ",2,3,4": "'u' is empty",
    f"1,{'x' * 300},3,4": "'i' is longer than 256 bytes",
    '1,"2"x,3,4': "a double quote inside a field is not doubled",
}


@pytest.mark.parametrize(("line", "says"), BAD_LINES.items())
@pytest.mark.parametrize("batch", [1, 1 << 18])
def test_malformed_lines(tmp_path, monkeypatch, line, says, batch):
    monkeypatch.setattr(scan, "BATCH", batch)
    path = write(tmp_path / "bad.csv", f"u,i,r,t\n1,2,3,4\n\n3,4,5,6\n{line}\n5,6,1,1\n")
    with pytest.raises(readers.BadInput) as error:
        readers.read(path, "delimited", **EXPLICIT, scale=(1, 5))
    assert str(error.value).startswith(f"{path}, line 5: {says}")  # the blank line is counted
    assert str(error.value).endswith("Correct or remove the line, or give `on_bad_line=skip`.")

    said = []
    ratings = readers.read(
        path, "delimited", **EXPLICIT, scale=(1, 5), on_bad_line="skip", log=said.append
    )
    assert triples(ratings) == [(1, 2, 3), (3, 4, 5), (5, 6, 1)]
    assert len(said) == 2  # and the summary
    assert said[0].startswith(f"Skipped 1 malformed lines; the first: {path}, line 5: {says}")


def test_the_first_bad_line_is_named(tmp_path):
    """Checks run column by column; the message follows the lines all the same."""
    path = write(tmp_path / "bad.csv", "u,i,r,t\n1,2,3,x\n1,2,x,4\n1,2\n")
    with pytest.raises(readers.BadInput, match="line 2: 't' 'x'"):
        readers.read(path, "delimited", **EXPLICIT)


def test_bytes_that_are_no_text(tmp_path):
    path = write(tmp_path / "bad.csv", b"u,i\na,1\n\xff\xfe,2\n")
    with pytest.raises(readers.BadInput, match=r"line 3: 'u' '\\xff\\xfe' is not utf-8 text"):
        readers.read(path, "delimited", **IDS)


def test_a_file_without_line_breaks(tmp_path):
    path = write(tmp_path / "bad.csv", b"u,i\n" + bytes(500))
    with pytest.raises(readers.BadInput, match=r"no ratings found"):
        readers.read(path, "delimited", **IDS, on_bad_line="skip")


BAD_FILES = {
    "empty": (b"", "the file is empty. Was it downloaded or written completely?"),
    "blank": (b"\n\n\n\n\n", "the file holds only blank lines"),
    "zip": (b"PK\x03\x04....", "cannot be unpacked (File is not a zip file)"),
    "gzip": (b"\x1f\x8b\x08....", "cannot be unpacked"),
    "zst": (b"\x28\xb5\x2f\xfd....", "cannot be unpacked"),
    "parquet": (b"PAR1....", "the parquet file is damaged"),
    "array": (b'[{"u": 1, "i": 2}]', "a JSON array. Write JSON lines"),
    "header": (b"u,i,r,t\n", "no ratings found. Is it the right file, and complete?"),
    "column": (
        b"u,i,stars,t\n1,2,3,4\n",
        "line 1: no single column 'r'; there are u, i, stars",
    ),
    "twice": (
        b"u,i,r,r,t\n1,2,3,3,4\n",
        "line 1: no single column 'r'; there are u, i, r, r, t",
    ),
    "bare": (b"1,2,3,4\n5,6,7,8\n", "line 1: no single column 'u'; there are 1, 2, 3, 4"),
}


@pytest.mark.parametrize(("data", "says"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files(tmp_path, data, says):
    path = write(tmp_path / "f.csv", data)
    with pytest.raises(readers.BadInput) as error:
        readers.read(path, "delimited", **EXPLICIT)
    assert str(path) in str(error.value) and says in str(error.value)


def test_a_header_where_none_should_be(tmp_path):
    path = write(tmp_path / "ratings.dat", "UserID::MovieID::Rating::Timestamp\n1::2::3::4\n")
    says = r"line 1: column 0 'UserID' .*\(if this is a header, give `header=true`\)"
    with pytest.raises(readers.BadInput, match=says):
        readers.read(path, "ml-1m")
    path = write(tmp_path / "implicit.csv", "user,item\n1,2\n3,4\n")  # would be ids 'user', 'item'
    with pytest.raises(readers.BadInput, match=r"line 1: column 0 'user' is not .*header=true`"):
        readers.read(path, "delimited", user=0, item=1, header=False)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(readers.BadInput, match=r"cannot be read \(No such file.*Check the path"):
        readers.read(tmp_path / "none.csv", "movielens-csv")
    with pytest.raises(readers.BadInput, match=r"no u\.data in this folder. Give the file's path"):
        readers.read(tmp_path, "ml-100k")
    for name in ("a.inter", "b.inter"):
        write(tmp_path / name, "x")
    with pytest.raises(readers.BadInput, match=r"2 files match \*\.inter. Give the path of one"):
        readers.read(tmp_path, "recbole")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "ml-1M"}, "No format is called 'ml-1M'. Did you mean ml-1m"),
        ({"user": "u"}, "no column 'item'; there are u, i, r, t. Name it: `item=`"),
        ({"user": "u", "item": "u"}, "one column cannot play two roles"),
        (IDS | {"header": False}, "Without a header a column is a number from 0; user is 'u'"),
        ({"user": 0, "item": 9, "header": False}, "no single column 9; line 1 has 4 f"),
        ({"header": False}, "Give the positions (from 0) of user and item"),
        (IDS | {"separator": ""}, "'' cannot separate fields"),
        (IDS | {"on_bad_line": "drop"}, "on_bad_line is 'error' or 'skip', not 'drop'"),
        (IDS | {"encoding": "utf-9"}, "No encoding is called 'utf-9'"),
        ({"format": "netflix", "separator": ";"}, "The netflix format is fixed"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, says):
    path = write(tmp_path / "f.csv", "u,i,r,t\n1,2,3,4\n")
    with pytest.raises(readers.BadInput) as error:
        readers.read(path, **({"format": "delimited"} | options))
    assert says in str(error.value)


def test_recbole_header_must_be_typed(tmp_path):
    for head in (
        "user_id\titem_id",
        "user_id:token_seq\titem_id:token",
        "uid:token\titem_id:token",
    ):
        path = write(tmp_path / "f.inter", f"{head}\n1\t2\n")
        with pytest.raises(
            readers.BadInput, match=r"line 1: .* must hold user_id:token for the user"
        ):
            readers.read(path, "recbole")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,3,2005-09-06\n", "line 1: a rating without a 'number:' line"),
        ("one:\n1,3,2005-09-06\n", "line 1: a movie's line must read 'number:'"),
        ("1:\n1,3,2005-02-29\n", "line 2: date '2005-02-29' is neither"),
        ("1:\n1,3,2005-13-01\n", "line 2: date '2005-13-01' is neither"),
        ("1:\n1,3,1\n", "line 2: date '1' does not have the form YYYY-MM-DD"),
        ("1:\n1,6,2005-02-28\n", "line 2: rating 6 is off the scale 1..5"),
        ("1:\n1,2005-02-28\n", "line 2: 2 fields where 3 are expected"),
    ],
)
def test_bad_netflix_lines(tmp_path, text, says):
    path = write(tmp_path / "combined_data_1.txt", text)
    with pytest.raises(readers.BadInput) as error:
        readers.read(path, "netflix")
    assert f"{path}, {says}" in str(error.value)


def test_skipping_a_movie_skips_its_ratings(tmp_path):
    path = write(tmp_path / "x.txt", f"1:\n{NETFLIX[1]}two:\n{NETFLIX[2]}")
    said = []
    ratings = readers.read(path, "netflix", on_bad_line="skip", log=said.append)
    assert triples(ratings) == NETFLIX_TRIPLES[:2]
    assert said[0].startswith("Skipped 2 malformed lines; the first:")


def test_bad_titles(tmp_path):
    write(tmp_path / "ratings.dat", "1::2::3::4\n")
    write(tmp_path / "movies.dat", "2::Fine (1999)::Drama\n3\n")
    with pytest.raises(readers.BadInput, match=r"movies.dat, line 2: 1 fields are too few"):
        readers.read(tmp_path, "ml-1m")


# ---------------------------------------------------------------- read_columns


def test_read_columns(tmp_path):
    path = write(tmp_path / "c.csv", "uid,sid,x\n4,b,1.5\n3,a,2\n4,a,-2e1\n")
    kinds = {"sid": "id", "uid": "id", "x": "number"}
    found = readers.read_columns(path, {**kinds, "t": "time"}, optional=["t"])
    assert found.keys() == kinds.keys()
    assert found["uid"].tolist() == [4, 3, 4] and found["uid"].dtype == np.int64
    assert found["sid"].tolist() == ["b", "a", "a"]
    assert found["x"].tolist() == [1.5, 2, -20]
    with pytest.raises(readers.BadInput, match=r"line 4: rating -20 is off the scale 0\.\.5"):
        readers.read_columns(path, {"x": "number"}, bounds={"x": (0, 5)})
    with pytest.raises(ValueError, match="kind"):
        readers.read_columns(path, {"x": "float"})


def test_numbers_are_correctly_rounded(tmp_path):
    texts = [
        "0.1",
        "-0.3",
        "123456.789012",
        "1e-3",
        "00012.50",
        "999999999999999999999",
        ".5",
        "5.",
    ]
    path = write(tmp_path / "n.csv", "x\n" + "\n".join(texts))
    found = readers.read_columns(path, {"x": "number"})["x"]
    np.testing.assert_array_equal(found, np.array([float(text) for text in texts], np.float32))


# ---------------------------------------------------------------- size


def movielens_like(path: Path, lines: int) -> Path:
    """A ratings.csv of distinct pairs, 150 a user, written as one matrix of characters a part."""
    with open(path, "wb") as file:
        file.write(b"userId,movieId,rating,timestamp\n")
        for first in range(0, lines, 1_000_000):
            row = np.arange(first, min(lines, first + 1_000_000))
            user, item = 100_000 + row // 150, 10_000 + (row % 150) * 131 % 20_000
            stars, time = np.array(["0.5", "3.0", "4.5"])[row % 3], 1_000_000_000 + row
            comma, end = np.full(len(row), ","), np.full(len(row), "\n")
            parts = (user.astype("S6"), comma, item.astype("S5"), comma, stars, comma, time, end)
            bytes_ = [part.astype("S").view(np.uint8).reshape(len(row), -1) for part in parts]
            text = np.concatenate([part[:, : part.any(0).sum()] for part in bytes_], 1)
            file.write(text.tobytes())
    return path


def test_memory_follows_the_result(tmp_path, monkeypatch):
    """Beside the block, which polars holds, a small multiple of the 20 bytes a rating keeps."""
    monkeypatch.setattr(scan, "BATCH", 1 << 14)
    path = movielens_like(tmp_path / "ratings.csv", 300_000)
    tracemalloc.start()
    ratings = readers.read(path, "movielens-csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(ratings.value) == 300_000 and len(ratings.user_ids) == 2_000
    assert peak < 3 * 20 * 300_000 + (4 << 20)  # the table of raw ids may take a few MB


@pytest.mark.slow
def test_twenty_million_lines(tmp_path):
    """The size of MovieLens 20M: peak memory below 1.5 GB."""
    path = movielens_like(tmp_path / "ratings.csv", 20_000_000)
    code = (
        "import resource, sys, time; from aerec.data import readers; start = time.perf_counter(); "
        "ratings = readers.read(sys.argv[1], 'movielens-csv', log=lambda text: None); "
        "print(len(ratings.value), "
        "time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=root, check=True, capture_output=True, text=True
    )
    lines, seconds, megabytes = map(float, done.stdout.split())
    print(f"{lines:,.0f} lines in {seconds:.1f} s, peak RSS {megabytes:.0f} MB")
    assert lines == 20_000_000 and megabytes < 1500


# ---------------------------------------------------------------- real files


@needs_data
def test_movielens_1m():
    """The counts that are published; titles are there for every rated film."""
    ratings = readers.read(Path(DATA) / "ml-1m", "ml-1m")
    check_types(ratings)
    assert len(ratings.value) == 1_000_209
    assert (len(ratings.user_ids), len(ratings.item_ids)) == (6040, 3706)
    assert (ratings.value >= 4).sum() == 575_281
    assert "" not in ratings.titles.tolist()


@needs_data
def test_movielens_100k():
    ratings = readers.read(Path(DATA) / "ml-100k", "ml-100k")
    check_types(ratings)
    assert len(ratings.value) == 100_000
    assert (len(ratings.user_ids), len(ratings.item_ids)) == (943, 1682)
    assert ratings.titles[0] == "Toy Story (1995)"
    assert ratings.genres[0] == "Animation|Children's|Comedy"


@needs_data
@pytest.mark.parametrize(
    ("name", "users", "items", "ratings", "clicks"),
    [
        ("anime", 4714, 7157, 419_943, 254_581),  # 419,943 lines, of which 165,362 below 8
        ("steam", 12_393, 5155, 128_804, 128_804),  # 129,511 lines, 707 of them twice
        ("lastfm", 1892, 17_632, 92_834, 92_834),
    ],
)
def test_data_without_films(name, users, items, ratings, clicks):
    read = readers.read(Path(DATA) / name, log=quiet)
    check_types(read)
    assert (len(read.user_ids), len(read.item_ids), len(read.value)) == (users, items, ratings)
    lowest = 0 if read.click in (None, "all") else read.click
    assert (read.value >= lowest).sum() == clicks
    assert "" not in read.titles.tolist()
