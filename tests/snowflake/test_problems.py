"""Snowflake's errors as sentences; first by their numbers, then as the real client raises them."""

import pytest

import circuitscope_core as cs
from circuitscope_core.stages import ConnectionSettings, StageLocation, StageStore, connect, explain
from circuitscope_core.stages.problems import error_number, first_line, hide_secrets


class ConnectorError(Exception):
    """As the connector raises them."""

    def __init__(self, errno, msg="something", sqlstate=None):
        super().__init__(msg)
        self.errno, self.msg, self.sqlstate = errno, msg, sqlstate


class SnowparkError(Exception):
    """As Snowpark raises them: its own number, and the error inside."""

    def __init__(self, error_code, inner):
        super().__init__(str(inner))
        self.error_code, self.conn_error, self.sql_error_code = error_code, inner, inner.errno


@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: SnowparkError("1304", error)])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (606, "No warehouse"),
        (1003, "does not understand the statement"),
        (2003, "does not exist, or your role may not see it"),
        (2043, "does not exist, or your role may not see it"),
        (3001, "Your role may not do that"),
        (3013, "role of the connection"),
        (250001, "could not be reached"),
        (250003, "could not be reached"),
        (251005, "lacks something"),
        (251006, "lacks something"),
        (253003, "could not be carried"),
        (253006, "The file is not there"),
        (290404, "no account of that name"),
        (390100, "refused the user name"),
        (390114, "login has expired"),
        (390123, "locked"),
        (390127, "second factor"),
        (390144, "token or key"),
        (390189, "role of the connection"),
        (390422, "network policy"),
        (390999, "refused the login"),
    ],
)
def test_every_number_that_a_newcomer_meets_has_a_sentence_and_a_remedy(number, said, wrap):
    error = explain(wrap(ConnectorError(number, f"{number:06d} (42000): first\nsecond")), "Doing X")
    assert isinstance(error, cs.StageError)
    text = str(error)
    assert text.startswith("Doing X did not work. ")
    assert said in text
    assert text.endswith(f"Snowflake says ({number:06d}): first")


def test_a_number_that_is_not_known_is_shown_with_what_snowflake_says():
    error = explain(ConnectorError(100038, "100038 (22018): 01b2-3: Numeric value 'x'\nmore"), "A")
    assert str(error) == "A did not work. Snowflake says (100038): 01b2-3: Numeric value 'x'"
    assert str(explain(ValueError(), "A")) == "A did not work. The error: ValueError"


def test_a_line_that_ends_in_a_colon_takes_the_next_one_with_it():
    error = ConnectorError(2003, "SQL compilation error:\nStage 'A.B' does not exist.")
    assert first_line(error) == "SQL compilation error: Stage 'A.B' does not exist."


def test_an_errno_of_the_system_is_not_one_of_snowflakes():
    assert error_number(ConnectionRefusedError(111, "refused")) == 0
    assert "could not be reached" in str(explain(ConnectionRefusedError(111, "refused"), "A"))


def test_our_own_errors_pass_unchanged():
    error = cs.StageError("As it is.")
    assert explain(error, "A") is error


SECRETS = [
    ("password=hunter2 tail", "hunter2"),
    ("PASSWORD: 'hun ter2' tail", "hun ter2"),
    ('{"token": "ver:1-hint:12-abcDEF"}', "abcDEF"),
    ("login with pwd = S3cret! failed", "S3cret!"),
    ("Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIiOiIxIn0"),
    ("GET https://b.blob.core.windows.net/x?sig=abc%2Fdef&se=2026 failed", "abc%2Fdef"),
    ("https://s3/x?X-Amz-Signature=0a1b2c&X-Amz-Credential=AKIA1 x", "0a1b2c"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "MIIEvQ"),
    ("private_key_passphrase=open-sesame", "open-sesame"),
    ("aws_secret_key='wJalrXUtnFEMI'", "wJalrXUtnFEMI"),
    ("your token is abc123def", "abc123def"),
    ("key " + "Ab1" * 20, "Ab1Ab1Ab1"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_no_secret_is_in_a_message(text, secret):
    assert secret not in hide_secrets(text)
    for error in (ConnectorError(100038, text), ConnectorError(390100, text), ValueError(text)):
        assert secret not in str(explain(error, "A"))


def test_ordinary_sentences_are_kept():
    for text in (
        "Incorrect username or password was specified.",
        "Stage 'CS.APP.A_STAGE_OF_SOME_LENGTH' does not exist or not authorized.",
        "No active warehouse selected in the current session.",
    ):
        assert hide_secrets(text) == text


SCRIPTED = [
    ("000606", "57P03", "No active warehouse selected in the current session.", "No warehouse"),
    ("001003", "42000", "SQL compilation error:\nsyntax error line 1", "does not understand"),
    ("002043", "02000", "SQL compilation error:\nObject does not exist", "does not exist, or"),
    ("003001", "42501", "SQL access control error:\nInsufficient privileges", "may not do that"),
    ("003013", "42501", "Role 'X' is not granted to this user.", "was not granted"),
    ("390114", "08001", "Authentication token has expired.", "login has expired"),
    ("100183", "42601", "Something quite new\nin two lines", "Snowflake says (100183): Something"),
]


@pytest.mark.contract
@pytest.mark.parametrize("scripted", SCRIPTED, ids=lambda scripted: scripted[0])
def test_errors_of_statements_are_sentences(store, account, tmp_path, scripted):
    code, state, message, said = scripted
    (tmp_path / "x.txt").write_text("x")
    account.files(store.location.names).joinpath("x.txt").write_text("x")
    store.list()
    account.fail("^(LIST|GET|PUT)", code, message, state=state)
    for what, call in (
        ("Listing", store.list),
        ("Reading", lambda: store.get("x.txt", tmp_path)),
        ("Writing", lambda: store.put(tmp_path / "x.txt", "y.txt")),
    ):
        with pytest.raises(cs.StageError) as caught:
            call()
        assert str(caught.value).startswith(f"{what} {store.place}")
        assert said in str(caught.value)
        assert message.splitlines()[0] in str(caught.value)


@pytest.mark.contract
def test_a_stage_that_is_not_there_is_told_by_the_real_client(session):
    with pytest.raises(cs.StageError) as caught:
        StageStore(session, StageLocation.parse("@cs.app.none/x")).list()
    assert str(caught.value).startswith(
        "Listing @CS.APP.NONE/x did not work. It does not exist, or"
    )
    assert "Stage 'CS.APP.NONE' does not exist or not authorized." in str(caught.value)


LOGINS = [
    ("390100", "Incorrect username or password was specified.", "refused the user name"),
    ("390102", "Your user account has been temporarily locked.", "locked or disabled"),
    ("390127", "Duo passcode is wrong.", "second factor"),
    ("390144", "JWT token is invalid.", "token or key"),
    ("390189", "Role 'X' specified in the connect string is not granted.", "role of the"),
    ("390422", "IP 1.2.3.4 is not allowed to access Snowflake.", "network policy"),
    ("390433", "Something else about logins.", "refused the login"),
]


@pytest.mark.contract
@pytest.mark.parametrize(("code", "message", "said"), LOGINS)
def test_refused_logins_are_sentences_without_the_password(server, code, message, said):
    server.login_error = (code, message)
    with pytest.raises(cs.StageError) as caught:
        connect(ConnectionSettings.of("connections", server.settings(password="hunter2-hunter2")))
    assert str(caught.value).startswith("Logging in to fakesnow did not work. ")
    assert said in str(caught.value)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.contract
@pytest.mark.parametrize("missing", ["user", "password"])
def test_an_incomplete_connection_is_told(server, missing):
    settings = {name: value for name, value in server.settings().items() if name != missing}
    with pytest.raises(cs.StageError, match="lacks something that is needed to log in"):
        connect(ConnectionSettings.of("connections", settings))
