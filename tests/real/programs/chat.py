"""A WebSocket service and its client in Python (asyncio, the package websockets): each message comes back with its
number and its SHA-256, and the service says something by itself in between.

chat.py serve PORT
chat.py call PORT CONNECTIONS MESSAGES
"""

import asyncio
import hashlib
import random
import sys

import websockets


async def answer(socket, *_):
    number = 0
    async for message in socket:
        await socket.send(f"{number} {hashlib.sha256(message).hexdigest()}")
        number += 1
        if number % 10 == 0:
            await socket.ping()
            await socket.send(f"so far {number}")


async def serve(port):
    async with websockets.serve(answer, "127.0.0.1", port, compression=None, max_size=None):
        await asyncio.Future()


async def one(port, seed, messages):
    numbers = random.Random(seed)
    sent = 0
    url = f"ws://127.0.0.1:{port}/"
    async with websockets.connect(url, compression=None, max_size=None) as socket:
        for number in range(messages):
            # Of every length that a frame says in its own way.
            body = numbers.randbytes(numbers.choice([0, 1, 125, 126, 65_535, 65_536, 300_000]))
            await socket.send(body)
            answer = await socket.recv()
            assert answer == f"{number} {hashlib.sha256(body).hexdigest()}", answer
            if (number + 1) % 10 == 0:
                assert await socket.recv() == f"so far {number + 1}"
            sent += len(body)
    return sent


async def call(port, connections, messages):
    sent = await asyncio.gather(*(one(port, seed, messages) for seed in range(connections)))
    print(f"requests {connections * messages} bytes {sum(sent)}")


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2])))
else:
    asyncio.run(call(*map(int, sys.argv[2:5])))
