"""Mult-VAE by the softmax over all items and by sampled ones, on 15,000 and 20,000 items.

    python -m experiments.reproduce --study=sampled_softmax --data_dir=DIR
"""

from experiments.study import Row, Study

SYNTHETIC = "synthetic:users=5000,items=20000,ratings=500000,implicit=1"
DATA = {
    "lastfm": ("--dataset=lastfm", "--protocol=strong"),
    "synthetic": (f"--dataset={SYNTHETIC}", "--protocol=strong:threshold=all"),
}
SOFTMAXES = {
    "full": ("--softmax=full",),
    "1024": ("--softmax=sampled", "--candidates=1024"),
    "4096": ("--softmax=sampled", "--candidates=4096"),
}

STUDY = Study(
    title="Mult-VAE by its softmax",
    sources=("Bengio & Senécal 2008", "Jean et al. 2015"),
    rows=[
        Row(f"{data}.{softmax}", ("--model=multvae", "--epochs=40", *given, *how, "--baselines="))
        for data, given in DATA.items()
        for softmax, how in SOFTMAXES.items()
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
    pairs=[(f"{data}.{c}", f"{data}.full") for data in DATA for c in ("1024", "4096")],
)
