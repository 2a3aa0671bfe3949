"""Azure's Service Bus SDK for Python, over TLS to a broker on a port of its own."""
import datetime
import uuid

import azure.servicebus._common._configuration as configuration
from azure.servicebus import ServiceBusClient

hour = datetime.timedelta(hours=1)


def connect(connection_string, port, certificate, **options):
    # The SDK lets everything be chosen but the port.
    configuration.DEFAULT_AMQPS_PORT = int(port)
    return ServiceBusClient.from_connection_string(connection_string, connection_verify=certificate, **{"retry_total": 0, **options})


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def body(message):
    return b"".join(message.body).decode()


def bodies(messages):
    return [body(message) for message in messages]


def receive(receiver, count, seconds=10):
    """As many as come, up to the count; fewer when none has come for a while."""
    messages = []
    while len(messages) < count:
        more = receiver.receive_messages(max_message_count=count - len(messages), max_wait_time=seconds)
        if not more:
            break
        messages.extend(more)
    return messages


def receive_one(receiver):
    (message,) = receive(receiver, 1)
    return message


def unique(name):
    return f"{name}-{uuid.uuid4()}"
