"""Factor AE on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; half a minute.

    python -m experiments.train --config=factor_ae_ml1m --data_dir=DIR

NDCG@100 .412 on the 1,000 test users (EASE at its defaults: .408). No published figure. Validation
NDCG@100 is .433 for vectors of 256 coordinates in 128, as for the vectors themselves; .431 by the
metric of a separate decoder, where a sigmoid code has .412.
"""

RECIPE = {
    "model": "factor_ae",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "epochs": 40,
    "batch_size": 100,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "evaluate_every": 4,
    "set": {"latent": 128, "tied": True, "similarity": "centred"},
}
