"""Values of every type, sent or received by Qpid Proton. What was received is told with the type of each value."""
import json
import sys
import uuid

from proton import Message, byte, char, decimal32, decimal64, decimal128, float32, int32, short, symbol, timestamp, ubyte, uint, ulong, ushort
from proton.utils import BlockingConnection

mode, url, address, count = sys.argv[1:5]

scalars = {
    "nothing": None,
    "yes": True,
    "no": False,
    "ubyte": ubyte(255),
    "ushort": ushort(65_535),
    "uint": uint(4_294_967_295),
    "ulong": ulong(18_446_744_073_709_551_615),
    "byte": byte(-128),
    "short": short(-32_768),
    "int": int32(-2_147_483_647),
    "long": -9_223_372_036_854_775_808,
    "float": float32(1.5),
    "double": 0.1,
    "timestamp": timestamp(1_700_000_000_123),
    "uuid": uuid.UUID("01234567-89ab-cdef-0123-456789abcdef"),
    "binary": b"\x00\xff\x80",
    "string": "grüße ☃ 🚀",
    "symbol": symbol("sym"),
}
rare = {"char": char("☃"), "decimal32": decimal32(0x2250007B), "decimal64": decimal64(0x223800000000007B), "decimal128": decimal128(bytes(range(16)))}
nested = {"list": [int32(1), "two", None, True], "map": {"inner": {"deep": "x"}}, "bytes": b"\xfe\xff\x80", "big": 9_007_199_254_740_993}


def messages():
    yield Message(
        id="the id", correlation_id="correlated", content_type=symbol("text/plain"), subject="scalars", address="to", reply_to="back",
        user_id=b"user", group_id="group", reply_to_group_id="back group", properties=scalars, body=b"\x00\xff\x80", inferred=True,
    )
    yield Message(subject="rare", properties=rare, body=b"", inferred=True)
    yield Message(subject="nested", body=nested)
    yield Message(subject="text", body="grüße ☃ 🚀")
    yield Message(subject="sequence", body=[int32(1), "two", [int32(3)]], inferred=True)
    for kind, value in (("ulong", ulong(7)), ("uuid", scalars["uuid"]), ("string", "s")):
        yield Message(id=value, correlation_id=value, subject=f"id {kind}", body=b"", inferred=True)


def plain(value):
    """Text that is the same in every language."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if isinstance(value, decimal32):
        return f"{value:08x}"
    if isinstance(value, decimal64):
        return f"{value:016x}"
    if isinstance(value, (int, float)):
        return repr((int if isinstance(value, int) else float)(value))
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{plain(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(plain(item) for item in value) + "]"
    return str(value)


names = {"str": "string", "int": "long", "float": "double", "bool": "boolean", "bytes": "binary", "UUID": "uuid", "NoneType": "null", "float32": "float", "int32": "int"}


def typed(value):
    name = type(value).__name__
    return f"{names.get(name, name)} {plain(value)}"


def seen(message):
    fields = {f"property {key}": typed(value) for key, value in (message.properties or {}).items() if key != "from"}
    fields["body"] = plain(message.body)
    for name, value in (("id", message.id), ("correlationId", message.correlation_id)):
        if value is not None:
            fields[name] = plain(value)
    if message.subject == "scalars":
        told = {"contentType": message.content_type, "to": message.address, "replyTo": message.reply_to, "userId": message.user_id, "groupId": message.group_id, "replyToGroupId": message.reply_to_group_id}
        fields.update({name: plain(value) for name, value in told.items() if value})
    return [f"{message.properties['from']} {message.subject}", fields]


connection = BlockingConnection(url, timeout=20)
if mode == "send":
    sender = connection.create_sender(address)
    for message in messages():
        message.properties = {"from": "proton", **(message.properties or {})}
        message.durable = True
        sender.send(message)
    print(json.dumps(sum(1 for _ in messages())))
else:
    receiver = connection.create_receiver(address, credit=int(count))
    found = []
    for _ in range(int(count)):
        found.append(seen(receiver.receive(timeout=20)))
        receiver.accept()
    print(json.dumps(found))
connection.close()
