"""Write the kept results into README.md and docs/, or check that they stand there.

  python -m experiments.report                    # write tables and figures
  python -m experiments.report --check            # or only compare; --strict: nothing left to do
  python -m experiments.report --page=board.html  # all kept results as one HTML page
  python -m experiments.report --page=mine.html --results=strong_ml1m,known_ml1m

The results are in experiments/results/, one JSON file a table, written by
`experiments.reproduce --record`. How a page names them: experiments/pages.py.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from aerec import files
from aerec.cli import command, show
from aerec.errors import BadInput, nearest
from experiments import leaderboard, pages, records

ROOT = pathlib.Path(__file__).parents[1]


def main(given: Mapping[str, Any]) -> None:
    folder = pathlib.Path(given["folder"])
    if given["page"]:
        if given["check"] or given["strict"]:
            raise BadInput("--page writes a page; leave --check and --strict out")
        page = pathlib.Path(given["page"])
        files.write_text(page, leaderboard.page(chosen(given["results"], folder)))
        show.CONSOLE.print(f"Next: open {page} in a browser", markup=False, soft_wrap=True)
        return
    if given["results"]:
        raise BadInput("--results belongs to --page")
    wrong, todo = pages.compare(ROOT, folder, write=not given["check"])
    for line in wrong + (todo if given["strict"] else []):
        show.CONSOLE.print(line, markup=False, soft_wrap=True)
    if wrong or (todo and given["strict"]):
        raise BadInput(f"{len(wrong)} figures are wrong or unknown, and {len(todo)} to measure")
    show.CONSOLE.print(f"README.md and docs/ agree with {folder}; {len(todo)} to measure.")


def chosen(names: list[str] | None, folder: pathlib.Path) -> dict[str, list[records.Record]]:
    """Read the results files of these names, or all. Raises BadInput for an unknown name."""
    known = sorted(path.stem for path in folder.glob("*.json"))
    for name in names or ():
        if name not in known:
            raise BadInput(f"{folder} has no {name}.json. {nearest(name, known)}")
    if not known:
        raise BadInput(f"{folder} has no results; `experiments.reproduce --record` writes them")
    return {name: records.read(name, folder)[1] for name in names or known}


if __name__ == "__main__":
    flags.DEFINE_bool("check", False, "compare only, write nothing")
    flags.DEFINE_bool("strict", False, "fail where a figure is still to be measured")
    flags.DEFINE_string("page", None, "write one HTML page of results to this file")
    flags.DEFINE_list("results", None, "with --page: names of results files (default: all)")
    flags.DEFINE_string("folder", str(records.RESULTS), "where the results files are")
    command.run(main, __doc__)
