"""The whole API asked with generated requests, as each role, against a running web process with a gateway.

schemathesis makes the requests from the OpenAPI document the process itself serves, and checks each answer against it:
no error of the server, no status, content type or body outside the description.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

ENDLESS = ("stream_get",)
"""Operations whose answer does not end."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
TIMEOUT_S = 15


class SignedIn(NamedTuple):
    """A person signed in: their role, cookies and CSRF token."""

    role: str
    cookies: dict[str, str]
    csrf: str


class Campaign:
    """Requests of one person after another. faults: operation and role -> what was wrong, told once each."""

    def __init__(self, address: str, examples: int, start: int = 1) -> None:
        self._address = address
        self._examples = examples
        self._start = start
        self.answers: Counter[str] = Counter()
        self.faults: dict[str, str] = {}
        self.operations: set[str] = set()

    def run(self, person: SignedIn, stop_s: float | None = None) -> None:
        """Every operation as this person, until monotonic time `stop_s` if given."""
        with requests.Session() as session:
            session.cookies.update(person.cookies)
            session.headers["X-CSRF-Token"] = person.csrf
            document = session.get(f"{self._address}/api/v1/openapi.json", timeout=TIMEOUT_S).json()
            # Without these it would make cookies and tokens up, and be told to sign in.
            del document["components"]["securitySchemes"]
            for methods in document["paths"].values():
                for described in methods.values():
                    described.pop("security", None)
            schema = schemathesis.openapi.from_dict(document)
            for found in schema.get_all_operations():
                assert isinstance(found, Ok), found
                operation = found.ok()
                name = str(operation.definition.raw["operationId"])
                if name not in ENDLESS and (stop_s is None or time.monotonic() < stop_s):
                    self.operations.add(name)
                    self._ask(operation, name, person, session)

    def _ask(self, operation: Any, name: str, person: SignedIn, session: requests.Session) -> None:
        @seed(self._start)
        @settings(
            max_examples=self._examples,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            answer = case.call(base_url=self._address, session=session, timeout=TIMEOUT_S)
            self.answers[str(answer.status_code)] += 1
            try:
                case.validate_response(answer, checks=CHECKS)
            except (Failure, FailureGroup) as exc:
                self.faults.setdefault(f"{name} as {person.role}", str(exc)[:1500])

        ask()


def campaign(
    address: str, people: Iterable[SignedIn], examples: int, say: Callable[[str], None], start: int = 1
) -> dict[str, Any]:
    """Everybody in turn. `passed` when nothing was wrong."""
    made = Campaign(address, examples, start)
    begun_s = time.monotonic()
    for person in people:
        made.run(person)
        say(f"{person.role}: {sum(made.answers.values())} answers so far, {len(made.faults)} wrong")
    return {
        "operations": len(made.operations),
        "answers": dict(sorted(made.answers.items())),
        "faults": made.faults,
        "seconds": round(time.monotonic() - begun_s, 1),
        "passed": not made.faults,
    }


def main() -> int:
    """Reads {address, people, examples, seed} from stdin and prints what was found, as JSON: a process of its own."""
    given_in = json.load(sys.stdin)
    people = [SignedIn(**person) for person in given_in["people"]]

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    print(json.dumps(campaign(given_in["address"], people, given_in["examples"], say, given_in["seed"])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
