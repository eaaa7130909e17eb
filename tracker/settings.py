"""Every setting of mailbell, and the only reader of the environment.

`load()` reads the environment, then `.env` in the working directory (the environment wins; an unknown name in
`.env` is an error), then NAME_FILE for secrets. Everything wrong is told at once: a SettingsError holds one
line for each bad value, naming variable, value and remedy.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from models.database import DatabaseURL, DatabaseURLError, parse_database_url
from tracker.remedies import HIGHEST_PORT, check_file, check_host, remedy

_ADDRESS = "an address such as https://mail.acme.com"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """Bad settings: one line for each, ready to be shown."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def _empty_is_off(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _in_lower_case(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


Word = BeforeValidator(_in_lower_case)
Port = Annotated[int | None, Field(ge=0, le=HIGHEST_PORT), BeforeValidator(_empty_is_off)]
Secret = Annotated[SecretStr | None, BeforeValidator(_empty_is_off)]
Text = Annotated[str | None, BeforeValidator(_empty_is_off)]


class Settings(BaseModel):
    """The settings, one attribute for each variable, in lower case. Descriptions are what README shows."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    data_dir: Path = Field(Path("data"), description="journal, spool, generated key; a disk that lasts")
    database_url: str = Field("", description="`sqlite:///file.db` or `postgres://…`")
    host: str = Field("", description="listener address for all ports")
    port: Port = Field(8080, description="web port")
    base_url: str = Field("", description="public address of the tracker, in every pixel and link")
    trusted_proxies: str = Field("", description="networks whose X-Forwarded-For counts, with commas")
    secret_key: Secret = Field(None, description="signs links, encrypts passwords, keys hashes")
    slack_bot_token: Secret = Field(None, description="`xoxb-…`")
    slack_app_token: Secret = Field(None, description="`xapp-…`, for Socket Mode")
    slack_signing_secret: Secret = Field(None, description="for HTTP at `/slack/events`")
    slack_client_id: Text = Field(None, description="for several workspaces (OAuth)")
    slack_client_secret: Secret = Field(None, description="for several workspaces (OAuth)")
    slack_api_url: str = Field("https://slack.com/api/", description="for tests and proxies")
    telegram_bot_token: Secret = Field(None, description="from @BotFather")
    telegram_webhook_secret: Secret = Field(None, description="webhook instead of polling")
    telegram_api_url: str = Field("https://api.telegram.org/bot", description="for tests and proxies")
    capture_domain: Text = Field(None, description="domain of the capture addresses")
    capture_port: Port = Field(2525, description="BCC capture")
    submission_port: Port = Field(2587, description="send through, STARTTLS")
    submissions_port: Port = Field(2465, description="send through, implicit TLS")
    tls_cert: Text = Field(None, description="certificate for the mail ports")
    tls_key: Text = Field(None, description="its key")
    public_smtp_host: Text = Field(None, description="mail host as seen from outside")
    public_submission_port: Port = Field(587, description="submission port as seen from outside")
    google_client_id: Text = Field(None, description="XOAUTH2 for Gmail")
    google_client_secret: Secret = Field(None, description="XOAUTH2 for Gmail")
    microsoft_client_id: Text = Field(None, description="XOAUTH2 for Microsoft 365")
    microsoft_client_secret: Secret = Field(None, description="XOAUTH2 for Microsoft 365")
    allow_private_upstream: bool = Field(False, description="permits upstream servers on private addresses")
    arm_after_seconds: int = Field(
        60, ge=0, le=31_536_000, description="when a composed mail counts; 0 = at once"
    )
    retention_days: int = Field(180, ge=1, le=36_500, description="how long hits are kept")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Word] = Field(
        "info", description="how much is logged"
    )
    log_format: Annotated[Literal["console", "json"], Word] = Field("console", description="how it is logged")
    metrics_token: Secret = Field(None, description="bearer token for `/metrics`")
    geoip_db: Text = Field(None, description="MaxMind file, switches location on")
    sentry_dsn: Secret = Field(None, description="where errors are reported")

    @field_validator("base_url")
    @classmethod
    def _base_url_is_an_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:  # what follows the colon is no port, or a [ is not closed
            raise ValueError(f"put {_ADDRESS}, with a port from 1 to 65535 if any") from None
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query):
            raise ValueError(f"put {_ADDRESS}, without a query")
        # It stands in every mail: what a browser or an HTML attribute reads in another way must not be in it.
        if re.search(r"""[\s\x00-\x1f\x7f"'<>\\^`{|}#@]""", value):
            raise ValueError(f"put {_ADDRESS}, with nothing but letters, digits, - . : and / in it")
        if port == 0:
            raise ValueError("put a port that can be reached, or none")
        return value.rstrip("/")

    @field_validator("host")
    @classmethod
    def _host_is_an_address_or_a_name(cls, value: str) -> str:
        return value and check_host(
            value.strip(), "an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all"
        )

    @field_validator("capture_domain", "public_smtp_host")
    @classmethod
    def _domain_is_one(cls, value: str | None) -> str | None:
        return value and check_host(value.strip(), "a domain, such as mail.acme.com")

    @field_validator("tls_cert", "tls_key", "geoip_db")
    @classmethod
    def _file_can_be_read(cls, value: str | None) -> str | None:
        return value and check_file(value)

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _telegram_takes_the_secret(cls, value: SecretStr | None) -> SecretStr | None:
        """As https://core.telegram.org/bots/api#setwebhook wants it."""
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", value.get_secret_value()):
            raise ValueError("put 1 to 256 letters, digits, _ or -, such as from `openssl rand -hex 32`")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: str) -> str:
        for part in filter(None, (one.strip() for one in value.split(","))):
            try:
                ipaddress.ip_network(part, strict=False)
            except ValueError:
                raise ValueError(
                    f"{part!r} is no network; put networks with commas between, such as 10.0.0.0/8,::1"
                ) from None
        return value

    @field_validator("slack_api_url", "telegram_api_url")
    @classmethod
    def _api_is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("put an address that begins with http:// or https://, or leave it away")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_can_be_read(cls, value: str) -> str:
        if value:
            try:
                parse_database_url(value)
            except DatabaseURLError as error:
                raise ValueError(str(error)) from None
        return value

    @cached_property
    def database(self) -> DatabaseURL:
        """DATABASE_URL, parsed; a SQLite file in DATA_DIR by default."""
        if not self.database_url:
            return DatabaseURL("sqlite", path=self.data_dir / "mailbell.db")
        return parse_database_url(self.database_url)

    @cached_property
    def public_url(self) -> str:
        """BASE_URL without a slash at the end; this machine by default."""
        return self.base_url or f"http://localhost:{self.port or 8080}"

    @cached_property
    def is_trial(self) -> bool:
        """A start with BASE_URL on loopback: somebody tries mailbell on their own machine."""
        return is_loopback(self.public_url)

    @cached_property
    def listen_host(self) -> str:
        """HOST, or loopback in a trial and everywhere otherwise."""
        return self.host or ("127.0.0.1" if self.is_trial else "0.0.0.0")  # noqa: S104, that is what it is for

    @cached_property
    def proxies(self) -> tuple[Network, ...]:
        """TRUSTED_PROXIES as networks."""
        parts = (one.strip() for one in self.trusted_proxies.split(","))
        return tuple(ipaddress.ip_network(part, strict=False) for part in parts if part)

    @cached_property
    def key(self) -> str:
        """SECRET_KEY; in a trial without one, a key generated once into DATA_DIR."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        path = self.data_dir / "secret_key"
        with suppress(FileNotFoundError):
            if found := path.read_text().strip():
                return found
            path.unlink(missing_ok=True)  # an empty key would sign for everybody
        self.data_dir.mkdir(parents=True, exist_ok=True)
        _make_key(path)
        return path.read_text().strip()

    @property
    def has_chats(self) -> bool:
        """Whether a Slack or Telegram token is set."""
        return self.slack_bot_token is not None or self.telegram_bot_token is not None

    @property
    def idle(self) -> list[str]:
        """Names of the settings that are set and do nothing yet: nobody shall rely on them."""
        return [name for name in ("GEOIP_DB", "SENTRY_DSN") if getattr(self, name.lower()) is not None]


def _make_key(path: Path) -> None:
    """Writes a new key to `path`, whole or not at all, unless another process of this instance was first."""
    unready = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(unready, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(unready)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            unready.rename(path)
    finally:
        unready.unlink(missing_ok=True)


def is_loopback(url: str) -> bool:
    """Whether the address's host is this machine itself; what cannot be read is not."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(environment: Mapping[str, str], directory: Path = Path()) -> Settings:
    """Settings from `environment`, then `directory/.env`; SettingsError holds one line for each fault."""
    values, wrong = _gather(environment, directory)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(wrong + _explain(error, values) + _misfits(values)) from None
    wrong += _misfits(values)
    if wrong:
        raise SettingsError(wrong)
    return settings


def _gather(environment: Mapping[str, str], directory: Path) -> tuple[dict[str, str], list[str]]:
    """What is given for each setting, by its name in lower case, and what is wrong with the giving."""
    known = {name.upper() for name in Settings.model_fields}
    wrong: list[str] = []
    in_file: dict[str, str] = {}
    try:
        with suppress(FileNotFoundError), (directory / ".env").open(encoding="utf-8") as lines:
            for one in parse_stream(lines):
                if one.key is not None:
                    in_file[one.key] = one.value or ""
                if one.error or (one.key is not None and one.value is None):
                    text = one.original.string
                    number = one.original.line + len(text) - len(text.lstrip("\n"))
                    wrong.append(f".ENV: line {number} of .env is no setting; write NAME=value")
    except UnicodeDecodeError:
        wrong.append(".ENV: .env is no UTF-8 text; save it as UTF-8")
    except OSError as error:
        wrong.append(f".ENV: .env cannot be read ({error.strerror}); make it readable, or remove it")
    for name in in_file:
        if name not in known and name.removesuffix("_FILE") not in SECRETS:
            near = difflib.get_close_matches(name, known, 1)
            wrong.append(
                f"{name}: is no setting of mailbell (in .env); "
                + (f"did you mean {near[0]}?" if near else "remove it")
            )
    given = {**in_file, **environment}
    values = {name.lower(): given[name] for name in known if name in given}
    for name in sorted(SECRETS):
        path = given.get(f"{name}_FILE")
        if path:
            try:
                values[name.lower()] = Path(path).read_text().strip()
            except OSError as error:
                wrong.append(f"{name}_FILE: {path} cannot be read ({error.strerror}); name a readable file")
            except ValueError:
                wrong.append(f"{name}_FILE: {path!r} holds no UTF-8 text; name a file with just the secret")
    # An empty value means "not set", but for a port: there it switches the listener off.
    return {k: v for k, v in values.items() if v != "" or k.endswith("port")}, wrong


SECRETS = {name.upper() for name, one in Settings.model_fields.items() if one.annotation == SecretStr | None}


def _misfits(given: Mapping[str, str]) -> list[str]:
    """What is wrong between settings that are each fine."""
    wrong = []
    if "slack_bot_token" in given and not {"slack_app_token", "slack_signing_secret"} & set(given):
        wrong.append(
            "SLACK_BOT_TOKEN: is set alone; add SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP)"
        )
    for one, bot in (
        ("slack_app_token", "slack_bot_token"),
        ("slack_signing_secret", "slack_bot_token"),
        ("telegram_webhook_secret", "telegram_bot_token"),
    ):
        if one in given and bot not in given and "slack_client_id" not in given:
            wrong.append(f"{one.upper()}: is set without {bot.upper()}; add that, or remove this")
    for one, other in (
        ("slack_client_id", "slack_client_secret"),
        ("google_client_id", "google_client_secret"),
        ("microsoft_client_id", "microsoft_client_secret"),
        ("tls_cert", "tls_key"),
    ):
        if (one in given) != (other in given):
            there, missing = (one, other) if one in given else (other, one)
            wrong.append(f"{there.upper()}: is set without {missing.upper()}; set both or none")
    key, url = given.get("secret_key"), given.get("base_url", "http://localhost")
    if key is None and not is_loopback(url):
        wrong.append(
            f"SECRET_KEY: is empty while BASE_URL is {url}; put 32 or more random characters, "
            "such as from `openssl rand -hex 32`"
        )
    if key is not None and len(key) < 16:
        wrong.append("SECRET_KEY: is shorter than 16 characters; put 32 or more random ones")
    return wrong


def _explain(error: ValidationError, given: Mapping[str, str]) -> list[str]:
    """One line for each fault; a value that may hold a password is never shown."""
    lines: list[str] = []
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0])
        hidden = name.upper() in SECRETS or name == "database_url"
        found = "its value" if hidden else repr(given.get(name, ""))
        field = Settings.model_fields[name]
        instead = remedy(field, fault["type"], fault["msg"], fault.get("ctx", {}))
        lines.append(f"{name.upper()}: {found} cannot be used; {instead}")
    return lines
