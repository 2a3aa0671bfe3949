"""A client on Azure's Service Bus SDK for Python: does what is listed at the end, and prints what came of it as one JSON object."""
import datetime
import json
import sys

import azure.servicebus._common._configuration as configuration
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.exceptions import ServiceBusError

connection_string, port, certificate = sys.argv[1:4]
# The SDK lets everything be chosen but the port.
configuration.DEFAULT_AMQPS_PORT = int(port)
result = {}


def bodies(messages):
    return [b"".join(message.body).decode() for message in messages]


def receive(receiver, count):
    messages = []
    while len(messages) < count:
        more = receiver.receive_messages(max_message_count=count - len(messages), max_wait_time=10)
        if not more:
            break
        messages.extend(more)
    return messages


def settle_each(client):
    with client.get_queue_sender("orders") as sender:
        sender.send_messages([ServiceBusMessage(text, message_id=text, subject="foreign", application_properties={"n": i}) for i, text in enumerate(["complete", "abandon", "dead", "defer"])])
        batch = sender.create_message_batch()
        batch.add_message(ServiceBusMessage("batched"))
        sender.send_messages(batch)
    with client.get_queue_receiver("orders") as receiver:
        messages = receive(receiver, 5)
        result["received"] = [[body, message.subject and str(message.subject), message.delivery_count] for body, message in zip(bodies(messages), messages)]
        deferred = None
        for message in messages:
            body = bodies([message])[0]
            if body == "abandon":
                receiver.abandon_message(message)
            elif body == "dead":
                receiver.dead_letter_message(message, reason="bad", error_description="very bad")
            elif body == "defer":
                receiver.defer_message(message)
                deferred = message.sequence_number
            else:
                receiver.complete_message(message)
        again = receive(receiver, 1)
        result["again"] = [[bodies(again)[0], again[0].delivery_count]]
        before = again[0].locked_until_utc
        result["renewed"] = receiver.renew_message_lock(again[0]) >= before
        receiver.complete_message(again[0])
        back = receiver.receive_deferred_messages([deferred])
        result["deferred"] = bodies(back)
        receiver.complete_message(back[0])
    with client.get_queue_receiver("orders", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        letters = receive(receiver, 1)
        result["deadLetters"] = [[bodies(letters)[0], letters[0].dead_letter_reason, letters[0].dead_letter_error_description]]
        receiver.complete_message(letters[0])


def schedule_and_peek(client):
    later = datetime.datetime.utcnow() + datetime.timedelta(hours=1)
    with client.get_queue_sender("orders") as sender:
        numbers = sender.schedule_messages([ServiceBusMessage("later"), ServiceBusMessage("never")], later)
        sender.cancel_scheduled_messages(numbers[1])
    with client.get_queue_receiver("orders") as receiver:
        result["peeked"] = bodies(receiver.peek_messages(max_message_count=5))


def receive_and_delete(client):
    with client.get_queue_sender("plain") as sender:
        sender.send_messages([ServiceBusMessage(str(i)) for i in range(3)])
    with client.get_queue_receiver("plain", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
        result["receivedAndDeleted"] = bodies(receive(receiver, 3))


def large(client):
    with client.get_queue_sender("plain") as sender:
        sender.send_messages(ServiceBusMessage("x" * 200_000))
    with client.get_queue_receiver("plain") as receiver:
        messages = receive(receiver, 1)
        result["large"] = len(bodies(messages)[0])
        receiver.complete_message(messages[0])


def sessions(client):
    with client.get_queue_sender("sessions") as sender:
        sender.send_messages([ServiceBusMessage(f"{name}{i}", session_id=name) for i in range(3) for name in ("a", "b")])
    with client.get_queue_receiver("sessions", session_id="b") as receiver:
        receiver.session.set_state("half way")
        result["sessionState"] = receiver.session.get_state().decode()
        receiver.session.renew_lock()
        messages = receive(receiver, 3)
        result["session"] = [receiver.session.session_id, bodies(messages)]
        for message in messages:
            receiver.complete_message(message)
    with client.get_queue_receiver("sessions", session_id=NEXT_AVAILABLE_SESSION) as receiver:
        messages = receive(receiver, 3)
        result["nextSession"] = [receiver.session.session_id, bodies(messages)]
        for message in messages:
            receiver.complete_message(message)


def topics(client):
    with client.get_topic_sender("news") as sender:
        sender.send_messages(ServiceBusMessage("told"))
    with client.get_subscription_receiver("news", "readers") as receiver:
        messages = receive(receiver, 1)
        result["subscription"] = bodies(messages)
        receiver.complete_message(messages[0])


def refusals(client):
    found = []
    for create in (lambda: client.get_queue_sender("missing"), lambda: client.get_queue_receiver("missing")):
        try:
            with create():
                found.append("attached")
        except ServiceBusError as error:
            found.append("could not be found" in str(error))
    result["refused"] = found


with ServiceBusClient.from_connection_string(connection_string, connection_verify=certificate, retry_total=0) as client:
    for step in (settle_each, schedule_and_peek, receive_and_delete, large, sessions, topics, refusals):
        try:
            step(client)
        except Exception as error:  # what the other steps find is still worth telling
            result[step.__name__] = f"{type(error).__name__}: {error}"
print(json.dumps(result))
