"""Checks that a client makes: each has a name, and is told as one line of JSON with what was wrong, if anything was."""
import json
import time
import traceback

registered = []


def check(name):
    def register(function):
        registered.append((name, function))
        return function

    return register


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"expected {expected!r}, found {found!r}")


def expect_error(kinds, action, text=""):
    """The action must fail with one of these errors, and say this."""
    try:
        action()
    except kinds as error:
        if text not in str(error):
            raise AssertionError(f"expected an error that says {text!r}, found {error!r}") from error
        return error
    raise AssertionError(f"expected {kinds}, found no error")


def eventually(what, condition, seconds=20):
    """Waits until the condition gives something, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"expected {what} within {seconds} s")
        time.sleep(0.02)


def run(*arguments):
    for name, function in registered:
        try:
            function(*arguments)
            wrong = None
        except Exception:
            wrong = traceback.format_exc()
        print(json.dumps({"check": name, "wrong": wrong}), flush=True)
    print(json.dumps({"end": len(registered)}), flush=True)
