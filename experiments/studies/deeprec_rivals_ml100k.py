"""DeepRec and its rivals on the subsets by time of MovieLens-100K.

    python -m experiments.reproduce --study=deeprec_rivals_ml100k --data_dir=DIR

Published on Netflix, where these figures stand, with commands, in `deeprec_netflix`. `bias` is in
`deeprec_subsets_ml100k`.
"""

from experiments.studies.deeprec_subsets_ml100k import PROTOCOLS
from experiments.study import Row, Study

PUBLISHED = {
    ("I-AutoRec", "3 months"): {"rmse": 0.9778},
    ("U-AutoRec", "3 months"): {"rmse": 0.9836},
    ("RRN", "3 months"): {"rmse": 0.9427},
    ("DeepRec", "3 months"): {"rmse": 0.9373},
    ("DeepRec", "6 months"): {"rmse": 0.9207},
    ("I-AutoRec", "full"): {"rmse": 0.9364},
    ("U-AutoRec", "full"): {"rmse": 0.9647},
    ("RRN", "full"): {"rmse": 0.9224},
    ("DeepRec", "full"): {"rmse": 0.9099},
}
MODELS = {
    "I-AutoRec": ("--config=autorec_ml1m", "--set=l2=50"),
    "U-AutoRec": ("--config=autorec_user_ml1m", "--set=l2=50"),
    "PMF": ("--config=pmf_ml1m", "--set=l2=4"),
    "TimeSVD++": ("--model=timesvdpp",),
    "RRN": ("--model=rrn",),
    "DeepRec": ("--config=deeprec_ml1m", "--epochs=150"),
}

STUDY = Study(
    title="DeepRec and its rivals on MovieLens-100K by time",
    sources=("DeepRec report, table 3.8", "Kuchaiev & Ginsburg 2017, tables 3 and 4"),
    assumed="the report numbers its tables and figures in the order of the paper",
    rows=[
        Row(
            f"{model}, {subset}",
            (*flags, "--dataset=ml-100k", protocol, "--baselines="),
            PUBLISHED.get((model, subset), {}),
        )
        for subset, protocol in PROTOCOLS.items()
        for model, flags in MODELS.items()
    ],
    figures=("rmse",),
    comparable="other data (Netflix)",
    curves="figures",
    pairs=[(f"{m}, {s}", f"PMF, {s}") for s in PROTOCOLS for m in ("TimeSVD++", "RRN", "DeepRec")],
)
