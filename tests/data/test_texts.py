"""What a file looks like is found by its content; each way of writing the same ratings is one."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import re
import tarfile
import zipfile

import numpy as np
import polars as pl
import pytest

from aerec.data import convert, mapped, readers
from aerec.errors import BadInput

TABLE = pl.DataFrame(
    {
        "user": [f"u{n % 7}" for n in range(40)],
        "item": [n % 11 * 3 for n in range(40)],
        "rating": [n % 5 + 1.0 for n in range(40)],
        "time": [1_500_000_000 + 86_400 * (n * 17 % 40) for n in range(40)],
    }
)


def csv_of(table=TABLE, **options):
    return table.write_csv(**options)


def same(path, want=None, **options):
    """Whether a file is read as the plain one is."""
    found = readers.read(path, log=lambda text: None, **options)
    want = want or expected(path.parent)
    for name in ("user", "item", "value", "time", "user_ids", "item_ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(want, name), err_msg=name)
    assert found.scale == want.scale
    return True


def expected(folder, table=TABLE):
    path = folder / "plain.csv"
    path.write_text(csv_of(table))
    return readers.read(path, log=lambda text: None)


def zipped(data, names=("r.csv",)):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__MACOSX/._r.csv", "x")
        for name in names:
            archive.writestr(name, data)
    return file.getvalue()


TEXT = csv_of().encode()
WAYS = {
    "r.csv": TEXT,
    "quoted.csv": csv_of(quote_style="always").encode(),
    "semicolons.csv": csv_of(separator=";").encode(),
    "tabs.tsv": csv_of(separator="\t").encode(),
    "bars.txt": csv_of(separator="|").encode(),
    "colons.dat": csv_of(separator="\x01").replace("\x01", "::").encode(),
    "blanks.txt": csv_of(separator=" ").encode(),
    "windows.csv": TEXT.replace(b"\n", b"\r\n"),
    "old_mac.csv": TEXT.replace(b"\n", b"\r"),
    "blank_lines.csv": b"\n" + TEXT.replace(b"\n", b"\n\n"),
    "around.csv": TEXT.replace(b",", b" , "),
    "mark.csv": b"\xef\xbb\xbf" + TEXT,
    "utf16.csv": csv_of().encode("utf-16"),
    "utf16be.csv": b"\xfe\xff" + csv_of().encode("utf-16-be"),
    "utf32.csv": csv_of().encode("utf-32"),
    "r.csv.gz": gzip.compress(TEXT),
    "r.csv.bz2": bz2.compress(TEXT),
    "r.csv.xz": lzma.compress(TEXT),
    "r.zip": zipped(TEXT),
    "old_mac.csv.gz": gzip.compress(TEXT.replace(b"\n", b"\r")),
    "r.jsonl": TABLE.write_ndjson().encode(),
    "r.jsonl.gz": gzip.compress(TABLE.write_ndjson().encode()),
    "mark.jsonl": b"\xef\xbb\xbf" + TABLE.write_ndjson().encode(),
}


@pytest.mark.parametrize(("name", "data"), WAYS.items(), ids=WAYS)
def test_ways_to_write_the_same_ratings(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert same(tmp_path / name)


def test_parquet_and_zst(tmp_path):
    TABLE.write_parquet(tmp_path / "r.parquet")
    assert same(tmp_path / "r.parquet")
    typed = TABLE.with_columns(
        pl.from_epoch("time").dt.replace_time_zone("UTC"),
        pl.col("user").cast(pl.Categorical),
        pl.col("item").cast(pl.Float64),
    )
    typed.write_parquet(tmp_path / "typed.parquet")
    assert same(tmp_path / "typed.parquet")
    TABLE.lazy().sink_csv(tmp_path / "r.csv.zst", compression="zstd")
    assert same(tmp_path / "r.csv.zst")


def test_several_files_in_an_archive_are_named(tmp_path):
    path = tmp_path / "two.zip"
    path.write_bytes(zipped(TEXT, ("a.csv", "b.csv")))
    with pytest.raises(BadInput, match=r"2 files in it \(a.csv, b.csv\). Unpack it"):
        readers.read(path)


def test_a_line_break_in_quotes_ends_no_line(tmp_path):
    """A review that reads like a rating is none, whatever a malformed line does."""
    reviews = ['"first line\n999,777,5,""quoted""\nlast"', '"a\n\nb"', "short", ""]
    rows = [
        f"{user},{item},{rating:g},{time},{reviews[n % 4]}"
        for n, (user, item, rating, time) in enumerate(TABLE.iter_rows())
    ]
    path = tmp_path / "r.csv"
    path.write_text("\n".join(["user,item,rating,time,review", *rows]) + "\n")
    assert same(path) and same(path, on_bad_line="skip")
    path.write_text("\n".join(["user,item,rating,time,review", *rows, "u1,2,x,4,z"]) + "\n")
    assert same(path, on_bad_line="skip")
    breaks = sum(row.count("\n") for row in rows)
    with pytest.raises(BadInput, match=f"line {len(rows) + breaks + 2}: 'rating' 'x'"):
        readers.read(path)


def test_a_quote_that_never_closes_is_refused(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text('user,item\n1,2\n3,"4\n5,6\n7,8\n')
    for policy in ("error", "skip"):
        with pytest.raises(BadInput, match="line 3: a double quote is not closed"):
            readers.read(path, on_bad_line=policy)


def test_other_encodings_are_asked_for(tmp_path):
    table = TABLE.with_columns(user=pl.col("user").str.replace("u", "usér"))
    path = tmp_path / "r.csv"
    path.write_bytes(csv_of(table).encode("latin-1"))
    with pytest.raises(BadInput, match=r"line 2: 'user' .*xe9r0.* is not utf-8.*`encoding`"):
        readers.read(path)
    assert same(path, expected(tmp_path, table), encoding="latin-1")
    with pytest.raises(BadInput, match=r"cannot be decoded .*Give another `encoding`"):
        readers.read(path, encoding="ascii")


def test_what_is_not_read_may_be_of_any_encoding(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(b"user,item,note\n1,2,\xe9t\xe9\n1,3,x\n")
    assert len(readers.read(path).user) == 2


def test_json_lines_that_are_malformed(tmp_path):
    path = tmp_path / "r.jsonl"
    lines = ['{"user": 1, "item": "a", "rating": 3}', "", '{"user": 2, "item": "b", "rating": 4}']
    for bad, says in (
        ('{"user": 1', "line 4: not JSON"),
        ('{"user": 1, "item": "c"}', "line 4: 'rating' '' is not a finite number"),
        ('{"user": null, "item": "c", "rating": 1}', "line 4: 'user' is empty"),
    ):
        path.write_text("\n".join([*lines, bad]) + "\n")
        with pytest.raises(BadInput, match=says):
            readers.read(path)
        kept = readers.read(path, on_bad_line="skip")
        assert kept.user_ids.tolist() == [1, 2] and kept.value.tolist() == [3, 4]


def test_values_of_json_are_spelled_alike_whatever_else_the_file_holds(tmp_path):
    path = tmp_path / "r.jsonl"
    lines = [f'{{"user": {n}, "item": "a", "rating": 3}}' for n in ("1", "2.0", "3e2", "4.5")]
    for more in ([], ['{"user": 5, "item": "b", "rating": null}']):
        path.write_text("\n".join([*lines, *more]))
        found = readers.read(path, on_bad_line="skip", log=lambda text: None)
        assert found.user_ids[found.user].astype(str).tolist() == ["1", "2", "300", "4.5"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ('{"id": 1}', "line 2: 'user' is a list or an object"),
        ("[1, 2]", "line 2: 'user' is a list or an object"),
        (r'"\ud800"', r"line 2: 'user' '\\ud800' is not utf-8 text"),
        ('"[1, 2]"', None),
    ],
)
def test_ids_of_json_that_are_no_single_text(tmp_path, value, says):
    path = tmp_path / "r.jsonl"
    rows = (f'{{"user": {user}, "item": 3, "rating": 4}}' for user in (1, value))
    path.write_text("\n".join(rows))
    if says is None:
        assert readers.read(path).user_ids.tolist() == ["1", "[1, 2]"]
        return
    with pytest.raises(BadInput, match=says):
        readers.read(path)


@pytest.mark.parametrize(
    "text", ['{\n "user": 1\n}\n', '{"user": 1, "item": 2},\n{"user": 2, "item": 2},\n', "{}\n"]
)
def test_json_that_is_not_in_lines(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="line 1: no JSON object with keys"):
        readers.read(path)


def test_what_is_no_text_is_named_as_such(tmp_path):
    tar, inner = io.BytesIO(), gzip.compress(TEXT)
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        member = tarfile.TarInfo("r.csv")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    files = {"r.tar.gz": tar.getvalue(), "gz_in.zip": zipped(inner)}
    for name, data in (files | {"unmarked.csv": TEXT.decode().encode("utf-16-le")}).items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(BadInput, match=f"{name}, line 1: this is not text"):
            readers.read(path)


def test_paths_that_lead_to_no_file(tmp_path, monkeypatch):
    pipe, loop = tmp_path / "pipe.csv", tmp_path / "loop.csv"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    for path, says in (
        (None, "None is no path"), (12, "12 is no path"), (b"r.csv", "is no path"),
        ("r\0.csv", "is no path"), ("", "is no path"), ("x" * 5000, "cannot be read"),
        (loop, "cannot be read"), ("-", "cannot be read"), (pipe, "a pipe or a device can be"),
        ("/dev/zero", "a pipe or a device can be"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=says):
            readers.read(path)
    expected(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert same(tmp_path / "plain.csv", readers.read("~/plain.csv", log=lambda text: None))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": (5, 1)}, "scale takes"), ({"scale": "15"}, "scale takes"),
        ({"separator": 5}, "cannot separate"), ({"header": "yes"}, "header takes"),
        ({"encoding": 5}, "encoding takes"), ({"user": ""}, "cannot be left out"),
    ],
)  # fmt: skip
def test_options_of_another_type(tmp_path, options, says):
    (tmp_path / "r.csv").write_text(csv_of())
    with pytest.raises(BadInput, match=says):
        readers.read(tmp_path / "r.csv", **options)


def test_a_comma_in_a_number_is_explained(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("user;item;rating\n1;2;4,5\n")
    with pytest.raises(BadInput, match=r"line 2: 'rating' '4,5' .*: write a point, not a comma"):
        readers.read(path)


def test_ids_beyond_64_bits_in_parquet_are_text(tmp_path):
    path = tmp_path / "r.parquet"
    large = pl.Series("user", [2**63, 7], dtype=pl.UInt64)
    pl.DataFrame([large, pl.Series("item", [1, 2])]).write_parquet(path)
    found = readers.read(path)
    assert found.user_ids[found.user].tolist() == ["9223372036854775808", "7"]


def test_a_key_that_comes_late_is_seen(tmp_path):
    """A rating that only the 300th object has makes the others malformed, not clicks."""
    rows = [{"user": n, "item": n % 3} for n in range(300)]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0] | {"rating": 4}]))
    with pytest.raises(BadInput, match="line 1: 'rating' ''"):
        readers.read(path)


def test_missing_values_of_parquet_are_named_by_row(tmp_path):
    path = tmp_path / "r.parquet"
    TABLE.with_columns(rating=pl.when(pl.col("time") > 0).then(pl.lit(3))).with_columns(
        user=pl.when(pl.int_range(40) != 20).then("user")
    ).write_parquet(path)
    with pytest.raises(BadInput, match="row 21: 'user' is empty"):
        readers.read(path)
    assert len(readers.read(path, on_bad_line="skip").user) == 39


# What a file is without being told.


def test_header_or_not(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text("1\t2\t3\t880000000\n2\t3\t4\t890000000\n")  # the layout of MovieLens
    assert readers.read(path).value.tolist() == [3, 4]
    path.write_text("1,2,3\n2,3,4\n")
    with pytest.raises(BadInput, match=r"a file without a header.*1, 2, 3.*`user=0,item=1"):
        readers.read(path)
    assert readers.read(path, user=1, item=0).user_ids.tolist() == [2, 3]
    path.write_text("ann,x\nbob,y\n")
    with pytest.raises(BadInput, match=r"does line 1, .*name the columns.*`header=true`"):
        readers.read(path)
    assert len(readers.read(path, user=0, item=1).user) == 2
    path.write_text("user,film\nbob,y\n")
    assert readers.read(path).user_ids.tolist() == ["bob"]


def test_separators_that_could_be_several(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text("1;2;3,5\n4;5;1,5\n")
    with pytest.raises(BadInput, match=r"separates its fields: ',' or ';'. Give `separator`"):
        readers.read(path)


@pytest.mark.parametrize(
    "names",
    [
        ("userId", "movieId", "rating", "timestamp"),
        ("uid", "sid", "stars", "ts"),
        ("User_ID", "Anime_ID", "Feedback", "Date"),
        ("reviewerID", "asin", "overall", "unixReviewTime"),
        ("user_id", "parent_asin", "score", "time"),
        ("customer", "product", "value", "date"),
    ],
)
def test_usual_names(tmp_path, names):
    path = tmp_path / "r.csv"
    path.write_text(csv_of(TABLE.rename(dict(zip(TABLE.columns, names, strict=True)))))
    assert same(path)


def test_names_that_are_no_or_several_columns(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("user_id,asin,parent_asin,rating\n1,2,3,4\n")
    with pytest.raises(BadInput, match=r"several .* the item; there are user_id, asin, parent_as"):
        readers.read(path)
    assert readers.read(path, item="asin").item_ids.tolist() == [2]
    assert readers.read(path, item="asin", rating="").scale is None  # clicks
    path.write_text("who,item\n1,2\n")
    with pytest.raises(BadInput, match=r"no column 'user'; there are who, item. Name it: `user=`"):
        readers.read(path)


def test_known_files_and_folders_by_name(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::10::5::978300760\n2::20::3.0::978300760\n")
    (tmp_path / "movies.dat").write_text("10::Heat (1995)::Action\n")
    for path in (tmp_path, tmp_path / "ratings.dat"):
        ratings = readers.read(path)
        assert ratings.titles.tolist() == ["Heat (1995)", ""] and ratings.scale == (1, 5)
    (tmp_path / "ratings.dat").write_text("1::10::5::978300760\n2::20::3.5::978300760\n")
    assert readers.read(tmp_path).scale == (0.5, 5)
    (tmp_path / "u.data").write_text("1\t2\t3\t4\n")
    with pytest.raises(BadInput, match=r"files of ml-100k and ml-10m\. Give the path"):
        readers.read(tmp_path)
    own = tmp_path / "ratings.csv"
    own.write_text("user,item,rating\n1,2,10\n")  # of another layout than MovieLens'
    assert readers.read(own).scale == (10, 10)
    inter = tmp_path / "a.inter"
    inter.write_text("user_id:token\titem_id:token\n1\t5\n")
    assert readers.read(inter).scale is None
    netflix = tmp_path / "combined_data_1.txt"
    netflix.write_text("1:\n5,3,2005-09-06\n")
    assert readers.read(netflix).item_ids.tolist() == [1]


# Times.


@pytest.mark.parametrize(("unit", "name"), [(10**3, "milli"), (10**6, "micro"), (10**9, "nano")])
def test_finer_times_become_seconds(tmp_path, unit, name):
    said = []
    path = tmp_path / "r.csv"
    path.write_text(csv_of(TABLE.with_columns(pl.col("time") * unit + unit // 2)))
    found = readers.read(path, log=said.append)
    np.testing.assert_array_equal(found.time, expected(tmp_path).time)
    assert said[0] == f"Times are read as {name}seconds since 1970, and converted to seconds."
    assert "2017-07-14 to 2017-08-22" in said[-1]


@pytest.mark.parametrize(("usual", "odd"), [(10**9, 10**12), (10**12, 10**9), (10**15, 10**12)])
def test_times_of_several_units_are_counted(tmp_path, usual, odd):
    path, said = tmp_path / "r.csv", []
    times = [usual, 0, usual + 5, odd, usual + 7]  # 0 has no unit
    rows = "".join(f"{n},{n},3,{time}\n" for n, time in enumerate(times))
    path.write_text("user,item,rating,time\n" + rows)
    readers.read(path, log=said.append)
    assert any(text.startswith("1 of 5 times are of another unit") for text in said)
    path.write_text(path.read_text().replace(f",{odd}\n", f",{usual + 6}\n"))
    readers.read(path, log=said.clear() or said.append)
    assert not any("another unit" in text for text in said)


def test_seconds_and_dates_in_one_column(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("user,item,rating,time\n1,1,3,1000019000\n2,2,3,2020-01-01\n3,3,3,5\n")
    with pytest.raises(BadInput, match="line 3: 'time' '2020-01-01' is written in another way"):
        readers.read(path)


def test_the_last_of_a_pair_is_found_before_milliseconds_are_dropped(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("user,item,rating,time\n1,2,5,1500000000900\n1,2,3,1500000000100\n")
    assert readers.read(path).value.tolist() == [5]


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2001-09-09 01:46:40", "2001-09-09T01:46:40"),
        ("2001-09-09T01:46:40.75Z", "2001-09-09T01:46:40"),
        ("2001-09-09T01:46:40+02:00", "2001-09-08T23:46:40"),
        ("2001-09-09 01:46:40 UTC", "2001-09-09T01:46:40"),
        ("2001-09-09T01:46-0130", "2001-09-09T03:16:00"),
        ("1965-02-28", "1965-02-28"),
    ],
)
def test_iso_dates(tmp_path, text, iso):
    path = tmp_path / "r.csv"
    path.write_text(f"user,item,time\n1,2,{text}\n1,3,2001-01-01\n")
    found = readers.read(path).time
    assert found.tolist()[0] == np.datetime64(iso, "s").astype(int)


@pytest.mark.parametrize(
    "text", ["02/01/2020", "2020-13-01", "2020-02-30", "2020-01-01 24:00", "2020-01-01T01:00+99:99"]
)
def test_dates_that_are_none(tmp_path, text):
    path = tmp_path / "r.csv"
    path.write_text(f"user,item,time\n1,2,2020-01-01\n1,3,{text}\n")
    with pytest.raises(BadInput, match=r"line 3: 'time' .* nor an ISO date like 2020-01-31"):
        readers.read(path)


def test_json_lines_without_a_key_of_ratings_are_clicks_and_said_to_be(tmp_path):
    path, notes = tmp_path / "x.jsonl", []
    path.write_text('{"user": 1, "item": 2}\n{"user": 1, "item": 3}\n', encoding="utf-8")
    assert readers.read(path, log=notes.append).scale is None
    assert "no key of ratings in its first 200,000 lines, so each line is a click" in notes[0]


@pytest.mark.parametrize(
    ("days", "first"),
    [
        (["20200229", "20191231"], "2020-02-29T00:00:00"),
        (["20200229235958", "20191231000000"], "2020-02-29T23:59:58"),
    ],
)
def test_numbers_that_spell_dates(tmp_path, days, first):
    path, said = tmp_path / "r.csv", []
    path.write_text("user,item,time\n" + "".join(f"{n},1,{day}\n" for n, day in enumerate(days)))
    seconds = [np.datetime64(text, "s").astype(int) for text in (first, "2019-12-31")]
    assert readers.read(path, log=said.append).time.tolist() == seconds
    assert said[0] == "Times are read as dates, like 20200131 for 2020-01-31."
    convert.convert([path], tmp_path / "out", log=said.clear() or said.append)
    assert mapped.load(tmp_path / "out", "memory", said.append).time.tolist() == seconds
    assert any(text.startswith("Times are read as dates") for text in said)
    path.write_text(path.read_text() + "7,7,20200230\n")  # no date: these are positions
    assert readers.read(path).time.max() == max(20200230, int(days[0]) // 1000)


def test_fractions_that_would_become_one_time(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("user,item,time\n1,2,0.25\n1,3,0.75\n1,4,0.5\n")
    with pytest.raises(BadInput, match=r"line 2: 'time' '0.25' is a fraction; give whole numbers"):
        readers.read(path)
    path.write_text("user,item,time\n1,2,1000000000.25\n1,3,1000000000.75\n")
    assert readers.read(path).time.tolist() == [10**9] * 2


def test_a_column_of_ratings_that_is_not_recognised(tmp_path):
    path, said = tmp_path / "r.csv", []
    path.write_text("user,item,label\n1,2,0\n1,3,1\n")
    assert readers.read(path, log=said.append).scale is None
    assert "no column of ratings by its usual name, so each line is a click" in said[0]
    assert "Not read: label." in said[0]
    assert readers.read(path, rating="label", log=said.clear() or said.append).scale == (0, 1)
    assert readers.read(path, rating="", log=said.append).scale is None and len(said) == 2
    path.write_text("user,item,time\n1,2,0\n1,3,1\n")
    readers.read(path, log=said.clear() or said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("data", "options"),
    [("user,item\nJosé,1\n".encode("latin-1"), {}),
     ("user,item\nJosé,1\n".encode("latin-1"), {"encoding": "latin-1"}),
     (b"user,item\r1,2\r2,3\r", {})],
)  # fmt: skip
def test_zst_of_another_encoding_says_to_unpack_it(tmp_path, data, options):
    path = tmp_path / "x.csv.zst"
    block = (1 | len(data) << 3).to_bytes(3, "little") + data  # the last one, not compressed
    path.write_bytes(b"(\xb5/\xfd" + bytes([0x20, len(data)]) + block)
    with pytest.raises(BadInput, match=r"Of a zst file only text in utf-8.*unpack any"):
        readers.read(path, **options)


def test_a_type_of_parquet_that_is_no_value_names_the_file(tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"user": [1, 2], "item": [[1, 2], [2]]}).write_parquet(path)
    with pytest.raises(BadInput, match=r"x.parquet: column 'item' has type List.*Convert it"):
        readers.read(path)


OTHERS = {
    "npy": (b"\x93NUMPY\x01\0", "a NumPy array"),
    "mtx": (b"%%MatrixMarket matrix coordinate real general\n2 2 1\n1 1 5\n", "Matrix Market"),
    "h5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "feather": (b"ARROW1\0\0", "an Arrow or Feather file"),
    "pkl": (pickle.dumps({1: 2}), "a pickle"),
    "html": (b"<html><body>404</body></html>\n", "a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
    "xlsx": (zipped("a", ("[Content_Types].xml", "xl/workbook.xml")), "an Excel workbook"),
    "npz": (zipped("a", ("indices.npy", "shape.npy")), "the matrix"),
    "lists": (b"0 1 2 3\n1 4 5\n2 1\n", r"LightGCN.* r.txt > pairs.csv"),
}


@pytest.mark.parametrize(("data", "says"), OTHERS.values(), ids=OTHERS)
def test_files_of_other_formats_are_named(tmp_path, data, says):
    path = tmp_path / "r.txt"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=f"(?s){re.escape(str(path))}: .*{says}"):
        readers.read(path)
