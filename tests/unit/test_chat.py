"""Chat templates: rendered like their models expect, and harmless whatever is in them."""

import json
from types import SimpleNamespace

import pytest

import circuitscope_core as cs
from circuitscope_core.tokenizer import chat
from tests.unit.test_tokens import byte_level

TEMPLATE = """\
{%- for message in messages %}
    {{- '<|' + message.role + '|>\\n' + message.content | trim + '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|user|>A:' }}{% endif %}"""


@pytest.fixture
def make(tmp_path):
    def with_template(template, **config):
        tokenizer = byte_level(tmp_path, chat_template=template, **config)
        return SimpleNamespace(tokenizer=tokenizer)

    return with_template


def test_a_text_is_a_message_of_the_users_and_the_template_stands_around_it(make):
    model = make(TEMPLATE)
    found = cs.chat_prompt(model, "the end")
    assert found.text == "<|user|>\nthe end<|end|><|user|>A:"
    ids, tokenizer = list(found.token_ids), model.tokenizer
    assert ids == tokenizer.encode(found.text)  # a special token opens it already
    assert tokenizer.decode(ids[: found.n_prefix]) == "<|user|>\n"
    assert tokenizer.decode(ids[-found.n_suffix :]) == "<|end|><|user|>A:"


def test_a_text_that_is_also_in_the_template_is_found_where_it_stands(make):
    for text in ("user", "end", "A:", "  spaced "):
        found = cs.chat_prompt(make(TEMPLATE), text)
        ids = list(found.token_ids)[found.n_prefix : -found.n_suffix]
        assert make(TEMPLATE).tokenizer.decode(ids) == text.strip()


def test_several_messages_are_one_prompt_up_to_the_last(make):
    model = make(TEMPLATE)
    rows = [{"role": "user", "content": "one"}, {"role": "end", "content": "two"}]
    found = cs.chat_prompt(model, rows)
    before = model.tokenizer.decode(list(found.token_ids)[: found.n_prefix])
    assert before == "<|user|>\none<|end|><|end|>\n"


def test_an_opener_is_put_in_front_where_the_template_has_none(make):
    model = make("Q: {{ messages[0].content }}")
    found = cs.chat_prompt(model, "x")
    assert found.token_ids[0] == model.tokenizer.separator_id
    assert (found.n_prefix, found.n_suffix, len(found.token_ids)) == (4, 0, 5)


def test_special_names_of_the_configuration_are_there(make):
    model = make("{{ bos_token }}{{ messages[0].content }}", bos_token="<|user|>")
    assert cs.chat_prompt(model, "x").text == "<|user|>x"


def test_a_template_in_a_file_goes_first_and_travels_with_the_tokenizer(make, tmp_path):
    (tmp_path / "chat_template.jinja").write_text("[{{ messages[0].content }}]")
    model = make(TEMPLATE)
    assert cs.chat_prompt(model, "x").text == "[x]"
    (tmp_path / "saved").mkdir()
    model.tokenizer.save(tmp_path / "saved" / "tokenizer.json")
    again = cs.HuggingFaceTokenizer(tmp_path / "saved" / "tokenizer.json")
    assert cs.chat_prompt(SimpleNamespace(tokenizer=again), "x").text == "[x]"


def test_of_several_templates_the_default_is_taken(make):
    several = [{"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}]
    assert cs.chat_prompt(make(several), "x").text == "yes"


HOSTILE = {
    "attributes": ("{{ ''.__class__.__mro__ }}", "unsafe"),
    "globals": ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "unsafe"),
    "changes": ("{{ messages.append(1) }}", "unsafe"),
    "files": ("{% include '/etc/passwd' %}", "no loader"),
    "memory": ("{{ 'a' * 10000000000 }}", "MemoryError|too much"),
    "length": ("{% for i in range(99999) %}xxxxxxxx{% endfor %}", "more than 200,000"),
    "broken": ("{% if", "cannot be used"),
    "refuses": ("{{ raise_exception('only users') }}", "only users"),
    "long": ("x" * 100_001, "more than 100,000 characters and is not run"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_template_is_an_error_and_nothing_else(make, what):
    template, reason = HOSTILE[what]
    with pytest.raises(cs.PromptError, match=reason):
        cs.chat_prompt(make(template), "x")


def test_a_template_without_end_is_ended(make):
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(cs.PromptError, match="too much time or memory"):
        cs.chat_prompt(make(endless), "x")


def test_a_process_that_cannot_be_started_is_told(make, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("no processes here")

    monkeypatch.setattr(chat.subprocess, "run", refuse)
    with pytest.raises(cs.PromptError, match="no processes here"):
        cs.chat_prompt(make("{{ 'never asked before' }}"), "x")


@pytest.mark.parametrize(
    "messages", ["", [], [{"role": "user"}], ["hi"], [{"role": "u", "content": ""}]]
)
def test_messages_that_are_none_are_refused(make, messages):
    with pytest.raises(cs.PromptError, match="message"):
        cs.chat_prompt(make(TEMPLATE), messages)


def test_a_model_without_a_template_says_so(tmp_path):
    for tokenizer in (byte_level(tmp_path), cs.ByteTokenizer()):
        with pytest.raises(cs.PromptError, match="no chat template"):
            cs.chat_prompt(SimpleNamespace(tokenizer=tokenizer), "x")


def test_the_template_of_a_damaged_configuration_is_an_error(tmp_path):
    byte_level(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(cs.BundleError, match="tokenizer_config"):
        cs.HuggingFaceTokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": 5}))
    assert cs.HuggingFaceTokenizer(tmp_path / "tokenizer.json").chat_template == ""
