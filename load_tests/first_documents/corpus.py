"""The schema and the documents that every contender reads.

A document has `NUMBER` in the name of its operation, so that a contender can make texts of it that
it has never seen.
"""

from __future__ import annotations

from typing import Any

SDL = """
enum Status { NEW PAID SENT GONE }
input Range { least: Float most: Float }
input Filter { status: [Status!] customer: ID total: Range text: String }
type Address { street: String! city: String! zip: String country: String! }
type Person { id: ID! name: String! email: String address: Address }
type Company { id: ID! title: String! taxNumber: String address: Address contact: Person }
union Customer = Person | Company
type Product { sku: ID! name: String! price(currency: String): Float! stock: Int! }
type Item {
  position: Int! quantity: Int! price(currency: String): Float! note: String product: Product!
}
type Order {
  id: ID! status: Status! total(currency: String): Float! note: String createdAt: String!
  customer: Customer! items(first: Int, status: Status): [Item!]! related(filter: Filter): [Order!]!
}
type Query { ok: Boolean! }
type Subscription { orderUpdated(filter: Filter, first: Int): Order! }
"""

SMALL = "subscription SmallNUMBER { orderUpdated { id status total note createdAt } }"

MEDIUM = """
subscription MediumNUMBER(
  $filter: Filter, $items: Int = 10, $details: Boolean!, $short: Boolean = false
) {
  orderUpdated(filter: $filter, first: 5) {
    ...Head
    customer {
      __typename
      ... on Person { ...Contact address { ...Place } }
      ... on Company {
        id title taxNumber @include(if: $details) address { ...Place } contact { ...Contact }
      }
    }
    items(first: $items, status: PAID) @skip(if: $short) {
      position quantity euros: price(currency: "EUR") note
      product { sku name stock dollars: price(currency: "USD") }
    }
    related(filter: {status: [PAID, SENT], total: {least: 10.5}}) @include(if: $details) {
      ...Head
      customer { ... on Person { name } ... on Company { title } }
    }
  }
}
fragment Head on Order { id status total note createdAt }
fragment Contact on Person { id name email }
fragment Place on Address { street city zip country }
"""

# Near the default limits: about 900 fields with the fragments spread out, 90 aliases, 3,000 tokens.
LARGE_PARTS = 30


def _large() -> str:
    parts = []
    fragments = []
    for n in range(LARGE_PARTS):
        parts.append(
            f"""
    part{n}: related(
      filter: {{status: [PAID, SENT], customer: "c{n}", total: {{least: {n}.5, most: 1000}}}}
    ) {{
      ...Head
      items{n}: items(first: {n + 1}, status: SENT) {{
        position quantity note product {{ ...Goods }}
      }}
      customer {{
        ... on Person {{ id name address {{ ...Place }} }} ... on Company {{ ...Firm{n} }}
      }}
      total{n}: total(currency: "EUR") id status
    }}"""
        )
        fragments.append(
            f"\nfragment Firm{n} on Company {{ id title taxNumber contact {{ name email }} }}"
        )
    return (
        "subscription LargeNUMBER($first: Int) {\n  orderUpdated(first: $first) {"
        + "".join(parts)
        + "\n  }\n}\nfragment Head on Order { id status total note createdAt }"
        + "\nfragment Goods on Product { sku name stock }"
        + "\nfragment Place on Address { street city zip country }"
        + "".join(fragments)
        + "\n"
    )


VARIABLES: dict[str, dict[str, Any]] = {
    "small": {},
    "medium": {"filter": {"status": ["PAID"], "text": "shoes"}, "details": True},
    "large": {"first": 3},
}
DOCUMENTS = {"small": SMALL, "medium": MEDIUM, "large": _large()}


def corpus() -> dict[str, Any]:
    """The schema and the documents, for programs in other languages."""
    documents = [
        {"name": name, "text": text, "variables": VARIABLES[name]}
        for name, text in DOCUMENTS.items()
    ]
    return {"sdl": SDL, "documents": documents}
