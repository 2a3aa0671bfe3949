"""What Qpid Proton's binding for Python makes of the broker: AMQP 1.0 by the book, without Service Bus in mind."""
import base64
import hashlib
import hmac
import sys
import time
import urllib.parse

from proton import ConnectionException, Delivery, Endpoint, Message, SSLDomain, int32, symbol, ulong
from proton.handlers import MessagingHandler, TransactionHandler
from proton.reactor import AtMostOnce, Container, ReceiverOption
from proton.utils import BlockingConnection, LinkDetached
from checks import check, expect, expect_error, run

host, port, key_name, key, certificate = sys.argv[1:6]
plain_url = f"amqp://{key_name}:{key}@{host}:{port}"


class Connected:
    """A connection that is closed with its block. Left to itself, Proton prefers a mechanism without a name."""

    def __init__(self, url=plain_url, **options):
        self.connection = BlockingConnection(url, timeout=20, **{"allowed_mechs": "PLAIN", **options})

    def __enter__(self):
        return self.connection

    def __exit__(self, *_):
        self.connection.close()


def send(sender, messages):
    return [sender.send(message).remote_state == Delivery.ACCEPTED for message in messages]


class Replies(ReceiverOption):
    def __init__(self, address):
        self.address = address

    def apply(self, receiver):
        receiver.target.address = self.address


class Node:
    """Requests to a node of the broker, and the replies: Proton's own client would want a dynamic address for them."""

    def __init__(self, connection, address):
        self.sender = connection.create_sender(address)
        self.reply_to = f"replies from {address}"
        self.receiver = connection.create_receiver(address, credit=1, options=Replies(self.reply_to))

    def call(self, request):
        request.reply_to = self.reply_to
        request.id = "1"
        self.sender.send(request)
        reply = self.receiver.receive(timeout=20)
        expect(reply.correlation_id, "1")
        return reply


def put(connection, queue, *bodies):
    sender = connection.create_sender(queue)
    expect(send(sender, [Message(body=body) for body in bodies]), [True] * len(bodies))
    sender.close()


def take(connection, queue, count, **options):
    receiver = connection.create_receiver(queue, credit=count, **options)
    bodies = []
    for _ in range(count):
        bodies.append(receiver.receive(timeout=20).body)
        receiver.accept()
    receiver.close()
    return bodies


@check("a name and a key let in, a wrong key does not")
def plain():
    with Connected() as connection:
        put(connection, "plain", "in")
        expect(take(connection, "plain", 1), ["in"])
    expect_error(ConnectionException, lambda: BlockingConnection(f"amqp://{key_name}:wrong@{host}:{port}", timeout=20, allowed_mechs="PLAIN"))


@check("without a name nothing may be used until a token is shown")
def anonymous():
    with Connected(f"amqp://{host}:{port}", allowed_mechs="ANONYMOUS") as connection:
        expect(expect_error(LinkDetached, lambda: connection.create_sender("plain")).condition, "amqp:unauthorized-access")
        audience = urllib.parse.quote_plus(f"sb://{host}/plain")
        expiry = int(time.time()) + 600
        signature = base64.b64encode(hmac.new(key.encode(), f"{audience}\n{expiry}".encode(), hashlib.sha256).digest())
        token = f"SharedAccessSignature sr={audience}&sig={urllib.parse.quote_plus(signature)}&se={expiry}&skn={key_name}"
        nodes = Node(connection, "$cbs")
        properties = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": f"sb://{host}/plain"}
        expect(nodes.call(Message(properties=properties, body=token.replace("sig=", "sig=x"))).properties["status-code"], 401)
        expect(nodes.call(Message(properties=properties, body=token)).properties["status-code"], 202)
        put(connection, "plain", "shown")
        expect(take(connection, "plain", 1), ["shown"])
        expect(expect_error(LinkDetached, lambda: connection.create_sender("orders")).condition, "amqp:unauthorized-access")


def trusting():
    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    domain.set_trusted_ca_db(certificate)
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME, certificate)
    return domain


@check("TLS carries the same, by a certificate that is checked")
def secure():
    url = f"amqps://{key_name}:{key}@localhost:{port}"
    with Connected(url, ssl_domain=trusting()) as connection:
        put(connection, "plain", "secret", "y" * 300_000)
        expect([len(body) for body in take(connection, "plain", 2)], [6, 300_000])
    strict = SSLDomain(SSLDomain.MODE_CLIENT)
    strict.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME, "/dev/null")
    expect_error(Exception, lambda: BlockingConnection(url, timeout=20, ssl_domain=strict))


@check("each outcome does what Service Bus makes of it")
def outcomes():
    with Connected() as connection:
        texts = ["accept", "release", "reject", "modify", "defer"]
        sender = connection.create_sender("orders")
        expect(send(sender, [Message(id=f"m{i}", subject="foreign", body=text, properties={"index": i}) for i, text in enumerate(texts)]), [True] * 5)
        receiver = connection.create_receiver("orders", credit=10)
        got = []
        for text in texts:
            message = receiver.receive(timeout=20)
            got.append([message.id, message.subject, message.properties["index"], message.body, message.delivery_count])
            delivery = receiver.fetcher.unsettled[0]
            if text == "reject":
                receiver.reject()
            elif text == "accept":
                receiver.accept()
            else:
                delivery.local.undeliverable = text == "defer"
                receiver.release(delivered=text != "release")
        expect(got, [[f"m{i}", "foreign", i, text, 0] for i, text in enumerate(texts)])
        again = sorted([message.body, message.delivery_count] for message in [receiver.receive(timeout=20) for _ in range(2)])
        expect(again, [["modify", 1], ["release", 0]])
        receiver.accept()
        receiver.accept()
        receiver.close()
        receiver = connection.create_receiver("orders/$DeadLetterQueue", credit=10)
        expect(receiver.receive(timeout=20).body, "reject")
        receiver.accept()
        reply = Node(connection, "orders/$management").call(Message(properties={"operation": "com.microsoft:peek-message"}, body={"from-sequence-number": 1, "message-count": int32(9)}))
        expect([reply.properties["statusCode"], len(reply.body["messages"])], [200, 1])
        kept = Message()
        kept.decode(bytes(reply.body["messages"][0]["message"]))
        expect([kept.body, kept.annotations["x-opt-message-state"]], ["defer", 1])


@check("what is sent settled is taken, and what is received settled is gone")
def settled():
    with Connected() as connection:
        sender = connection.create_sender("settled", options=AtMostOnce())
        for i in range(3):
            sender.send(Message(body=f"{i}"))
        receiver = connection.create_receiver("settled", credit=3, options=AtMostOnce())
        expect([receiver.receive(timeout=20).body for _ in range(3)], ["0", "1", "2"])
        receiver.close()
        expect(peek_count(connection, "settled"), 0)


def peek_count(connection, queue):
    reply = Node(connection, f"{queue}/$management").call(Message(properties={"operation": "com.microsoft:peek-message"}, body={"from-sequence-number": 1, "message-count": int32(100)}))
    return 0 if reply.properties["statusCode"] == 204 else len(reply.body["messages"])


@check("two thousand messages keep their order")
def many():
    with Connected() as connection:
        put(connection, "many", *range(2000))
        expect(take(connection, "many", 2000), list(range(2000)))


@check("small frames and a small window carry large messages")
def small():
    with Connected(max_frame_size=512) as connection:
        bodies = ["a" * 70_000, "b", "c" * 200_000]
        put(connection, "small", *bodies)
        expect(take(connection, "small", 3), bodies)
    with Connected(max_frame_size=512) as connection:
        # Proton takes a message out of the window only when it is whole: three frames of four.
        connection.conn._session_policy.session(connection.conn).incoming_capacity = 4 * 512
        bodies = [f"{i}" * 1_200 for i in range(10)] * 5
        put(connection, "small", *bodies)
        expect(take(connection, "small", 50), bodies)


@check("credit is used or given back when it is to be drained")
def drained():
    with Connected() as connection:
        put(connection, "drained", "one", "two")
        receiver = connection.create_receiver("drained", credit=0)
        link = receiver.link
        link.drain(10)
        connection.wait(lambda: link.credit == 0 and not link.draining(), msg="the credit to come back")
        expect([receiver.fetcher.has_message, link.drained()], [2, 8])
        expect([receiver.receive(timeout=20).body for _ in range(2)], ["one", "two"])
        receiver.accept()
        receiver.accept()
        granted = link.credit + 5
        link.drain(5)
        connection.wait(lambda: link.credit == 0 and not link.draining(), msg="all credit to come back")
        expect(link.drained(), granted)


@check("a quiet connection is kept up by heartbeats, both ways")
def quiet():
    with Connected(heartbeat=1) as connection:
        before = time.monotonic()
        receiver = connection.create_receiver("quiet", credit=1)
        while time.monotonic() - before < 3.5:
            connection.container.process()
        expect(connection.conn.state & Endpoint.REMOTE_ACTIVE != 0, True)
        put(connection, "quiet", "still there")
        expect(receiver.receive(timeout=20).body, "still there")
        receiver.accept()


@check("links of one name in both directions, and again after they were closed")
def names():
    with Connected() as connection:
        for _ in range(3):
            sender = connection.create_sender("names", name="same")
            receiver = connection.create_receiver("names", credit=1, name="same")
            send(sender, [Message(body="named")])
            expect(receiver.receive(timeout=20).body, "named")
            receiver.accept()
            receiver.close()
            sender.close()


@check("a link that is left open keeps its lock until the connection ends")
def left():
    with Connected() as connection:
        put(connection, "left", "held")
        receiver = connection.create_receiver("left", credit=1)
        expect(receiver.receive(timeout=20).delivery_count, 0)
        receiver.accept()
    with Connected() as connection:
        expect(peek_count(connection, "left"), 0)


class SessionOption(ReceiverOption):
    """Asks for a session as Service Bus has it: a filter that is no described type, and how long to wait."""

    def __init__(self, name, wait_ms=None):
        self.name = name
        self.wait_ms = wait_ms

    def apply(self, receiver):
        receiver.source.filter.put_dict({symbol("com.microsoft:session-filter"): self.name})
        if self.wait_ms is not None:
            receiver.properties = {symbol("com.microsoft:timeout"): ulong(self.wait_ms)}


@check("sessions are asked for by a filter, and told in the answer")
def sessions():
    with Connected() as connection:
        sender = connection.create_sender("sessions")
        expect(send(sender, [Message(body=f"{name}{i}", group_id=name) for i in range(2) for name in ("red", "blue")]), [True] * 4)
        for name in ("blue", None):
            receiver = connection.create_receiver("sessions", credit=2, options=SessionOption(name))
            granted = receiver.link.remote_source.filter
            granted.next()
            expected = name or "red"
            expect(granted.get_dict(), {"com.microsoft:session-filter": expected})
            expect([receiver.receive(timeout=20).body for _ in range(2)], [f"{expected}0", f"{expected}1"])
            receiver.accept()
            receiver.accept()
            receiver.close()
        error = expect_error(LinkDetached, lambda: connection.create_receiver("sessions", credit=1, options=SessionOption(None, wait_ms=300)))
        expect(error.condition, "com.microsoft:timeout")


@check("what is not there, or not to be had, is refused by its name")
def refused():
    with Connected() as connection:
        def condition(create):
            return expect_error(LinkDetached, create).condition

        expect(condition(lambda: connection.create_receiver("missing")), "amqp:not-found")
        expect(condition(lambda: connection.create_sender("missing")), "amqp:not-found")
        expect(condition(lambda: connection.create_sender("orders/$DeadLetterQueue")), "amqp:not-allowed")
        expect(condition(lambda: connection.create_receiver("news")), "amqp:not-allowed")
        expect(condition(lambda: connection.create_receiver("sessions")), "amqp:not-allowed")
        expect(condition(lambda: connection.create_receiver(None, dynamic=True)), "amqp:not-implemented")
        sender = connection.create_sender("sessions")
        expect(sender.send(Message(body="without a session"), error_states=[]).remote_state, Delivery.REJECTED)
        put(connection, "orders", "and the connection goes on")
        expect(take(connection, "orders", 1), ["and the connection goes on"])


@check("a message that is too large is refused, and the link goes on")
def large():
    with Connected() as connection:
        sender = connection.create_sender("large")
        expect(sender.link.remote_max_message_size, 1_048_576)
        expect(send(sender, [Message(body="z" * 1_000_000)]), [True])
        expect(len(take(connection, "large", 1)[0]), 1_000_000)


class Declares(MessagingHandler, TransactionHandler):
    """Asks for a transaction, as one may of a broker that has them."""

    def __init__(self):
        super().__init__()
        self.told = []

    def on_start(self, event):
        self.container = event.container
        self.connection = event.container.connect(plain_url, reconnect=False, allowed_mechs="PLAIN")
        self.transaction = event.container.declare_transaction(self.connection, handler=self)

    def on_transaction_declared(self, event):
        self.told.append("declared")
        self.connection.close()

    def on_transaction_declare_failed(self, event):
        self.told.append("failed")
        self.connection.close()

    def on_link_error(self, event):
        self.told.append(event.link.remote_condition.name)
        event.connection.close()

    def on_connection_error(self, event):
        self.told.append(f"connection {event.connection.remote_condition.name}")


@check("transactions are refused by their name, and the connection stays")
def transactions():
    handler = Declares()
    Container(handler).run()
    expect(handler.told, ["amqp:not-implemented"])


class Publishes(MessagingHandler):
    """Keeps a thousand deliveries under way on one link, and receives them with every outcome in the same turns."""

    count = 1000

    def __init__(self):
        super().__init__(prefetch=100, auto_accept=False)
        self.sent = self.confirmed = 0
        self.outcomes = {"accept": 0, "release": 0, "reject": 0}
        self.ended = 0

    def on_start(self, event):
        self.connection = event.container.connect(plain_url, reconnect=False, allowed_mechs="PLAIN")
        self.sender = event.container.create_sender(self.connection, "mixed")
        event.container.create_receiver(self.connection, "mixed")

    def on_sendable(self, event):
        while event.sender.credit and self.sent < self.count:
            event.sender.send(Message(id=self.sent, body=self.sent))
            self.sent += 1

    def on_accepted(self, event):
        self.confirmed += 1

    def on_message(self, event):
        number = event.message.body
        if number % 3 == 0:
            self.reject(event.delivery)
        elif number % 3 == 1 and event.message.delivery_count == 0:
            self.release(event.delivery, delivered=True)
            self.outcomes["release"] += 1
            return
        else:
            self.accept(event.delivery)
        self.ended += 1
        if self.ended == self.count:
            event.connection.close()


@check("a thousand messages under way at once get each its own outcome")
def mixed():
    handler = Publishes()
    Container(handler).run()
    expect([handler.sent, handler.confirmed, handler.ended, handler.outcomes["release"]], [1000, 1000, 1000, 333])


run()
