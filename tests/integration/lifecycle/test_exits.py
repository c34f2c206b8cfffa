"""KeyboardInterrupt and SystemExit, raised anywhere in an application, end the program."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import PATIENCE

PROGRAM = """
import asyncio, collections.abc, dataclasses, decimal, enum, logging, sys
from fraiseql_subs import *
from fraiseql_subs.adapters._tasks import Peer

def fail(*_):
    raise {exception}

class Attribute:
    @property
    def value(self): fail()

class Other(Exception):
    __str__ = fail

class Mapping(collections.abc.Mapping):
    def __getitem__(self, key): fail()
    def __iter__(self): return iter(["value"])
    def __len__(self): return 1
    def __contains__(self, key): return True

class Keys(Mapping):
    __iter__ = fail
    __contains__ = fail

class Contains(Mapping):
    __contains__ = fail

class List:
    __iter__ = fail

class Length(list):
    pass

class Sized:
    def __iter__(self): return iter([1])
    __len__ = fail

class Items:
    def __iter__(self): return self
    __next__ = fail

class Int(int):
    __str__ = fail

class Text(decimal.Decimal):
    __str__ = fail

class Enum(enum.Enum):
    A = 1
    @property
    def value(self): fail()

class Color(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Data:
    inner: object

class Dumped:
    __dataclass_fields__ = {{"value": None}}
    @property
    def value(self): fail()

class ForClient(GraphQLError):
    @property
    def message(self): fail()
    @message.setter
    def message(self, value): pass

SDL = '''
scalar Odd
scalar Even
enum Color {{ RED }}
type Thing {{ value: Int }}
type Other {{ value: Int other: Int }}
union Both = Thing | Other
type Query {{ ok: Boolean }}
type Subscription {{
  thing: Thing text: String list: [Int] color: Color odd: Odd even: Even both: Both id: ID
  raises: Int sync: Int first: Int stream: Int streams: Int
}}
'''

class Returned:
    value = None

def resolver(name):
    def resolve(event: Event):
        if Returned.value is None:
            fail()
        return Returned.value
    resolve.__name__ = resolve.__qualname__ = name
    return subscription(channel="events")(resolve)

async def first_stream():
    yield 1
    fail()

@subscription(channel="events", initial=fail_initial)
async def first(event: Event): return 1

@subscription(channel="events", initial=first_stream)
async def streams(event: Event): return 1

@subscription
async def stream():
    yield 1
    await asyncio.sleep(0)
    fail()

async def authenticate(params):
    await asyncio.sleep(0)
    fail()

async def reject(params):
    return Attributes()

class Attributes:
    claims = tenant_id = roles = permissions = expires_at = None
    @property
    def user_id(self): fail()

names = ["thing", "text", "list", "color", "odd", "even", "both", "id", "sync"]
scalars = [Scalar("Odd", serialize=fail), Scalar("Even", serialize=lambda value: value)]
functions = [first, streams, stream, *map(resolver, names)]

def made(**options):
    return SubscriptionManager(functions, schema=SDL, scalars=scalars, enums=[Color], **options)

async def results(document, value=None, **options):
    Returned.value = value
    async with made(**options) as manager:
        async with manager.subscribe("subscription {{ " + document + " }}") as results:
            await manager.publish("events", 1)
            async for result in results:
                print(f"the client was sent {{result}}", file=sys.stderr)
            await asyncio.wait_for(asyncio.Event().wait(), 30)

async def publishing(value):
    async with made() as manager:
        await manager.publish("events", value)

async def publishing_many(value):
    async with made() as manager:
        await manager.publish_many([("events", value)])

async def connecting(hook):
    async with made(security=Security(authenticate=hook)) as manager:
        connection = manager._core.connect(["graphql-transport-ws"], Peer())
        connection.receive_text('{{"type":"connection_init"}}')
        while (batch := connection.take()) is not None:
            if isinstance(batch, asyncio.Future):
                await batch
        await asyncio.wait_for(asyncio.Event().wait(), 30)

class Handler(logging.Handler):
    def emit(self, record): fail()

def to_handler():
    logging.getLogger("fraiseql_subs").addHandler(Handler())
    return results("text", object())

async def deny(params):
    return None

def to_audit():
    logging.getLogger("fraiseql_subs.audit").addHandler(Handler())
    return connecting(deny)

try:
    asyncio.run({work})
except KeyboardInterrupt:
    print("graceful", file=sys.stderr)
    sys.exit(7)
""".replace(
    '@subscription(channel="events", initial=fail_initial)',
    """
async def fail_initial():
    fail()

@subscription(channel="events", initial=fail_initial)""",
)

WORK = [
    'results("sync")',
    'results("first")',
    'results("streams")',
    'results("stream")',
    'results("thing { value }", Attribute())',
    'results("thing { value }", Mapping())',
    'results("thing { value }", Contains())',
    'results("both { ... on Thing { value } }", Keys())',
    'results("list", List())',
    'results("list", Items())',
    'results("list", Sized())',
    'results("list", iter(Items()))',
    'results("text", Text(1))',
    'results("id", Int(10**30))',
    'results("color", Enum.A)',
    'results("odd", 1)',
    'results("even", Dumped())',
    'results("even", [Mapping()])',
    "to_handler()",
    "to_audit()",
    "publishing(Dumped())",
    "publishing(Mapping())",
    "publishing(Keys())",
    "publishing(List())",
    "publishing(Items())",
    "publishing(Sized())",
    "publishing(Text(1))",
    "publishing(Enum.A)",
    "publishing(Data(Dumped()))",
    "publishing_many([Dumped()])",
    "connecting(authenticate)",
    "connecting(reject)",
]


# The value before the missing one.
FIRST = "the client was sent ExecutionResult(data={'stream': 1}"


@pytest.mark.parametrize("work", WORK)
def test_an_exit_ends_the_program(work):
    ended = run("SystemExit(7)", work)
    assert ended.returncode == 7, ended.stderr
    assert "the client was sent" not in ended.stderr.replace(FIRST, ""), ended.stderr


@pytest.mark.parametrize(
    "work",
    [
        'results("sync")',
        'results("thing { value }", Attribute())',
        "publishing(Dumped())",
        "connecting(authenticate)",
    ],
)
def test_ctrl_c_ends_the_program(work):
    ended = run("KeyboardInterrupt()", work)
    assert ended.returncode == 7, ended.stderr
    assert ended.stderr.rstrip().endswith("graceful"), ended.stderr


def run(exception: str, work: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(exception=exception, work=work)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=3 * PATIENCE
    )
