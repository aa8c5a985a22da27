"""Speed of what is not an epoch: solving, evaluating, auditing; peers where they are installed.

The peer of an evaluation is a plain PyTorch one (`pip install "aerec[torch]"`): dense scores, a
mask, `topk`. Peers of iALS have two threads or as many as there are cores, and the same number of
factors and of sweeps: irspack (`pip install irspack`), which has the same objective and takes the
same settings of it; implicit (`pip install implicit`), whose objective is another one, with its
defaults. RecBole is no peer: 1.2.1 needs a NumPy below 2, and JAX one from 2 on, so they do not run
in one environment.
"""

import importlib.metadata
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

import aerec
from aerec import models
from aerec.cli import show
from aerec.core import Facts, Model
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.evaluation import ranking
from aerec.host_table import AnyTable
from aerec.runs import scoring
from aerec.runs.spec import Spec, oriented
from aerec.training import loop
from experiments import operations, profiling

REPEATS = 3
PAUSE = 0.3  # seconds: the peer's threads spin for a while after their last product


def solve(
    spec: Spec, split: Split, against: str | None = None, profile: str | None = None
) -> dict[str, float]:
    """Time a model that is solved, and a peer, in turns: wall and CPU seconds, the best of each.

    With `profile`, a folder, one more solution is traced. With a peer there is NDCG@100 of both on
    the test part too, whose users are folded in.
    """
    model = models.build(spec.model, spec.set, Facts.of(split.train, split.scale))
    if model.solve is None:
        raise BadInput(f"{spec.model} is trained, not solved: use --what=epoch")
    contenders: dict[str, Callable[[], Any]] = {"aerec": lambda: loop.solve(model, split.train)}
    peer = None
    if against is not None:
        peers = PEERS.get(spec.model, {})
        if against not in peers:
            known = nearest(against, peers) if peers else "There are peers of " + ", ".join(PEERS)
            raise BadInput(f"--what=solve of {spec.model} has no peer {against!r}. {known}")
        settings = models.configure(spec.model, spec.set)
        peer = peers[against](_matrix(split.train), settings)
        contenders[against] = peer.fit
    first = operations.seconds(contenders["aerec"])  # with compilation
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        for name, call in contenders.items():
            begun = time.process_time()
            wall[name].append(operations.seconds(call))
            cpu[name].append(time.process_time() - begun)
    figures = {"first_seconds": first}
    for name, whose in zip(contenders, ("aerec", "peer"), strict=False):
        figures |= {f"{whose}_seconds": min(wall[name]), f"{whose}_cpu_seconds": min(cpu[name])}
        show.CONSOLE.print(f"{name}: {min(wall[name]):.2f} s, {min(cpu[name]):.2f} of a core.")
    figures |= profiling.profile(contenders["aerec"], profile)
    if peer is not None:
        scores = np.asarray(peer.score(peer.fit(), _matrix(split.test.input)), np.float32)
        listed = scoring.by_number(lambda y, row: y.at[row].get(mode="fill", fill_value=0))
        found = {
            "aerec": _ndcg(model, loop.solve(model, split.train), split.test),
            "peer": _ndcg(listed, jnp.asarray(scores), scoring.numbered(split.test)),
        }
        figures |= {f"{whose}_ndcg@100": figure for whose, figure in found.items()}
        show.CONSOLE.print(f"NDCG@100: {found['aerec']:.4f}, {against} {found['peer']:.4f}.")
    return figures


def _ndcg(model: Model, params: Any, heldout: Any) -> float:
    return ranking.evaluator(model, names=("ndcg",), ks=(100,))(params, heldout).figures["ndcg@100"]


class Peer(NamedTuple):
    """A peer's fit to the training matrix, and its scores [R, N] of the rows of another one."""

    fit: Callable[[], Any]
    score: Callable[[Any, scipy.sparse.csr_matrix], np.ndarray]


def _irspack(matrix: scipy.sparse.csr_matrix, settings: Any) -> Peer:
    try:
        import irspack
    except ImportError:
        raise BadInput("--against=irspack needs irspack: pip install irspack") from None

    def fit():
        return irspack.IALSRecommender(
            matrix, n_components=settings.latent, train_epochs=settings.sweeps,
            alpha0=settings.alpha0, reg=settings.l2, nu=settings.power,
            init_std=settings.deviation, n_threads=os.cpu_count(),
        ).learn()  # fmt: skip

    return Peer(fit, lambda fitted, rows: fitted.get_score_cold_user(rows))


def _implicit(matrix: scipy.sparse.csr_matrix, settings: Any) -> Peer:
    try:
        from implicit.als import AlternatingLeastSquares
    except ImportError:
        raise BadInput("--against=implicit needs implicit: pip install implicit") from None

    def fit():
        model = AlternatingLeastSquares(
            factors=settings.latent, iterations=settings.sweeps, num_threads=os.cpu_count() or 1
        )
        model.fit(matrix, show_progress=False)
        return model

    def score(fitted, rows):
        users = fitted.recalculate_user(np.arange(rows.shape[0]), rows)
        return users @ fitted.item_factors.T

    return Peer(fit, score)


PEERS = {"ials": {"irspack": _irspack, "implicit": _implicit}}


def _matrix(table: AnyTable) -> scipy.sparse.csr_matrix:
    row, column, value = table.entries()
    return scipy.sparse.csr_matrix((value, (row, column)), (table.num_rows, table.num_columns))


def evaluate(
    spec: Spec, split: Split, against: str | None = None, profile: str | None = None
) -> dict[str, float]:
    """Time the scoring of the test part by all figures, compilation apart: users a second.

    The parameters are those before training. With `profile`, a folder, one more scoring is traced.
    With a peer, NDCG@100 alone is timed too, in turns.
    """
    (split,) = oriented(models.traits(spec.model, spec.set), [split])
    model = models.build(spec.model, spec.set, Facts.of(split.train, split.scale))
    params = jax.block_until_ready(model.init(jax.random.key(0)))
    score = scoring.evaluator(model, split)
    first, *times = (
        operations.seconds(lambda: score(params, split.test)) for _ in range(1 + REPEATS)
    )
    users = split.test.input.num_rows
    show.CONSOLE.print(f"{users:,} users scored in {min(times):.2f} s (the first time {first:.2f})")
    figures = {"seconds": min(times), "first_seconds": first, "users": float(users),
               "users_per_second": users / min(times), **size(split.train)}  # fmt: skip
    figures |= profiling.profile(lambda: score(params, split.test).per_row, profile)
    if against is None:
        return figures
    nets, peer = torch_peer(against)
    threads = peer.use_all_cores()
    net = nets.build(spec.model, model.traits, split.train, spec.settings.batch_size)
    alone = scoring.evaluator(model, split, spec.settings.metric)
    theirs = peer.scorer(net, split, split.test)
    taken: dict[str, list[float]] = {"aerec": [], "peer": []}
    for _ in range(1 + REPEATS):
        taken["aerec"].append(operations.seconds(lambda: alone(params, split.test)))
        taken["peer"].append(operations.seconds(theirs))
        time.sleep(PAUSE)
    ours, others = (min(own[1:]) for own in taken.values())
    show.CONSOLE.print(
        f"{spec.settings.metric} alone: {ours:.2f} s, {against} {others:.2f} s, "
        f"{others / ours:.2f} times as long."
    )
    alike = {"aerec_seconds": ours, "peer_seconds": others, "share": ours / others}
    return {**figures, **alike, "threads": float(threads)}


def torch_peer(name: str = "torch") -> tuple[Any, Any]:
    """Import the models and the loop of the peer. Raises BadInput: another peer, or no PyTorch."""
    if name != "torch":
        raise BadInput("--against=torch is the only peer")
    try:
        from experiments import torch_loop, torch_nets
    except ImportError:
        raise BadInput('the peer needs torch: pip install "aerec[torch]"') from None
    return torch_nets, torch_loop


def version(peer: str | None) -> dict[str, str]:
    """Return the version of a peer by its name; {} without one."""
    return {peer: importlib.metadata.version(peer)} if peer else {}


def size(table: AnyTable) -> dict[str, float]:
    """Return the rows, columns and entries of a training table."""
    sizes = {"rows": table.num_rows, "columns": table.num_columns}
    return {**sizes, "entries": int(table.lengths().sum())}


def audit(spec: Spec, split: Split, profile: str | None = None) -> dict[str, float]:
    """Time an audit of all triples of the data, after one epoch, the first time and again.

    With `profile`, a folder, a third one is traced.
    """
    run = aerec.fit(spec.model, split, show=False, epochs=1, **spec.set)
    first, again = (operations.seconds(lambda: aerec.audit(run)) for _ in range(2))
    show.CONSOLE.print(f"Audited in {first:.1f} s, and again in {again:.1f} s")
    figures = {"first_seconds": first, "seconds": again, "devices": float(len(jax.devices()))}
    return figures | profiling.profile(lambda: aerec.audit(run), profile)
