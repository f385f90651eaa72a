"""Tables in Markdown and the bars of the pictures, from rows."""
import statistics
from dataclasses import dataclass

import picture
from targets import TARGETS


@dataclass(frozen=True)
class Column:
    """One metric; spread: with its lowest and highest round."""
    heading: str
    metric: str
    digits: int = 1
    spread: bool = False
    scale: float = 1.0


def number(value, digits):
    return f"{value:,.{digits}f}"


def cell(values, column):
    if not values:
        return ""
    values = [v * column.scale for v in values]
    out = number(statistics.median(values), column.digits)
    if column.spread and len(values) > 1:
        out += f" ({number(min(values), column.digits)}–{number(max(values), column.digits)})"
    return out


def relative(rows, section, system, work, against):
    """Throughput over the reference's, round by round."""
    base, of = rows.series(section, "rate", against, work), rows.series(section, "rate", system, work)
    values = [of[r] / base[r] for r in of if base.get(r)]
    return number(statistics.median(values), 2) if values else ""


def others(rows, section, system, work):
    """CPU of the processes behind the one in front."""
    names = [m for m in rows.metrics(section, system, work) if m.startswith("cpu.")]
    return ", ".join(f"{m[4:]} {rows.median(section, m, system, work):.1f}" for m in names)


def disturbance(rows):
    """What else ran on the machine, as far as it was looked at."""
    foreign = [s["foreign"] for s in rows.samples if "foreign" in s]
    if not foreign:
        return ""
    usual, most = statistics.median(foreign), max(foreign)
    return f"\nOther programs had {usual:.0%} of the machine meanwhile (median; at most {most:.0%}).\n"


def markdown(heads, lines):
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(out + ["| " + " | ".join(line) + " |" for line in lines]) + "\n"


def table(rows, section):
    """One line for each work and program. What has no figures stands below with its reason."""
    lines = rows.lines(section.slug)
    compared = any(against for _, _, against in lines)
    behind = any(others(rows, section.slug, system, work) for work, system, _ in lines)
    heads = ["work", "program"] + ["/ reference"] * compared + [c.heading for c in section.columns]
    heads += ["CPU of the others"] * behind
    body = []
    for work, system, against in lines:
        line = [work, system] + [relative(rows, section.slug, system, work, against)] * compared
        line += [cell(rows.series(section.slug, c.metric, system, work).values(), c) for c in section.columns]
        body.append(line + [others(rows, section.slug, system, work)] * behind)
    out = (markdown(heads, body) if body else "") + disturbance(rows.of(section.slug))
    for c in rows.of(section.slug).cannot:
        out += f"\nNot measured: {c['system']} {c['work']}: {c['reason']}\n"
    return out


def bar(rows, section, column, work, system):
    values = [v * column.scale for v in rows.series(section, column.metric, system, work).values()]
    wanted = [t.figure.level(rows, section, t.limit) for t in TARGETS
              if (t.section, t.figure.metric, t.figure.system, t.figure.work) == (section, column.metric, system, work)]
    return picture.Bar(work, system, statistics.median(values), min(values), max(values),
                       [level * column.scale for level in wanted if level is not None])


def draw(rows, section):
    panels = []
    for column, works in section.panels:
        panels.append(picture.Panel(column.heading, [
            bar(rows, section.slug, column, work, system) for work, system, _ in rows.lines(section.slug)
            if work in works and rows.series(section.slug, column.metric, system, work)]))
    return picture.draw(section.title, panels)


def target_table(verdicts):
    lines = []
    for v in verdicts:
        if v.measured is None:
            lines.append([v.target.words, v.target.wanted, "not measured", "**not measured**"])
            continue
        spread = f" ({v.low:.3g}–{v.high:.3g})" if v.high > v.low else ""
        word = f"met by {v.margin:.0%}" if v.met else f"**missed by {-v.margin:.0%}**"
        lines.append([v.target.words, v.target.wanted, f"{v.measured:.3g}{spread}", word])
    return markdown(["target", "wanted", "measured", ""], lines)
