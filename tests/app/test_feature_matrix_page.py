"""Many prompts on the Compare page."""

from tests.app.opening import open_page

MANY = "The National Digital Analytics Group (N\nThe Royal Kettle Museum (R"


def test_features_of_several_prompts_are_set_side_by_side():
    at = open_page("compare", many=MANY)
    at.button(key="compare_many_begin").click().run()
    assert not at.exception
    assert not at.error
    table = at.dataframe[0].value
    assert {"label", "prompts", "mean"} <= set(table.columns)
    assert table["prompts"].is_monotonic_decreasing
    assert "prompts, and come first" in at.markdown[0].value
    at.segmented_control(key="compare_rows").set_value("label").run()
    assert not at.exception
    assert len(at.dataframe[0].value) <= len(table)


def test_too_few_prompts_are_said_to_be_too_few():
    at = open_page("compare", many="one alone")
    assert "there are 1" in at.info[0].value
    assert "compare_many_begin" not in {button.key for button in at.button}


def test_prompts_of_a_skill_are_filled_in_and_kept_in_the_address():
    at = open_page("compare", many=MANY)
    at.selectbox(key="compare_skill").set_value("counting").run()
    at.button(key="compare_fill").click().run()
    assert not at.exception
    assert len(at.text_area(key="compare_many").value.split("\n")) == 6
    assert at.query_params["many"] == at.text_area(key="compare_many").value
