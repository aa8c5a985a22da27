"""Feature AE on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; a minute.

    python -m experiments.train --config=feature_ae_ml1m --data_dir=DIR

No published figure. The code is linear and its items decode: after 8 to 12 epochs of batches of
100 the validation N@100 was .393 so, .213 with a sigmoid code, .211 with that and a decoder of its
own (popularity: .21 on the test users).
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
    "set": {"latent": 200, "latent_activation": "identity", "tied": True},
}
