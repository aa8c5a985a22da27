"""Models of ratings with times beside biased matrix factorisation: the later 30% of each user.

    python -m experiments.reproduce --study=later_ml100k --data_dir=DIR

The subsets of `deeprec_rivals_ml100k` have too few test users to tell these models apart. All have
their defaults; those of `pmf` were the best of 40 trials on the validation part of this split.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="MovieLens-100K, the later 30% of each user",
    sources=("Koren 2009", "Wu et al. 2017"),
    rows=[
        Row(name, (f"--model={name}", "--dataset=ml-100k", "--protocol=per_user_time:train=0.7",
                   "--baselines="))
        for name in ("bias", "pmf", "timesvdpp", "rrn")
    ],
    figures=("rmse", "mae"),
    pairs=(("timesvdpp", "pmf"), ("rrn", "pmf"), ("pmf", "bias")),
    curves="figures",
)  # fmt: skip
