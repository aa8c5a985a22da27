"""DeepRec as in its other studies, but on a random 90/10 split; and `bias` in time order.

    python -m experiments.reproduce --study=deeprec_random_ml1m --data_dir=DIR
"""

from experiments.studies import (
    deeprec_activations_ml1m,
    deeprec_depth_ml1m,
    deeprec_dropout_ml1m,
    deeprec_refeeding_ml1m,
)
from experiments.study import Row, Study

STUDIES = (
    deeprec_depth_ml1m, deeprec_dropout_ml1m, deeprec_refeeding_ml1m, deeprec_activations_ml1m,
)  # fmt: skip
RANDOM = ("--protocol=random_ratings:test=0.1", "--baselines=")

STUDY = Study(
    title="DeepRec on a random split, test RMSE",
    rows=[
        *(Row(row.label, (*row.flags, *RANDOM)) for of in STUDIES for row in of.STUDY.rows),
        Row(
            "bias, time order",
            ("--model=bias", "--dataset=ml-1m", "--protocol=per_user_time:train=0.7",
             "--baselines="),
        ),
    ],
    figures=("rmse",),
    curves="figures",
)  # fmt: skip
