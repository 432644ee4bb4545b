// An HTTP service in Node.js (node:http) and its client: PUT a body, get its SHA-256.
//
// hash.mjs serve PORT
// hash.mjs call PORT CONNECTIONS REQUESTS: so many connections at once, each kept for so many requests.

import { createHash, randomBytes, randomInt } from "node:crypto";
import http from "node:http";

function serve(port) {
  const server = http.createServer((request, response) => {
    const hash = createHash("sha256");
    request.on("data", (piece) => hash.update(piece));
    request.on("end", () => {
      const answer = hash.digest("hex");
      response.writeHead(200, { "Content-Length": answer.length });
      response.end(answer);
    });
  });
  server.keepAliveTimeout = 60_000;
  server.listen(port, "127.0.0.1", 256);
}

function put(agent, port, body) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path: "/hash", method: "PUT", agent };
    const request = http.request(options, (response) => {
      let answer = "";
      response.on("data", (piece) => (answer += piece));
      response.on("end", () => resolve(answer));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function call(port, connections, requests) {
  let [count, bytes] = [0, 0];
  const one = async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let request = 0; request < requests; request++) {
      const body = randomBytes(randomInt(100_000));
      const answer = await put(agent, port, body);
      const wanted = createHash("sha256").update(body).digest("hex");
      if (answer !== wanted) throw new Error(`${answer} is not ${wanted}`);
      count += 1;
      bytes += body.length;
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: connections }, one));
  console.log(`requests ${count} bytes ${bytes}`);
}

const [what, ...numbers] = process.argv.slice(2);
if (what === "serve") serve(Number(numbers[0]));
else await call(...numbers.map(Number));
