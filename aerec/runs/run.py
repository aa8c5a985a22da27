"""`Run`: a fitted model that evaluates, recommends, explains, saves and exports."""

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jax.sharding import Mesh

from aerec import files
from aerec.core import Model, Params
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.runs import artefact, directory, export, new_items
from aerec.runs.artefact import Artefact, Vocabulary
from aerec.runs.figures import Figures
from aerec.runs.fitting import Finished
from aerec.runs.histories import Source
from aerec.runs.recommend import Recommender
from aerec.training import loop


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A fitted model in memory, from `aerec.fit` or `aerec.open`.

    Attributes:
      model: the pure functions.
      replicas: the parameters of all replicas, leaves [S, ...].
      vocabulary: raw ids and titles.
      finished: the figures, and config.json as `config`.
      splits: the splits it was fitted on; None for a run that was opened.
      over: the mesh that it was fitted over, on which it recommends; None: one device.
    """

    model: Model
    replicas: Params
    vocabulary: Vocabulary
    finished: Finished
    splits: Sequence[Split] | None = None
    over: Mesh | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The identity of the run: model, settings, protocol, seeds, hash of the data."""
        return self.finished.config

    @property
    def results(self) -> dict[str, Any]:
        """Figures, seconds, versions and device, as in results.json."""
        return self.finished.results

    @property
    def params(self) -> Params:
        """The parameters of the first replica, a pytree of arrays."""
        return loop.replica(self.replicas, 0)

    @property
    def item_ids(self) -> np.ndarray:
        """[N] raw ids of the items: of the model's columns, or of an item-based model's rows."""
        return self.vocabulary.item_ids

    @functools.cached_property
    def test(self) -> Figures:
        """The test figures by name, like `run.test["ndcg@100"]`; none if nothing is held out."""
        return Figures(self.finished.reports)

    def figures(self) -> pl.DataFrame:
        """Tabulate the test figures.

        Returns:
          A polars frame of figure, mean (over replicas), se (over rows) and sd (over replicas).
          se is null for figures of all rows at once (coverage, gini), sd for a single replica.
        """
        each = [(name, float(self.test[name]), self.test[name].se, self.test[name].sd)
                for name in self.test]  # fmt: skip
        schema = {"figure": pl.String, "mean": pl.Float64, "se": pl.Float64, "sd": pl.Float64}
        return pl.DataFrame(each, schema=schema, orient="row").fill_nan(None)

    def plot(self) -> Any:
        """Draw the training loss and the validation figure by epoch, as a Matplotlib figure.

        Raises:
          BadInput: a model in closed form has no epochs, or an opened run has no log.
        """
        from aerec import plots  # here, as Matplotlib takes half a second to import

        lines = self.finished.metrics
        if not lines or "loss" not in lines[-1]:
            raise BadInput(f"{self.config['model']} has no log of epochs to draw")
        return plots.learning_curve(lines, self.config["settings"]["metric"])

    def recommend(
        self,
        history: Source,
        *,
        k: int = 10,
        among: Sequence[Any] | None = None,
        exclude: Sequence[Any] = (),
        keep_seen: bool = False,
        replica: int = 0,
    ) -> pl.DataFrame:
        """Recommend the k best items, as the evaluation ranks them, ties included.

        Args:
          history: raw ids of one user's items, `["260", "1196"]`; a mapping of ids to ratings; a
            list of several of these; a pandas, polars or Arrow frame with a column `item` and
            optionally `user`, `rating`, `time`; or a SciPy matrix [H, N] in the columns of
            `item_ids` and the model's units; for a model of clicks, every entry is a click.
          k: how many items for each user.
          among: raw ids of the only items to recommend; None allows all.
          exclude: raw ids of items never to recommend.
          keep_seen: whether items of the history may be recommended.
          replica: of several seeds.

        Returns:
          A polars frame of user (where there are several), rank, item, title, score, best first.
          A user whose history is empty, or holds no item that the model knows, gets no rows; a
          warning says so.

        Raises:
          BadInput: no item is known, a rating model got no ratings, or the model cannot fold in.
          NotNumbers: a score is NaN.
        """
        recommender = self.recommender(replica)
        frame, notes = recommender.recommend(
            recommender.reader(history), k=k, among=among, exclude=exclude, keep_seen=keep_seen
        )
        _warn(notes)
        return frame

    def predict(self, history: Source, items: Any, *, replica: int = 0) -> pl.DataFrame:
        """Score given items for given histories.

        Args:
          history: as in `recommend`.
          items: raw ids [P], scored for each user; or a frame of pairs `user`, `item`.

        Returns:
          A polars frame of user (where there are several), item, title, score, in the order asked:
          for a rating model, ratings clipped to the scale; for others, preferences. The score of an
          unknown item, or without a known history, is null, and a warning says so.

        Raises:
          BadInput: no item of the histories is known, a rating model got no ratings, the model
            cannot fold in, or `items` is neither a list of ids nor a frame of pairs.
          NotNumbers: a score is NaN.
        """
        frame, notes = self.recommender(replica).predict(history, items)
        _warn(notes)
        return frame

    def similar(self, item: Any, *, k: int = 10, replica: int = 0) -> pl.DataFrame:
        """Find the k items most like one: rank, item, title, similarity.

        For a model that is linear in its input, like `ease`, by its item-item weights; for others,
        by the cosine of their item codes.

        Raises:
          BadInput: the item is not known, or the model has neither weights nor item codes.
        """
        return self.recommender(replica).similar(item, k=k)

    def explain(self, history: Source, item: Any, *, replica: int = 0) -> pl.DataFrame:
        """Split the score of an item into what each item of one history contributes.

        Returns:
          A polars frame of item, title, contribution, which sum to the score. Where the model has a
          constant, it is the last row, without an item.

        Raises:
          BadInput: the model is not linear in its input, or the item is not known.
        """
        frame, notes = self.recommender(replica).explain(history, item)
        _warn(notes)
        return frame

    def with_items(
        self, ids: Sequence[Any], vectors: Any, *, titles: Sequence[str] | None = None
    ) -> "Run":
        """Add items that were not in training, and rank them together with the known ones.

        This is for `factor_ae` with `features=content` or `file`. The figures remain those of the
        known items, and the new run has no splits.

        Args:
          ids: [M] raw ids.
          vectors: [M, F] in the order of `config["features"]["names"]`.
          titles: [M].

        Raises:
          BadInput: the model knows no vectors of items, an id that is known or given twice, another
            number or width of vectors, or a value that is not finite.
        """
        loaded = Artefact(self.model, self.replicas, self.config, self.vocabulary)
        model, replicas, config, vocabulary = new_items.added(loaded, ids, vectors, titles)
        results = {**self.results, "model_checksum": artefact.checksum(replicas)}
        finished = self.finished._replace(config=config, results=results, params=replicas)
        return Run(model, replicas, vocabulary, finished)

    def recommender(self, replica: int = 0) -> Recommender:
        """Return the recommender of one replica, which keeps its compiled programs.

        Raises:
          BadInput: there is no such replica.
        """
        kept = self._recommenders
        if not isinstance(replica, Hashable) or replica not in kept:
            kept[replica] = Recommender(self._artefact(replica), self.over)
        return kept[replica]

    @functools.cached_property
    def _recommenders(self) -> dict[int, Recommender]:
        return {}

    def artefact(self, replica: int = 0) -> Artefact:
        """Return one replica, on one device: functions, parameters, config.json, vocabulary."""
        found = self._artefact(replica)
        return found._replace(params=jax.tree.map(jnp.asarray, found.params))

    def _artefact(self, replica: int) -> Artefact:
        params = artefact.one(self.replicas, self.config, replica, "this run")
        return Artefact(self.model, params, self.config, self.vocabulary)

    def save(self, path: str | pathlib.Path) -> pathlib.Path:
        """Write the run directory, to be read by `aerec.open` and the command line.

        Raises:
          BadInput: the folder holds another run, or cannot be written.
        """
        workdir = files.located(path)
        results, reports = self.finished.results, self.finished.reports
        with directory.claimed(workdir, self.config):
            artefact.save(workdir, self.replicas, self.vocabulary)
            if self.finished.metrics:
                directory.write_log(workdir / directory.METRICS, self.finished.metrics)
                directory.write_log(workdir / directory.LOSSES, self.finished.losses)
            directory.write_results(workdir, results, [report.per_row for report in reports])
        return workdir

    def export(
        self, path: str | pathlib.Path, *, format: str | None = None, replica: int = 0
    ) -> pathlib.Path:
        """Write the model for a process without this package.

        Args:
          path: the file; its vocabulary is written as `<path>.vocabulary.json`.
          format: "stablehlo" (scores of rows [b, N], any b), "safetensors" (the weights alone) or
            "onnx"; default: the suffix of the path.

        Raises:
          BadInput: an unknown format, a model of sequences, or a package that is not installed.
        """
        return export.write(self.artefact(replica), files.located(path), format)

    def __repr__(self) -> str:
        config, protocol = self.config, self.config["protocol"]
        lines = [f"{config['model']} on {config['dataset']}, {protocol['name']}"]
        if len(config["seeds"]) > 1:
            lines[0] += f", {len(config['seeds'])} seeds"
        metric = config["settings"]["metric"]
        if metric in self.test:
            lines.append(f"test {metric} {self.test[metric]!r}")
        return "\n".join(lines)


def opened(workdir: str | pathlib.Path) -> Run:
    """Read a finished run from its directory; see `aerec.open`."""
    workdir = files.located(workdir)
    model, replicas, config, vocabulary = artefact.load_replicas(workdir)
    directory.require(workdir, directory.RESULTS, directory.TEST_ROWS)
    results = directory.read_results(workdir)
    finished = Finished(
        config=config,
        results=results,
        reports=directory.read_reports(workdir, results),
        baselines={},
        params=replicas,
        metrics=directory.read_log(workdir / directory.METRICS),
        losses=directory.read_log(workdir / directory.LOSSES),
    )
    return Run(model, replicas, vocabulary, finished)


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        warnings.warn(note, stacklevel=3)
