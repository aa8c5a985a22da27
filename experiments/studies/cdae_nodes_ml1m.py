"""CDAE on MovieLens-1M clicks: with and without the user node, weights tied or untied.

    python -m experiments.reproduce --study=cdae_nodes_ml1m --data_dir=DIR

In the paper untied weights are better, and so is the user node. K is 50, as there.
"""

from experiments.study import Row, Study

FLAGS = ("--set=latent=50", "--epochs=20", "--baselines=")

STUDY = Study(
    title="CDAE with and without user node (DAE), tied and untied",
    sources=("Wu et al. 2016, user node", "Wu et al. 2016, tied weights"),
    rows=[
        Row(f"{name}, {'tied' if tied == 'true' else 'untied'}",
            (f"--config={recipe}", *FLAGS, f"--set=tied={tied}"))
        for name, recipe in (("CDAE", "cdae_ml1m"), ("DAE", "dae_ml1m"))
        for tied in ("false", "true")
    ],
    figures=("ndcg@100", "recall@20", "map@100"),
    facts=("parameters",),
)  # fmt: skip
