"""What Azure's SDK for Python can ask of queues, topics and subscriptions."""
import datetime
import sys
import threading

from azure.servicebus import AutoLockRenewer, ServiceBusMessage, ServiceBusMessageState, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    ServiceBusAuthenticationError,
    ServiceBusError,
)
from azure_connection import bodies, body, connect, hour, now, receive, receive_one, unique
from checks import check, eventually, expect, expect_error, run

delete = ServiceBusReceiveMode.RECEIVE_AND_DELETE


def send(client, queue, *messages):
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(list(messages))


@check("a message comes with what the broker wrote on it")
def stamped(client):
    before = now() - datetime.timedelta(seconds=2)
    with client.get_queue_sender("stamped") as sender:
        sender.send_messages(ServiceBusMessage("one", subject="told"))
        sender.send_messages([ServiceBusMessage("two"), ServiceBusMessage("three")])
    with client.get_queue_receiver("stamped") as receiver:
        messages = receive(receiver, 3)
        expect(bodies(messages), ["one", "two", "three"])
        numbers = [message.sequence_number for message in messages]
        expect(numbers, sorted(set(numbers)))
        expect([message.enqueued_sequence_number for message in messages], numbers)
        for message in messages:
            expect([message.delivery_count, message.state, len(str(message.lock_token))], [0, ServiceBusMessageState.ACTIVE, 36])
            expect(before < message.enqueued_time_utc < now() + datetime.timedelta(seconds=2), True)
            expect(message.locked_until_utc > now(), True)
            receiver.complete_message(message)


@check("batches come whole and in order, and refuse what does not fit")
def batches(client):
    with client.get_queue_sender("batches") as sender:
        batch = sender.create_message_batch()
        for i in range(300):
            batch.add_message(ServiceBusMessage(f"{i}", message_id=f"id{i}", application_properties={"i": i}))
        sender.send_messages(batch)
        expect(batch.max_size_in_bytes, 1_048_576)
        small = sender.create_message_batch(max_size_in_bytes=2_000)
        expect_error(MessageSizeExceededError, lambda: small.add_message(ServiceBusMessage("x" * 2_000)))
    with client.get_queue_receiver("batches", receive_mode=delete) as receiver:
        messages = receive(receiver, 300)
    expect(bodies(messages), [str(i) for i in range(300)])
    expect([message.message_id for message in messages], [f"id{i}" for i in range(300)])
    expect([message.application_properties[b"i"] for message in messages], list(range(300)))


@check("each way to settle does what it says")
def settled(client):
    send(client, "settled", *[ServiceBusMessage(text) for text in ["complete", "abandon", "dead", "defer"]])
    with client.get_queue_receiver("settled") as receiver:
        for message in receive(receiver, 4):
            if body(message) == "abandon":
                receiver.abandon_message(message)
            elif body(message) == "dead":
                receiver.dead_letter_message(message, reason="bad", error_description="very bad")
            elif body(message) == "defer":
                receiver.defer_message(message)
                number = message.sequence_number
            else:
                receiver.complete_message(message)
            expect_error(MessageAlreadySettled, lambda: receiver.complete_message(message))
        again = receive_one(receiver)
        expect([body(again), again.delivery_count], ["abandon", 1])
        receiver.complete_message(again)
        expect([[peeked.state, body(peeked)] for peeked in receiver.peek_messages(5)], [[ServiceBusMessageState.DEFERRED, "defer"]])
        (back,) = receiver.receive_deferred_messages(number)
        expect([body(back), back.sequence_number], ["defer", number])
        receiver.complete_message(back)
        expect_error(MessageNotFoundError, lambda: receiver.receive_deferred_messages(number))
    with client.get_queue_receiver("settled", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        letter = receive_one(receiver)
        expect([body(letter), letter.dead_letter_reason, letter.dead_letter_error_description, letter.dead_letter_source], ["dead", "bad", "very bad", None])
        receiver.complete_message(letter)


@check("deferred messages can be abandoned, deferred, dead-lettered and renewed")
def deferred(client):
    send(client, "deferred", *[ServiceBusMessage(text) for text in "abcd"])
    with client.get_queue_receiver("deferred") as receiver:
        messages = receive(receiver, 4)
        numbers = [message.sequence_number for message in messages]
        for message in messages:
            receiver.defer_message(message)
        a, b, c, d = receiver.receive_deferred_messages(numbers)
        expect(receiver.renew_message_lock(a) > now(), True)
        receiver.abandon_message(a)
        receiver.defer_message(b)
        receiver.dead_letter_message(c, reason="late")
        receiver.complete_message(d)
        for number in numbers[:2]:
            receiver.complete_message(receiver.receive_deferred_messages(number)[0])
    with client.get_queue_receiver("deferred", sub_queue="deadletter", receive_mode=delete) as receiver:
        expect([[body(letter), letter.dead_letter_reason] for letter in receive(receiver, 1)], [["c", "late"]])


@check("what was received to be deleted is gone, deferred or not")
def deleted(client):
    send(client, "deleted", ServiceBusMessage("now"), ServiceBusMessage("later"))
    with client.get_queue_receiver("deleted") as receiver:
        first, second = receive(receiver, 2)
        receiver.abandon_message(first)
        receiver.defer_message(second)
    with client.get_queue_receiver("deleted", receive_mode=delete) as receiver:
        expect(bodies(receive(receiver, 1)), ["now"])
        expect(bodies(receiver.receive_deferred_messages(second.sequence_number)), ["later"])
        expect(receiver.peek_messages(5), [])


@check("scheduled messages wait for their time, and can be cancelled")
def scheduled(client):
    with client.get_queue_sender("scheduled") as sender:
        numbers = sender.schedule_messages([ServiceBusMessage("later", message_id="kept"), ServiceBusMessage("never")], now() + hour)
        sender.cancel_scheduled_messages(numbers[1])
        expect_error(ServiceBusError, lambda: sender.cancel_scheduled_messages(numbers[1]))
        soon = ServiceBusMessage("soon", scheduled_enqueue_time_utc=now() + datetime.timedelta(seconds=1))
        sender.send_messages(soon)
        with client.get_queue_receiver("scheduled") as receiver:
            peeked = receiver.peek_messages(5)
            expect([[body(message), message.state] for message in peeked], [["later", ServiceBusMessageState.SCHEDULED], ["soon", ServiceBusMessageState.SCHEDULED]])
            expect([peeked[0].sequence_number, peeked[0].message_id], [numbers[0], "kept"])
            expect(abs(peeked[0].scheduled_enqueue_time_utc - now()) < hour + datetime.timedelta(seconds=5), True)
            message = receive_one(receiver)
            expect([body(message), message.enqueued_time_utc >= soon.scheduled_enqueue_time_utc.replace(microsecond=0)], ["soon", True])
            receiver.complete_message(message)
        sender.cancel_scheduled_messages(numbers[0])


@check("peeking pages on, and takes nothing")
def peeked(client):
    send(client, "peeked", *[ServiceBusMessage(str(i)) for i in range(7)])
    with client.get_queue_receiver("peeked") as receiver:
        found, last = [], 0
        for _ in range(4):
            page = receiver.peek_messages(3, sequence_number=last + 1)
            found.append(bodies(page))
            last = page[-1].sequence_number if page else last
        expect(found, [["0", "1", "2"], ["3", "4", "5"], ["6"], []])
        messages = receive(receiver, 7)
        expect(bodies(receiver.peek_messages(9, sequence_number=messages[5].sequence_number)), ["5", "6"])
        for message in messages:
            receiver.complete_message(message)


@check("locks are renewed by hand and by themselves")
def renewed(client):
    send(client, "renewed", ServiceBusMessage("held"))
    with client.get_queue_receiver("renewed") as receiver, AutoLockRenewer() as renewer:
        message = receive_one(receiver)
        first = message.locked_until_utc
        expect(eventually("a later lock", lambda: receiver.renew_message_lock(message) > first), True)
        renewer.register(receiver, message, max_lock_renewal_duration=60)
        far = first + datetime.timedelta(seconds=5)
        eventually("the lock to be renewed again and again", lambda: message.locked_until_utc > far)
        expect([message.auto_renew_error, receiver.peek_messages(1)[0].delivery_count], [None, 0])
        receiver.complete_message(message)
        expect(receiver.peek_messages(1), [])


@check("a lock that ended is lost, and the message comes to another")
def lost(client):
    send(client, "lost", ServiceBusMessage("slow"))
    with client.get_queue_receiver("lost") as first, client.get_queue_receiver("lost") as second:
        message = receive_one(first)
        again = receive_one(second)
        expect([body(again), again.delivery_count, again.lock_token != message.lock_token], ["slow", 1, True])
        expect_error(ServiceBusError, lambda: first.complete_message(message), "lock has expired")
        expect_error(MessageLockLostError, lambda: first.renew_message_lock(message))
        second.complete_message(again)
        expect(second.peek_messages(1), [])


@check("messages that nobody wants in time go to the dead letters")
def expired(client):
    send(client, "fleeting", ServiceBusMessage("old", time_to_live=datetime.timedelta(seconds=1)))
    with client.get_queue_receiver("fleeting", sub_queue="deadletter") as receiver:
        letter = receive_one(receiver)
        expect([body(letter), letter.dead_letter_reason, letter.time_to_live], ["old", "TTLExpiredException", datetime.timedelta(seconds=1)])
        receiver.complete_message(letter)


@check("a message that was given back too often goes to the dead letters")
def exhausted(client):
    send(client, "exhausted", ServiceBusMessage("again"))
    with client.get_queue_receiver("exhausted") as receiver:
        for count in range(3):
            message = receive_one(receiver)
            expect(message.delivery_count, count)
            receiver.abandon_message(message)
    with client.get_queue_receiver("exhausted", sub_queue="deadletter", receive_mode=delete) as receiver:
        expect([[body(letter), letter.dead_letter_reason] for letter in receive(receiver, 1)], [["again", "MaxDeliveryCountExceeded"]])


@check("duplicates are dropped")
def duplicates(client):
    name = unique("same")
    send(client, "once", *[ServiceBusMessage(text, message_id=name) for text in ["first", "second"]], ServiceBusMessage("other"))
    with client.get_queue_receiver("once", receive_mode=delete) as receiver:
        expect(bodies(receive(receiver, 2)), ["first", "other"])


@check("subscriptions get what their rules let through, as their actions change it")
def topics(client):
    with client.get_topic_sender("news") as sender:
        sender.send_messages([ServiceBusMessage(kind, subject=kind, application_properties={"size": size}) for kind, size in [("sport", 1), ("weather", 2), ("sport", 3)]])
    with client.get_subscription_receiver("news", "all", receive_mode=delete) as receiver:
        expect(bodies(receive(receiver, 3)), ["sport", "weather", "sport"])
    with client.get_subscription_receiver("news", "sport") as receiver:
        messages = receive(receiver, 2)
        expect([message.application_properties for message in messages], [{b"size": size, b"seen": b"yes"} for size in [1, 3]])
        receiver.dead_letter_message(messages[0])
        receiver.complete_message(messages[1])
    with client.get_subscription_receiver("news", "sport", sub_queue="deadletter", receive_mode=delete) as receiver:
        expect(bodies(receive(receiver, 1)), ["sport"])


@check("messages of many frames pass, and too large ones are refused")
def large(client):
    with client.get_queue_sender("large") as sender:
        for size in (65_000, 66_000, 900_000):
            sender.send_messages(ServiceBusMessage("x" * size))
        expect_error((MessageSizeExceededError, ServiceBusError), lambda: sender.send_messages(ServiceBusMessage("x" * 1_100_000)))
        sender.send_messages(ServiceBusMessage("after"))
    with client.get_queue_receiver("large", receive_mode=delete) as receiver:
        expect([len(text) for text in bodies(receive(receiver, 4))], [65_000, 66_000, 900_000, 5])


@check("a receiver that prefetches gets all in order, and holds what it has not given out")
def prefetched(client):
    send(client, "prefetched", *[ServiceBusMessage(str(i)) for i in range(50)])
    found = []
    with client.get_queue_receiver("prefetched", prefetch_count=20, max_wait_time=5) as receiver:
        for message in receiver:
            found.append(body(message))
            receiver.complete_message(message)
            if len(found) == 10:
                with client.get_queue_receiver("prefetched") as other:
                    last = receive_one(other)
                    expect(int(body(last)) >= 20, True)
                    other.complete_message(last)
            if len(found) == 49:
                break
    expect(sorted([*found, body(last)], key=int), [str(i) for i in range(50)])
    expect(found, sorted(found, key=int))


@check("a receiver that waits is woken by a message")
def woken(client):
    found = []
    with client.get_queue_receiver("woken", receive_mode=delete) as receiver:
        waiting = threading.Thread(target=lambda: found.extend(bodies(receive(receiver, 1, seconds=20))))
        waiting.start()
        send(client, "woken", ServiceBusMessage("now"))
        waiting.join()
    expect(found, ["now"])


@check("nothing is received from an empty queue, and later something is")
def drained(client):
    with client.get_queue_receiver("drained") as receiver:
        expect(receiver.receive_messages(max_message_count=10, max_wait_time=1), [])
        send(client, "drained", ServiceBusMessage("here"))
        message = receive_one(receiver)
        expect(body(message), "here")
        receiver.complete_message(message)


@check("missing entities are named")
def missing(client):
    for create in (lambda: client.get_queue_sender("missing"), lambda: client.get_queue_receiver("missing"), lambda: client.get_subscription_receiver("news", "missing")):
        expect_error(ServiceBusError, lambda: create().__enter__(), "could not be found")


arguments = sys.argv[1:4]


@check("a wrong key is refused")
def unauthorized(_client):
    string = arguments[0].replace("SharedAccessKey=", "SharedAccessKey=wrong")
    with connect(string, *arguments[1:]) as client:
        expect_error(ServiceBusAuthenticationError, lambda: client.get_queue_sender("stamped").__enter__(), "401")


with connect(*arguments) as client:
    run(client)
