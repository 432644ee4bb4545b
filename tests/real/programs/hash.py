"""An HTTP service in Python (http.server) and its client (http.client): PUT a body, get its SHA-256.

hash.py serve PORT
hash.py call PORT CONNECTIONS REQUESTS: so many connections at once, each kept for so many requests.
"""

import hashlib
import http.client
import http.server
import random
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        hashed = hashlib.sha256()
        while left > 0:
            piece = self.rfile.read(min(left, 65536))
            hashed.update(piece)
            left -= len(piece)
        answer = hashed.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def serve(port):
    Server(("127.0.0.1", port), Handler).serve_forever()


def call(port, connections, requests):
    sent, wrong = [], []

    def one(seed):
        numbers = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            for _ in range(requests):
                body = numbers.randbytes(numbers.randrange(100_000))
                connection.request("PUT", "/hash", body)
                answer = connection.getresponse().read().decode()
                if answer != hashlib.sha256(body).hexdigest():
                    wrong.append(answer)
                sent.append(len(body))
        except Exception as error:
            wrong.append(repr(error))
        connection.close()

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        sys.exit(f"wrong: {wrong}")
    print(f"requests {len(sent)} bytes {sum(sent)}")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    call(*map(int, sys.argv[2:5]))
