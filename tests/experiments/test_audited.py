"""Records of audits: the figures of the codes and of each baseline, from audit.json."""

import functools

import pytest

from experiments import audited, records, study

RUN = records.Record(
    label="ease", figures={"ndcg@100": 0.4}, errors={"ndcg@100": 0.01}, command="audit it",
    date="2026-11-27", machine="a machine", seconds=3.5,
)  # fmt: skip


def scored(name, auc):
    return {
        "name": name, "auc": auc, "auc_interval": [auc - 0.1, auc + 0.1], "precision": 0.5,
        "precision_interval": [0.4, 0.6], "flat": 0.0, "by_length": [1 - auc, None],
    }  # fmt: skip


FOUND = {
    "m": 7, "triples": 120, "versions": {"jax": "0.10.2"},
    "geometry": {"reachable": 0.9, "ceiling at 10": None, "log2 of orders expressed": 12.5},
    "comparison": {
        "lengths": [[1, 3, 20], [4, 9, 5]], "expected": [0.21, 0.25],
        "scored": [scored("codes", 0.8), scored("random projection", 0.7),
                   scored("popularity", 0.6)],
    },
}  # fmt: skip


def test_the_rows_of_an_audit():
    codes, projection, popularity = audited.rows(RUN, FOUND)
    assert [codes.label, projection.label, popularity.label] == [
        "ease", "ease.random_projection", "ease.popularity",
    ]  # fmt: skip
    assert codes.figures == {
        "auc": 0.8, "auc_low": pytest.approx(0.7), "auc_high": pytest.approx(0.9), "flat": 0.0,
        "precision@10": 0.5, "precision@10_low": 0.4, "precision@10_high": 0.6,
        "error_1_3": pytest.approx(0.2), "m": 7, "triples": 120, "reachable": 0.9,
        "capacity": 12.5,
    }  # fmt: skip
    assert (projection.figures["theory_1_3"], projection.figures["m"]) == (0.21, 7)
    assert "m" not in popularity.figures and "theory_1_3" not in popularity.figures
    assert (codes.errors, codes.seconds, codes.versions) == ({}, 3.5, {"jax": "0.10.2"})


@pytest.mark.slow
def test_a_study_of_audits(tmp_path):
    flags = ("--model=ease", "--dataset=synthetic:users=80,items=60,ratings=1500", "--baselines=")
    of = study.Study(title="Audits", rows=[study.Row("ease", flags)], figures=("ndcg@100",),
                     measure=functools.partial(audited.audit, flags=("--geometry",)))  # fmt: skip
    study.record(of, study.run(of, tmp_path / "runs"), "audits", tmp_path)
    codes, *others = records.read("audits", tmp_path)[1]
    assert len(others) == 3 and 0.5 < codes.figures["auc"] <= 1
    assert codes.figures["reachable"] > 0 and codes.seconds > 0 and codes.peak_rss_mb > 50
    assert codes.command.startswith("python -m experiments.audit --workdir=RUN --geometry after ")
