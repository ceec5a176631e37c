"""The ``notify:`` part of an audit: who is notified of the result of a run, and how. It contains no secret."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corpus_audit.schemas.spec.local_paths import PathText

Event = Literal["pass", "warn", "fail", "none", "unjudged", "unchanged", "error"]
"""The result of a run: its verdict, ``unjudged`` without a policy, ``unchanged``, or the error that ended it."""

EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class NotifySpec(BaseModel):
    """A command or a webhook that is given the Markdown summary when a run ends."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    when: Annotated[tuple[Event, ...], Field(min_length=1)] = Field(
        default=("fail", "none", "error"),
        description="Events to notify of: a verdict, unjudged (no policy), unchanged (--if-changed), error (no run).",
    )
    command: Annotated[tuple[PathText, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="A program and its arguments, started in this file's folder, no shell; the summary is its input.",
    )
    webhook: str | None = Field(
        default=None, description="A URL that JSON is posted to; https, or http on this machine."
    )
    webhook_env: EnvironmentName | None = Field(
        default=None, description="The environment variable that holds the URL, where the URL itself is a secret."
    )
    token_env: EnvironmentName | None = Field(
        default=None, description="The environment variable that holds a bearer token for the webhook."
    )
    timeout: Annotated[float, Field(gt=0, le=600)] = Field(default=30.0, description="Timeout in seconds.")

    @model_validator(mode="after")
    def _has_exactly_one_target(self) -> NotifySpec:
        if sum(target is not None for target in (self.command, self.webhook, self.webhook_env)) != 1:
            raise ValueError("give one of command, webhook and webhook_env")
        if self.command is not None and self.token_env is not None:
            raise ValueError("token_env is for webhooks: a command has the environment")
        if self.webhook is not None and (problem := url_problem(self.webhook)) is not None:
            raise ValueError(f"webhook: {problem}")
        return self


def url_problem(url: str) -> str | None:
    """Why a URL cannot be used as a webhook; None if it can. The text does not repeat the URL."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    if not host or any(character.isspace() or not character.isprintable() for character in url):
        return "it is not a URL"
    if parts.username is not None or parts.password is not None:
        return "credentials do not belong in a URL: use token_env"
    if parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK):
        return None
    return "it must begin with https:// (http:// only for this machine)"
