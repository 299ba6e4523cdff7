"""report.py: collects results and writes tables, pictures and the page."""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apot_lit.benchmark.benchmark_tables import inference_report, markdown_table
from apot_lit.benchmark.microcontroller_table import microcontroller_table
from apot_lit.benchmark.trainings_table import trainings_table
from apot_lit.data.embedded import load_idx_pair
from apot_lit.data.known import KNOWN
from apot_lit.data.options import DataOptions
from apot_lit.data.sources import placed
from apot_lit.errors import UserError
from apot_lit.installed import only_in_clone
from apot_lit.report.aims import aims_table, read_aims
from apot_lit.report.answer import answering, best_summary
from apot_lit.report.candidates_table import CANDIDATES, candidates_section
from apot_lit.report.collect import Collection, collect
from apot_lit.report.data_sets import data_section, names_of_data, of_data, title_of
from apot_lit.report.documents import filled
from apot_lit.report.findings import findings_list
from apot_lit.report.hardware_front import front_picture
from apot_lit.report.hardware_tables import hardware_sections
from apot_lit.report.integer_seeds import INTEGER_SEEDS, integer_seeds_table
from apot_lit.report.integer_tables import integer_tables
from apot_lit.report.levels_compared import levels_compared
from apot_lit.report.mixed_table import MIXED, MIXED_FRONT, mixed_section, without_mixed
from apot_lit.report.page import build_page
from apot_lit.report.parts import effects, parts_table
from apot_lit.report.plots import all_pictures, feature
from apot_lit.report.ptq_table import ptq_section
from apot_lit.report.runs_csv import write_csv
from apot_lit.report.sentences import (
    FIRST_RUN,
    RELEASED,
    WHOLE_SET,
    first_run_sentence,
    released_sentences,
    start_table,
    trials_table,
)
from apot_lit.report.shipped_table import shipped_table
from apot_lit.report.tables import Published, markdown, read_published
from apot_lit.report.training_time import training_time_table
from apot_lit.report.unit_prices import FILES, Prices, read_prices
from apot_lit.runs.contents import NotUsable, read_json
from apot_lit.runs.files import write_text
from apot_lit.runs.schema import one_line

_OTHER = "fashion_mnist"  # the data set that a document has a section on, besides MNIST
_UNPRICED = f"{{}}: {FILES} must be files that hardware.py wrote"


def report(config: Mapping[str, Any]) -> None:
    """Writes ``tables.md``, ``results.csv``, pictures and ``report.html`` to the output directory.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.ReportConfig`.

    Raises:
        UserError: for a directory without results, or a document that can't be filled; nothing is written then.
    """
    results_dir = Path(config["results_dir"])
    everything = collect(results_dir)
    reported, *others = names_of_data(everything)
    collection = without_mixed(of_data(everything, reported))
    published_path = Path(config["published"])
    if not published_path.exists():
        raise UserError(f"published={published_path}: there is no such file{only_in_clone(published_path)}")
    with _one_line(f"published={published_path}: must have the columns model, bit, scheme and published_percent"):
        published = read_published(published_path)
    further = [f"# {title_of(name)}\n\n{data_section(everything, name)}" for name in others]
    text = "\n\n".join([markdown(collection, published), *further])
    prices = hardware_prices(results_dir)
    sections = document_sections(everything, published, results_dir) if config["documents"] else {}
    documents = {path: filled(path, sections) for path in map(Path, config["documents"])}

    output_dir = Path(config["paths"]["output_dir"])
    featured = feature(collection)
    data = placed(featured.result["config"]["data"], config)
    source = data.get("source", DataOptions.source)
    if config["download"] and source in KNOWN:
        load_idx_pair(data["data_dir"], "test", download=True, source=source)
    pictures = all_pictures(collection, featured, Path(data["data_dir"]))
    front = None if prices is None else front_picture(prices, answering(collection))
    if front is not None:
        caption = "Accuracy against area per operation; a dot for each seed, bars: 95 % interval of the mean"
        pictures.append(("hardware", caption, front))
    written = []
    for name, _, figure in pictures:
        written.append(output_dir / f"{name}.png")
        figure.savefig(written[-1], dpi=150)
    page = build_page(collection, published, pictures, results_dir, output_dir)
    for name, content in (("tables.md", text + "\n"), ("report.html", page)):
        written.append(output_dir / name)
        write_text(written[-1], content)
    written.append(output_dir / "results.csv")
    write_csv(everything, written[-1])
    for document, updated in documents.items():
        write_text(document, updated)
        written.append(document)
    for path, reason in collection.left_out:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    for group in collection.groups:
        if not group.main:
            print(f"kept apart, another protocol: {group.name}", file=sys.stderr)
    for name in others:
        print(f"kept apart, another data set: {title_of(name)}", file=sys.stderr)
    print("written:", *written, sep="\n  ")


def document_sections(collection: Collection, published: Published, results_dir: Path) -> dict[str, str]:
    """The text of every generated section that a document may have, by its name.

    Args:
        collection: what `collect` found in `results_dir`.
        published: see `build_tables`.
        results_dir: directory of the project's result files; what it lacks gives no section.

    Raises:
        UserError: for a damaged file.
    """
    whole, everything = collection, of_data(collection, names_of_data(collection)[0])
    collection = without_mixed(everything)
    sections = {"results": markdown(collection, published)}
    sections |= {**benchmark_tables(results_dir), **integer_sections(results_dir)}
    sections["comparison"] = levels_compared(collection)
    sections[_OTHER] = data_section(whole, _OTHER)
    took = training_time_table(whole)
    if took is not None:
        sections["training_time"] = took
    aims_file = results_dir / "aims.csv"
    with _one_line(f"{aims_file}: damaged"):
        aims = read_aims(collection, aims_file) if aims_file.is_file() else []
    if aims:
        sections["aims"] = aims_table(aims)
    parts = parts_table(collection)
    if parts is not None:
        sections |= {"parts": parts, **effects(collection)}
    summary = best_summary(collection)
    if summary is not None:
        sections["summary"] = summary
    untrained = sorted((results_dir / "ptq").glob("*.json"))
    with _one_line(f"{results_dir / 'ptq'}: must hold results of experiment=ptq"):
        if untrained:
            sections["ptq"] = ptq_section([read_json(path) for path in untrained], answering(collection))
    tried = sorted((results_dir / CANDIDATES).glob("*.json"))
    with _one_line(f"{results_dir / CANDIDATES}: must hold results of train.py"):
        if tried:
            sections["candidates"] = candidates_section([read_json(path) for path in tried], answering(collection))
    front = results_dir / MIXED / MIXED_FRONT
    with _one_line(f"{front}: must be a file that search.py wrote"):
        if front.is_file():
            sections["mixed"] = mixed_section(read_json(front), everything)
    prices = hardware_prices(results_dir)
    with _one_line(_UNPRICED.format(results_dir)):
        sections["known"] = findings_list(collection, of_data(whole, _OTHER), aims, prices)
    if prices is not None:
        with _one_line(_UNPRICED.format(results_dir)):
            sections |= hardware_sections(prices, answering(collection))
    for name, needed, text in (
        ("integer_seeds", [INTEGER_SEEDS], lambda: integer_seeds_table(results_dir / INTEGER_SEEDS)),
        ("start", ["start.csv"], lambda: start_table(results_dir / "start.csv")),
        ("trials", ["trials.csv"], lambda: trials_table(results_dir / "trials.csv")),
        ("first_run", [FIRST_RUN], lambda: first_run_sentence(results_dir / FIRST_RUN)),
        ("released", [*RELEASED.values(), WHOLE_SET], lambda: released_sentences(results_dir)),
    ):
        if all((results_dir / file).is_file() for file in needed):
            with _one_line(f"{results_dir}: {', '.join(needed)}: damaged"):
                sections[name] = text()
    return sections


def benchmark_tables(results_dir: Path) -> dict[str, str]:
    """Tables of the benchmarks that a directory holds, by name.

    They are those in ``benchmark_*.json``, ``inference_*.json``, ``microcontroller_*.json`` and ``trainings_*.json``.

    Raises:
        UserError: if one of these files holds something else.
    """
    tables = {}
    for name, table in (
        ("benchmark", markdown_table),
        ("inference", _inference_tables),
        ("microcontroller", microcontroller_table),
        ("trainings", trainings_table),
    ):
        paths = sorted(results_dir.glob(f"{name}_*.json"))
        with _one_line(f"{', '.join(map(str, paths))}: must be files that benchmark.py wrote"):
            if paths:
                tables[name] = table([read_json(path) for path in paths])
    return tables


def integer_sections(results_dir: Path) -> dict[str, str]:
    """The tables of networks of integers, by name.

    They are made of evaluations in integers, ``integer/*.json``, and of the exports of the networks that come with the
    project, ``shipped/*.json``.

    Raises:
        UserError: if one of these files holds something else.
    """
    sections = {}
    for name, directory, script, table in (
        ("integers", "integer", "evaluate.py", integer_tables),
        ("shipped", "shipped", "export.py", shipped_table),
    ):
        paths = sorted((results_dir / directory).glob("*.json"))
        with _one_line(f"{results_dir / directory}: must hold files that {script} wrote"):
            if paths:
                sections[name] = table([read_json(path) for path in paths])
    return sections


def hardware_prices(results_dir: Path) -> Prices | None:
    """The prices of units that a directory holds as ``hardware_*.json``, None if it has none.

    Raises:
        UserError: if one of these files holds something else.
    """
    with _one_line(_UNPRICED.format(results_dir)):
        return read_prices(results_dir)


@contextmanager
def _one_line(said: str) -> Iterator[None]:
    """Says so, and with which error, where files of numbers are not as the tables need them."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, csv.Error, OSError) as error:
        raise UserError(f"{said} ({type(error).__name__}: {one_line(error, 120)})") from error
    except NotUsable as error:
        raise UserError(f"{said} ({error})") from error


def _inference_tables(results: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(inference_report(result, "github") for result in results)
