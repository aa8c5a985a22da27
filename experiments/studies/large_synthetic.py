"""Memory at the size of MovieLens-20M: an epoch of Mult-VAE, then 10,000 users scored.

    python -m experiments.reproduce --study=large_synthetic
"""

from experiments.study import Row, Study

DATA = "--dataset=synthetic:users=137000,items=20700,ratings=10000000,implicit=1"

STUDY = Study(
    title="Synthetic clicks of the size of MovieLens-20M",
    rows=[
        Row(
            "multvae",
            ("--model=multvae", DATA, "--protocol=strong:threshold=all,valid_users=500,"
             "test_users=10000", "--epochs=1", "--batch_size=50", "--learning_rate=1e-3",
             "--evaluate_every=4", "--set=hidden=600", "--set=dropout=0.5", "--set=beta=0.2",
             "--set=anneal_steps=10000", "--baselines="),
        )
    ],
    figures=("ndcg@100",),
    curves="",
)  # fmt: skip
