"""SVAE on MovieLens-1M with the clicks of each user in their order, and in a random one.

    python -m experiments.reproduce --study=order_ml1m --data_dir=DIR

Users, fold-in and targets are the same in both. What SVAE loses is what the order is worth to it.
"""

from experiments.studies.sequences_ml1m import PROTOCOL
from experiments.study import Row, Study

SVAE = ("--config=svae_half_ml1m", "--epochs=14", "--baselines=")
EASE = ("--model=ease", "--dataset=ml-1m", "--set=l2=300", "--set=dropout=0", "--baselines=")
SHUFFLED = f"{PROTOCOL},order=shuffled"

STUDY = Study(
    title="MovieLens-1M, the later clicks of held-out users, histories in order or shuffled",
    rows=[
        Row("SVAE", SVAE),
        Row("SVAE, shuffled", (*SVAE, SHUFFLED)),
        Row("EASE", (*EASE, PROTOCOL)),
    ],
    figures=("ndcg@100", "recall_all@100", "precision@100"),
    curves="figures",
    pairs=(("SVAE", "SVAE, shuffled"), ("SVAE, shuffled", "EASE")),
)
