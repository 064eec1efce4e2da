"""The settings of S3 as other programs find them: in the environment, in ``~/.aws``, or those of the machine.

Where they are looked for: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

from napari_ct_pyramid.errors import RequestError

_AWS = "https://s3.amazonaws.com"
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGION_SECONDS = 3
_KEPT = timedelta(minutes=5)  # botocore renews what expires sooner than this


def aws_settings(bucket: str) -> dict[str, Any]:
    """The settings of obstore's `S3Store` that it does not find itself.

    That reads the environment. boto3 finds all the rest; without any credentials, requests are anonymous.
    """
    found: dict[str, Any] = {}
    has_files = any(Path(os.environ.get(name, usual)).expanduser().is_file() for name, usual in _FILES.items())
    if has_files or "AWS_ACCESS_KEY_ID" not in os.environ:
        found = _from_boto3()
    if "endpoint" not in found and not any(os.environ.get(name) for name in _ENDPOINTS):
        found |= _region(bucket)
    return found


def certificates() -> dict[str, bytes]:
    """The certificates of a store that the user trusts, as a setting of obstore's client.

    Raises
    ------
    RequestError
        If they cannot be read.
    """
    path = os.environ.get("AWS_CA_BUNDLE")
    try:
        return {"root_certificate": Path(path).read_bytes()} if path else {}
    except OSError as error:
        raise RequestError(f"The file {path}, which AWS_CA_BUNDLE names, cannot be read: {error.strerror}.") from error


def _from_boto3() -> dict[str, Any]:
    import boto3
    from botocore.configprovider import ConfiguredEndpointProvider
    from botocore.session import get_session
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = get_session()
    files, profile = session.full_config, session.get_scoped_config()
    settings = {
        "endpoint": ConfiguredEndpointProvider(files, profile, "s3").provide(),
        "region": session.get_config_variable("region"),
    }
    found = {name: value for name, value in settings.items() if value}
    if session.get_credentials() is None:
        return {**found, "skip_signature": True}
    return {**found, "credential_provider": Boto3CredentialProvider(boto3.Session(botocore_session=session), ttl=_KEPT)}


def _region(bucket: str) -> dict[str, str]:
    """Where Amazon has the bucket, which it tells everybody; empty if there is no answer."""
    asked = urllib.request.Request(f"{_AWS}/{bucket}", method="HEAD")
    try:
        with urllib.request.build_opener(_NoRedirect).open(asked, timeout=_REGION_SECONDS) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        headers = error.headers
    except (OSError, HTTPException):
        return {}
    region = headers.get("x-amz-bucket-region")
    return {"region": region} if region else {}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The answer that redirects has the region too."""

    def redirect_request(self, *_: Any) -> None:
        return None
