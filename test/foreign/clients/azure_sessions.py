"""What Azure's SDK for Python can ask of sessions."""
import datetime
import sys
import threading

from azure.servicebus import NEXT_AVAILABLE_SESSION, AutoLockRenewer, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError, SessionCannotBeLockedError, SessionLockLostError
from azure_connection import bodies, body, connect, hour, now, receive, receive_one, unique
from checks import check, eventually, expect, expect_error, run

queue = "sessions"


def send(client, session_id, *texts, to=queue):
    with client.get_queue_sender(to) as sender:
        sender.send_messages([ServiceBusMessage(text, session_id=session_id) for text in texts])


def complete_all(receiver, count):
    messages = receive(receiver, count)
    for message in messages:
        receiver.complete_message(message)
    return bodies(messages)


@check("a session by name brings its messages alone and in order")
def named(client):
    one, other = unique("one"), unique("other")
    for i in range(3):
        send(client, one, f"one{i}")
        send(client, other, f"other{i}")
    for name, prefix in ((one, "one"), (other, "other")):
        with client.get_queue_receiver(queue, session_id=name) as receiver:
            expect(receiver.session.session_id, name)
            messages = receive(receiver, 3)
            expect([message.session_id for message in messages], [name] * 3)
            expect(bodies(messages), [f"{prefix}{i}" for i in range(3)])
            for message in messages:
                receiver.complete_message(message)
            expect(receiver.receive_messages(1, max_wait_time=1), [])


@check("the next available session is one that nobody holds")
def next_available(client):
    names = [unique("next") for _ in range(2)]
    for name in names:
        send(client, name, name)
    with client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION) as first, client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION) as second:
        expect(sorted([first.session.session_id, second.session.session_id]), sorted(names))
        for receiver in (first, second):
            expect(complete_all(receiver, 1), [receiver.session.session_id])


@check("who waits for the next session is given it as it comes")
def awaited(client):
    name, found = unique("awaited"), []

    def wait():
        with client.get_queue_receiver("no-sessions", session_id=NEXT_AVAILABLE_SESSION) as receiver:
            found.append([receiver.session.session_id, *complete_all(receiver, 1)])

    waiting = threading.Thread(target=wait)
    waiting.start()
    send(client, name, "here", to="no-sessions")
    waiting.join()
    expect(found, [[name, "here"]])


@check("a session is held by one receiver at a time")
def exclusive(client):
    name = unique("held")
    with client.get_queue_receiver(queue, session_id=name) as receiver:
        expect(receiver.session.locked_until_utc > now(), True)
        expect_error(SessionCannotBeLockedError, lambda: client.get_queue_receiver(queue, session_id=name).__enter__())
    with client.get_queue_receiver(queue, session_id=name) as receiver:
        expect(receiver.session.session_id, name)


@check("a session keeps a state of bytes, and forgets it")
def state(client):
    name = unique("state")
    with client.get_queue_receiver(queue, session_id=name) as receiver:
        expect(receiver.session.get_state(), None)
        receiver.session.set_state("half way")
        expect(receiver.session.get_state(), b"half way")
    with client.get_queue_receiver(queue, session_id=name) as receiver:
        expect(receiver.session.get_state(), b"half way")
        receiver.session.set_state(bytearray(range(256)))
        expect(receiver.session.get_state(), bytes(range(256)))
        receiver.session.set_state(None)
        expect(receiver.session.get_state(), None)


@check("a session's lock is renewed by hand and by itself")
def renewed(client):
    name = unique("renewed")
    send(client, name, "held", to="brief-sessions")
    with client.get_queue_receiver("brief-sessions", session_id=name) as receiver, AutoLockRenewer() as renewer:
        first = receiver.session.locked_until_utc
        eventually("a later lock", lambda: receiver.session.renew_lock() > first)
        renewer.register(receiver, receiver.session, max_lock_renewal_duration=60)
        eventually("the lock to be renewed again and again", lambda: receiver.session.locked_until_utc > first + datetime.timedelta(seconds=5))
        expect(complete_all(receiver, 1), ["held"])


@check("a session whose lock ended is lost, and another gets what it held")
def lost(client):
    name = unique("lost")
    send(client, name, "slow", to="brief-sessions")
    with client.get_queue_receiver("brief-sessions", session_id=name) as first:
        message = receive_one(first)
        eventually("the lock to end", lambda: first.session.locked_until_utc < now())
        with client.get_queue_receiver("brief-sessions", session_id=name) as second:
            again = receive_one(second)
            expect([body(again), again.delivery_count], ["slow", 1])
            expect_error(SessionLockLostError, lambda: first.complete_message(message))
            expect_error(SessionLockLostError, lambda: first.session.get_state())
            second.complete_message(again)


@check("messages of a session are deferred, scheduled and peeked within it")
def within(client):
    name = unique("within")
    send(client, name, "now", "deferred")
    with client.get_queue_sender(queue) as sender:
        sender.schedule_messages(ServiceBusMessage("scheduled", session_id=name), now() + hour)
    with client.get_queue_receiver(queue, session_id=name) as receiver:
        first, second = receive(receiver, 2)
        receiver.defer_message(second)
        expect(bodies(receiver.peek_messages(10, sequence_number=1)), ["now", "deferred", "scheduled"])
        receiver.complete_message(first)
        (back,) = receiver.receive_deferred_messages(second.sequence_number)
        expect([body(back), back.session_id], ["deferred", name])
        receiver.complete_message(back)
        expect(bodies(receiver.peek_messages(10, sequence_number=1)), ["scheduled"])


@check("what fails in a session goes to the dead letters with its session id")
def dead(client):
    name = unique("dead")
    send(client, name, "bad")
    with client.get_queue_receiver(queue, session_id=name) as receiver:
        receiver.dead_letter_message(receive_one(receiver), reason="bad")
    with client.get_queue_receiver(queue, sub_queue="deadletter") as receiver:
        letter = receive_one(receiver)
        expect([body(letter), letter.session_id, letter.dead_letter_reason], ["bad", name, "bad"])
        receiver.complete_message(letter)


@check("a message without a session, and a receiver without one, are refused")
def refused(client):
    with client.get_queue_sender(queue) as sender:
        expect_error(ServiceBusError, lambda: sender.send_messages(ServiceBusMessage("none")))
    expect_error(ServiceBusError, lambda: client.get_queue_receiver(queue).__enter__())
    expect_error(ServiceBusError, lambda: client.get_queue_receiver("stamped", session_id="any").__enter__())


with connect(*sys.argv[1:4]) as client:
    run(client)
