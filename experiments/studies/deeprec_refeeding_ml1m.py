"""DeepRec with and without dense re-feeding, at two learning rates, MovieLens-1M.

    python -m experiments.reproduce --study=deeprec_refeeding_ml1m --data_dir=DIR

Source: Kuchaiev & Ginsburg 2017, figure 4, on Netflix: no gain at .001, .9167 to .9100 at .005. The
rates are higher here: an epoch of MovieLens-1M has 48 steps, and with .001 the training is far from
converged after 100 epochs.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="DeepRec, test RMSE by re-feeding and learning rate",
    rows=[
        Row(
            f"{refeeds} re-feeds, rate {rate}",
            (
                "--config=deeprec_ml1m",
                f"--set=refeeds={refeeds}",
                f"--learning_rate={rate}",
            ),
        )
        for rate in (0.005, 0.02)
        for refeeds in (0, 1)
    ],
)
