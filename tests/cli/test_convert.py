"""The command that converts files larger than memory, and training on what it writes."""


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


def test_a_folder_trains_from_the_disk_as_in_memory(here, tmp_path):
    """The two runs are one: the second finds the first finished, with the same data and bits."""
    lines = [f"{u},{(u * 7 + k * k) % 23},{1 + (u + k) % 5}" for u in range(60) for k in range(9)]
    (tmp_path / "x.csv").write_text("\n".join(["user,item,rating", *lines]))
    folder = tmp_path / "folder"
    assert here("convert", f"--dataset={tmp_path}/x.csv", f"--output={folder}").status == 0
    common = (
        f"--dataset={folder}", f"--workdir={tmp_path}/run", "--model=multvae", "--epochs=1",
        "--set=hidden=8", "--set=latent=4", "--batch_size=20", "--protocol=strong:threshold=2",
        "--baselines=popularity", "--set=dropout=0.5",
    )  # fmt: skip
    ran = here("train", *common, "--table=mapped")
    assert ran.status == 0, ran.err
    assert "which stay on the disk" in ran.out
    again = here("train", *common, "--table=memory")
    assert again.status == 0, again.err
    shown = " ".join(again.out.split())  # lines are broken at the width of a terminal
    assert "read into memory" in shown and "is finished: its model is scored" in shown
    scored = here("evaluate", f"--workdir={tmp_path}/run")
    assert scored.status == 0, scored.err
    other = here("train", "--dataset=movielens-small", "--table=mapped", "--model=popularity")
    assert other.status == 2 and "without a folder of" in other.err
