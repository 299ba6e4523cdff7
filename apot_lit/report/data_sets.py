"""Results of several data sets, kept apart: which is reported, and the section of a document on another one."""

from apot_lit.data.known import KNOWN
from apot_lit.report.answer import answer_sentences
from apot_lit.report.collect import Collection, Group
from apot_lit.report.tables import COMPARISON_NOTE, Table, build_summary, build_tables

_USUAL = "mnist"


def names_of_data(collection: Collection) -> list[str]:
    """The data sets that there are results of, MNIST first."""
    return sorted({group.data for group in collection.groups}, key=lambda name: (name != _USUAL, name))


def of_data(collection: Collection, name: str) -> Collection:
    """The results of one data set; what was left out stays listed."""
    groups = [group for group in collection.groups if group.data == name]
    return Collection(groups, collection.left_out, collection.diverged if name == _USUAL else {})


def title_of(name: str) -> str:
    """The name of a data set for people."""
    return KNOWN[name].title if name in KNOWN else name


def data_section(collection: Collection, name: str) -> str:
    """The tables of a data set as Markdown: sentences, APoT and uniform at a glance, every row, and the machines.

    Args:
        collection: results of any data sets.
        name: of the set.
    """
    groups = of_data(collection, name).groups
    if not groups:
        return f"There are no results on {title_of(name)} yet."
    return "\n\n".join([COMPARISON_NOTE, *(part for group in groups for part in _parts(group))])


def _parts(group: Group) -> list[str]:
    summary = build_summary(group)
    tables: list[Table] = [*([] if summary is None else [summary]), *build_tables(group, {}, {})]
    runs = [run for members in group.runs.values() for run in members]
    machines = sorted({run.machine or "an unknown machine" for run in runs})
    titled = [text for table in tables for text in (f"**{table.title}**", table.markdown())]
    said = " ".join(answer_sentences(group))
    return [*([said] if said else []), *titled, f"Trained on {'; '.join(machines)}."]
