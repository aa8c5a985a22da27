"""Feature AE on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; a minute.

    python -m experiments.train --config=feature_ae_ml1m --data_dir=DIR

NDCG@100 .401 on the 1,000 test users (EASE: .410). No published figure. The code is linear, and the
codes of the items are the decoder. In the shorter runs of the model selection (8 to 12 epochs), the
validation NDCG@100 was .393 with these settings, .213 with a sigmoid code, and .211 with a sigmoid
code and a separate decoder.
"""

RECIPE = {
    "model": "feature_ae",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "epochs": 20,
    "batch_size": 100,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "evaluate_every": 2,
    "set": {
        "hidden": (), "latent": 200, "latent_activation": "identity", "dropout": 0.5, "tied": True,
    },
}
