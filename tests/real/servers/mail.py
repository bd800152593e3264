"""Takes mail for the real tests: SMTP with STARTTLS and AUTH, SMTPS, or SendGrid's API.

    python3 mail.py FOLDER smtp|smtps
    python3 mail.py FOLDER http|https [REPLY...]

The folder gets ca.pem, the authority of the server's certificate, and a mail-N.json per letter or
request, as an independent parser reads it. The port is printed once the server listens. It ends with its
standard input, so that no test leaves one behind. Needs openssl, aiosmtpd for SMTP and jsonschema for
SendGrid.

A request is held against sendgrid.schema.json; what is wrong with it is in its "errors". The first gets
the first REPLY, and so on; the last is for all that follow. One is an object with a "status", "headers"
and a "body", or "hang", "reset" or "garbage". A header of "+N" stands for the time in N seconds.
"""

import asyncio
import http.server
import json
import logging
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import warnings

import letter

USER, PASSWORD = b"user@example.org", b"open sesame"
KEY = "SG.hush-hush.0123456789"

folder = pathlib.Path(sys.argv[1])
mode = sys.argv[2]
count = 0


def keep(mail):
    """Writes it at once, so that nobody reads a half; returns its number."""
    global count
    count += 1
    draft = folder / "draft"
    draft.write_text(json.dumps(mail))
    os.rename(draft, folder / f"mail-{count}.json")
    return count


def certificate():
    """Returns a context with a certificate for 127.0.0.1, signed by ca.pem."""

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-days", "2")
    openssl("req", *new, "-keyout", "key.pem", "-out", "leaf.csr", "-subj", "/CN=localhost")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    openssl(
        "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-extfile", "ext", "-out", "cert.pem",
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def end_with_stdin(end):
    def wait():
        sys.stdin.read()
        end()

    threading.Thread(target=wait, daemon=True).start()


def smtp(context, wrapped):
    from aiosmtpd.smtp import SMTP, AuthResult

    # Clients that don't trust it, and logins without STARTTLS under SMTPS, are what it is here for.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            keep(letter.read(envelope.content) | {
                "mail_from": envelope.mail_from,
                "rcpt_tos": envelope.rcpt_tos,
                "tls": wrapped or session.ssl is not None,
                "authenticated": session.authenticated,
            })
            return "250 2.0.0 Ok: queued"

    def authenticate(server, session, envelope, mechanism, data):
        known = (data.login, data.password) == (USER, PASSWORD)
        return AuthResult(success=known, handled=known)

    loop = asyncio.new_event_loop()
    factory = lambda: SMTP(
        Handler(),
        loop=loop,
        hostname="mail.example.org",
        tls_context=None if wrapped else context,
        authenticator=authenticate,
        auth_required=True,
        auth_require_tls=not wrapped,
    )
    serving = loop.create_server(factory, "127.0.0.1", 0, ssl=context if wrapped else None)
    server = loop.run_until_complete(serving)
    print(server.sockets[0].getsockname()[1], flush=True)
    end_with_stdin(lambda: loop.call_soon_threadsafe(loop.stop))
    loop.run_forever()


def sendgrid(context, replies):
    import jsonschema

    schema = json.loads((pathlib.Path(__file__).parent / "sendgrid.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def wrong(body):
        wrong = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]
        for personalization in body.get("personalizations", []):
            length = len(json.dumps(personalization.get("custom_args", {}), ensure_ascii=False).encode())
            wrong += [f"custom_args of {length} bytes"] if length >= 10_000 else []
        return wrong

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.headers["Authorization"] == f"Bearer {KEY}"
            number = keep({
                "path": self.path,
                "known": known,
                "content_type": self.headers["Content-Type"],
                "body": body,
                "errors": wrong(body),
                "at": time.monotonic(),
            })
            reply = replies[min(number, len(replies)) - 1]
            if reply == "hang":
                threading.Event().wait()
            elif reply == "reset":
                # Closed without a farewell.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
            elif reply == "garbage":
                self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
                self.close_connection = True
            else:
                self.answer(reply if known else {"status": 401})

        def answer(self, reply):
            self.send_response(reply["status"])
            for name, value in reply.get("headers", {}).items():
                self.send_header(name, int(time.time()) + int(value) if value.startswith("+") else value)
            body = reply.get("body", "").encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None
    print(server.server_address[1], flush=True)
    end_with_stdin(lambda: os._exit(0))
    server.serve_forever()


TAKEN = {"status": 202, "headers": {"X-Message-Id": "14c5d75ce93"}}

if mode in ("http", "https"):
    sendgrid(certificate() if mode == "https" else None, [json.loads(reply) for reply in sys.argv[3:]] or [TAKEN])
else:
    smtp(certificate(), mode == "smtps")
