"""Raw requests, and what RFC 9110 and 9112 and our limits make of each.

One row is one connection: a name, what is sent, what comes back (`Case.expected`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.support.raw import GET, HOST, POST, Case, get, post, request

SETTINGS: Final = {
    "ALLOWED_HOSTS": "",
    "RATE_LIMIT": "off",
    "HEADER_TIMEOUT_SECONDS": "2",
    "BODY_TIMEOUT_SECONDS": "2",
}
"""The settings of a server that the cases are for."""

Sent = bytes | tuple[bytes, ...]
Row = tuple[str, Sent, str]

BAD: Final = "400 close"
CHUNKED: Final = b"Transfer-Encoding: chunked"
PAIRS: Final = b"GET /pairs HTTP/1.1"
NEXT: Final = request(b"GET /pairs HTTP/1.1", HOST)
"""A request that is smuggled where it is answered."""

# fmt: off
REQUEST_LINES: Final[Sequence[Row]] = [
    ("plain", get(), "200"),
    ("an empty line before", b"\r\n" + get(), "200"),
    ("ten empty lines before", b"\r\n" * 10 + get(), "200 or 400 close"),
    ("lines end with LF alone", get().replace(b"\r\n", b"\n"), "200 or 400 close"),
    ("lines end with CR alone", get().replace(b"\r\n", b"\r"), BAD),
    ("line ends with CR CR LF", request(GET + b"\r", HOST), BAD),
    ("a space before", b" " + get(), BAD),
    ("a tab before", b"\t" + get(), BAD),
    ("a byte order mark before", b"\xef\xbb\xbf" + get(), BAD),
    ("NUL before", b"\0" + get(), BAD),
    ("two spaces after the method", request(b"GET  /healthz HTTP/1.1", HOST), "200 or 400 close"),
    ("two spaces before the version", request(b"GET /healthz  HTTP/1.1", HOST), "200 or 400 close"),
    ("a tab after the method", request(b"GET\t/healthz HTTP/1.1", HOST), BAD),
    ("a tab before the version", request(b"GET /healthz\tHTTP/1.1", HOST), BAD),
    ("a vertical tab after the method", request(b"GET\v/healthz HTTP/1.1", HOST), BAD),
    ("a space after the version", request(GET + b" ", HOST), "200 or 400 close"),
    ("a word after the version", request(GET + b" x", HOST), BAD),
    ("a second version", request(GET + b" HTTP/1.1", HOST), BAD),
    ("no target", request(b"GET HTTP/1.1", HOST), BAD),
    ("an empty target", request(b"GET  HTTP/1.1", HOST), BAD),
    ("a method alone", request(b"GET", HOST), BAD),
    ("a line of one space", request(b" ", HOST), BAD),
    ("a header in place of the line", request(HOST), BAD),
    ("a reply in place of a request", request(b"HTTP/1.1 200 OK", b"Content-Length: 0"), BAD),
    ("NUL in the target", request(b"GET /healthz\0 HTTP/1.1", HOST), BAD),
    ("DEL in the target", request(b"GET /health\x7fz HTTP/1.1", HOST), BAD),
    ("CR in the target", request(b"GET /health\rz HTTP/1.1", HOST), BAD),
    ("escape in the target", request(b"GET /\x1b[31m HTTP/1.1", HOST), BAD),
    ("a space in the target", request(b"GET /a b HTTP/1.1", HOST), BAD),
    ("a second line of the target", request(b"GET /healthz", b" HTTP/1.1", HOST), BAD),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)), BAD),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", BAD),
    ("SMTP", b"EHLO localhost\r\n", BAD),
    ("a proxy's PROXY line", b"PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n" + get(), BAD),
    ("JSON", b'{"method": "GET"}\r\n\r\n', BAD),
    ("NULs", bytes(200), BAD),
    ("0xFF", b"\xff" * 200, BAD),
]

VERSIONS: Final[Sequence[Row]] = [
    *[(f"HTTP/{version}", request(b"GET /healthz HTTP/" + version.encode(), HOST), BAD) for version in
      ("0.9", "2.0", "2", "3.0", "1", "1.", ".1", "11", "1.1.1", "1.10", "01.1", "1.01", "-1.1", "1,1", "9.9", "x.y", "")],
    ("HTTP/1.2", request(b"GET /healthz HTTP/1.2", HOST), "200 or 400 close"),
    ("HTTP/1.0", request(b"GET /healthz HTTP/1.0", HOST), "200 close"),
    ("HTTP/1.0 kept", request(b"GET /healthz HTTP/1.0", HOST, b"Connection: keep-alive"), "200 or 200 close"),
    ("HTTP/0.9 without a version", b"GET /healthz\r\n\r\n", BAD),
    ("HTTP/0.9 without an empty line", (b"GET /healthz\r\n", b"\r\n"), BAD),
    ("http/1.1", request(b"GET /healthz http/1.1", HOST), BAD),
    ("HTTP 1.1", request(b"GET /healthz HTTP 1.1", HOST), BAD),
    ("HTTP/ 1.1", request(b"GET /healthz HTTP/ 1.1", HOST), BAD),
    ("HTTPS/1.1", request(b"GET /healthz HTTPS/1.1", HOST), BAD),
    ("ICE/1.0", request(b"GET /healthz ICE/1.0", HOST), BAD),
    ("RTSP/1.0", request(b"GET /healthz RTSP/1.0", HOST), "400 close or 200 close"),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    ("h2c by Upgrade", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"), "200 close"),
]

_HOSTS: Final = {
    BAD: ["a b", "a, b", "a/b", "localhost/", "user@localhost", "localhost:abc", "localhost:-1", "localhost:80:80",
          "[::1", "::1", "[zz]", "[]", "http://localhost", "localhost?x", "localhost#x", "<script>", "a\\b",
          "%zz", "localhost\0", "localhost\x7f", "l\xf6calhost", '"localhost"', ":80"],
    "200": ["localhost", "LOCALHOST", "localhost:8000", "localhost:", "localhost.", "127.0.0.1", "127.0.0.1:80", "[::1]",
            "[::1]:8000", "a_b", "xn--lcalhost-n4a", "  localhost  "],
    "200 or 400 close": ["local%68ost", "a%00", "a..b", "-", "*", "localhost:99999", "a" * 300, "1.2.3.4.5", "[v1.x]"],
}
HOSTS: Final[Sequence[Row]] = [
    *[(f"Host: {host[:20]!r}", request(GET, b"Host: " + host.encode("latin-1")), expected)
      for expected, hosts in _HOSTS.items() for host in hosts],
    ("no Host", request(GET), BAD),
    ("no Host in HTTP/1.0", request(b"GET /healthz HTTP/1.0"), "200 close"),
    ("a bad Host in HTTP/1.0", request(b"GET /healthz HTTP/1.0", b"Host: a b"), "400 close"),
    ("two Hosts in HTTP/1.0", request(b"GET /healthz HTTP/1.0", HOST, HOST), BAD),
    ("an empty Host", request(GET, b"Host:"), BAD),
    ("a Host of spaces", request(GET, b"Host:   "), BAD),
    ("the same Host twice", request(GET, HOST, HOST), BAD),
    ("two Hosts", request(GET, HOST, b"Host: a"), BAD),
    ("two Hosts, one in capitals", request(GET, HOST, b"HOST: a"), BAD),
    ("two Hosts, apart", request(GET, HOST, b"A: b", b"Host: a"), BAD),
    ("no Host after a good request", get() + request(GET), "200 400 close"),
    ("no Host at a path that is not there", request(b"GET /nope HTTP/1.1"), BAD),
    ("no Host for another method", request(POST, b"Content-Length: 0"), BAD),
    ("X-Forwarded-Host alone", request(GET, b"X-Forwarded-Host: localhost"), BAD),
    ("a host of somebody else", request(PAIRS, b"Host: evil.example"), "421"),
    ("a host of somebody else, at a health path", request(GET, b"Host: evil.example"), "200"),
    ("X-Forwarded-Host of somebody else", request(PAIRS, HOST, b"X-Forwarded-Host: evil.example"), "200"),
]

HEADERS: Final[Sequence[Row]] = [
    ("a space before the colon", get(b"A : b"), BAD),
    ("a tab before the colon", get(b"A\t: b"), BAD),
    ("a space before the colon of Host", request(GET, b"Host : localhost"), BAD),
    ("a space in a name", get(b"A b: c"), BAD),
    ("no colon", get(b"Abc"), BAD),
    ("an empty name", get(b": b"), BAD),
    ("an empty value", get(b"A:"), "200"),
    ("a value of spaces", get(b"A:     "), "200"),
    ("no space after the colon", get(b"A:b"), "200"),
    ("spaces around a value", get(b"A: \t b \t "), "200"),
    ("a colon in a value", get(b"A: b: c"), "200"),
    ("every character that a name may have", get(b"!#$%&'*+-.^_`|~09azAZ: b"), "200"),
    *[(f"{character!r} in a name", get(b"A" + character.encode("latin-1") + b"B: c"), BAD)
      for character in '\0\x01\x0b\x1b\x7f"(),/;<=>?@[\\]{}\x80\xff'],
    *[(f"{character!r} in a value", get(b"A: b" + character.encode("latin-1") + b"c"), BAD)
      for character in "\0\x01\x08\x0b\x0c\x1b\x7f"],
    ("a tab in a value", get(b"A: b\tc"), "200"),
    ("UTF-8 in a value", get("A: ção".encode()), "200"),
    ("0xFF in a value", get(b"A: \xff"), "200"),
    ("a continued value (obs-fold)", get(b"A: b", b" c"), BAD),
    ("a value continued by a tab", get(b"A: b", b"\tc"), BAD),
    ("a continued Host", request(GET, b"Host: local", b" host"), BAD),
    ("a continued line of spaces", get(b"A: b", b"  "), BAD),
    ("a space before the first header", request(GET, b" A: b", HOST), BAD),
    ("a space before Host", request(GET, b" Host: localhost"), BAD),
    ("CR in a value", get(b"A: b\rc"), BAD),
    ("CR at the end of a value", get(b"A: b\r"), BAD),
    ("LF in a value, a header of its own", get(b"A: b\nC: d"), "200 or 400 close"),
    ("LF LF ends the head", request(GET, HOST) [:-2] + b"\n", "200 or 400 close"),
    ("CR alone between headers", get(b"A: b\rC: d"), BAD),
    ("an empty line with a space", request(GET, HOST, b" "), BAD),
    ("a request id of ours", get(b"X-Request-ID: abc"), "200"),
    ("a request id with a line of the log", get(b"X-Request-ID: a b {}"), "200"),
    ("a request id of 100 characters", get(b"X-Request-ID: " + b"a" * 100), "200"),
    ("an If-None-Match of nonsense", get(b'If-None-Match: ,,"'), "200"),
    ("a Range of nonsense", get(b"Range: bytes=9-1,x"), "200"),
    ("an Accept of nonsense", request(PAIRS, HOST, b"Accept: ;;q=,/"), "200|406"),
    ("an Accept-Encoding of nonsense", get(b"Accept-Encoding: gzip;q=x,,\xff"), "200"),
    ("a cookie that is endless", get(b"Cookie: " + b"a=b; " * 4_000), "200"),
    ("Connection: close", get(b"Connection: close"), "200 close"),
    ("Connection: Close, x", get(b"Connection: x, Close"), "200 close"),
    ("Connection: nonsense", get(b"Connection: \xff"), "200"),
    ("Connection: close, then a request", get(b"Connection: close") + NEXT, "200 close"),
]

SIZES: Final[Sequence[Row]] = [
    ("a header of 30,000 bytes", get(b"A: " + b"b" * 30_000), "200"),
    ("a header of 40,000 bytes", get(b"A: " + b"b" * 40_000), "431 close"),
    ("a header of 1 MB", get(b"A: " + b"b" * 1_000_000), "431 close"),
    ("a name of 40,000 bytes", get(b"a" * 40_000 + b": b"), "431 close"),
    ("40 headers of 1,000 bytes", get(*[b"A%d: " % n + b"b" * 1_000 for n in range(40)]), "431 close"),
    ("99 headers beside Host", get(*[b"A%d: b" % n for n in range(99)]), "200"),
    ("100 headers beside Host", get(*[b"A%d: b" % n for n in range(100)]), "431 close"),
    ("100,000 headers", get(*[b"A%d: b" % n for n in range(100_000)]), "431 close"),
    ("a target of 30,000 bytes", request(b"GET /" + b"a" * 30_000 + b" HTTP/1.1", HOST), "404"),
    ("a target of 40,000 bytes", request(b"GET /" + b"a" * 40_000 + b" HTTP/1.1", HOST), "431 close"),
    ("a target of 1 MB", request(b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1", HOST), "431 close"),
    ("a query of 40,000 bytes", request(b"GET /pairs?" + b"a" * 40_000 + b" HTTP/1.1", HOST), "431 close"),
    ("a method of 40,000 bytes", request(b"G" * 40_000 + b" / HTTP/1.1", HOST), "400|431 close"),
    ("a head without end", GET + b"\r\n" + HOST + b"\r\nA: " + b"b" * 200_000, "431 close"),
    ("empty lines without end", b"\r\n" * 50_000, "431 close or 400 close or close or 408 close"),
    ("a large head after a good request", get() + get(b"A: " + b"b" * 40_000), "200 431 close"),
    ("ten heads of 30,000 bytes", get(b"A: " + b"b" * 30_000) * 10, " ".join(["200"] * 10)),
    ("a body of 16,384 bytes", post(b"Content-Length: 16384", body=b"b" * 16_384), "405"),
    ("a body of 16,385 bytes", post(b"Content-Length: 16385", body=b"b" * 16_385), "413 close"),
    ("a body of 10 MB", post(b"Content-Length: 10000000", body=b"b" * 10_000_000), "413 close"),
    ("a body of 10 MB, announced", post(b"Content-Length: 10000000"), "413 close"),
    ("a body of 9 exabytes, announced", post(b"Content-Length: 9223372036854775807"), "413 close"),
    ("a body of 10 MB of GET", get(b"Content-Length: 10000000", body=b"b" * 10_000_000), "413 close"),
    ("chunks of 16,384 bytes in all", post(CHUNKED, body=b"1000\r\n" + (b"b" * 4_096 + b"\r\n1000\r\n") * 3 + b"b" * 4_096 + b"\r\n0\r\n\r\n"), "405"),
    ("chunks of 20,480 bytes in all", post(CHUNKED, body=b"1000\r\n" + (b"b" * 4_096 + b"\r\n1000\r\n") * 4 + b"b" * 4_096 + b"\r\n0\r\n\r\n"), "413 close or 405 close"),
    ("a chunk of 10 MB", post(CHUNKED, body=b"989680\r\n" + b"b" * 10_000_000 + b"\r\n0\r\n\r\n"), "413 close or 405 close"),
    ("a chunk of 10 MB, announced", post(CHUNKED, body=b"989680\r\n"), "413 close or 405 close or 408 close"),
    ("a body of 10 MB, then a request", post(b"Content-Length: 10000000", body=NEXT * 10), "413 close"),
]

_LENGTHS: Final = ["-1", "+5", "5 5", "5,5", "5, 5", "5;", "0x5", "5.0", "five", "", "5_0", "\xb25", "5\x00", "99999999999999999999", "1e1", " "]
LENGTHS: Final[Sequence[Row]] = [
    *[(f"Content-Length: {each!r}", post(b"Content-Length: " + each.encode("latin-1"), body=b"hello"), BAD) for each in _LENGTHS],
    ("Content-Length of 18446744073709551621, 5 beyond 64 bits", post(b"Content-Length: 18446744073709551621", body=b"hello"), BAD),
    ("Content-Length twice, the same", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), BAD),
    ("Content-Length twice, different", post(b"Content-Length: 5", b"Content-Length: 0", body=b"hello"), BAD),
    ("Content-Length twice, apart", post(b"Content-Length: 5", b"A: b", b"content-length: 6", body=b"hello"), BAD),
    ("Content-Length with a space before the colon", post(b"Content-Length : 5", body=b"hello"), BAD),
    ("Content-Length with leading zeros", post(b"Content-Length: 0005", body=b"hello"), "405 or 400 close"),
    ("Content-Length with spaces around", post(b"Content-Length:   5  ", body=b"hello"), "405"),
    ("a body of POST", post(b"Content-Length: 5", body=b"hello"), "405"),
    ("a body of GET", get(b"Content-Length: 5", body=b"hello"), "200"),
    ("a body of HEAD", request(b"HEAD /healthz HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"), "h200"),
    ("an empty body", post(b"Content-Length: 0"), "405"),
    ("a POST without length", post(), "405"),
    ("a body that holds a request", post(b"Content-Length: %d" % len(NEXT), body=NEXT), "405"),
    ("the same, the body later", (post(b"Content-Length: %d" % len(NEXT)), NEXT), "405"),
    ("a body of GET that holds a request", get(b"Content-Length: %d" % len(NEXT), body=NEXT), "200"),
    ("a body shorter than its length", post(b"Content-Length: 10", body=b"hel"), "408 close or 405 close"),
    ("a body longer than its length", post(b"Content-Length: 5", body=b"hello\r\n\r\nworld"), "405 400 close"),
    ("a length, and no body", (post(b"Content-Length: 5"),), "408 close or 405 close"),
    ("Content-Length in HTTP/1.0", request(b"POST /pairs HTTP/1.0", HOST, b"Content-Length: 5", body=b"hello"), "405 close"),
]

_CODINGS: Final = ["gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity", "xchunked", "chunkedx", "chunk",
                   "chunked;q=1", "chunked,", ",chunked", "\"chunked\"", "chunked\x0b", "\x0bchunked", "chunked\0", "", "chun ked", "deflate"]
CODINGS: Final[Sequence[Row]] = [
    *[(f"Transfer-Encoding: {each!r}", post(b"Transfer-Encoding: " + each.encode(), body=b"0\r\n\r\n"), BAD) for each in _CODINGS],
    ("chunked", post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"), "405"),
    ("chunked of GET", get(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"), "200"),
    ("Chunked in capitals", post(b"Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n"), "405 or 400 close"),
    ("chunked twice", post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"), BAD),
    ("chunked and identity, two lines", post(CHUNKED, b"Transfer-Encoding: identity", body=b"0\r\n\r\n"), BAD),
    ("chunked in HTTP/1.0", request(b"POST /pairs HTTP/1.0", HOST, CHUNKED, body=b"0\r\n\r\n"), BAD),
    ("gzip in HTTP/1.0", request(b"POST /pairs HTTP/1.0", HOST, b"Transfer-Encoding: gzip"), BAD),
    ("a space before the colon", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), BAD),
    ("continued (obs-fold)", post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"), BAD),
    ("Transfer_Encoding, which is another header", get(b"Transfer_Encoding: chunked"), "200"),
    ("TE", get(b"TE: trailers, chunked;q=0.5"), "200"),
    ("with Content-Length before", post(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"), BAD),
    ("with Content-Length after", post(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"), BAD),
    ("with Content-Length 0", post(CHUNKED, b"Content-Length: 0", body=b"0\r\n\r\n"), BAD),
    ("with Content-Length, of GET", get(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"), BAD),
    ("with Content-Length, a request after (CL.TE)", post(b"Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG" + NEXT), BAD),
    ("with Content-Length, a request inside (TE.CL)", post(b"Content-Length: 4", CHUNKED, body=b"2c\r\n" + NEXT + b"\r\n0\r\n\r\n"), BAD),
    ("identity with Content-Length", post(b"Transfer-Encoding: identity", b"Content-Length: 5", body=b"hello"), BAD),
    ("xchunked with Content-Length", post(b"Transfer-Encoding: xchunked", b"Content-Length: 5", body=b"hello"), BAD),
    ("with Content-Length in HTTP/1.0", request(b"POST /pairs HTTP/1.0", HOST, CHUNKED, b"Content-Length: 5", body=b"hello"), BAD),
]


def chunks(body: bytes) -> bytes:
    """A POST with this chunked body."""
    return post(CHUNKED, body=body)


# A reply to the head may be on its way when a chunk is wrong; then the connection just ends.
BROKEN: Final = "400 close or 405 close"
CHUNKS: Final[Sequence[Row]] = [
    ("no chunk", chunks(b"0\r\n\r\n"), "405"),
    ("several", chunks(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "405"),
    ("one byte at a time", (chunks(b""), *[bytes([each]) for each in b"2\r\nhi\r\n0\r\n\r\n"]), "405"),
    ("a size in capitals", chunks(b"A\r\n0123456789\r\n0\r\n\r\n"), "405"),
    ("a size with zeros before", chunks(b"0005\r\nhello\r\n000\r\n\r\n"), "405"),
    ("an extension", chunks(b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), "405"),
    ("a quoted extension", chunks(b'5;a="b;c"\r\nhello\r\n0\r\n\r\n'), "405"),
    ("an extension of 40,000 bytes", chunks(b"5;" + b"a" * 40_000 + b"\r\nhello\r\n0\r\n\r\n"), "400|405|413|431 close or 405"),
    ("extensions of 40,000 bytes in all", chunks((b"1;" + b"a" * 1_000 + b"\r\nb\r\n") * 40 + b"0\r\n\r\n"), "400|405|413|431 close or 405"),
    *[(f"a size of {size!r}", chunks(size.encode("latin-1") + b"\r\nhello\r\n0\r\n\r\n"), BROKEN)
      for size in ("-5", "+5", "0x5", "5 ", " 5", "5\t", "g", "", "5_", "5.", "5,5", "\xb5", "5\0")],
    ("a size beyond 64 bits", chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), "400|405|413 close"),
    ("a size of 16 digits", chunks(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), "400|405|408|413 close"),
    ("an extension with LF", chunks(b"5;a\nhello\r\n0\r\n\r\n"), BROKEN),
    ("an extension with NUL", chunks(b"5;a\0\r\nhello\r\n0\r\n\r\n"), BROKEN),
    ("a size that ends with LF", chunks(b"5\nhello\r\n0\r\n\r\n"), BROKEN),
    ("a size that ends with CR", chunks(b"5\rhello\r\n0\r\n\r\n"), BROKEN),
    ("data that end with LF", chunks(b"5\r\nhello\n0\r\n\r\n"), BROKEN),
    ("data without a line's end", chunks(b"5\r\nhello0\r\n\r\n"), BROKEN),
    ("data longer than the size", chunks(b"4\r\nhello\r\n0\r\n\r\n"), BROKEN),
    ("data shorter than the size", chunks(b"6\r\nhello\r\n0\r\n\r\n"), BROKEN),
    ("no last chunk", chunks(b"5\r\nhello\r\n"), "408 close or 405 close"),
    ("no chunk at all", chunks(b""), "408 close or 405 close"),
    ("a body that is not chunked", chunks(b"hello"), BROKEN),
    ("a request after the last chunk", chunks(b"0\r\n\r\n") + get(), "405 200"),
    ("a request inside", chunks(b"%x\r\n" % len(NEXT) + NEXT + b"\r\n0\r\n\r\n"), "405"),
    ("a trailer", chunks(b"0\r\nA: b\r\n\r\n"), "405"),
    ("a trailer of GET", get(CHUNKED, body=b"0\r\nX-Request-ID: trailer\r\n\r\n"), "200"),
    ("Host as a trailer", request(GET, CHUNKED, body=b"0\r\nHost: localhost\r\n\r\n"), BAD),
    ("a second Host as a trailer", get(CHUNKED, body=b"0\r\nHost: a\r\n\r\n"), "200"),
    ("Content-Length as a trailer", chunks(b"0\r\nContent-Length: 99\r\n\r\n"), "405 or 400 close or 405 close"),
    ("Transfer-Encoding as a trailer", chunks(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), "405 or 400 close or 405 close"),
    ("Connection: close as a trailer", get(CHUNKED, body=b"0\r\nConnection: close\r\n\r\n"), "200"),
    ("Upgrade as a trailer, then a request", chunks(b"0\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n") + get(), "405 200"),
    ("Expect as a trailer", chunks(b"0\r\nExpect: 100-continue\r\n\r\n"), "405"),
    ("a trailer of 100,000 bytes", chunks(b"0\r\nA: " + b"b" * 100_000 + b"\r\n\r\n"), "400|405|413|431 close"),
    ("1,000 trailers", chunks(b"0\r\n" + b"A: b\r\n" * 1_000 + b"\r\n"), "400|405|413|431 close or 405"),
    ("a trailer without a colon", chunks(b"0\r\nabc\r\n\r\n"), BROKEN),
    ("a trailer without end", chunks(b"0\r\nA: b\r\n"), "408 close or 405 close"),
]

WEBSOCKET: Final = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")
UPGRADE: Final = (b"Connection: Upgrade", b"Upgrade: x")
UPGRADES: Final[Sequence[Row]] = [
    ("Upgrade: websocket", get(*WEBSOCKET), "200 close"),
    ("Upgrade: x", get(*UPGRADE), "200 close"),
    ("Upgrade in small letters", get(b"connection: upgrade", b"upgrade: x"), "200 close"),
    ("Upgrade among others", get(b"Connection: keep-alive, Upgrade", b"Upgrade: x"), "200 close"),
    ("Upgrade of a path that is not there", request(b"GET /nope HTTP/1.1", HOST, *UPGRADE), "404 close"),
    ("Upgrade of POST", post(*UPGRADE), "405 close"),
    ("Upgrade of HEAD", request(b"HEAD /healthz HTTP/1.1", HOST, *UPGRADE), "h200 close"),
    ("Upgrade alone", get(b"Upgrade: x"), "200 or 200 close"),
    ("Connection: Upgrade alone", get(b"Connection: Upgrade"), "200 or 200 close"),
    ("Upgrade alone, then a request", get(b"Upgrade: x") + get(), "200 200 or 200 close"),
    ("Upgrade in HTTP/1.0", request(b"GET /healthz HTTP/1.0", HOST, *UPGRADE), "200 close"),
    ("Upgrade, then a request", get(*UPGRADE) + NEXT, "200 close"),
    ("Upgrade, then a request later", (get(*UPGRADE), NEXT), "200 close"),
    ("Upgrade, a body that is a request", get(*UPGRADE, b"Content-Length: %d" % len(NEXT), body=NEXT), "200 close"),
    ("Upgrade, a body that is a request, later", (get(*UPGRADE, b"Content-Length: %d" % len(NEXT)), NEXT), "200 close"),
    ("Upgrade of POST, a body that is a request, later", (post(*UPGRADE, b"Content-Length: %d" % len(NEXT)), NEXT), "405 close"),
    ("Upgrade of POST, chunks that hold a request, later", (post(*UPGRADE, CHUNKED), b"%x\r\n" % len(NEXT), NEXT, b"\r\n0\r\n\r\n"), "405 close"),
    ("Upgrade, chunks, then a request", get(*UPGRADE, CHUNKED, body=b"0\r\n\r\n") + NEXT, "200 close"),
    ("Upgrade of POST, two requests later", (post(*UPGRADE, b"Content-Length: 10"), NEXT, NEXT), "405 close"),
    ("Upgrade after a good request", get() + get(*UPGRADE) + NEXT, "200 200 close"),
    ("Upgrade with frames of WebSocket", (get(*WEBSOCKET), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "200 close"),
    ("Upgrade: h2c, then the preface", (get(b"Connection: Upgrade", b"Upgrade: h2c"), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "200 close"),
    ("Upgrade, and a body beyond the limit", post(*UPGRADE, b"Content-Length: 99999999"), "413 close"),
    ("Upgrade with both lengths", post(*UPGRADE, CHUNKED, b"Content-Length: 5"), BAD),
    ("Upgrade without Host", request(GET, *UPGRADE), BAD),
    ("Upgrade with Expect", post(*UPGRADE, b"Expect: 100-continue", b"Content-Length: 5"), "405 close or 417 close or 408 close"),
    ("CONNECT", request(b"CONNECT localhost:443 HTTP/1.1", b"Host: localhost:443"), "405 close"),
    ("CONNECT, then a request", (request(b"CONNECT localhost:443 HTTP/1.1", b"Host: localhost:443"), NEXT), "405 close"),
    ("CONNECT with a body", request(b"CONNECT localhost:443 HTTP/1.1", b"Host: localhost:443", b"Content-Length: 5", body=b"hello"), "400|405 close"),
    ("CONNECT of a path", request(b"CONNECT /healthz HTTP/1.1", HOST), "400|405 close"),
    ("CONNECT without a port", request(b"CONNECT localhost HTTP/1.1", HOST), "400|405 close"),
    ("CONNECT without Host", request(b"CONNECT localhost:443 HTTP/1.1"), "400|405 close"),
    ("CONNECT in HTTP/1.0", request(b"CONNECT localhost:443 HTTP/1.0"), "405 close"),
    ("CONNECT after a good request", get() + request(b"CONNECT localhost:443 HTTP/1.1", b"Host: localhost:443") + NEXT, "200 405 close"),
]

EXPECT: Final = b"Expect: 100-continue"
EXPECTATIONS: Final[Sequence[Row]] = [
    ("100-continue, and the body", post(EXPECT, b"Content-Length: 5", body=b"hello"), "405 or 100 405"),
    ("100-continue, the body later", (post(EXPECT, b"Content-Length: 5"), b"hello"), "405 or 100 405"),
    ("100-continue, no body", post(EXPECT, b"Content-Length: 5"), "100 408 close or 405 close or 408 close"),
    ("100-continue, a body beyond the limit", post(EXPECT, b"Content-Length: 16385"), "413 close"),
    ("100-continue in capitals", post(b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"), "405 or 100 405"),
    ("100-continue of GET without a body", get(EXPECT), "200"),
    ("100-continue in HTTP/1.0", request(b"POST /pairs HTTP/1.0", HOST, EXPECT, b"Content-Length: 5", body=b"hello"), "405 close"),
    ("another expectation", get(b"Expect: a-reply"), "200 or 417 or 417 close"),
    ("an empty expectation", get(b"Expect:"), "200 or 417 or 417 close"),
]

HEAD: Final = request(b"HEAD /healthz HTTP/1.1", HOST)
PIPELINES: Final[Sequence[Row]] = [
    ("two requests", get() * 2, "200 200"),
    ("50 requests", get() * 50, " ".join(["200"] * 50)),
    ("two requests with bodies", post(b"Content-Length: 5", body=b"hello") * 2, "405 405"),
    ("HEAD, then GET", HEAD + get(), "h200 200"),
    ("an empty line between", get() + b"\r\n" + get(), "200 200"),
    ("several kinds", get() + request(PAIRS, HOST) + request(b"GET /nope HTTP/1.1", HOST) + post(), "200 200 404 405"),
    ("one byte at a time", (*[bytes([each]) for each in get()[:8]], get()[8:] + get()), "200 200"),
    ("split in the line's end", (get()[:-1], get()[-1:] + get()), "200 200"),
    ("split in the head's end", (get()[:-2], get()[-2:]), "200"),
    ("close, then a second one", get(b"Connection: close") + get(), "200 close"),
    ("HTTP/1.0, then a second one", request(b"GET /healthz HTTP/1.0", HOST) + get(), "200 close"),
    ("garbage after a good one", get() + b"garbage\r\n\r\n", "200 400 close"),
    ("garbage after two good ones", get() * 2 + b"\0\0\0\0", "200 200 400 close"),
    ("garbage after a good one, later", (get(), b"\xff\xfe\r\n\r\n"), "200 400 close"),
    ("garbage after one of the threads", request(PAIRS, HOST) + b"garbage\r\n\r\n", "200 400 close"),
    ("garbage, then a good one", b"garbage\r\n\r\n" + get(), BAD),
    ("a bad length after a good one", get() + post(b"Content-Length: x") + NEXT, "200 400 close"),
    ("both lengths after a good one", get() + post(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n") + NEXT, "200 400 close"),
    ("a body beyond the limit after a good one", get() + post(b"Content-Length: 99999"), "200 413 close"),
    ("a wrong version after a good one", get() + request(b"GET / HTTP/2.0", HOST) + NEXT, "200 400 close"),
    ("half a request after a good one", get() + GET, "200 408 close"),
    ("half a request after one of the threads", request(PAIRS, HOST) + GET, "200 408 close"),
    ("half a request after HEAD", HEAD + GET, "h200 408 close"),
    ("garbage after HEAD", HEAD + b"garbage\r\n\r\n", "h200 400 close"),
    ("a bad Host after HEAD", HEAD + request(GET), "h200 400 close"),
    ("HEAD without Host", request(b"HEAD /healthz HTTP/1.1"), "h400 close"),
    ("HEAD without Host after GET", get() + request(b"HEAD /healthz HTTP/1.1") + get(), "200 h400 close"),
    ("a body beyond the limit after one of the threads", request(PAIRS, HOST) + post(b"Content-Length: 99999"), "200 413 close"),
    ("Upgrade after one of the threads", request(PAIRS, HOST) + request(PAIRS, HOST, b"Connection: Upgrade", b"Upgrade: x") + NEXT, "200 200 close"),
    ("garbage after one of the threads, 1 MB of it", request(PAIRS, HOST) + b"garbage\r\n" * 100_000, "200 400 close"),
    ("50 of the threads, in two parts", (request(PAIRS, HOST) * 25 + PAIRS, request(b"", HOST) + request(PAIRS, HOST) * 24), " ".join(["200"] * 50)),
    ("2,000 requests", get() * 2_000, " ".join(["200"] * 2_000)),
    ("a body in each of ten", post(b"Content-Length: 16000", body=b"b" * 16_000) * 10, " ".join(["405"] * 10)),
]

TARGETS: Final[Sequence[Row]] = [
    ("absolute", request(b"GET http://localhost/healthz HTTP/1.1", HOST), "200"),
    ("absolute, another Host", request(b"GET http://localhost/healthz HTTP/1.1", b"Host: evil.example"), "200 or 400 close"),
    ("absolute, the authority counts", request(b"GET http://localhost/pairs HTTP/1.1", b"Host: evil.example"), "200 or 400 close"),
    ("absolute of somebody else", request(b"GET http://evil.example/pairs HTTP/1.1", HOST), "421"),
    ("absolute, no Host", request(b"GET http://localhost/healthz HTTP/1.1"), BAD),
    ("absolute, https", request(b"GET https://localhost/healthz HTTP/1.1", HOST), "200 or 400 close or 421"),
    ("absolute, a port", request(b"GET http://localhost:8000/healthz HTTP/1.1", HOST), "200"),
    ("absolute, an IPv6 address", request(b"GET http://[::1]/healthz HTTP/1.1", HOST), "200"),
    ("absolute, capitals", request(b"GET HTTP://LOCALHOST/healthz HTTP/1.1", HOST), "200"),
    ("absolute, no path", request(b"GET http://localhost HTTP/1.1", HOST), "200|307|404 or 400 close"),
    ("absolute, a query and no path", request(b"GET http://localhost?a=b HTTP/1.1", HOST), "200|307|404|422 or 400 close"),
    ("absolute, a user", request(b"GET http://a:b@localhost/healthz HTTP/1.1", HOST), "200 or 400 close"),
    ("absolute, no authority", request(b"GET http:///healthz HTTP/1.1", HOST), BAD),
    ("absolute, a bad authority", request(b"GET http://a b/healthz HTTP/1.1", HOST), BAD),
    ("absolute, ftp", request(b"GET ftp://localhost/healthz HTTP/1.1", HOST), "200|404|421 or 400 close"),
    ("absolute, file", request(b"GET file:///etc/passwd HTTP/1.1", HOST), "404|421 or 400 close"),
    ("authority", request(b"GET localhost:80 HTTP/1.1", HOST), "404 or 400 close"),
    ("a word", request(b"GET healthz HTTP/1.1", HOST), "404 or 400 close"),
    ("an asterisk", request(b"GET * HTTP/1.1", HOST), "404 or 400 close"),
    ("OPTIONS *", request(b"OPTIONS * HTTP/1.1", HOST), "200|204|404|405 or 400 close"),
    ("two slashes", request(b"GET //healthz HTTP/1.1", HOST), "404"),
    ("two slashes, a host", request(b"GET //evil.example/healthz HTTP/1.1", HOST), "404"),
    ("dots", request(b"GET /../healthz HTTP/1.1", HOST), "404"),
    ("dots that are encoded", request(b"GET /%2e%2e/etc/passwd HTTP/1.1", HOST), "404"),
    ("a fragment", request(b"GET /healthz#x HTTP/1.1", HOST), "200|404 or 400 close"),
    ("a backslash", request(b"GET /\\healthz HTTP/1.1", HOST), "404 or 400 close"),
    ("a percent sign alone", request(b"GET /% HTTP/1.1", HOST), "404 or 400 close"),
    ("a bad percent-encoding", request(b"GET /%zz HTTP/1.1", HOST), "404 or 400 close"),
    ("half a percent-encoding", request(b"GET /%4 HTTP/1.1", HOST), "404 or 400 close"),
    ("an encoded NUL", request(b"GET /%00 HTTP/1.1", HOST), "404 or 400 close"),
    ("an encoded line's end", request(b"GET /%0d%0aA:%20b HTTP/1.1", HOST), "404 or 400 close"),
    ("an encoded slash", request(b"GET /BRLBTC%2Fmms HTTP/1.1", HOST), "404|422"),
    ("encoded letters", request(b"GET /%68ealthz HTTP/1.1", HOST), "200"),
    ("encoded UTF-8", request(b"GET /%C3%A7 HTTP/1.1", HOST), "404"),
    ("encoded 0xFF", request(b"GET /%FF HTTP/1.1", HOST), "404 or 400 close"),
    ("overlong UTF-8", request(b"GET /%C0%AF HTTP/1.1", HOST), "404 or 400 close"),
    ("UTF-8 that is not encoded", request("GET /ç HTTP/1.1".encode(), HOST), "404 or 400 close"),
    ("0xFF", request(b"GET /\xff HTTP/1.1", HOST), "404 or 400 close"),
    ("quotes and brackets", request(b'GET /"<{|}>^` HTTP/1.1', HOST), "404 or 400 close"),
    ("an empty query", request(b"GET /pairs? HTTP/1.1", HOST), "200"),
    ("an unknown parameter", request(b"GET /pairs?a=b HTTP/1.1", HOST), "422"),
    ("a query of question marks", request(b"GET /pairs??? HTTP/1.1", HOST), "200|422"),
    ("a query of ampersands", request(b"GET /pairs?&&& HTTP/1.1", HOST), "200|422"),
    ("a query with NUL, encoded", request(b"GET /BRLBTC/mms?range=%00 HTTP/1.1", HOST), "400|422"),
    ("a query with 0xFF, encoded", request(b"GET /BRLBTC/mms?range=%FF HTTP/1.1", HOST), "400|422"),
    ("a query with 0xFF", request(b"GET /BRLBTC/mms?range=\xff HTTP/1.1", HOST), "400|422 or 400 close"),
    ("a parameter twice", request(b"GET /BRLBTC/mms?range=20&range=50 HTTP/1.1", HOST), "422"),
    ("1,000 parameters", request(b"GET /pairs?" + b"&".join(b"a%d=b" % n for n in range(1_000)) + b" HTTP/1.1", HOST), "422"),
    ("a path in the log's own form", request(b'GET /"event":"x" HTTP/1.1', HOST), "404 or 400 close"),
]

_UNREGISTERED: Final = "405 or 400 close"
METHODS: Final[Sequence[Row]] = [
    *[(method, request(method.encode() + b" /healthz HTTP/1.1", HOST), _UNREGISTERED)
      for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "PURGE", "MKCOL", "M-SEARCH", "QUERY", "SOURCE")],
    *[(method, request(method.encode() + b" /healthz HTTP/1.1", HOST), _UNREGISTERED)
      for method in ("FOO", "get", "Get", "GETT", "GE", "G", "G" * 200)],
    *[(repr(method), request(method.encode("latin-1") + b" /healthz HTTP/1.1", HOST), BAD)
      for method in ("GET,", "G(T", "G\0T", "G\xc9T", "\"GET\"", "GET:")],
    ("HEAD", request(b"HEAD /healthz HTTP/1.1", HOST), "h200"),
    ("HEAD of a path that is not there", request(b"HEAD /nope HTTP/1.1", HOST), "h404"),
    ("X-HTTP-Method-Override", get(b"X-HTTP-Method-Override: DELETE"), "200"),
]

SLOW: Final[Sequence[Row]] = [
    ("nothing at all", b"", "close"),
    ("half a request line", b"GET /hea", "408 close"),
    ("a head without its end", request(GET, HOST)[:-2], "408 close"),
    ("a byte every 50 ms", tuple(bytes([each]) for each in get(b"A: " + b"b" * 40)), "408 close"),
    ("a good request, then half a line", (get(), b"GET /hea"), "200 408 close"),
    ("a body that comes slowly", (post(b"Content-Length: 90"), *[b"b"] * 80), "408 close or 405 close"),
]

ENDS: Final[Sequence[Row]] = [
    ("at once", b"", "close"),
    ("in the request line", b"GET /hea", "close or 400 close"),
    ("in a header", b"GET /healthz HTTP/1.1\r\nHost: loc", "close or 400 close"),
    ("before the head's end", request(GET, HOST)[:-2], "close or 400 close"),
    ("in a body", post(b"Content-Length: 10", body=b"hel"), "405 close or 400 close or close"),
    ("in a chunk", post(CHUNKED, body=b"5\r\nhel"), "405 close or 400 close or close"),
    ("after a request", get(), "200 close or close"),
    ("after a request of the threads", request(PAIRS, HOST), "200 close or close"),
    ("after two requests", get() * 2, "200 200 close or 200 close or close"),
]
# fmt: on

_SUBJECTS: Final[dict[str, Sequence[Row]]] = {
    "request line": REQUEST_LINES,
    "version": VERSIONS,
    "Host": HOSTS,
    "headers": HEADERS,
    "sizes": SIZES,
    "Content-Length": LENGTHS,
    "Transfer-Encoding": CODINGS,
    "chunks and trailers": CHUNKS,
    "Upgrade and CONNECT": UPGRADES,
    "Expect": EXPECTATIONS,
    "several requests": PIPELINES,
    "target": TARGETS,
    "method": METHODS,
    "slow": SLOW,
    "the client ends its side": ENDS,
}

CASES: Final = [
    Case(
        subject,
        name,
        sent if isinstance(sent, tuple) else (sent,),
        expected,
        ends=subject == "the client ends its side",
    )
    for subject, rows in _SUBJECTS.items()
    for name, sent, expected in rows
]
