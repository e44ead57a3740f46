"""A Hugging Face model is added in the app, its tokens are seen, and it is removed again."""

import re

import pytest
import torch
from playwright.sync_api import expect

from tests.browser.conftest import server
from tests.browser.test_graph import WAIT, graph_frame
from tests.pretrained.test_load import write_tokenizer
from tests.pretrained.test_model_library import save_transcoder
from tests.pretrained_families import random_module

pytestmark = pytest.mark.browser


@pytest.fixture
def weights(tmp_path):
    random_module("LLaMA-3", torch.float32).save_pretrained(tmp_path / "llama")
    write_tokenizer(tmp_path / "llama")
    template = "<s>the {{ messages[0].content }} s"
    (tmp_path / "llama" / "chat_template.jinja").write_text(template)
    save_transcoder(tmp_path / "features")
    return tmp_path


def test_a_model_is_added_prompted_traced_and_removed(page, weights):
    models = weights / "models"
    with server(CIRCUITSCOPE_MODELS=str(models)) as url:
        page.goto(f"{url}/models")
        page.get_by_role("textbox", name="Folder, hub name").fill(str(weights / "llama"))
        page.get_by_role("textbox", name="Transcoder").fill(str(weights / "features"))
        page.get_by_role("button", name="Add the model").click()
        expect(page.get_by_text("“llama” was added")).to_be_visible(timeout=WAIT)
        page.goto(f"{url}/prompt?model=llama&prompt=%20cats")
        expect(chips(page).first).to_have_text("<s>", timeout=WAIT)
        expect(chips(page).first).to_have_class(re.compile("cs-chip-special"))
        page.get_by_text("As a chat message").click()
        expect(chips(page).nth(1)).to_have_class(re.compile("cs-chip-template"), timeout=WAIT)
        page.get_by_role("button", name="Build the graph").click()
        expect(page.get_by_text("The graph is ready")).to_be_visible(timeout=WAIT)
        page.get_by_role("link", name="Show the graph").click()
        graph_frame(page)
        page.goto(f"{url}/models?model=llama")
        page.get_by_role("button", name="Remove", exact=True).click()
        page.get_by_role("button", name="Remove it").click()
        expect(page.get_by_text("No model yet")).to_be_visible(timeout=WAIT)
    assert not list(models.glob("[!.]*"))
    assert (weights / "llama" / "model.safetensors").is_file()


def chips(page):
    """Return the chips of the prompt's tokens, in whichever kind of component they stand."""
    frame = graph_frame_of_tokens(page)
    return frame.locator(".cs-token-row .cs-chip")


def graph_frame_of_tokens(page):
    inner = page.locator("iframe[title*='circuitscope_tokens']")
    return inner.content_frame if inner.count() else page
