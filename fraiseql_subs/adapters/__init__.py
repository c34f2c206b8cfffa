"""Adapters pass messages between other servers and the compiled connections.

An adapter has no rules of a protocol: it accepts, passes messages on and closes.
"""

from .websocket import GraphQLTransportWSHandler, WebSocketAdapter

__all__ = ["GraphQLTransportWSHandler", "WebSocketAdapter"]
