"""I-RBM on MovieLens-1M, random 90/10 split.

    python -m experiments.train --config=rbm_ml1m --data_dir=DIR --seeds=5

RMSE .859, the mean of five seeds. Expected: .854 (Sedhain et al. 2015, table 1). The validation
part of the first split chose `l2` and `latent`: .863, .860 and .867 for l2 1, 10 and 25 with 100
hidden units, .858 for these.
"""

RECIPE = {
    "model": "rbm",
    "dataset": "ml-1m",
    "protocol": "random_ratings",
    "epochs": 40,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "evaluate_every": 4,
    "set": {"latent": 200, "l2": 6.0},
}
