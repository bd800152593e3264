"""Takes mail for the real tests: SMTP with STARTTLS and AUTH, SMTPS, or SendGrid's API over HTTPS.

    python3 mail.py FOLDER smtp|smtps|https

The folder gets ca.pem, the authority of the server's certificate, and a mail-N.json per mail, as an
independent parser reads it. The port is printed once the server listens. It ends with its standard
input, so that no test leaves one behind. Needs openssl, and aiosmtpd for SMTP.
"""

import asyncio
import email
import email.policy
import http.server
import json
import logging
import pathlib
import ssl
import subprocess
import sys
import threading
import warnings

USER, PASSWORD = b"user@example.org", b"open sesame"
KEY = "SG.hush-hush.0123456789"

folder = pathlib.Path(sys.argv[1])
mode = sys.argv[2]
count = 0


def keep(mail):
    global count
    count += 1
    path = folder / f"mail-{count}.json"
    path.write_text(json.dumps(mail))


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
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            parts = [part for part in mail.walk() if not part.is_multipart()]
            keep({
                "mail_from": envelope.mail_from,
                "rcpt_tos": envelope.rcpt_tos,
                "tls": wrapped or session.ssl is not None,
                "authenticated": session.authenticated,
                "headers": [[name, str(value)] for name, value in mail.items()],
                "parts": [[part.get_content_type(), part.get_content()] for part in parts],
                "defects": [str(d) for part in mail.walk() for d in part.defects],
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


def https(context):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.headers["Authorization"] == f"Bearer {KEY}"
            if known:
                keep({"path": self.path, "body": json.loads(body)})
            self.send_response(202 if known else 401)
            self.send_header("X-Message-Id", "14c5d75ce93")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None
    print(server.server_address[1], flush=True)
    end_with_stdin(server.shutdown)
    server.serve_forever()


if mode == "https":
    https(certificate())
else:
    smtp(certificate(), mode == "smtps")
