"""The article's table on MovieLens-1M in its own protocol, and how much its leak is worth.

    python -m experiments.reproduce --study=article_leaky_ml1m --data_dir=DIR

Not a measurement of any model. The input of U-AutoRec is its test ratings. For the other models
every rating is a click, seen items are not masked, and the best epoch is selected on the test part.
How well U-AutoRec copies depends on the length of training and the regularisation: the RMSE is .981
after 20 epochs, .907 after 100, .896 after 300, and .972 with the L2 that predicts best. The
article's Mult-VAE has no hidden layer and hardly any KL term; in effect it is a linear softmax
autoencoder. `article_ml1m` is the honest table.
"""

from experiments.study import Row, Study

LEAKY = "--protocol=leaky_holdout"

STUDY = Study(
    title="The article's table, leaks included",
    rows=[
        Row(
            "U-AutoRec",
            (
                "--config=autorec_user_ml1m",
                "--protocol=leaky_test_input",
                "--set=l2=60",  # 1 for each batch of 100 users, as in widespread code
                "--batch_size=100",
                "--schedule=constant",
                "--epochs=100",
                "--evaluate_every=20",
            ),
            {"rmse": 0.910},
        ),
        Row(
            "U-AutoRec, honest",
            ("--config=autorec_user_ml1m", "--protocol=random_ratings:test=0.25"),
        ),
        Row(
            "CDAE",
            ("--config=cdae_ml1m", LEAKY),
            {"precision@100": 0.0894, "recall@100": 0.4137, "ndcg@100": 0.2528},
        ),
        Row(
            "Mult-VAE",
            ("--config=multvae_ml1m", LEAKY),
            {"precision@100": 0.0886, "recall@100": 0.4115, "ndcg@100": 0.2508},
        ),
        Row(
            "ESAE",
            ("--config=ease_ml1m", LEAKY, "--set=l2=1000"),
            {"precision@100": 0.0757, "recall@100": 0.4181, "ndcg@100": 0.2561},
        ),
    ],
    figures=("rmse", "precision@100", "recall@100", "ndcg@100"),
    curves="",
)
