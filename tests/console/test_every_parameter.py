"""Every parameter of every route with values that nobody means: never a 5xx of our own making."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from support.absurd import ABSURD, BEYOND, ENDS, ODD_DATES, QUARTERS, quarter_of
from support.boundary import close_boundary
from support.console_app import may_start
from support.published_home import DATE, make_published_home
from support.session_lake import NOON
from truetape.console.app import create, router
from truetape.host import secret_files
from truetape.host.settings import Secret, Settings

AWAY = 503
ALLOWED = {200, 400, 404, AWAY}
"""A bad value is 400, what does not exist is 404, and 503 if a server is away."""
PLAUSIBLE: Mapping[str, str] = {
    "symbol": "IBM",
    "venue": "XNYS",
    "session": DATE,
    "resolution": "1m",
    "origin": "open",
    "as_of": "2026-11-20T18:00:00Z",
    "start_ns": str(NOON),
    "from_ns": str(NOON),
    "before_ns": str(NOON),
    "cause": "late",
    "dag": "data_quality",
    "in_tab": "true",
    "run": "20261120T170000000000-abcdef",
    "name": "console.css",
}
"""A value that a route accepts, by the parameter's name."""
CHARS = ("\0", "\ud800", "a\0b", *(chr(code) for code in (1, 0x85, 0x2028, 0xFFFF, 0x10FFFF)))
"""Texts that a command line cannot carry, and a URL can."""
ROUTES = [route for route in router.routes if isinstance(route, APIRoute)]


def parameters(route: APIRoute) -> list[str]:
    dependant = route.dependant
    return [field.alias for field in (*dependant.path_params, *dependant.query_params)]


CASES = [(route, name) for route in ROUTES for name in parameters(route)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_published_home(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module", params=["embedded", "influx"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def client(store: str, home: Settings) -> Iterator[TestClient]:
    """A console on one store, in one event loop for all its requests; InfluxDB does not answer."""
    settings = replace(home, store=store, influx_url="http://127.0.0.1:1")
    secret_files.write(settings.influx_token_file, Secret("a token"))
    app = create(lambda: settings, lambda: None, may_start)
    with pytest.MonkeyPatch.context() as patch:
        close_boundary(patch)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_plausible_values_are_accepted(route: APIRoute, client: TestClient) -> None:
    assert client.get(url(route, plausible(route))).status_code in {200, 404, AWAY}


@pytest.mark.parametrize("quarter", QUARTERS)
@pytest.mark.parametrize(
    "place", range(len(CASES)), ids=[f"{route.path} {name}" for route, name in CASES]
)
def test_no_value_of_a_parameter_is_an_internal_error(
    place: int, quarter: int, store: str, client: TestClient
) -> None:
    route, name = CASES[place]
    values = (*ABSURD, *CHARS) if store == "embedded" else (*ENDS, *CHARS)
    values = quarter_of(values, quarter, place)
    urls = [url(route, {**plausible(route), name: value}) for value in values]
    assert problems(client, urls) == ""


@pytest.mark.parametrize("venue", ["", "XNYS", "BITSTAMP"])
@pytest.mark.parametrize("day", [*BEYOND, *ODD_DATES])
def test_the_ends_of_a_calendar_are_no_internal_error(
    day: str, venue: str, client: TestClient
) -> None:
    given = {"venue": venue, "session": day}
    urls = [
        url(route, {**plausible(route), **given})
        for route in ROUTES
        if "session" in parameters(route)
    ]
    assert problems(client, urls) == ""


def plausible(route: APIRoute) -> dict[str, str]:
    return {name: PLAUSIBLE[name] for name in parameters(route)}


def url(route: APIRoute, values: Mapping[str, str]) -> str:
    quoted = {name: quote(value, safe="", errors="surrogatepass") for name, value in values.items()}
    path = route.path
    for field in route.dependant.path_params:
        path = path.replace(f"{{{field.alias}}}", quoted.pop(field.alias))
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in quoted.items())}"


def problems(client: TestClient, urls: Iterable[str]) -> str:
    """Request each URL; return those whose answer is no clear one."""
    answers = {each: client.get(each).status_code for each in urls}
    return "\n".join(
        f"{status} {each[:200]}" for each, status in answers.items() if status not in ALLOWED
    )
