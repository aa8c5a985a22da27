"""RecVAE on MovieLens-1M clicks, strong generalisation, 500 + 1000 users.

    python -m experiments.train --config=recvae_ml1m --data_dir=DIR

No published figure. All settings are the model's defaults; an epoch is one pass, on the encoder or
on the decoder.
"""

RECIPE = {
    "model": "recvae",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
}
