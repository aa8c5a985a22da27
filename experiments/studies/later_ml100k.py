"""Models of ratings with times against biased matrix factorisation: the later 30% of each user.

    python -m experiments.reproduce --study=later_ml100k --data_dir=DIR

The subsets of `deeprec_rivals_ml100k` have too few test users to tell these models apart. The
settings are the best on the validation part of this split: of 40 trials for `pmf`, whose best are
its defaults, and of 20 for `timesvdpp` and `rrn`.
"""

from experiments.study import Row, Study

DATA = ("--dataset=ml-100k", "--protocol=per_user_time:train=0.7", "--baselines=")
TIMESVDPP = (
    "--epochs=88", "--batch_size=16", "--learning_rate=0.00931", "--evaluate_every=9",
    "--set=latent=42", "--set=bins=10", "--set=sessions=8", "--set=l2=6.91", "--set=power=0.314",
)  # fmt: skip
RRN = (
    "--epochs=31", "--batch_size=131", "--learning_rate=0.00448", "--evaluate_every=4",
    "--set=recurrent=24", "--set=dynamic=3", "--set=bins=30", "--set=dropout=0.561", "--set=l2=2.7",
)  # fmt: skip

STUDY = Study(
    title="MovieLens-100K, the later 30% of each user",
    sources=("Koren 2009", "Wu et al. 2017"),
    rows=[
        Row("bias", ("--model=bias", *DATA)),
        Row("pmf", ("--model=pmf", *DATA)),
        Row("timesvdpp", ("--model=timesvdpp", *DATA, *TIMESVDPP)),
        Row("rrn", ("--model=rrn", *DATA, *RRN)),
    ],
    figures=("rmse", "mae"),
    pairs=(("timesvdpp", "pmf"), ("rrn", "pmf"), ("pmf", "bias")),
    curves="figures",
)
