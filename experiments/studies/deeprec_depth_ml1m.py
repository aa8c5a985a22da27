"""DeepRec by depth: 2 to 12 layers of 128, MovieLens-1M, earlier ratings predict later ones.

    python -m experiments.reproduce --study=deeprec_depth_ml1m --data_dir=DIR

On Netflix deeper is better, down to .9328 at 12 layers. The drawing of the network (the report's
figure 3.1) is that of the row of 4 layers.
"""

from experiments.study import Row, Study

PUBLISHED = {  # layers: evaluation RMSE, parameters for 17,768 items
    2: (1.146, 4_566_504),
    4: (0.9615, 4_599_528),
    6: (0.9378, 4_632_552),
    8: (0.9364, 4_665_576),
    10: (0.9340, 4_698_600),
    12: (0.9328, 4_731_624),
}


def hidden(layers: int) -> str:
    """Spell the setting of an encoder of half as many layers of 128."""
    return f"--set=hidden={','.join(['128'] * (layers // 2))}"


STUDY = Study(
    title="DeepRec by number of layers, d = 128",
    sources=(
        "DeepRec report, figure 3.1 (the network drawn)",
        "DeepRec report, table 3.5",
        "Kuchaiev & Ginsburg 2017, figure 1 and table 2",
    ),
    assumed="the report numbers its tables and figures in the order of the paper",
    rows=[
        Row(
            f"{layers} layers",
            (
                "--config=deeprec_ml1m",
                "--set=refeeds=0",
                "--learning_rate=0.005",
                hidden(layers),
                "--set=dropout=0",
                "--baselines=",
            ),
            {"rmse": rmse, "parameters": parameters},
        )
        for layers, (rmse, parameters) in PUBLISHED.items()
    ],
    figures=("rmse",),
    facts=("parameters",),
    comparable="other data (Netflix)",
)
