"""Linear models of a catalogue whose square does not fit: 200,000 items of a known world.

    python -m experiments.reproduce --study=large_catalogue

The weights of `sparse_ease` are 50 neighbours of an item and as many numbers, and its vector in
ELSA has 100 coordinates, which is as much memory. A row of EASE would have 182,901 numbers. The
best possible NDCG@100 is printed with the data.
"""

from experiments.study import Row, Study

DATA = (
    "--dataset=synthetic:users=20000,items=200000,ratings=1000000,implicit=1,activity=0.5,rank=16,"
    "clusters=300,taste=4,zipf=0.7"
)
PROTOCOL = "--protocol=strong:threshold=all,valid_users=500,test_users=1000"
MODELS = {
    "popularity": (),
    "sparse_ease": ("--set=neighbours=50",),
    "elsa": ("--set=latent=100", "--epochs=8", "--evaluate_every=2"),
}

STUDY = Study(
    title="Synthetic clicks on 200,000 items",
    rows=[
        Row(model, (f"--model={model}", *flags, DATA, PROTOCOL, "--baselines="))
        for model, flags in MODELS.items()
    ],
    figures=("ndcg@100", "recall@50", "tail_ndcg@100", "coverage@100"),
    curves="figures",
    pairs=(("sparse_ease", "elsa"),),
)
