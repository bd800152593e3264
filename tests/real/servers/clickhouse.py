"""Today's ClickHouse behind its HTTP interface, as far as mirrors use it: `chdb`, in this process.

    python3 clickhouse.py FOLDER

The query comes in ?query=, the data of an INSERT in the body; a long query is the body itself. Prints its
port. It ends with its standard input.
"""

import http.server
import os
import sys
import threading
import urllib.parse

from chdb import session

folder = sys.argv[1]
store = session.Session(os.path.join(folder, "store"))
number = 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global number
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sql = query.get("query") or body.decode()
        token = query.get("insert_deduplication_token")
        output = "TabSeparated"
        if sql.startswith("INSERT") and sql.endswith(" FORMAT RowBinary"):
            # The embedded server has no request that carries data, so the data comes from a file.
            number += 1
            path = os.path.join(folder, f"data-{number}")
            with open(path, "wb") as file:
                file.write(body)
            sql = sql.replace(" FORMAT RowBinary", "")
            settings = f" SETTINGS insert_deduplication_token = '{token}'" if token else ""
            sql = f"{sql.split('(')[0]}({sql.split('(', 1)[1]} FROM INFILE '{path}'{settings} FORMAT RowBinary"
        elif sql.endswith(" FORMAT RowBinary"):
            sql, output = sql.removesuffix(" FORMAT RowBinary"), "RowBinary"
        try:
            answer, status = bytes(store.query(sql, output).bytes()), 200
        except Exception as error:
            answer, status = str(error).encode(), 500
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
print(server.server_address[1], flush=True)
server.serve_forever()
