#!/usr/bin/env python3
"""gRPC's own C core as an app and as a client, so that it is not we who say what gRPC is.

grpc_peer.py serve                    prints its port, and serves until its standard input ends
grpc_peer.py call PORT COOKIE         calls it through a gateway, and prints what came of each kind of call as JSON
grpc_peer.py broken PORT COOKIE       calls a method that fails by the app's fault
grpc_peer.py deadlines PORT COOKIE    makes calls that the app does not answer in time, and counts how they ended as JSON
"""

import json
import sys
import time
from collections import Counter
from concurrent import futures

import grpc


def metadata(context):
    return dict(context.invocation_metadata())


def unary(request, context):
    context.set_trailing_metadata((("x-trailer", "behind"),))
    return request + b" for " + metadata(context).get("x-forwarded-user", "nobody").encode()


def failing(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: ü")


def broken(request, context):
    context.abort(grpc.StatusCode.INTERNAL, "broken")


def many(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def chat(requests, context):
    for request in requests:
        yield request.upper()


def slow(request, context):
    while context.is_active():
        time.sleep(0.01)
    return request


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(8))
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Broken": grpc.unary_unary_rpc_method_handler(broken),
        "Failing": grpc.unary_unary_rpc_method_handler(failing),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


def call(port, credential):
    options = [("grpc.default_authority", "app.test")]
    name = "authorization" if credential.startswith("Bearer ") else "cookie"
    headers = ((name, credential),) if credential else ()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        said = {}
        answer, outcome = channel.unary_unary("/test.Echo/Unary").with_call(b"hello", timeout=10, metadata=headers)
        said["unary"] = answer.decode()
        said["trailer"] = dict(outcome.trailing_metadata()).get("x-trailer")
        try:
            channel.unary_unary("/test.Echo/Failing")(b"", timeout=10, metadata=headers)
        except grpc.RpcError as error:
            said["failing"] = [error.code().name, error.details()]
        said["many"] = len(list(channel.unary_stream("/test.Echo/Many")(b"1000", timeout=10, metadata=headers)))
        # Each answer is waited for before the next is asked, so that neither side may be buffered.
        chat = channel.stream_stream("/test.Echo/Chat")
        asked = []

        def ask():
            for word in (b"one", b"two", b"three"):
                asked.append(word)
                yield word

        said["chat"] = [answer.decode() for answer in chat(ask(), timeout=10, metadata=headers)]
    print(json.dumps(said))


def call_broken(port, cookie):
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.default_authority", "app.test")]) as channel:
        try:
            channel.unary_unary("/test.Echo/Broken")(b"", timeout=10, metadata=(("cookie", cookie),))
        except grpc.RpcError as error:
            print(json.dumps(error.code().name))


def deadlines(port, cookie):
    ended = Counter()
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.default_authority", "app.test")]) as channel:
        for _ in range(60):
            try:
                channel.unary_unary("/test.Echo/Slow")(b"", timeout=0.05, metadata=(("cookie", cookie),))
            except grpc.RpcError as error:
                ended[error.code().name] += 1
    print(json.dumps(ended))


if sys.argv[1] == "serve":
    serve()
elif sys.argv[1] == "broken":
    call_broken(sys.argv[2], sys.argv[3])
elif sys.argv[1] == "deadlines":
    deadlines(sys.argv[2], sys.argv[3])
else:
    try:
        call(sys.argv[2], sys.argv[3])
    except grpc.RpcError as error:
        print(json.dumps({"refused": error.code().name}))
