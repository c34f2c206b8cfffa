"""Sends an operation over HTTP: as a stream of events, as multipart, or with one response.

Not here: how streams are read (`_subscribe_streams`). Importing this needs the extra `cli`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
from collections.abc import AsyncGenerator, Mapping

import httpx

from ._endpoint import CONNECT_TIMEOUT, TOKEN, Endpoint, cause_of
from ._subscribe_request import Attempt, ConnectionLost, Result, ServerRefusal, Transport
from ._subscribe_streams import multipart_results, read_result, server_sent_results

_SSE = "text/event-stream"
_MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'
_JSON = "application/graphql-response+json, application/json;q=0.9"

ACCEPTED = {"sse": _SSE, "multipart": _MULTIPART, "http": _JSON}
"""What a request accepts, by the name of the protocol."""

BUSY = (429, 502, 503, 504)
"""Statuses after which another attempt may succeed."""

TOKEN_HINT = f"if it asks for a token, pass --token, or set {TOKEN}"
"""What to do about a client that is refused."""


def http_transport(endpoint: Endpoint, protocol: str) -> Transport:
    """Return what sends operations.

    Args:
        endpoint: The server.
        protocol: `sse`, `multipart`, `http`, or `auto`, with which the server chooses.
    """

    async def results(attempt: Attempt) -> AsyncGenerator[Result, None]:
        try:
            async with endpoint.client(timeout=None) as client:
                request = _request(client, endpoint, attempt, protocol)
                async with contextlib.aclosing(_answers(client, request, attempt)) as answers:
                    async for answer in answers:
                        yield answer
        except httpx.TransportError as error:
            raise ConnectionLost(cause_of(error, endpoint)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerRefusal(str(error)) from error

    return results


def _request(
    client: httpx.AsyncClient, endpoint: Endpoint, attempt: Attempt, protocol: str
) -> httpx.Request:
    if protocol == "auto":
        accepted = f"{_SSE}, {_MULTIPART};q=0.9" if attempt.is_subscription else _JSON
    else:
        accepted = ACCEPTED[protocol]
    # Those of the user come last, so they count.
    headers = httpx.Headers({"accept": accepted, "content-type": "application/json"})
    headers.update(list(endpoint.headers))
    # In ASCII: a text that is not Unicode is for the server to refuse.
    body = json.dumps(attempt.payload).encode()
    return client.build_request("POST", endpoint.http_url, content=body, headers=headers)


async def _answers(
    client: httpx.AsyncClient, request: httpx.Request, attempt: Attempt
) -> AsyncGenerator[Result, None]:
    sending = client.send(request, stream=True)
    # The response to a query begins when it has its result.
    limit = CONNECT_TIMEOUT if attempt.is_subscription else None
    try:
        response = await asyncio.wait_for(sending, limit)
    except asyncio.TimeoutError:
        raise ConnectionLost(f"no answer within {CONNECT_TIMEOUT:g} s") from None
    async with contextlib.aclosing(response):
        kind = response.headers.get("content-type", "")
        media_type = kind.partition(";")[0].strip().lower()
        if response.status_code == 200 and media_type == _SSE:
            attempt.connected("sse")
            results = server_sent_results(response.aiter_bytes())
        elif response.status_code == 200 and media_type == "multipart/mixed":
            attempt.connected("multipart")
            results = multipart_results(response.aiter_bytes(), kind)
        else:
            yield await _single(response, media_type, attempt)
            return
        async with contextlib.aclosing(results):
            async for result in results:
                yield result


async def _single(response: httpx.Response, media_type: str, attempt: Attempt) -> Result:
    """Return the result of a response that is no stream."""
    body = await response.aread()
    if response.status_code in BUSY:
        raise ConnectionLost(
            status_text(response.status_code), retry_after=retry_after(response.headers)
        )
    result: object = None
    if media_type.endswith("json"):
        with contextlib.suppress(ValueError, RecursionError):
            result = json.loads(body)
    is_refused = response.status_code in (401, 403)
    if is_refused or not isinstance(result, dict) or not ("data" in result or "errors" in result):
        raise ServerRefusal(refusal_of(response.status_code, response.headers))
    if response.is_success:
        attempt.connected("http")
    return read_result(body)


def status_text(status: int) -> str:
    """Return a status with its phrase."""
    with contextlib.suppress(ValueError):
        return f"{status} {http.HTTPStatus(status).phrase}"
    return str(status)


def refusal_of(status: int, headers: Mapping[str, str]) -> str:
    """Return what a response means that has no result."""
    if status == 404:
        return "404 Not Found: write the path of the GraphQL endpoint, such as /graphql"
    if 300 <= status < 400:
        return f"{status_text(status)}: write the URL {headers.get('location', 'it leads to')}"
    if status in (401, 403):
        return f"{status_text(status)}: {TOKEN_HINT}"
    if status == 200:
        return "the response is no GraphQL: write the path of the GraphQL endpoint, or ws://"
    return status_text(status)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return how long a response asks clients to wait (seconds); dates are not read."""
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else 0.0
