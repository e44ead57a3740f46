"""Why here and not there: features patched from a second prompt, on two pages."""

from tests.app.opening import open_page
from tests.demo import n_tokens

PROMPT = "The National Digital Analytics Group (N"
SECOND = "The National Federal Analytics Group (N"


def text_of(elements):
    return " ".join(element.value.replace("\\", "") for element in elements)


def test_the_graph_page_patches_the_features_it_keeps():
    at = open_page("graph", prompt=PROMPT, tab="intervene")
    at.text_input(key="graph_against").set_value(SECOND).run()
    at.button(key="graph_patch").click().run()
    assert not at.exception
    assert not at.error
    told = text_of(at.markdown)
    assert "features patched it is" in told
    assert "of the difference is left" in told
    assert "All features that differ between the prompts carry" in told


def test_a_second_prompt_of_another_length_is_refused_with_both_counts():
    at = open_page("graph", prompt=PROMPT, tab="intervene")
    at.text_input(key="graph_against").set_value("The National Group (N").run()
    at.button(key="graph_patch").click().run()
    assert not at.exception
    own, other = n_tokens(PROMPT), n_tokens("The National Group (N")
    assert f"has {own} tokens and the second prompt {other}" in text_of(at.error)


def test_the_compare_page_patches_the_features_of_both_graphs():
    at = open_page("compare", prompt=PROMPT, **{"with": SECOND})
    at.button(key="compare_patch").click().run()
    assert not at.exception
    assert not at.error
    assert "features patched it is" in text_of(at.markdown)
    tables = [item.value for item in at.dataframe if "effect" in item.value]
    assert list(tables[0]["effect"]) == sorted(tables[0]["effect"], reverse=True)


def test_the_compare_page_says_why_two_prompts_cannot_be_patched():
    at = open_page("compare", prompt=PROMPT, **{"with": "The National Group (N"})
    at.button(key="compare_patch").click().run()
    assert not at.exception
    assert f"second prompt {n_tokens('The National Group (N')}" in text_of(at.error)
