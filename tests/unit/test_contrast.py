"""Text of the canvas can be read in both themes: WCAG 2.2, contrast AA, 4.5 to 1."""

import re

import pytest

from circuitscope_core.export import STYLE_SHEET, read_canvas_file
from circuitscope_core.export.svg import RAMPS, THEMES, luminance, text_on

STYLE = read_canvas_file(STYLE_SHEET)
ENOUGH, ENOUGH_FOR_GLYPHS = 4.5, 3.0


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def style(dark):
    """The colours of a theme in the style sheet: text of the panels."""
    rule = r'\.cs\[data-theme="dark"\]' if dark else r"\n\.cs"
    body = re.search(rf"{rule} {{(.*?)}}", STYLE, re.DOTALL)[1]
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", body))


def test_contrast_is_that_of_the_guideline():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_painted_text_and_glyphs_stand_out(dark):
    colors = THEMES[dark]
    for ground in ("paper", "band", "edge_band"):
        assert contrast(colors["text"], colors[ground]) >= ENOUGH
        assert contrast(colors["dim"], colors[ground]) >= ENOUGH
        for mark in ("ink", "focus"):
            assert contrast(colors[mark], colors[ground]) >= ENOUGH_FOR_GLYPHS
    assert contrast(colors["text"], colors["tile"]) >= ENOUGH


@pytest.mark.parametrize("dark", [False, True])
def test_text_of_the_panels_stands_out(dark):
    colors = style(dark)
    for ground in ("paper", "surface", "soft"):
        for text in ("text", "dim", "accent"):
            assert contrast(colors[text], colors[ground]) >= ENOUGH
    assert contrast(colors["text"], colors["chip"]) >= ENOUGH


@pytest.mark.parametrize("color", [*RAMPS[False], *RAMPS[True]])
def test_text_on_every_colour_of_a_link_stands_out(color):
    assert contrast(text_on(color), color) >= ENOUGH
    other = {"#ffffff": "#111111", "#111111": "#ffffff"}[text_on(color)]
    assert contrast(text_on(color), color) >= contrast(other, color)


@pytest.mark.parametrize("dark", [False, True])
def test_the_panels_have_the_colours_of_the_picture(dark):
    names = ("paper", "text", "accent", "focus")
    assert {name: style(dark)[name] for name in names} == {
        name: THEMES[dark][name] for name in names
    }
