"""A client on Qpid Proton: does what is listed at the end, and prints what came of it as one JSON object."""
import json
import sys

from proton import Delivery, Message
from proton.reactor import AtMostOnce
from proton.utils import BlockingConnection, LinkDetached

url = sys.argv[1]
result = {}


def send(sender, messages):
    return [sender.send(message).remote_state == Delivery.ACCEPTED for message in messages]


def mechanism(name):
    connection = BlockingConnection(url, timeout=20, allowed_mechs=name)
    connection.close()
    return "open"


def settle_each(connection):
    """Each kind of outcome; what is given back comes again."""
    sender = connection.create_sender("orders")
    texts = ["accept", "release", "reject", "modify", "x" * 200_000]
    result["sent"] = send(sender, [Message(id=f"m{i}", subject="foreign", body=text, properties={"index": i}) for i, text in enumerate(texts)])
    receiver = connection.create_receiver("orders", credit=10)
    got = []
    for _ in texts:
        message = receiver.receive(timeout=20)
        got.append([message.id, message.subject, message.properties["index"], len(message.body), message.delivery_count])
        if message.body == "release":
            receiver.release(delivered=False)
        elif message.body == "reject":
            receiver.reject()
        elif message.body == "modify":
            receiver.release(delivered=True)
        else:
            receiver.accept()
    result["received"] = got
    again = []
    for _ in range(2):
        message = receiver.receive(timeout=20)
        again.append([message.id, message.delivery_count])
        receiver.accept()
    result["again"] = sorted(again)
    receiver.close()
    sender.close()


def settled_as_sent(connection):
    sender = connection.create_sender("plain")
    send(sender, [Message(body=f"{i}") for i in range(3)])
    receiver = connection.create_receiver("plain", credit=3, options=AtMostOnce())
    result["settledAsSent"] = [receiver.receive(timeout=20).body for _ in range(3)]
    receiver.close()
    sender.close()


def many(connection):
    count = 2000
    sender = connection.create_sender("many")
    for i in range(count):
        sender.send(Message(body=i))
    receiver = connection.create_receiver("many", credit=500)
    bodies = []
    for _ in range(count):
        bodies.append(receiver.receive(timeout=20).body)
        receiver.accept()
    result["manyInOrder"] = bodies == list(range(count))
    receiver.close()
    sender.close()


def refusals(connection):
    found = []
    for create in (lambda: connection.create_receiver("missing"), lambda: connection.create_sender("missing")):
        try:
            create()
            found.append("attached")
        except LinkDetached as error:
            found.append(error.condition)
    result["refused"] = found


result["mechanisms"] = {name: mechanism(name) for name in ["ANONYMOUS", "PLAIN"]}
connection = BlockingConnection(url, timeout=20, heartbeat=2)
for step in (settle_each, settled_as_sent, many, refusals):
    step(connection)
connection.close()
print(json.dumps(result))
