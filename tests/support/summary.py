"""A child process that prints lines and ends with a line of JSON."""

if __name__ == "__main__":
    print("a line for people")  # noqa: T201 - what it is for
    print('{"ok": [1]}')  # noqa: T201 - what it is for
