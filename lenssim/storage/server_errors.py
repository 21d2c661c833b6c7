"""What a failed request to a server means: its cause, the way out, and whether to try again.

Each file system raises the errors of its own library (aiohttp, botocore, huggingface_hub), and
most of these are optional. So an error is recognised by the names of its classes, its HTTP status
or its S3 code. To add a case: add a rule to `_RULES`, above the more general ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from lenssim.errors import ServerError

Action = Literal["read", "written"]

_NETWORK_LIBRARIES = {
    "aiohttp", "botocore", "aiobotocore", "s3fs", "requests", "urllib3", "httpx", "httpx2",
    "httpcore", "httpcore2", "huggingface_hub", "fsspec", "gcsfs", "adlfs", "google", "azure",
}  # fmt: skip

_SIGN_IN = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to an account with "
    "that right",
    "hf": "log in with `hf auth login`, or set HF_TOKEN, as an account with that right",
    "http": "check the address and, if it is signed, that it has not expired and is valid for "
    "every file of the archive",
}
_SIGN_IN["https"] = _SIGN_IN["http"]
_OTHER_SIGN_IN = "check your credentials for it"
_IF_PUBLIC = {"s3": ", or FSSPEC_S3_ANON=true if the bucket is public"}
"""Advice that is added for reading."""

_TRY_LATER = "try again later"


@dataclass(frozen=True)
class Diagnosis:
    """Why a request failed, and what the user can do."""

    cause: str
    advice: str
    is_transient: bool
    """Whether the request may succeed if it is made again."""

    def error(self, place: str, action: Action, attempts: int = 1) -> ServerError:
        """The error for the user, one sentence.

        Args:
            place: URL of the file or folder.
            action: what could not be done with it.
            attempts: requests that were made.
        """
        after = f"after {attempts} attempts " if attempts > 1 else ""
        kept = ""
        if action == "written" and self.is_transient:
            kept = "; what is done is kept, and the same command continues from there"
        return ServerError(f"{place} cannot be {action}: {after}{self.cause}; {self.advice}{kept}.")


@dataclass(frozen=True)
class _Rule:
    """Errors of one kind, by the names of their classes, S3 codes, HTTP status or text."""

    cause: str
    advice: str
    classes: Collection[str] = ()
    codes: Collection[str] = ()
    statuses: Collection[int] = ()
    text: str | None = None
    action: Action | None = None
    """Only for requests of this kind."""
    is_transient: bool = False
    is_missing: bool = False
    """Whether the error says that a bucket or repository lacks a file or folder."""


_RULES = (
    _Rule(
        "no usable credentials were found",
        "{sign_in}",
        classes={
            "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
            "ProfileNotFound", "SSOTokenLoadError", "UnauthorizedSSOTokenError",
            "TokenRetrievalError", "NoAuthTokenError", "LocalTokenNotFoundError",
        },
    ),
    _Rule(
        "the bucket does not exist",
        "create it, or check its name",
        codes={"NoSuchBucket"},
        is_missing=True,
    ),
    _Rule(
        "the repository or its revision does not exist, or is private",
        "create it or check its name and, if it is private, {sign_in}",
        classes={"RepositoryNotFoundError", "GatedRepoError", "RevisionNotFoundError"},
        text="repository not found",
        is_missing=True,
    ),
    _Rule(
        "the bucket is in another region",
        "set AWS_DEFAULT_REGION to the region of the bucket",
        codes={
            "PermanentRedirect", "AuthorizationHeaderMalformed", "301",
            "IllegalLocationConstraintException",
        },
    ),
    _Rule(  # S3 gives no better reason where only the head of a file is asked for
        "its server refuses the request",
        "check that the credentials have not expired, and AWS_DEFAULT_REGION",
        codes={"400"},
    ),
    _Rule(
        "access is refused",
        "{sign_in}",
        classes={"PermissionError"},
        codes={"InvalidToken", "TokenRefreshRequired"},
        statuses={401, 403, 407},
    ),
    _Rule(
        "it can only be read",
        "write to a folder, or to a URL that begins with s3:// or hf://",
        classes={"NotImplementedError"},
        statuses={405, 501},
        action="written",
    ),
    _Rule(
        "the address is not valid",
        "check it",
        classes={
            "InvalidURL", "InvalidUrlClientError", "NonHttpUrlClientError", "ParamValidationError",
            "HFValidationError",
        },
    ),
    _Rule(
        "its server redirects without end",
        "check the address",
        classes={"TooManyRedirects"},
    ),
    _Rule(
        "no secure connection to its server is possible",
        "check the address and the server's certificate, or use http:// if it has none",
        classes={"SSLError", "ClientSSLError"},
    ),
    _Rule(
        "its server is not found",
        "check the address and the network",
        classes={"gaierror", "ClientConnectorDNSError"},
        is_transient=True,
    ),
    _Rule(
        "its server does not answer",
        _TRY_LATER,
        classes={
            "TimeoutError", "ServerTimeoutError", "FSTimeoutError", "TimeoutException",
            "ConnectTimeoutError", "ReadTimeoutError",
        },
        statuses={408, 504},
        is_transient=True,
    ),
    _Rule(
        "there is no connection to its server",
        f"check the address and the network, or {_TRY_LATER}",
        classes={
            "ClientConnectorError", "ConnectionRefusedError", "EndpointConnectionError",
            "ConnectError",
        },
        is_transient=True,
    ),
    _Rule(
        "its server has no space left",
        "free some, or choose another place",
        codes={"QuotaExceeded"},
        statuses={507},
    ),
    _Rule(
        "its server still fails",
        _TRY_LATER,
        statuses={425, 429, *range(500, 600)},
        is_transient=True,
    ),
    _Rule(
        "its server refuses the request",
        "check the address",
        classes={"NotImplementedError"},
        statuses=range(300, 500),
    ),
)  # fmt: skip


def diagnose(error: BaseException, place: str, action: Action) -> Diagnosis | None:
    """What a failed request means; None if the error is of another kind.

    Args:
        error: that the file system raised.
        place: URL that was asked for.
        action: what was to be done.
    """
    causes = list(_causes(error))
    names = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    status, code = http_status(error), _s3_code(causes)
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    for rule in _RULES:
        is_known = (
            not names.isdisjoint(rule.classes)
            or code in rule.codes
            or status in rule.statuses
            or (rule.text is not None and rule.text in str(error))
        )
        if is_known and rule.action in (None, action) and (rule.is_missing or not is_missing):
            protocol = place.partition("://")[0]
            sign_in = _SIGN_IN.get(protocol, _OTHER_SIGN_IN)
            if action == "read":
                sign_in += _IF_PUBLIC.get(protocol, "")
            return Diagnosis(
                f"{rule.cause} ({_detail(error, status, code)})",
                rule.advice.format(sign_in=sign_in),
                rule.is_transient,
            )
    is_network = type(error).__module__.partition(".")[0] in _NETWORK_LIBRARIES
    if is_missing or not (is_network or isinstance(error, OSError)):
        return None
    return Diagnosis(f"its server still fails ({reason(error)})", _TRY_LATER, is_transient=True)


def http_status(error: BaseException) -> int | None:
    """The HTTP status of a server's answer, where an error has one."""
    for cause in _causes(error):
        response: Any = getattr(cause, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            status = getattr(cause, "status", None) or getattr(response, "status_code", None)
        if isinstance(status, int) and status:
            return status
    return None


def is_already_there(error: BaseException) -> bool:
    """Whether a server refused to create a file because there is one."""
    return http_status(error) == HTTPStatus.PRECONDITION_FAILED


def is_past_end(error: BaseException) -> bool:
    """Whether a server refused a range because the file ends before it."""
    return http_status(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


def reason(error: BaseException) -> str:
    """The message of an error, shortened to one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200].rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        inner = getattr(seen, "os_error", None)  # where aiohttp keeps it
        seen = inner if isinstance(inner, BaseException) else seen.__cause__


def _s3_code(causes: list[BaseException]) -> str | None:
    for cause in causes:
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code"))
    return None


def _detail(error: BaseException, status: int | None, code: str | None) -> str:
    """The message of the server or the library."""
    if getattr(error, "status", None) == 0:  # aiohttp has no message for these
        return type(error).__name__
    if status is None or code is not None:
        return reason(error)
    known = status in HTTPStatus.__members__.values()
    return f"{status} {HTTPStatus(status).phrase}" if known else f"status {status}"
