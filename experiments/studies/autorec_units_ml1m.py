"""I-AutoRec on MovieLens-1M by its number of hidden units, and the deep one of 500-250-500.

    python -m experiments.reproduce --study=autorec_units_ml1m --data_dir=DIR

The published figures of one hidden layer were read off a picture.

As in the paper, lambda is tuned for each number of units. 500 units are the recipe. For the others,
lambda (60, 90, 130 or 200) and the learning rate with the epochs (.004 with 40, or .01 with 100)
are the best on the validation part of this split. For the two widest, .004 was also tried with a
lambda of 300.

    python -m experiments.sweep --config=autorec_ml1m --data_dir=DIR --learning_rate=0.01 \\
        --epochs=100 --over=hidden=20/40/80/100/200/300 --over=l2=60/90/130/200

and likewise with .004 and 40. Coarser searches came before.
"""

from experiments.study import Row, Study

READ_OFF = {20: 0.869, 40: 0.854, 80: 0.849, 100: 0.845, 200: 0.834, 300: 0.833, 500: 0.830}
TUNED = {  # units -> lambda, learning rate, epochs; validation RMSE
    20: (60, 0.01, 100),  # .8663
    40: (90, 0.01, 100),  # .8517
    80: (130, 0.01, 100),  # .8436
    100: (200, 0.01, 100),  # .8425
    200: (200, 0.004, 40),  # .8362
    300: (300, 0.004, 40),  # .8351
    500: (200, 0.001, 40),  # the recipe
}


def flags(units: int) -> tuple[str, ...]:
    """Return the flags of the run with that many hidden units."""
    l2, rate, epochs = TUNED[units]
    sizes = (f"--set=hidden={units}", f"--set=l2={l2}")
    training = (f"--learning_rate={rate}", f"--epochs={epochs}")
    return ("--config=autorec_ml1m", *sizes, *training, "--baselines=")


STUDY = Study(
    title="I-AutoRec, test RMSE by hidden units",
    sources=("Sedhain et al. 2015, figure 2", "Sedhain et al. 2015, deep AutoRec in the text"),
    rows=[
        *(
            Row(f"{units} units", flags(units), {"rmse": published})
            for units, published in READ_OFF.items()
        ),
        Row("500-250-500", ("--config=autorec_deep_ml1m", "--baselines="), {"rmse": 0.827}),
    ],
    figures=("rmse",),
    facts=("parameters",),
    rounding=0.002,
    curves="figures",
)
