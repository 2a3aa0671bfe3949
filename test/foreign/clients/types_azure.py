"""Values of every type that Azure's SDK for Python can write, sent or received by it: not float, char and decimals."""
import datetime
import json
import sys
import uuid

from azure.servicebus import ServiceBusMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageHeader, AmqpMessageProperties
from azure_connection import connect, receive
from uamqp import types

mode, connection_string, port, certificate, topic, subscription, count = sys.argv[1:8]

stamp = datetime.datetime(2023, 11, 14, 22, 13, 20, 123_000)
scalars = {
    "nothing": None,
    "yes": True,
    "no": False,
    "ubyte": types.AMQPuByte(255),
    "ushort": types.AMQPuShort(65_535),
    "uint": types.AMQPuInt(4_294_967_295),
    "ulong": types.AMQPuLong(18_446_744_073_709_551_615),
    "byte": types.AMQPByte(-128),
    "short": types.AMQPShort(-32_768),
    "int": types.AMQPInt(-2_147_483_647),
    "long": types.AMQPLong(-9_223_372_036_854_775_808),
    "double": 0.1,
    "timestamp": stamp,
    "uuid": uuid.UUID("01234567-89ab-cdef-0123-456789abcdef"),
    "binary": bytearray(b"\x00\xff\x80"),
    "string": "grüße ☃ 🚀",
    "symbol": types.AMQPSymbol("sym"),
}
# No bytes: the SDK would make them text here.
nested = {"list": [1, "two", None, True], "map": {"inner": {"deep": "x"}}, "big": 9_007_199_254_740_993}


def messages():
    yield ServiceBusMessage(
        b"\x00\xff\x80", message_id="the id", correlation_id="correlated", content_type="text/plain", subject="scalars", to="to", reply_to="back",
        session_id="group", reply_to_session_id="back group", application_properties={"from": "azurePython", **scalars},
    )
    header = AmqpMessageHeader(durable=True)
    for subject, body in (("nested", {"value_body": nested}), ("text", {"value_body": "grüße ☃ 🚀"}), ("sequence", {"sequence_body": [1, "two", [3]]})):
        yield AmqpAnnotatedMessage(**body, header=header, properties=AmqpMessageProperties(subject=subject), application_properties={"from": "azurePython"})


def text_of(value):
    return value.decode() if isinstance(value, bytes) else value


def plain(name, value):
    """Text that is the same in every language; the SDK gives text as bytes, so the name says what is binary."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex() if name in ("binary", "bytes", "userId") else bytes(value).decode()
    if isinstance(value, datetime.datetime):
        return str(round(value.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000))
    if isinstance(value, dict):
        items = {text_of(key): item for key, item in value.items()}
        return "{" + ",".join(f"{key}:{plain(key, items[key])}" for key in sorted(items)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(plain("", item) for item in value) + "]"
    return str(value)


def seen(message):
    properties = {text_of(key): value for key, value in (message.application_properties or {}).items()}
    fields = {f"property {key}": plain(key, value) for key, value in properties.items() if key != "from"}
    kind = message.body_type.name
    body = message.body
    fields["body"] = b"".join(body).hex() if kind == "DATA" else plain("", [item for section in body for item in section] if kind == "SEQUENCE" else body)
    raw = message.raw_amqp_message.properties
    for name, value in (("id", raw.message_id), ("correlationId", raw.correlation_id)):
        if value is not None:
            fields[name] = plain((message.subject or "").replace("id ", ""), value)
    if message.subject == "scalars":
        told = {"contentType": message.content_type, "to": message.to, "replyTo": message.reply_to, "userId": raw.user_id, "groupId": message.session_id, "replyToGroupId": message.reply_to_session_id}
        fields.update({name: plain(name, value) for name, value in told.items() if value is not None})
    return [f"{text_of(properties['from'])} {message.subject}", fields]


with connect(connection_string, port, certificate) as client:
    if mode == "send":
        with client.get_topic_sender(topic) as sender:
            sent = 0
            for message in messages():
                sender.send_messages(message)
                sent += 1
            print(json.dumps(sent))
    else:
        with client.get_subscription_receiver(topic, subscription) as receiver:
            found = []
            for message in receive(receiver, int(count)):
                found.append(seen(message))
                receiver.complete_message(message)
            print(json.dumps(found))
