"""What the administration client of Azure's SDK for Python can do, over https to the port that carries everything."""
import datetime
import sys

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.management import (
    ApiVersion,
    AuthorizationRule,
    CorrelationRuleFilter,
    EntityStatus,
    FalseRuleFilter,
    ServiceBusAdministrationClient,
    SqlRuleAction,
    SqlRuleFilter,
    TrueRuleFilter,
)
from azure_connection import body, connect, hour, now, receive, receive_one, unique
from checks import check, expect, expect_error, run

second = datetime.timedelta(seconds=1)
settings = {
    "lock_duration": 20 * second,
    "max_delivery_count": 7,
    "default_message_time_to_live": datetime.timedelta(days=3, hours=2),
    "dead_lettering_on_message_expiration": True,
    "user_metadata": 'told & <kept> "so"',
    "enable_batched_operations": False,
    "auto_delete_on_idle": datetime.timedelta(days=9),
}


def shown(properties, names):
    return {name: getattr(properties, name) for name in names}


def refused(status, action):
    error = expect_error(HttpResponseError, action)
    expect(error.status_code, status)


@check("the namespace tells of itself")
def namespace(admin, _client):
    properties = admin.get_namespace_properties()
    expect([properties.namespace_type, properties.messaging_sku], ["Messaging", "Standard"])
    expect(properties.created_at_utc <= now(), True)


@check("a queue is made with its settings, read, changed and deleted")
def queues(admin, _client):
    name = unique("queue")
    own = {**settings, "requires_session": True, "requires_duplicate_detection": True, "duplicate_detection_history_time_window": 90 * second, "max_size_in_megabytes": 2048}
    made = admin.create_queue(name, **own)
    expect([made.name, shown(made, own)], [name, own])
    read = admin.get_queue(name)
    expect([read.name, shown(read, own), read.status], [name, own, EntityStatus.active])
    read.max_delivery_count, read.lock_duration, read.status = 3, 10 * second, EntityStatus.send_disabled
    admin.update_queue(read)
    again = admin.get_queue(name)
    expect([again.max_delivery_count, again.lock_duration, again.status, again.requires_session], [3, 10 * second, EntityStatus.send_disabled, True])
    expect_error(ResourceExistsError, lambda: admin.create_queue(name))
    admin.delete_queue(name)
    expect_error(ResourceNotFoundError, lambda: admin.get_queue(name))
    expect_error(ResourceNotFoundError, lambda: admin.delete_queue(name))
    expect_error(ResourceNotFoundError, lambda: admin.update_queue(again))


@check("queues are listed, page by page")
def listed(admin, _client):
    names = sorted(unique("listed") for _ in range(105))
    for name in names:
        admin.create_queue(name)
    found = [queue.name for queue in admin.list_queues()]
    expect([name for name in sorted(found) if name.startswith("listed-")], names)
    expect(len(found), len(set(found)))
    counted = {queue.name for queue in admin.list_queues_runtime_properties()}
    expect(counted.issuperset(names), True)
    for name in names:
        admin.delete_queue(name)


@check("runtime properties count what a queue holds by state")
def counted(admin, client):
    name = unique("counted")
    admin.create_queue(name)
    with client.get_queue_sender(name) as sender:
        sender.send_messages([ServiceBusMessage(str(i)) for i in range(5)])
        sender.schedule_messages([ServiceBusMessage("later")], now() + hour)
    with client.get_queue_receiver(name) as receiver:
        first, second_, third = receive(receiver, 3)
        receiver.dead_letter_message(first)
        receiver.complete_message(second_)
        receiver.defer_message(third)
    found = admin.get_queue_runtime_properties(name)
    expect([found.name, found.active_message_count, found.dead_letter_message_count, found.scheduled_message_count, found.transfer_message_count, found.transfer_dead_letter_message_count], [name, 3, 1, 1, 0, 0])
    expect([found.total_message_count, found.size_in_bytes > 0, found.created_at_utc <= found.updated_at_utc], [5, True, True])
    admin.delete_queue(name)


@check("a queue forwards what it gets, and its dead letters, by their addresses")
def forwarded(admin, client):
    target, graves, source, passed = unique("target"), unique("graves"), unique("source"), unique("passed")
    for name in (target, graves):
        admin.create_queue(name)
    admin.create_queue(source, forward_to=target)
    made = admin.create_queue(passed, forward_dead_lettered_messages_to=graves)
    expect(made.forward_dead_lettered_messages_to.endswith(graves), True)
    expect(admin.get_queue(source).forward_to.endswith(target), True)
    for name in (source, passed):
        with client.get_queue_sender(name) as sender:
            sender.send_messages(ServiceBusMessage(name))
    with client.get_queue_receiver(target) as receiver:
        message = receive_one(receiver)
        expect(body(message), source)
        receiver.complete_message(message)
    with client.get_queue_receiver(passed) as receiver:
        receiver.dead_letter_message(receive_one(receiver), reason="moved")
    with client.get_queue_receiver(graves) as receiver:
        message = receive_one(receiver)
        expect([body(message), message.dead_letter_reason, message.dead_letter_source], [passed, "moved", passed])
        receiver.complete_message(message)
    refused(400, lambda: admin.create_queue(unique("lost"), forward_to="nowhere"))


@check("topics and subscriptions are made, read, listed, counted, changed and deleted")
def topics(admin, client):
    topic, name = unique("topic"), unique("sub")
    own = {"default_message_time_to_live": hour, "requires_duplicate_detection": True, "duplicate_detection_history_time_window": 60 * second, "max_size_in_megabytes": 3072, "user_metadata": "topical"}
    expect(shown(admin.create_topic(topic, **own), own), own)
    expect(shown(admin.create_subscription(topic, name, **settings), settings), settings)
    expect(shown(admin.get_topic(topic), own), own)
    expect(shown(admin.get_subscription(topic, name), settings), settings)
    with client.get_topic_sender(topic) as sender:
        sender.send_messages([ServiceBusMessage("one"), ServiceBusMessage("two")])
    with client.get_subscription_receiver(topic, name) as receiver:
        receiver.dead_letter_message(receive_one(receiver))
    found = admin.get_subscription_runtime_properties(topic, name)
    expect([found.name, found.active_message_count, found.dead_letter_message_count, found.total_message_count], [name, 1, 1, 2])
    expect([sub.active_message_count for sub in admin.list_subscriptions_runtime_properties(topic)], [1])
    expect(admin.get_topic_runtime_properties(topic).subscription_count, 1)
    expect(topic in [each.name for each in admin.list_topics()], True)
    expect(topic in [each.name for each in admin.list_topics_runtime_properties()], True)
    changed = admin.get_subscription(topic, name)
    changed.max_delivery_count = 2
    admin.update_subscription(topic, changed)
    expect([sub.max_delivery_count for sub in admin.list_subscriptions(topic)], [2])
    properties = admin.get_topic(topic)
    properties.default_message_time_to_live = 2 * hour
    admin.update_topic(properties)
    expect(admin.get_topic(topic).default_message_time_to_live, 2 * hour)
    expect_error(ResourceExistsError, lambda: admin.create_subscription(topic, name))
    expect_error(ResourceExistsError, lambda: admin.create_queue(topic))
    admin.delete_subscription(topic, name)
    expect_error(ResourceNotFoundError, lambda: admin.get_subscription(topic, name))
    admin.delete_topic(topic)
    expect_error(ResourceNotFoundError, lambda: admin.get_topic(topic))


@check("rules of every kind are made, read, listed, changed and deleted")
def rules(admin, _client):
    topic, name = unique("topic"), "sub"
    admin.create_topic(topic)
    admin.create_subscription(topic, name)
    expect([rule.name for rule in admin.list_rules(topic, name)], ["$Default"])
    default = admin.get_rule(topic, name, "$Default")
    expect(isinstance(default.filter, TrueRuleFilter), True)
    stamp = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    values = {"text": "t", "whole": 7, "large": 2**40, "part": 1.5, "yes": True, "at": stamp}
    correlation = CorrelationRuleFilter(correlation_id="c", message_id="m", to="t", reply_to="r", label="l", session_id="s", reply_to_session_id="rs", content_type="ct", properties=values)
    admin.create_rule(topic, name, "correlation", filter=correlation, action=SqlRuleAction("SET seen = 'yes'"))
    admin.create_rule(topic, name, "sql", filter=SqlRuleFilter("a > @low AND b = 'x<&>y'", parameters={"@low": 3}))
    admin.create_rule(topic, name, "false", filter=FalseRuleFilter())
    found = admin.get_rule(topic, name, "correlation")
    kept = found.filter
    expect([kept.correlation_id, kept.message_id, kept.to, kept.reply_to, kept.label, kept.session_id, kept.reply_to_session_id, kept.content_type], ["c", "m", "t", "r", "l", "s", "rs", "ct"])
    expect(dict(kept.properties), values)
    expect(found.action.sql_expression, "SET seen = 'yes'")
    sql = admin.get_rule(topic, name, "sql")
    expect([sql.filter.sql_expression, dict(sql.filter.parameters), sql.action], ["a > @low AND b = 'x<&>y'", {"@low": 3}, None])
    expect(sorted(rule.name for rule in admin.list_rules(topic, name)), ["$Default", "correlation", "false", "sql"])
    sql.filter = SqlRuleFilter("a = 1")
    admin.update_rule(topic, name, sql)
    expect(admin.get_rule(topic, name, "sql").filter.sql_expression, "a = 1")
    expect_error(ResourceExistsError, lambda: admin.create_rule(topic, name, "sql"))
    refused(400, lambda: admin.create_rule(topic, name, "bad", filter=SqlRuleFilter("a = = 1")))
    admin.delete_rule(topic, name, "$Default")
    expect_error(ResourceNotFoundError, lambda: admin.get_rule(topic, name, "$Default"))
    admin.delete_topic(topic)


@check("rules that were made here decide what a subscription gets")
def filtered(admin, client):
    topic = unique("topic")
    admin.create_topic(topic)
    for name, rule in (("few", SqlRuleFilter("size < @most", parameters={"@most": 2})), ("red", CorrelationRuleFilter(properties={"colour": "red"}))):
        admin.create_subscription(topic, name)
        admin.delete_rule(topic, name, "$Default")
        admin.create_rule(topic, name, "only", filter=rule, action=SqlRuleAction("SET by = 'rule'; REMOVE size"))
    with client.get_topic_sender(topic) as sender:
        sender.send_messages([ServiceBusMessage(f"{colour}{size}", application_properties={"colour": colour, "size": size}) for colour in ("red", "blue") for size in (1, 2)])
    for name, expected in (("few", ["red1", "blue1"]), ("red", ["red1", "red2"])):
        with client.get_subscription_receiver(topic, name) as receiver:
            messages = receive(receiver, 2)
            expect([body(message) for message in messages], expected)
            expect([sorted(message.application_properties) for message in messages], [[b"by", b"colour"]] * 2)
            for message in messages:
                receiver.complete_message(message)
    admin.delete_topic(topic)


@check("bad names and settings are refused")
def invalid(admin, _client):
    refused(400, lambda: admin.create_queue("bad name!"))
    refused(400, lambda: admin.create_queue(unique("negative"), max_delivery_count=0))
    expect_error(ResourceNotFoundError, lambda: admin.create_subscription("nowhere", "sub"))


@check("older versions of the API are understood")
def versions(admin, _client):
    with connect_administration(api_version=ApiVersion.V2017_04) as older:
        name = unique("older")
        older.create_queue(name)
        expect(older.get_queue(name).name, name)
        older.delete_queue(name)


@check("a wrong key is refused")
def unauthorized(_admin, _client):
    with connect_administration(key="wrong") as stranger:
        refused(401, lambda: stranger.get_queue("stamped"))


@check("authorization rules are taken along")
def authorization(admin, _client):
    name = unique("ruled")
    admin.create_queue(name, authorization_rules=[AuthorizationRule(type="SharedAccessAuthorizationRule", claim_type="SharedAccessKey", claim_value="None", rights=["Send"], key_name="k", primary_key="a" * 44, secondary_key="b" * 44)])
    admin.delete_queue(name)


arguments = sys.argv[1:4]


def connect_administration(key=None, **options):
    string = arguments[0].replace("sb://localhost", f"sb://localhost:{arguments[1]}")
    if key is not None:
        string = string.split("SharedAccessKey=")[0] + f"SharedAccessKey={key}"
    return ServiceBusAdministrationClient.from_connection_string(string, retry_total=0, **options)


with connect_administration() as admin, connect(*arguments) as client:
    run(admin, client)
