"""A picture of bars in plain SVG: panels, two in a line; in each a group of bars for each work, one bar for each program.
Thin lines on the bars go from the lowest to the highest round; dashes over a bar are where its target lies."""
import math
from dataclasses import dataclass, field
from html import escape

COLOURS = ["#8a8f98", "#d98c21", "#2f6fb5", "#3a9a5b", "#a04fa0", "#b5463c", "#5aa9b8", "#7a6a3a"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 250, 70, 14, 20, 34  # of a panel, and its margins
TARGET = 'stroke="#c00" stroke-width="2" stroke-dasharray="5 3"'


@dataclass
class Bar:
    work: str
    program: str
    value: float
    low: float
    high: float
    targets: list = field(default_factory=list)  # values on the same axis


@dataclass
class Panel:
    axis: str
    bars: list


def tick_step(top):
    """1, 2 or 5 times a power of ten, so that there are four to nine of them."""
    power = 10.0 ** math.floor(math.log10(top / 4))
    return next(power * m for m in (1, 2, 5, 10) if top / (power * m) <= 9)


def number(value):
    if value >= 10000:
        return f"{value / 1000:,.3g}k" if value < 1e6 else f"{value / 1e6:.3g}M"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def draw_axis(label, top, y):
    out, step = [], tick_step(top)
    for i in range(int(top / step) + 1):
        out.append(line(LEFT, y(i * step), WIDTH - RIGHT, y(i * step), 'stroke="#ddd"'))
        out.append(text(LEFT - 6, y(i * step) + 4, number(i * step), "end"))
    out.append(text(18, HEIGHT / 2, label, more=f'transform="rotate(-90 18 {HEIGHT / 2})"'))
    return out


def draw_bar(bar, x, width, colour, y):
    height = y(0) - y(bar.value)
    out = [f'<rect x="{x:.1f}" y="{y(bar.value):.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
           f"<title>{escape(bar.work)}, {escape(bar.program)}: {number(bar.value)}</title></rect>"]
    centre = x + width / 2
    if bar.high > bar.low:
        out.append(line(centre, y(bar.low), centre, y(bar.high), 'stroke="#222"'))
    out.append(text(centre, y(bar.high) - 4, number(bar.value), more='font-size="9"'))
    for target in bar.targets:
        out.append(line(x - 2, y(target), x + width + 2, y(target), TARGET))
    return out


def draw_panel(panel, colours):
    top = max([v for b in panel.bars for v in (b.high, *b.targets)] + [1e-9]) * 1.08
    floor = HEIGHT - BOTTOM

    def y(value):
        return floor - value / top * (floor - TOP)

    out = draw_axis(panel.axis, top, y)
    works = list(dict.fromkeys(b.work for b in panel.bars))
    room = (WIDTH - LEFT - RIGHT) / len(works)
    for i, work in enumerate(works):
        bars, centre = [b for b in panel.bars if b.work == work], LEFT + room * (i + 0.5)
        width = min(room * 0.85 / len(bars), 60)
        for k, bar in enumerate(bars):
            out += draw_bar(bar, centre + (k - len(bars) / 2) * width, width * 0.92, colours[bar.program], y)
        out.append(text(centre, floor + 16, work))
    out.append(line(LEFT, floor, WIDTH - RIGHT, floor, 'stroke="#222"'))
    return out


def draw_legend(colours, y):
    out, x = [], LEFT
    for program, colour in colours.items():
        out.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        out.append(text(x + 17, y, program, "start"))
        x += 40 + 7 * len(program)
    return out + [line(x, y - 4, x + 18, y - 4, TARGET), text(x + 24, y, "target", "start")]


def draw(title, panels):
    panels = [p for p in panels if p.bars]
    programs = list(dict.fromkeys(b.program for p in panels for b in p.bars))
    colours = {program: COLOURS[i % len(COLOURS)] for i, program in enumerate(programs)}
    width, height = WIDTH * 2, 60 + HEIGHT * math.ceil(len(panels) / 2)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           'font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>', text(LEFT, 22, title, "start", 'font-size="15"')]
    out += draw_legend(colours, 46)
    for i, panel in enumerate(panels):
        out.append(f'<g transform="translate({i % 2 * WIDTH} {60 + i // 2 * HEIGHT})">')
        out += draw_panel(panel, colours) + ["</g>"]
    return "\n".join(out + ["</svg>\n"])
