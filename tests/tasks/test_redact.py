"""No credential is readable in anything that is told."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hone.tasks.errors import HoneError, PreflightError
from hone.tasks.redact import mask_logs, plain_uri, without_credentials, without_secrets

SECRET = "s3cr3t-Value"


@pytest.mark.parametrize(
    "text",
    [
        f"http://ana:{SECRET}@mlflow:5000/api: no answer",
        f"'postgresql+psycopg://ana:{SECRET}@db/prefect'",
        f"https://{SECRET}@host/path",
        f"https://store/object?X-Amz-Signature={SECRET}&part=1",
        f"https://host/x?token={SECRET}",
        f"https://host/x?a=1&api_key={SECRET} failed",
        f"two: http://a:{SECRET}@x and http://b:{SECRET}@y",
    ],
)
def test_what_stands_in_a_uri_is_masked_and_the_rest_stays(text: str) -> None:
    masked = without_credentials(text, {})
    assert SECRET not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "PREFECT_API_KEY",
        "PREFECT_API_AUTH_STRING",
        "MLFLOW_TRACKING_PASSWORD",
        "RAY_AUTH_TOKEN",
        "HF_TOKEN",
        "AZURE_STORAGE_ACCOUNT_KEY",
    ],
)
def test_the_value_of_a_secret_variable_is_masked_wherever_it_stands(name: str) -> None:
    assert without_credentials(f"HTTP 403 for key {SECRET}!", {name: SECRET}) == "HTTP 403 for key ***!"


def test_the_password_in_a_variables_uri_is_masked_also_alone() -> None:
    environment = {"HTTPS_PROXY": "http://ana:p%40ss-w0rd@proxy:3128"}
    assert without_credentials("login p@ss-w0rd refused, p%40ss-w0rd too", environment) == "login *** refused, *** too"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PWD", "/srv/models"),
        ("RAY_AUTH_MODE", "token-of-some-kind"),
        ("RAY_AUTH_TOKEN_PATH", "/srv/models"),
        ("TOKENIZERS_PARALLELISM", "true"),
        ("PREFECT_API_URL", "http://prefect:4200/api"),
        ("SECRET_SHORT", "abc"),
    ],
)
def test_what_is_no_secret_stays_readable(name: str, value: str) -> None:
    assert without_credentials(f"see {value}", {name: value}) == f"see {value}"


def test_every_error_of_hone_is_masked() -> None:
    for kind in (HoneError, PreflightError):
        assert str(kind(f"MLFLOW_TRACKING_URI is 'http://ana:{SECRET}@x'")) == "MLFLOW_TRACKING_URI is 'http://***@x'"


def test_an_environment_without_secrets_has_neither_them_nor_where_they_lie() -> None:
    kept = {"PATH": "/usr/bin", "OMP_NUM_THREADS": "2", "MLFLOW_TRACKING_URI": "http://mlflow:5000", "KEYBOARD": "de"}
    secret = {
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
        "PREFECT_API_KEY": "abc",  # short ones too
        "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql://ana:{SECRET}@db/prefect",
        "HTTPS_PROXY": f"http://{SECRET}@proxy:3128",
        "WEBHOOK": f"https://host/x?token={SECRET}",
    }
    assert without_secrets(kept | secret) == kept


def test_a_link_has_no_credentials() -> None:
    assert plain_uri(f"https://ana:{SECRET}@mlflow/x") == "https://mlflow/x"
    assert plain_uri("https://mlflow/x?to=a@b") == "https://mlflow/x?to=a@b"


def test_what_is_logged_is_masked_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    try:
        mask_logs()
        mask_logs()  # once is enough, and twice no harm
        try:
            raise ConnectionError(f"http://ana:{SECRET}@mlflow: refused")
        except ConnectionError:
            logging.getLogger("engine").exception("asked %s", f"http://ana:{SECRET}@mlflow")
    finally:
        logging.setLogRecordFactory(before)
    assert SECRET not in caplog.text
    assert caplog.text.count("http://***@mlflow") == 3  # message, line and error


@given(st.text(alphabet=st.characters(exclude_characters="@"), max_size=200))
def test_text_without_credentials_is_not_changed(text: str) -> None:
    if "=" not in text:
        assert without_credentials(text, {}) == text
