"""mDAE on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; seconds.

    python -m experiments.train --config=mdae_ml1m --data_dir=DIR

No published figure; EASE on the same split stands beside it in the table.
"""

RECIPE = {
    "model": "mdae",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"depth": 1, "corruption": 0.3, "l2": 500.0},
}
