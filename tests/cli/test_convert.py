"""The command that converts files past memory, and training on what it writes."""


def test_it_converts_and_says_what_is_next(here, tmp_path):
    (tmp_path / "x.csv").write_text("who,what,stars\n1,10,5\n2,11,3\n1,11,4\n")
    layout = "--columns=user=who,item=what,rating=stars"
    ran = here("convert", f"--dataset={tmp_path}/x.csv", f"--output={tmp_path}/out", layout)
    assert ran.status == 0, ran.err
    assert "3 ratings of 2 users and 2 items are read." in ran.out
    assert f"train --dataset={tmp_path}/out" in ran.out
    again = here("convert", f"--dataset={tmp_path}/x.csv", f"--output={tmp_path}/out", layout)
    assert again.status == 2 and "exists" in again.err
    missing = here("convert", f"--output={tmp_path}/out")
    assert missing.status == 2 and "--dataset is missing" in missing.err
