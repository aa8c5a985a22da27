"""Whether a linear autoencoder of clicks is a PCA after training, MovieLens-1M.

    python -m experiments.reproduce --study=linear_pca_ml1m --data_dir=DIR --record

The report says that a linear autoencoder is one; `experiments/principal.py` has the figures.
"""

from experiments import principal
from experiments.study import Row, Study

LINEAR = (
    "--model=dae", "--dataset=ml-1m", "--protocol=strong:valid_users=500,test_users=1000",
    "--set=loss=square", "--set=latent_activation=identity", "--set=output_activation=identity",
    "--set=corruption=0", "--set=negatives=0", "--baselines=",
)  # fmt: skip

STUDY = Study(
    title="A linear autoencoder beside a PCA of the same rank",
    sources=("DeepRec report, section 2.2",),
    rows=[
        Row(f"K={latent}, {epochs} epochs", (*LINEAR, f"--set=latent={latent}",
            f"--epochs={epochs}", f"--evaluate_every={epochs}"))
        for latent in (8, 32)
        for epochs in (10, 40, 160)
    ],
    figures=("ndcg@100",),
    measure=principal.measure,
)  # fmt: skip
