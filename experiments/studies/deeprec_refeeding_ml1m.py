"""DeepRec with and without dense re-feeding, at two learning rates, MovieLens-1M.

    python -m experiments.reproduce --study=deeprec_refeeding_ml1m --data_dir=DIR

On Netflix there is no gain at .001, and one from .9167 to .9100 at .005. The rates are higher here:
an epoch of MovieLens-1M has 48 steps, and with .001 the training is far from converged after 100
epochs.
"""

from experiments.study import Row, Study

PUBLISHED = {(0.02, 0): {"rmse": 0.9167}, (0.02, 1): {"rmse": 0.9100}}  # there at .005

STUDY = Study(
    title="DeepRec by re-feeding and learning rate",
    sources=("DeepRec report, figure 3.7", "Kuchaiev & Ginsburg 2017, figure 5"),
    assumed="the report numbers its tables and figures in the order of the paper",
    rows=[
        Row(
            f"{refeeds} re-feeds, rate {rate}",
            (
                "--config=deeprec_ml1m",
                f"--set=refeeds={refeeds}",
                f"--learning_rate={rate}",
                "--baselines=",
            ),
            PUBLISHED.get((rate, refeeds), {}),
        )
        for rate in (0.005, 0.02)
        for refeeds in (0, 1)
    ],
    figures=("rmse",),
    comparable="other data (Netflix)",
)
