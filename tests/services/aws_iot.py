"""AWS IoT for tests: moto, and in front of it what moto leaves out.

moto believes any signature, knows no connections and never throttles. Here botocore's own signer says whether a signature is
right; connections can be made, looked at and cut (`/connections/{clientId}` of the data plane); and the next answers can be
replaced by an error. All else is moto's. Prints `listening on ADDRESS`.

A test's own requests need no signature behind `/-/as-admin`. What is to happen is told by POST to `/-/connect/CLIENT_ID`;
`/-/fail/COUNT/STATUS/TYPE/PART`, which replaces answers; and `/-/cut/COUNT/PART`, after which moto has done what was asked
and the caller hears nothing of it. PART is found in `METHOD path body`.
"""

import datetime
import io
import json
import os
import threading
import time
import urllib.parse

import caches

if __name__ == "__main__":
    caches.become_aws_python()

from botocore.auth import SigV4Auth  # noqa: E402: only the venv's Python has these
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402
from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

from lifeline import Lifeline  # noqa: E402

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "session-token"
# Clocks further apart are refused.
SKEW_SECONDS = 300


class Cut(Exception):
    """The answer is lost."""


class Front:
    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.connections = {}
        self.faults = []
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ["REQUEST_URI"].partition("?")[0]
        if path.startswith("/-/as-admin/"):
            return self.moto(unsigned(environ), start_response)
        if path.startswith("/-/"):
            self.told(path.split("/")[2:])
            return answer(start_response, 200, {})
        wrong = wrong_signature(environ, body)
        if wrong:
            return answer(start_response, 403, {"message": wrong}, "InvalidSignatureException")
        fault = self.fault(f"{environ['REQUEST_METHOD']} {path} {body.decode()}")
        if fault and fault[0] == "fail":
            return answer(start_response, int(fault[2]), {"message": "as the test wishes"}, fault[3])
        if path.startswith("/connections/"):
            given = self.connection(environ["REQUEST_METHOD"], urllib.parse.unquote(path.split("/", 2)[2]), start_response)
        else:
            given = self.moto(environ, start_response)
        if fault:
            raise Cut
        return given

    def told(self, words):
        with self.lock:
            if words[0] == "connect":
                self.connections[urllib.parse.unquote(words[1])] = int(time.time() * 1000)
            else:
                self.faults.append(words)

    def fault(self, request):
        with self.lock:
            for words in self.faults:
                part = urllib.parse.unquote("/".join(words[4 if words[0] == "fail" else 2:]))
                if int(words[1]) > 0 and part in request:
                    words[1] = int(words[1]) - 1
                    return words
        return None

    def connection(self, method, client, start_response):
        with self.lock:
            since = self.connections.get(client)
            if since is None:
                return answer(start_response, 404, {"message": f"no connection {client}"}, "ResourceNotFoundException")
            if method == "DELETE":
                del self.connections[client]
                return answer(start_response, 200, {})
            return answer(start_response, 200, {"clientId": client, "connected": True, "connectedSince": since})


def unsigned(environ):
    """moto tells by the signature's scope which service is meant."""
    scope = "Credential=ADMIN/20260101/eu-west-1/iot/aws4_request"
    environ["HTTP_AUTHORIZATION"] = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"
    for name in ("PATH_INFO", "REQUEST_URI", "RAW_URI"):
        environ[name] = environ[name].removeprefix("/-/as-admin")
    return environ


def answer(start_response, status, body, error=None):
    body = json.dumps(body).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if error:
        headers.append(("x-amzn-ErrorType", f"{error}:http://internal.amazon.com/"))
    if error == "ThrottlingException":
        headers.append(("Retry-After", "7"))
    start_response(f"{status} .", headers)
    return [body]


def wrong_signature(environ, body):
    """What is wrong with it, as the service would say; None when nothing is."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, rest = header.partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if scheme != "AWS4-HMAC-SHA256" or not {"Credential", "SignedHeaders", "Signature"} <= parts.keys():
        return "Missing Authentication Token"
    key, _, region, service, _ = parts["Credential"].split("/")
    expected = "iotdata" if environ["REQUEST_URI"].startswith("/connections/") else "iot"
    if key != KEY or service != expected:
        return f"Credential should be scoped to correct service: '{expected}'."
    token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
    if token not in (None, TOKEN):
        return "The security token included in the request is invalid."
    at = environ.get("HTTP_X_AMZ_DATE", "")
    told = datetime.datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs(time.time() - told.timestamp()) > SKEW_SECONDS:
        return "Signature expired"
    names = {"host": "HTTP_HOST", "content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
    headers = {
        name: environ[names.get(name, "HTTP_" + name.upper().replace("-", "_"))] for name in parts["SignedHeaders"].split(";")
    }
    url = f"http://{environ['HTTP_HOST']}{environ['REQUEST_URI']}"
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, headers=headers, data=body)
    request.context["timestamp"] = at
    signer = SigV4Auth(Credentials(KEY, SECRET, token), service, region)
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    if signer.signature(to_sign, request) != parts["Signature"]:
        return "The request signature we calculated does not match the signature you provided."
    return None


class Handler(WSGIRequestHandler):
    def log(self, *_):
        pass

    def run_wsgi(self):
        try:
            super().run_wsgi()
        except Cut:
            self.close_connection = True


def main():
    lifeline = Lifeline()
    server = make_server("127.0.0.1", 0, Front(), threaded=True, request_handler=Handler, passthrough_errors=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    while not lifeline.over(0.5):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
