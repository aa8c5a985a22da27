"""`python -m experiments.audit`: runs, models at their initialisation, one's own callables."""

import json
import re
import sys

import numpy as np
import polars as pl
import pytest

DATA = "--dataset=synthetic:users=150,items=60,ratings=4000"
TRAIN = (DATA, "--batch_size=32", "--epochs=2", "--baselines=")
MODELS = {
    "clicks": ("--set", "hidden=16", "--set", "latent=4"),
    "stars": ("--model=autorec", "--set", "item_based=false", "--set", "hidden=4"),
}
SMALL = "--budget=1e4"
PICTURES = ("rate_by_margin.png", "local_angle.png", "spectrum.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, here):
    """The workdirs of two small runs: Mult-VAE on clicks, a user-based AutoRec on ratings."""
    folder = tmp_path_factory.mktemp("audit")
    for name, argv in MODELS.items():
        ran = here("train", *TRAIN, *argv, f"--workdir={folder / name}")
        assert ran.status == 0, ran.err
    return [folder / name for name in MODELS]


@pytest.fixture(scope="module")
def compared(trained, here, tmp_path_factory):
    """Both of them audited by one command, on their own data."""
    output = tmp_path_factory.mktemp("compared")
    argv = (*(f"--workdir={w}" for w in trained), SMALL, f"--output={output}")
    ran = here("audit", *argv, pictures=True)
    assert ran.status == 0, ran.err
    return output, ran.out


def report(folder):
    """audit.json, read as strictly as JSON is defined: no NaN, no infinities."""

    def refuse(word):
        raise AssertionError(f"{word} in {folder}/audit.json")

    return json.loads((folder / "audit.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize("name", MODELS)
def test_a_run_audited_on_its_own_data(compared, name):
    output, out = compared
    found = report(output / name)
    assert list(found["properties"]) == ["dimension", "order", "nonzero", "ranking"]
    for finding in found["properties"].values():
        assert {"verdict", "domain", "rate", "interval", "skill", "witness"} <= set(finding)
    dimension, order, nonzero, _ = found["properties"].values()
    assert (dimension["verdict"], nonzero["verdict"]) == ("CERTIFIED", "CERTIFIED")
    width = {"clicks": 16, "stars": 4}[name]  # of the last hidden layer, and one for the bias
    assert (found["n"], found["m"]) == (60, width + 1)
    # Every triple was counted: users x pairs of items.
    users = int(re.fullmatch(r"(\d+) users x 60 items in R\^60", order["domain"])[1])
    assert found["triples"] == users * 60 * 59 // 2
    assert order["verdict"] == "REFUTED"
    low, high = order["interval"]
    assert 0 < low < order["rate"] < high < 1
    counts = order["details"]
    assert order["rate"] == (counts["reversed"] + counts["broken"]) / found["triples"]
    markdown = (output / name / "audit.md").read_text()
    for picture in PICTURES:
        assert (output / name / picture).read_bytes().startswith(b"\x89PNG")
    for said in ("REFUTED", "Witness against P2", f"{found['triples']:,} triples"):
        assert said in markdown
    for said in (name, f"{order['rate']:.3g}", "reversed of ordered: share", "Next: open"):
        assert said in " ".join(out.split())
    assert out.index("popularity") < out.index("REFUTED")  # the figures come first
    codes, *others = found["comparison"]["scored"]
    assert [each["name"] for each in others] == ["truncated SVD", "random projection", "popularity"]
    assert codes["reversed_"] == counts["reversed_of_ordered"]


@pytest.mark.parametrize("name", MODELS)
def test_the_witness_of_a_run_is_data_and_refutes(compared, trained, name):
    """x is somebody's row, u and v are single columns; the codes disagree with the row."""
    from aerec.runs import artefact

    with np.load(compared[0] / name / "witness_order.npz") as saved:
        x, u, v = saved["x"], saved["u"], saved["v"]
    assert u.sum() == v.sum() == np.count_nonzero(u) == np.count_nonzero(v) == 1
    loaded = artefact.load(trained[list(MODELS).index(name)])
    scores = np.asarray(loaded.model.score(loaded.params, x[None].astype(np.float32)))[0]
    assert x @ u > x @ v  # not one of the many ties, of two columns that x lacks
    assert scores @ u < scores @ v  # by what the model ranks by


def test_two_runs_in_one_picture(compared):
    output, _ = compared
    assert {path.name for path in output.iterdir()} == {
        "clicks", "stars", "compared_margins.png", "compared_rates.png",
    }  # fmt: skip
    for path in output.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_report(compared, trained, here):
    """And without --output the report is in the run, and another domain is another audit."""
    again = here("audit", f"--workdir={trained[1]}", SMALL)
    assert again.status == 0, again.err
    mine, first = (
        folder / "audit.json" for folder in (trained[1] / "audit", compared[0] / "stars")
    )
    assert mine.read_bytes() == first.read_bytes()


def test_a_run_on_another_domain(trained, here, tmp_path):
    argv = (f"--workdir={trained[1]}", SMALL, "--domain=ratings", f"--output={tmp_path}")
    ran = here("audit", *argv)
    assert ran.status == 0, ran.err
    found = report(tmp_path)
    assert "sparse ratings of 60 items" in found["properties"]["order"]["domain"]
    assert 1e4 <= found["triples"] < 2e4


def test_the_encoder_of_a_run_alone_and_with_features_of_items(trained, here, tmp_path):
    """Features that are the columns are the encoder alone; its domain may be a box of any side."""
    pl.DataFrame(np.eye(60)).write_parquet(tmp_path / "items.parquet")
    found = []
    for place, way in enumerate(("--alone", f"--items={tmp_path / 'items'}.parquet")):
        output = tmp_path / str(place)
        ran = here("audit", f"--workdir={trained[0]}", way, SMALL, f"--output={output}")
        assert ran.status == 0, ran.err
        found.append(report(output))
    names = [[each["name"] for each in one["comparison"]["scored"]] for one in found]
    assert "the model's own score" in names[0] and "the model's own score" not in names[1]
    for one in found:
        assert one["m"] == 4
        assert one["comparison"]["scored"][0]["auc"] == found[0]["comparison"]["scored"][0]["auc"]
    argv = (f"--workdir={trained[0]}", "--alone", "--domain=box:-1,2", "--budget=4096")
    ran = here("audit", *argv, f"--output={tmp_path / 'box'}")
    assert ran.status == 0, ran.err
    assert report(tmp_path / "box")["domain"] == "box [-1, 2]^60"


def test_held_out_items_as_the_truth(trained, here, tmp_path):
    """Precision of ranking the unseen is what the run's evaluation found."""
    argv = (f"--workdir={trained[0]}", "--relevance=heldout", SMALL, f"--output={tmp_path}")
    ran = here("audit", *argv)
    assert ran.status == 0, ran.err
    found = report(tmp_path)
    assert "unseen items only" in found["domain"]
    pair = found["properties"]["order"]["witness"]
    assert set(pair) == {"user", "u", "v", "true_margin", "latent_margin"}
    assert pair["true_margin"] == 1 and pair["latent_margin"] < 0
    assert "items u =" in (tmp_path / "audit.md").read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["unreadable"]),
        (np.eye(5), ["float64 (5, 5)", "[I, 60]"]),
        (np.full((3, 60), np.inf), ["items: not a matrix of finite numbers"]),
        (np.array(["a"]), ["not numbers"]),
    ],
)
def test_features_of_items_that_do_not_go(trained, here, tmp_path, content, words):
    path = tmp_path / "items.npy"
    if content is not None:
        np.save(path, content)
    argv = (f"--workdir={trained[0]}", f"--items={path}", SMALL, f"--output={tmp_path / 'out'}")
    refused(here("audit", *argv), *words)
    assert not (tmp_path / "out").exists()


def test_a_run_on_the_hull_of_its_data(trained, here, tmp_path):
    ran = here("audit", f"--workdir={trained[1]}", SMALL, "--domain=hull", f"--output={tmp_path}")
    assert ran.status == 0, ran.err
    found = report(tmp_path)["properties"]["order"]
    assert "convex hull of" in found["domain"] and found["verdict"] == "REFUTED"


@pytest.mark.parametrize(
    ("activation", "verdict", "width"),
    [("tanh", "REFUTED", 4), ("lift:tanh", "CERTIFIED", 5)],
)
def test_zeros_at_initialisation_are_those_of_the_theory(
    here, tmp_path, activation, verdict, width
):
    """Theorem C: one layer of tanh has a zero; B: a lift removes it."""
    ran = here(
        "audit", "--model=autorec", "--set", f"latent_activation={activation}", "--set",
        "hidden=4", "--input_dim=12", SMALL, f"--output={tmp_path}",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    found = report(tmp_path)
    assert found["properties"]["nonzero"]["verdict"] == verdict
    assert (found["n"], found["m"]) == (12, width)
    assert found["properties"]["order"]["verdict"] == "REFUTED"  # theorem A
    if verdict == "REFUTED":
        zero = np.load(tmp_path / "witness_nonzero.npz")["x"]
        told = found["properties"]["nonzero"]["witness"]
        np.testing.assert_array_equal(zero, told["x"])
        assert told["norm"] <= 1e-9 and np.linalg.norm(zero) > 0.5  # not for being near 0
        assert f"|x| = {np.linalg.norm(zero):.4g}" in (tmp_path / "audit.md").read_text()


MODULE = """
import jax.numpy as jnp
import numpy as np

ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0].astype(np.float32)
NUMBER = 3

def constant(x):
    return jnp.full(3, 2.0)

def rotation(x):  # in NumPy, row by row
    return ROTATION @ np.array(x)

def rows(x):  # floats hit its zeros
    return x[:, :2]

def narrow(x):
    return x @ ROTATION[:5]

def by_hand(x):  # float() is not for JAX to trace
    return [float(x[0]), float(x[1]) + abs(float(x[2]))]

def raising(x):
    raise RuntimeError("no weights\\nwere found")

def nan(x):
    return jnp.sqrt(x)

def brain(x):
    return (x @ ROTATION[:, :2]).astype(jnp.bfloat16)

def signs(x):
    return x[:3] > 0

def mixed(x):
    return x - x.mean(0)

def turned(x):
    return np.asarray(x)[::-1]

def transposed(x):
    return x.T

def imaginary(x):
    return np.asarray(x) + 1j

def text(x):
    return np.array(["a", "b"])

def nothing(x):
    return None

def growing(x):
    x = np.asarray(x)
    return x[: 1 + int(x[0] > 0)]
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of encoders of somebody else's, importable in this test."""
    folder = tmp_path / "their"
    folder.mkdir()
    (folder / "their_encoders.py").write_text(MODULE)
    (folder / "their_broken.py").write_text("import nothing_of_that_name\n")
    (folder / "their_script.py").write_text("import sys\n\nsys.exit()\n")
    monkeypatch.syspath_prepend(folder)
    yield "their_encoders"
    for name in ("their_encoders", "their_broken", "their_script"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("function", "argv", "order", "nonzero"),
    [
        ("constant", [], "VACUOUS", "VACUOUS"),
        ("rotation", [], "NOT REFUTED", "NOT REFUTED"),
        ("rows", ["--batched"], "REFUTED", "REFUTED"),
        ("by_hand", [], "REFUTED", "REFUTED"),
        ("brain", [], "REFUTED", "NEAR ZERO"),  # its layers are not known
        ("signs", [], "REFUTED", "REFUTED"),
    ],
)
def test_a_callable(here, tmp_path, module, function, argv, order, nonzero):
    output = tmp_path / "report"
    named = (f"--encoder={module}:{function}", "--input_dim=6", f"--output={output}")
    ran = here("audit", *named, "--budget=4096", *argv)
    assert ran.status == 0, ran.err
    found = report(output)["properties"]
    assert found["order"]["verdict"].startswith(order)
    assert found["nonzero"]["verdict"].startswith(nonzero)
    assert found["order"]["verdict"].split()[0] in ran.out
    notes = report(output)["notes"]
    assert len(notes) == (function in ("rotation", "by_hand"))  # and it is no secret
    for note in notes:
        assert "JAX cannot trace this encoder" in note and "the encoder raised" in note
        assert note in (output / "audit.md").read_text()
        assert "JAX cannot trace this encoder" in ran.out


def test_the_seed_and_the_state(here, tmp_path, module):
    """Another seed draws other triples, and cannot go on from the state of the first."""
    named = (f"--encoder={module}:by_hand", "--input_dim=6", f"--state={tmp_path / 'state'}")
    rates = []
    for seed in (0, 1):
        output = tmp_path / str(seed)
        argv = (*named, "--budget=4096", f"--seed={seed}", f"--output={output}")
        if seed:
            refused(here("audit", *argv), "left by another encoder, domain or seed")
            (tmp_path / "state").unlink()
        assert here("audit", *argv).status == 0
        rates.append(report(output)["properties"]["order"]["rate"])
    assert rates[0] != rates[1]
    more = here("audit", *named, "--budget=8192", "--seed=1", f"--output={tmp_path / 'more'}")
    assert more.status == 0
    assert report(tmp_path / "more")["triples"] == 8192


def test_cosines_are_another_question(here, tmp_path, module):
    named = (f"--encoder={module}:by_hand", "--input_dim=6", "--budget=4096", "--domain=sphere")
    rates = []
    for kind in ("dot", "cosine"):
        ran = here("audit", *named, f"--latent={kind}", f"--output={tmp_path / kind}")
        assert ran.status == 0, ran.err
        order = report(tmp_path / kind)["properties"]["order"]
        assert order["domain"] == "unit sphere of R^6"
        rates.append(order["rate"])
    assert rates[0] != rates[1]


def refused(ran, *words):
    """The command failed with one line that says all the words."""
    assert ran.status != 0, ran.out
    (line,) = [line for line in ran.err.splitlines() if line.strip()]
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert "Next:" not in ran.out


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ("their_encoders:raising", ["their_encoders:raising", "RuntimeError: no weights"]),
        ("their_encoders:mixed --batched", ["depends on the rows beside it"]),
        ("their_encoders:turned --batched", ["depends on the rows beside it"]),
        ("their_encoders:transposed --batched", ["rows [B, n]", "it gave (6, 2)"]),
        ("their_encoders:imaginary", ["returns complex128", "real numbers"]),
        ("their_encoders:text", ["real numbers"]),
        ("their_encoders:nothing", ["returns nothing", "at least one coordinate"]),
        ("their_encoders:growing", ["different sizes", "[1, 2]"]),
        ("their_encoders:nan", ["NaN", "of 512 inputs", "restrict the domain"]),
        ("their_encoders:narrow", ["their_encoders:narrow", "shape (6,)", "Error"]),
        ("their_encoders:encod", ["has no attribute 'encod'", "MODULE:FUNCTION"]),
        ("their_encoders", ["MODULE:FUNCTION"]),
        ("their_encoders:NUMBER", ["is not a function"]),
        ("their_broken:encode", ["ModuleNotFoundError", "nothing_of_that_name"]),
        ("their_script:encode", ["SystemExit", "MODULE:FUNCTION"]),
        (":encode", ["MODULE:FUNCTION"]),
    ],
)
def test_a_callable_that_cannot_be_audited(here, tmp_path, module, encoder, words):
    output = tmp_path / "report"
    encoder, *argv = encoder.split()
    named = (f"--encoder={encoder}", "--input_dim=6", f"--output={output}", *argv)
    refused(here("audit", *named, "--budget=4096"), *words)
    assert not output.exists()


INITIAL = ("--model=autorec", "--set", "hidden=4", "--input_dim=12")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["--workdir, --model and --encoder"]),
        (["--model=autorec", "--encoder=a:b", "--input_dim=3"], ["one of --workdir, --model"]),
        (["--model=autorec"], ["--input_dim is needed"]),
        (["--encoder=json:loads"], ["--input_dim is needed"]),
        (["--model=autorek", "--input_dim=3"], ["'autorek'", "Did you mean autorec"]),
        ([*INITIAL, "--set", "hiden=3"], ["no setting 'hiden'", "Did you mean hidden"]),
        ([*INITIAL, "--set", "latent_activation=tanj"], ["unknown activation 'tanj'", "tanh"]),
        ([*INITIAL, "--domain=gausian"], ["'gausian'", "Did you mean gaussian"]),
        ([*INITIAL, "--domain=data"], ["--domain=data needs a finished run"]),
        ([*INITIAL, "--domain=hull"], ["--domain=hull needs a finished run"]),
        ([*INITIAL, "--batched"], ["--batched goes with --encoder, not with --model"]),
        ([*INITIAL, "--data_dir=x"], ["--data_dir goes with --workdir"]),
        *(
            ([*INITIAL, f"--budget={text}"], [f"--budget={text}:", "1e7", "30s"])
            for text in ("many", "0", "-5", "nan", "inf", "1e999", "s", "-3s", "nans", "infs", "")
        ),
        (["--encoder=a:b", "--input_dim=2000000000"], ["GiB", "smaller --input_dim"]),
        (["--workdir=nowhere", "--domain=box:1,0"], ["--domain=box:1,0: two numbers"]),
        (["--workdir=nowhere", "--domain=box:a,0"], ["--domain=box:a,0: two numbers"]),
        (["--workdir=nowhere", "--domain=box:0,inf"], ["--domain=box:0,inf: two numbers"]),
        (["--workdir=a", "--relevance=heldout", "--domain=hull"], ["a run's own data"]),
        ([*INITIAL, "--relevance=heldout"], ["--relevance needs a run's own data"]),
        ([*INITIAL, "--items=a.npy"], ["--items goes with --workdir"]),
        ([*INITIAL, "--alone"], ["--alone goes with --workdir"]),
        (["--workdir=a", "--relevance=heldout", "--items=a.npy"], ["give one of both"]),
        (["--workdir=nowhere"], ["nowhere has no config.json", "no finished run is there"]),
        (["--workdir=nowhere", "--set", "a=1"], ["--set goes with --model"]),
        (["--workdir=a", "--workdir=b", "--state=s"], ["--state belongs to one audit"]),
        (["--workdir=a", "--workdir=./a"], ["given twice"]),
    ],
)
def test_flags_that_do_not_go(here, tmp_path, monkeypatch, argv, words):
    monkeypatch.chdir(tmp_path)
    refused(here("audit", *argv), *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--truth=euclid", "--input_dim=0", "--seed=-1", "--bugdet=1"])
def test_flags_that_do_not_parse(here, tmp_path, monkeypatch, flag):
    monkeypatch.chdir(tmp_path)
    ran = here("audit", *INITIAL, flag)
    assert ran.status == 1
    assert flag.split("=")[0].strip("-") in ran.err
    assert "Traceback" not in ran.err
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_where_one_of_two_runs_is_not_finished(trained, here, tmp_path):
    output = tmp_path / "report"
    argv = (f"--workdir={trained[1]}", f"--workdir={tmp_path}", SMALL, f"--output={output}")
    refused(here("audit", *argv), "no config.json")
    assert not output.exists()


def test_an_output_that_cannot_be_written(here, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    refused(
        here("audit", *INITIAL, "--budget=4096", f"--output={taken}"), "taken cannot be written"
    )
    assert taken.read_text() == "mine"
