"""Feature AE of clicks by the dimension of its code, MovieLens-1M.

    python -m experiments.reproduce --study=feature_ae_sizes_ml1m --data_dir=DIR

The rival of as many coordinates in the study of latent activations. All other settings are those of
the recipe.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="Feature AE by the dimension of its code",
    sources=("Susman 2024, figure 1",),
    rows=[
        Row(f"m_{size}", ("--config=feature_ae_ml1m", f"--set=latent={size}", "--baselines="))
        for size in (8, 32, 128)
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
)
