"""Other servers: adapters carry messages between them and the compiled connections.

An adapter holds no rule of a protocol: it accepts, passes messages on and closes.
"""

from .websocket import GraphQLTransportWSHandler, WebSocketAdapter

__all__ = ["GraphQLTransportWSHandler", "WebSocketAdapter"]
