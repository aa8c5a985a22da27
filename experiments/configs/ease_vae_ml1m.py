"""EASE and Mult-VAE in one model on MovieLens-1M clicks, strong generalisation, 500 + 1000 users.

    python -m experiments.train --config=ease_vae_ml1m --data_dir=DIR

All settings are the defaults. No published figure. The study `kinds` has this protocol on other
splits and four more data sets.
"""

RECIPE = {
    "model": "ease_vae",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
}
