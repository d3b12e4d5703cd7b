"""Requests as bytes, for what no client library would send; and answers as they come."""
import http.client
import socket
import ssl
import urllib.parse

from installation import Answer


def connect(platform, name=None, paths=None, timeout=20, context=None):
    """A TLS connection with the certificate of a client by name, or with `paths` (certificate, key), or none."""
    url = urllib.parse.urlparse(platform.info["api"])
    if context is None:
        context = ssl.create_default_context(cafile=platform.info["caCertificate"])
    if name is not None:
        paths = platform.info["clients"][name]["certificate"], platform.info["clients"][name]["key"]
    if paths is not None:
        context.load_cert_chain(*paths)
    plain = socket.create_connection((url.hostname, url.port), timeout=timeout)
    return context.wrap_socket(plain, server_hostname=url.hostname)


def head(method, path, headers=(), length=None):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"] + [f"{k}: {v}" for k, v in dict(headers).items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_answer(connection, method="GET"):
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    body = response.read()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body)


def read_answers(connection, count):
    """Those to pipelined requests, each with a Content-Length."""
    stream, answers = connection.makefile("rb"), []
    for _ in range(count):
        status, headers = int(stream.readline().split()[1]), {}
        while (line := stream.readline().strip()):
            name, value = line.decode().split(": ", 1)
            headers[name.lower()] = value
        answers.append(Answer(status, headers, stream.read(int(headers["content-length"]))))
    return answers


def cut_off(connection):
    """Ends it in the middle of a request, and waits until the server has. Nothing is left unread on this side: the kernel
    would then reset the connection, and what was sent might never be read."""
    connection.shutdown(socket.SHUT_WR)
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    connection.close()


def exchange(platform, content, name=None, method="GET", **options):
    """Sends bytes on a connection of their own and reads one answer."""
    with connect(platform, name, **options) as connection:
        try:
            connection.sendall(content)
        except OSError:
            pass  # the server may answer and close before it has read all
        return read_answer(connection, method)
