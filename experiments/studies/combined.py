"""EASE, Mult-VAE and both in one model, all with their defaults, on five kinds of data.

    python -m experiments.reproduce --study=combined --data_dir=DIR

Users are held out, on three splits of each data set. A row is DATA.SPLIT.MODEL.
"""

from experiments.study import Row, Study

DATA = ("movielens-small", "ml-1m", "anime", "steam", "lastfm")
SIZES = {"ml-1m": "valid_users=500,test_users=1000,"}  # others: a tenth each
MODELS = ("ease_vae", "ease", "multvae")
SPLITS = (1, 2, 3)


def flags(data: str, split: int, model: str) -> tuple[str, ...]:
    """Return the flags of one run."""
    protocol = f"strong:{SIZES.get(data, '')}split_seed={split}"
    return f"--model={model}", f"--dataset={data}", f"--protocol={protocol}", "--baselines="


STUDY = Study(
    title="One model on five kinds of data",
    rows=[
        Row(f"{data}.{split}.{model}", flags(data, split, model))
        for split in SPLITS
        for data in DATA
        for model in MODELS
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
    curves="figures",
    pairs=[
        (f"{data}.{split}.ease_vae", f"{data}.{split}.{other}")
        for split in SPLITS
        for data in DATA
        for other in ("ease", "multvae")
    ],
)
