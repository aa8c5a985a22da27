"""The last item of each user of MovieLens-1M, as the papers on sequence models test it.

    python -m experiments.reproduce --study=leave_last_ml1m --data_dir=DIR

Every rating is a click. The last item is the test, and the one before it is for validation and part
of the test input. All other items are ranked. Recall@10 is the hit rate.
"""

from experiments.study import Row, Study

PROTOCOL = ("--protocol=leave_last:threshold=all,fold_valid=true", "--dataset=ml-1m")
FIGURES = ("recall@10", "ndcg@10")
OTHER = "published for"  # another model, in this protocol

STUDY = Study(
    title="MovieLens-1M, the last item of each user",
    rows=[
        Row("popularity", ("--model=popularity", *PROTOCOL, "--baselines=")),
        Row("EASE", ("--model=ease", *PROTOCOL, "--set=l2=300", "--set=dropout=0", "--baselines="),
            dict(zip(FIGURES, (0.2853, 0.1603), strict=True)), f"{OTHER} SASRec"),
        Row("iALS", ("--config=ials_ml1m", *PROTOCOL, "--baselines="),
            dict(zip(FIGURES, (0.0740, 0.0377), strict=True)), f"{OTHER} MF-BPR"),
        Row("SVAE", ("--config=svae_half_ml1m", "--epochs=14", *PROTOCOL, "--baselines="),
            dict(zip(FIGURES, (0.2921, 0.1618), strict=True)), f"{OTHER} BERT4Rec (RecTools)"),
    ],
    figures=FIGURES,
    rounding=0.00005,
    curves="figures",
)  # fmt: skip
