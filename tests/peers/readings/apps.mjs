// Apps as Node has them, each of which takes every path for `admin` or for `open`, in the way of its framework. Prints the port
// of each, and serves until its standard input ends.

import http from "node:http";
import { posix } from "node:path";
import url from "node:url";

import { serve } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";

const leadsToAdmin = (path) => path === "/admin" || path.startsWith("/admin/");

/** One of node:http alone. What it cannot read, it does not find. */
const plain = (read) =>
  http.createServer((request, response) => {
    let isAdmin = false;
    try {
      isAdmin = leadsToAdmin(read(request.url));
    } catch {}
    response.end(isAdmin ? "admin" : "open");
  });

const withExpress = () => {
  const app = express();
  app.use("/admin", (_, response) => response.send("admin"));
  app.use((_, response) => response.send("open"));
  app.use((_error, _request, response, _next) => response.status(200).send("open"));
  return http.createServer(app);
};

const withFastify = async (routerOptions) => {
  const app = fastify({ routerOptions, frameworkErrors: (_error, _request, reply) => reply.code(200).send("open") });
  app.all("/admin", async () => "admin");
  app.all("/admin/*", async () => "admin");
  app.setNotFoundHandler((_, reply) => reply.code(200).send("open"));
  await app.ready();
  return app.server;
};

const withHono = () => {
  const app = new Hono();
  app.all("/admin/*", (context) => context.text("admin"));
  app.notFound((context) => context.text("open", 200));
  app.onError((_, context) => context.text("open", 200));
  // It listens at once.
  return serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 });
};

const apps = {
  "node URL": plain((target) => new URL(target, "http://app").pathname),
  "node URL, of what is decoded": plain((target) => new URL(decodeURIComponent(target), "http://app").pathname),
  "node url.parse": plain((target) => url.parse(target).pathname),
  "node url.parse, decoded, trimmed, in upper case": plain((target) =>
    decodeURIComponent(url.parse(target).pathname).trim().toUpperCase().replace(/^\/ADMIN(?=\/|$)/, "/admin"),
  ),
  "node path.normalize": plain((target) => posix.normalize(decodeURIComponent(target.split("?")[0]))),
  express: withExpress(),
  fastify: await withFastify({}),
  "fastify, lenient": await withFastify({
    caseSensitive: false,
    ignoreDuplicateSlashes: true,
    ignoreTrailingSlash: true,
    useSemicolonDelimiter: true,
  }),
  hono: withHono(),
};

const ports = {};
for (const [name, server] of Object.entries(apps)) {
  if (!server.listening) {
    await new Promise((resolve) => (name === "hono" ? server.once("listening", resolve) : server.listen(0, "127.0.0.1", resolve)));
  }
  ports[name] = server.address().port;
}
console.log(JSON.stringify(ports));
process.stdin.resume().on("end", () => process.exit());
