"""DeepRec and its rivals on MovieLens-1M, the earliest 70% of each user's ratings for training.

    python -m experiments.reproduce --study=deeprec_rivals_ml1m --data_dir=DIR
"""

from experiments.study import Row, Study

TIME = ("--protocol=per_user_time:train=0.7", "--baselines=")

STUDY = Study(
    title="DeepRec and its rivals on MovieLens-1M",
    sources=("DeepRec report, table 4.1",),
    assumed="the content of table 4.1 is not known; taken for the models of the report on the "
    "author's own data",
    rows=[
        Row("I-AutoRec", ("--config=autorec_ml1m", *TIME)),
        Row("U-AutoRec", ("--config=autorec_user_ml1m", *TIME)),
        Row("PMF", ("--config=pmf_ml1m", *TIME)),
        Row("bias", ("--model=bias", "--dataset=ml-1m", *TIME)),
        Row("DeepRec", ("--config=deeprec_ml1m", *TIME)),
    ],
    figures=("rmse", "mae"),
    facts=("parameters",),
    curves="figures",
)
