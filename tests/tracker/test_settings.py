import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.settings import Settings, SettingsError, load

PUBLIC = {"BASE_URL": "https://mail.acme.com", "SECRET_KEY": "k" * 32}


def faults(environment: dict[str, str], directory: Path) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environment, directory)
    return caught.value.lines


def test_a_trial_needs_no_setting_at_all(tmp_path):
    settings = load({}, tmp_path)
    assert settings.public_url == "http://localhost:8080"
    assert settings.is_trial
    assert settings.listen_host == "127.0.0.1"
    assert settings.database.path == Path("data/mailbell.db")
    assert not settings.has_chats


def test_a_public_instance_listens_everywhere(tmp_path):
    settings = load({**PUBLIC, "BASE_URL": "https://mail.acme.com/"}, tmp_path)
    assert settings.public_url == "https://mail.acme.com"
    assert not settings.is_trial
    assert settings.listen_host == "0.0.0.0"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[::1]:9", "http://a.localhost"])
def test_loopback_addresses_are_a_trial(url, tmp_path):
    assert load({"BASE_URL": url}, tmp_path).is_trial


def test_a_public_instance_without_a_key_is_refused_with_the_remedy(tmp_path):
    (line,) = faults({"BASE_URL": "https://mail.acme.com"}, tmp_path)
    assert line.startswith("SECRET_KEY: is empty while BASE_URL is https://mail.acme.com; put 32")


def test_everything_wrong_is_told_at_once(tmp_path):
    lines = faults(
        {
            "PORT": "eighty",
            "LOG_LEVEL": "loud",
            "RETENTION_DAYS": "0",
            "DATABASE_URL": "mysql://alice:hunter2@db/x",
            "SLACK_BOT_TOKEN": "xoxb-1",
            "TRUSTED_PROXIES": "10.0.0.0/8, nonsense",
            "TLS_CERT": "cert.pem",
        },
        tmp_path,
    )
    assert {line.partition(":")[0] for line in lines} == {
        "PORT",
        "LOG_LEVEL",
        "RETENTION_DAYS",
        "DATABASE_URL",
        "SLACK_BOT_TOKEN",
        "TRUSTED_PROXIES",
        "TLS_CERT",
    }
    assert (
        "PORT: 'eighty' cannot be used; put a number from 0 to 65535, or leave it empty to switch this off"
        in lines
    )
    assert not any("hunter2" in line or "xoxb" in line for line in lines)


def test_the_environment_wins_over_the_file(tmp_path):
    (tmp_path / ".env").write_text("PORT=9000\nARM_AFTER_SECONDS=5\n")
    settings = load({"PORT": "9001"}, tmp_path)
    assert (settings.port, settings.arm_after_seconds) == (9001, 5)


def test_an_unknown_name_in_the_file_is_an_error_with_the_nearest_name(tmp_path):
    (tmp_path / ".env").write_text("BASE_ULR=http://localhost\n")
    assert faults({}, tmp_path) == ["BASE_ULR: is no setting of mailbell (in .env); did you mean BASE_URL?"]


def test_a_line_of_the_file_that_sets_nothing_is_named(tmp_path):
    (tmp_path / ".env").write_text("# mine\n\nexport PORT=9000\n\nPORT 9001\nLOG_LEVEL\nHOST=127.0.0.1\n")
    assert faults({}, tmp_path) == [
        ".ENV: line 5 of .env is no setting; write NAME=value",
        ".ENV: line 6 of .env is no setting; write NAME=value",
    ]


def test_a_directory_in_place_of_the_file_is_named(tmp_path):
    (tmp_path / ".env").mkdir()
    (line,) = faults({}, tmp_path)
    assert line.startswith(".ENV: .env cannot be read")


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("SLACK_APP_TOKEN", "SLACK_BOT_TOKEN"),
        ("SLACK_SIGNING_SECRET", "SLACK_BOT_TOKEN"),
        ("TELEGRAM_WEBHOOK_SECRET", "TELEGRAM_BOT_TOKEN"),
    ],
)
def test_what_is_of_no_use_alone_names_what_is_missing(tmp_path, name, missing):
    (line,) = faults({name: "x"}, tmp_path)
    assert line == f"{name}: is set without {missing}; add that, or remove this"


def test_an_unknown_name_in_the_environment_is_somebody_elses(tmp_path):
    assert load({"PATH": "/bin", "BASE_ULR": "x"}, tmp_path).is_trial


def test_a_secret_can_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text("s" * 40 + "\n")
    settings = load({"SECRET_KEY_FILE": str(tmp_path / "key")}, tmp_path)
    assert settings.key == "s" * 40


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path):
    (line,) = faults({"METRICS_TOKEN_FILE": str(tmp_path / "none")}, tmp_path)
    assert line.startswith("METRICS_TOKEN_FILE: ")
    assert "No such file" in line


def test_a_secret_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "key").write_bytes(b"\xff\xfe" * 30)
    (line,) = faults({"METRICS_TOKEN_FILE": str(tmp_path / "key")}, tmp_path)
    assert line.startswith("METRICS_TOKEN_FILE: ")
    assert "UTF-8" in line


@pytest.mark.parametrize("content", ["PORT=1\n".encode("utf-16"), b"# caf\xe9\nPORT=1\n"])
def test_a_file_in_another_encoding_is_told_and_not_half_read(tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    (line,) = faults({}, tmp_path)
    assert "save it as UTF-8" in line


@pytest.mark.parametrize(
    "url",
    [
        "https://mail.acme.com:80:80",
        "https://mail.acme.com:99999",
        "https://mail.acme.com:0",
        "https://mail acme.com",
        'https://mail.acme.com/"><script>',
        "https://mail.acme.com\\@evil.com",
        "https://user:password@mail.acme.com",
        "https://mail.acme.com/#here",
        "https://mail.acme.com\r\nX: y",
    ],
)
def test_an_address_that_browsers_read_differently_is_refused(tmp_path, url):
    (line,) = faults({**PUBLIC, "BASE_URL": url}, tmp_path)
    assert line.startswith("BASE_URL: ")


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("CAPTURE_PORT", "65536", "put a number from 0 to 65535, or leave it empty to switch this off"),
        ("PORT", "-1", "put a number from 0 to 65535, or leave it empty to switch this off"),
        ("RETENTION_DAYS", "0", "put a whole number of 1 or more"),
        ("RETENTION_DAYS", "a week", "put a whole number of 1 or more"),
        ("RETENTION_DAYS", "7.5", "put a whole number of 1 or more"),
        ("RETENTION_DAYS", "99999999999999999999", "put a whole number of 36500 or less"),
        ("ARM_AFTER_SECONDS", "-1", "put a whole number of 0 or more"),
        ("ALLOW_PRIVATE_UPSTREAM", "maybe", "put true or false"),
        ("LOG_LEVEL", "loud", "put one of debug, info, warning, error"),
        ("LOG_FORMAT", "xml", "put one of console, json"),
        ("HOST", "300.1.1.1", "put an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all"),
        ("HOST", "http://here", "put an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all"),
        ("CAPTURE_DOMAIN", "in acme.com", "put a domain, such as mail.acme.com"),
        ("PUBLIC_SMTP_HOST", "smtp://x", "put a domain, such as mail.acme.com"),
        ("GEOIP_DB", "/", "put the path of a file that can be read (this one: Is a directory)"),
        (
            "BASE_URL",
            "http://localhost:port",
            "put an address such as https://mail.acme.com, with a port from 1 to 65535 if any",
        ),
        ("SLACK_API_URL", "slack", "put an address that begins with http:// or https://, or leave it away"),
        (
            "TRUSTED_PROXIES",
            "proxy",
            "'proxy' is no network; put networks with commas between, such as 10.0.0.0/8,::1",
        ),
    ],
)
def test_each_refused_value_is_named_with_what_to_put(tmp_path, name, value, remedy):
    assert faults({name: value}, tmp_path) == [f"{name}: {value!r} cannot be used; {remedy}"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "localhost", "web-1.internal", " ::1 "])
def test_a_host_is_an_address_or_a_name(tmp_path, host):
    assert load({"HOST": host}, tmp_path).listen_host == host.strip()


@pytest.mark.parametrize("secret", ["a" * 257, "with space", "ümlaut", "a+b/c=", "line\nend\n"])
def test_a_webhook_secret_that_telegram_refuses_is_refused_and_not_shown(tmp_path, secret):
    (line,) = faults({"TELEGRAM_BOT_TOKEN": "1:x", "TELEGRAM_WEBHOOK_SECRET": secret}, tmp_path)
    assert line == (
        "TELEGRAM_WEBHOOK_SECRET: its value cannot be used; "
        "put 1 to 256 letters, digits, _ or -, such as from `openssl rand -hex 32`"
    )


@pytest.mark.parametrize("secret", ["a", "A-b_9" * 51])
def test_a_webhook_secret_that_telegram_takes_is_taken(tmp_path, secret):
    given = {"TELEGRAM_BOT_TOKEN": "1:x", "TELEGRAM_WEBHOOK_SECRET": secret}
    taken = load(given, tmp_path).telegram_webhook_secret
    assert taken is not None
    assert taken.get_secret_value() == secret


def test_files_that_are_given_must_be_readable(tmp_path):
    certificate = tmp_path / "cert.pem"
    lines = faults({"TLS_CERT": str(certificate), "TLS_KEY": str(tmp_path / "key.pem")}, tmp_path)
    assert [line.partition(":")[0] for line in lines] == ["TLS_CERT", "TLS_KEY"]
    assert all(
        line.endswith("put the path of a file that can be read (this one: No such file or directory)")
        for line in lines
    )
    certificate.write_text("x")
    assert load({"TLS_CERT": str(certificate), "TLS_KEY": str(certificate)}, tmp_path).tls_cert


def test_a_pipe_is_no_file_to_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (line,) = faults({"GEOIP_DB": str(tmp_path / "pipe")}, tmp_path)
    assert line.endswith("(this one: it is a pipe)")


def test_words_are_taken_in_any_case(tmp_path):
    settings = load({"LOG_LEVEL": "WARNING", "LOG_FORMAT": "Json", "ALLOW_PRIVATE_UPSTREAM": "Yes"}, tmp_path)
    assert (settings.log_level, settings.log_format) == ("warning", "json")
    assert settings.allow_private_upstream


def test_an_empty_port_switches_its_listener_off(tmp_path):
    settings = load({"CAPTURE_PORT": "", "PORT": ""}, tmp_path)
    assert settings.capture_port is None
    assert settings.port is None


def test_a_trial_makes_its_key_once_and_keeps_it_to_itself(tmp_path):
    first = load({"DATA_DIR": str(tmp_path / "data")}, tmp_path)
    again = load({"DATA_DIR": str(tmp_path / "data")}, tmp_path)
    assert len(first.key) == 64
    assert first.key == again.key
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_an_empty_key_file_never_becomes_the_key(tmp_path):
    (tmp_path / "secret_key").write_text("")
    settings = load({"DATA_DIR": str(tmp_path)}, tmp_path)
    assert len(settings.key) == 64
    assert [one.name for one in tmp_path.iterdir()] == ["secret_key"]
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_secrets_do_not_show_in_a_printed_settings_object(tmp_path):
    settings = load({**PUBLIC, "TELEGRAM_BOT_TOKEN": "123:abc"}, tmp_path)
    assert "123:abc" not in repr(settings)
    assert PUBLIC["SECRET_KEY"] not in repr(settings)


@given(
    st.dictionaries(
        st.sampled_from([name.upper() for name in Settings.model_fields]), st.text(max_size=40), max_size=6
    )
)
def test_no_value_whatever_raises_anything_but_a_settings_error(tmp_path_factory, environment):
    lines: list[str] = []
    try:
        load(environment, tmp_path_factory.getbasetemp())
    except SettingsError as error:
        lines = error.lines
    assert all(line.split(":")[0].isupper() for line in lines)
