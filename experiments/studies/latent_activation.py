"""The activation of a latent code in figure 1 of Susman, with feature vectors of users and items.

    python -m experiments.reproduce --study=latent_activation
    python -m experiments.latent --data_dir=DIR --output=runs/latent

docs/studies/latent-activation.md has the plan.
"""

from experiments.study import Study

STUDY = Study(
    title="Activations of a latent code, cell by cell",
    sources=("Susman 2024, figure 1 and its claim of sigmoid-like activations",),
    rows=[],
    program="latent",
)
