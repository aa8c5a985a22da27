"""DAE (CDAE without the user node) on MovieLens-1M clicks, 20% of each user held out.

    python -m experiments.train --config=dae_ml1m --data_dir=DIR --seeds=5

The protocol is that of the CDAE paper, which has no figure on MovieLens-1M. K is 200, while the
paper has 50 (`--set latent=50`). The learning rate is the default of the authors' code.
"""

RECIPE = {
    "model": "dae",
    "dataset": "ml-1m",
    "protocol": "per_user_holdout:min_item=5",
    "epochs": 30,
    "batch_size": 32,
    "optimiser": "adagrad",
    "learning_rate": 0.1,
    "schedule": "cosine",
    "evaluate_every": 5,
    "set": {"latent": 200, "corruption": 0.5, "negatives": 5, "l2": 0.0},
}
