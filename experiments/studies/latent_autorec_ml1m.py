"""U-AutoRec by the activation of its code, MovieLens-1M.

    python -m experiments.reproduce --study=latent_autorec_ml1m --data_dir=DIR

Learning rate and weight decay are those of the recipe, chosen with a sigmoid.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="U-AutoRec by activation of the code",
    sources=("Susman 2024, its claim of sigmoid-like activations", "Sedhain et al. 2015, table 1"),
    rows=[
        Row(name, ("--config=autorec_user_ml1m", f"--set=activation={name}", "--baselines="))
        for name in ("sigmoid", "tanh", "selu", "relu", "identity")
    ],
    figures=("rmse", "mae"),
    pairs=[(name, "sigmoid") for name in ("tanh", "selu", "relu", "identity")],
)
