"""What the AMQP that Azure's newer SDKs for Python are built on makes of the broker. Debian has it in the SDK for Event Hubs."""
import sys
import uuid

from azure.eventhub._pyamqp import Connection, ReceiveClient, SendClient
from azure.eventhub._pyamqp._encode import encode_payload
from azure.eventhub._pyamqp.authentication import SASTokenAuth
from azure.eventhub._pyamqp.constants import ReceiverSettleMode, SenderSettleMode
from azure.eventhub._pyamqp.error import AMQPException, AuthenticationException
from azure.eventhub._pyamqp.message import BatchMessage, Message, Properties
from azure.eventhub._pyamqp.types import TYPE, VALUE, AMQPTypes
from azure.eventhub._pyamqp.utils import amqp_long_value
from checks import check, eventually, expect, expect_error, run

port, key_name, key, certificate = sys.argv[1:5]
host = "localhost"


class Opened:
    """A client with a connection of its own, on the port of the test."""

    def __init__(self, kind, queue, secret=key, **options):
        uri = f"sb://{host}/{queue}"
        self.auth = SASTokenAuth(uri, uri, key_name, secret)
        self.client = kind(host, queue, auth=self.auth, **options)

    def __enter__(self):
        self.connection = Connection(f"amqps://{host}", sasl_credential=self.auth.sasl, ssl_opts={"ca_certs": certificate}, port=int(port))
        self.connection.open()
        self.client.open(self.connection)
        eventually("the client to be ready", lambda: self.client.client_ready() or self.client._connection.listen())
        return self.client

    def __exit__(self, *_):
        self.client.close()
        self.connection.close()


def send(queue, *messages):
    with Opened(SendClient, queue) as sender:
        for message in messages:
            sender.send_message(message, timeout=10)


def receive(receiver, count):
    messages = []

    def more():
        messages.extend(receiver.receive_message_batch(max_batch_size=count - len(messages), timeout=2))
        return len(messages) >= count

    eventually(f"{count} messages", more)
    return messages


def settle(receiver, back, outcome, **options):
    """Settles a delivery, counted back from the last one. Its replies from `$cbs` come by the same session, and count."""
    receiver.settle_messages(receiver._link.received_delivery_id - back, outcome, **options)


def body(message):
    return b"".join(message.data)


@check("messages are sent one by one and in batches, and come in order")
def sent():
    batch = BatchMessage(data=[])
    for i in range(3):
        part = Message(data=[f"batched {i}".encode()], properties=Properties(message_id=f"b{i}"), application_properties={"i": i})
        batch.data.append(bytes(encode_payload(bytearray(), part)))
    send("plain", Message(data=[b"one"], properties=Properties(message_id="id", subject="s")), batch)
    with Opened(ReceiveClient, "plain", link_credit=10) as receiver:
        messages = receive(receiver, 4)
        expect([body(message) for message in messages], [b"one", b"batched 0", b"batched 1", b"batched 2"])
        expect([messages[0].properties.message_id, messages[0].properties.subject], [b"id", b"s"])
        expect(messages[1].message_annotations[b"x-opt-sequence-number"], messages[0].message_annotations[b"x-opt-sequence-number"] + 1)
        for back in range(4):
            settle(receiver, back, "accepted")


@check("large messages are cut into frames and put together")
def large():
    with Opened(SendClient, "large", max_message_size=1_048_576) as sender:
        sender.send_message(Message(data=[b"x" * 900_000]), timeout=20)
    with Opened(ReceiveClient, "large", link_credit=1, max_message_size=1_048_576) as receiver:
        (message,) = receive(receiver, 1)
        expect(len(body(message)), 900_000)
        settle(receiver, 0, "accepted")


@check("what is received settled is gone")
def settled():
    send("settled", Message(data=[b"gone"]))
    with Opened(ReceiveClient, "settled", link_credit=5, send_settle_mode=SenderSettleMode.Settled, receive_settle_mode=ReceiverSettleMode.First) as receiver:
        expect([body(message) for message in receive(receiver, 1)], [b"gone"])


@check("released, modified and rejected do what Service Bus makes of them")
def outcomes():
    send("outcomes", *[Message(data=[text]) for text in (b"released", b"modified", b"rejected")])
    with Opened(ReceiveClient, "outcomes", link_credit=20) as receiver:
        receive(receiver, 3)
        # All three before the first comes again.
        last = receiver._link.received_delivery_id
        receiver.settle_messages(last - 2, "released")
        receiver.settle_messages(last - 1, "modified", delivery_failed=True, undeliverable_here=False)
        receiver.settle_messages(last, "rejected", error=None)
        again = receive(receiver, 2)
        expect(sorted([body(message), message.header.delivery_count or 0] for message in again), [[b"modified", 1], [b"released", 0]])
        settle(receiver, 0, "accepted")
        settle(receiver, 1, "accepted")
    with Opened(ReceiveClient, "outcomes/$DeadLetterQueue", link_credit=1) as receiver:
        expect([body(message) for message in receive(receiver, 1)], [b"rejected"])
        settle(receiver, 0, "accepted")


@check("management is asked and answers")
def management():
    send("managed", Message(data=[b"seen"]))
    with Opened(ReceiveClient, "managed", link_credit=1) as receiver:
        request = Message(value={"from-sequence-number": amqp_long_value(1), "message-count": {TYPE: AMQPTypes.int, VALUE: 5}}, application_properties={"operation": "com.microsoft:peek-message"})
        status, _, response = receiver.mgmt_request(request, operation="com.microsoft:peek-message", operation_type=b"entity-mgmt", node="managed/$management", status_code_field=b"statusCode", status_description_field=b"statusDescription", timeout=10)
        expect([status, response.value and len(response.value[b"messages"])], [200, 1])


@check("what is missing, and a wrong key, are refused")
def refused():
    def open_missing():
        with Opened(SendClient, "missing"):
            pass

    expect_error(AMQPException, open_missing, "could not be found")

    def open_wrong():
        with Opened(SendClient, "plain", secret="wrong"):
            pass

    expect_error((AuthenticationException, AMQPException), open_wrong)


run()
